"""Why an act is not done under the two-person rule."""

from __future__ import annotations

from troth.access.errors import AccessError
from troth.kit.errors import reason

KIND_UNKNOWN = reason(
    "approval.kind_unknown",
    "there is no such kind of act",
    fix="See `troth approval rule show` for the kinds there are.",
    status=422,
)
PAYLOAD_INVALID = reason(
    "approval.payload_invalid",
    "the act's payload does not have the form that its kind needs",
    fix="Let the dashboard or the command of the act make the proposal; see docs/approvals.md.",
    status=422,
)
UNKNOWN = reason(
    "approval.unknown", "there is no such proposal", fix="See `troth approval list` or the page Approvals.", status=404
)
SETTLED = reason(
    "approval.settled",
    "this proposal is settled: nothing can be added to it",
    fix="Propose the act anew if it is still wanted.",
    status=409,
)
EXPIRED = reason(
    "approval.expired", "this proposal has expired", fix="Propose the act anew if it is still wanted.", status=409
)
STALE = reason(
    "approval.stale",
    "the state has changed since this was previewed, so what was approved is not what would happen",
    fix="Propose the act anew: approvers then see what it would do now.",
    status=409,
)
NOT_ENOUGH = reason(
    "approval.not_enough",
    "fewer distinct persons have approved this than the rule asks for",
    fix="Wait for more approvals; an account that was turned off, lost its role or turned out to be the same person "
    "does not count.",
    status=409,
)
OWN = reason(
    "approval.own_proposal",
    "whoever proposed an act does not approve it, with whatever account",
    fix="Ask another person; to drop it, withdraw it.",
    status=403,
)
TWICE = reason(
    "approval.twice",
    "this person has approved it already",
    fix="Ask another person: accounts of one person count once.",
    status=409,
)
NOT_A_PERSON = reason(
    "approval.not_a_person",
    "an approval comes from a person who is logged in to the dashboard and uses a passkey",
    fix="Open the page Approvals in a browser; API tokens and the local socket may propose, never approve.",
    status=403,
)
ROLE = reason(
    "approval.role",
    "the rule does not count approvals of your role for this",
    fix="Ask somebody of the roles that the proposal names.",
    status=403,
)
PASSKEY = reason(
    "approval.passkey",
    "the passkey's answer does not approve this act",
    fix="Approve from the proposal's own page with a passkey of your account; each question is good for five minutes.",
    status=422,
)
NOT_PINNED = reason(
    "approval.not_pinned",
    "the signer judges this itself, by the passkeys that are pinned in it, and you have none there",
    fix="Ask an approver whom the page Approvers shows, or have a passkey of yours pinned first.",
    status=403,
)
NOBODY_PINNED = reason(
    "approval.nobody_pinned",
    "the signer judges this itself, and fewer than two persons are pinned in it",
    fix="Let two persons make passkeys on the page Approvers, and confirm both on the signer's machine: see "
    "docs/approvals.md. Or do it there as the data directory's owner.",
    status=409,
)
NOT_PROPOSER = reason(
    "approval.not_proposer",
    "only who proposed this may do that",
    fix="Ask the proposer; to stop a proposal of somebody else's, reject it.",
    status=403,
)
RULE_INVALID = reason(
    "approval.rule_invalid",
    "the rule cannot be read",
    fix="See docs/approvals.md for its form, and `troth approval rule show` for the one in force.",
    status=422,
)
RULE_UNMET = reason(
    "approval.rule_unmet",
    "this rule could never be met: too few persons could approve",
    fix="Give more persons the role and let each make a passkey, or ask for fewer approvals.",
    status=409,
)
RULE_CHANGED = reason(
    "approval.rule_changed", "the rule was changed by somebody else just now", fix="Look at it again.", status=409
)
FORBIDDEN_SINCE = reason(
    "approval.proposer_lost_role",
    "who proposed this may not do it any more",
    fix="Somebody who may do it can propose it anew.",
    status=403,
)


class ApprovalRefused(AccessError):
    """A refusal of the two-person rule."""
