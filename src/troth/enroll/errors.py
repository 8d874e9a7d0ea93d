"""Why a proved request still gets no certificate."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

REFUSED = reason(
    "enroll.refused",
    "the trust decision refused this request",
    fix="`troth why` shows the decision: each condition, the value seen and what would have to change.",
    status=403,
)
UNDECIDED = reason(
    "enroll.undecided",
    "what the trust decision needs to know is not known at present",
    fix="Try again later; `troth why` names the facts that are missing or too old, and who should report them.",
    status=503,
)
AWAITS_APPROVAL = reason(
    "enroll.awaits_approval",
    "policy leaves this certificate to a person, and nobody has approved it yet",
    fix="Have it approved on the page 'Approvals', and ask again.",
    status=503,
)
DECLINED = reason(
    "enroll.declined",
    "a person has declined this certificate",
    fix="Ask whoever declined it; 'troth approval list --done' tells who and why.",
    status=403,
)
APPROVAL_CROWDED = reason(
    "enroll.approvals_crowded",
    "too many proposals wait for a person, so this one is not added",
    fix="Decide those that wait on the page 'Approvals'.",
    status=403,
)
TOO_MANY_PROOFS = reason(
    "enroll.key_compromise.too_many",
    "too many proofs of compromise at once",
    fix="Wait a minute and send it again; a proof does not grow old.",
    status=429,
)


class ProofsLimited(TrothError):
    """The allowance of this network, or of all together, is used up."""


class IssuanceRefused(TrothError):
    """The judge said no; ``facts`` holds ``decision_id`` and ``outcome``."""


class Undecided(IssuanceRefused):
    """The judge could not say: facts are missing, stale, or their source is out of reach. Nothing was refused."""


class AwaitingApproval(Undecided):
    """A person must approve first; ``facts`` holds ``proposal``. The same request is answered once that is done."""
