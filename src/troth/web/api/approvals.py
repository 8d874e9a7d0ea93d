"""The two-person rule over the API: proposals, what is said to them, and the rule itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from troth.access.approvals.rule import Rule
from troth.access.approvals.service import Approvals
from troth.access.roles import Permission
from troth.web.approval_views import ActPreview, ApprovalRuleView, ProposalView, RuleDemand
from troth.web.asking import Proposed, ask
from troth.web.guard import asker, needs
from troth.web.render import Req, services_of
from troth.web.views import Page
from troth.web.words import proposal_view

_TAGS = ["Approvals"]
_Comment = Annotated[str, Meta(max_length=500)]


class ProposeCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """An act: its kind and what it is about. See docs/approvals.md for the payload of each kind."""

    kind: Annotated[str, Meta(max_length=64)]
    payload: dict[str, Any]
    comment: _Comment = ""


class Question(Struct, frozen=True):
    """What the passkey is asked (``options`` for ``navigator.credentials.get``), and the nonce to send back."""

    options: dict[str, Any]
    nonce: str


class ApproveCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """A passkey's answer to a question."""

    nonce: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    credential: dict[str, Any]
    comment: _Comment = ""


class RejectCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """Why not."""

    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class WithdrawCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is taken back."""

    reason: _Comment = ""


class Executed(Struct, frozen=True):
    """What was done, and what came of it: a secret in it is told this once."""

    proposal: ProposalView
    outcome: Any = None


class RuleCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """The rule as YAML."""

    document: Annotated[str, Meta(max_length=65_536)]


@get("/approvals", opt=needs(Permission.APPROVAL_READ), operation_id="listApprovals", tags=_TAGS)
async def list_approvals(request: Req, show: FromQuery[Literal["waiting", "done"]] = "waiting") -> Page[ProposalView]:
    """Proposals, latest first: those that wait, or the last 200 that are settled."""
    approvals = services_of(request).approvals
    found = await approvals.listed(waiting=show == "waiting")
    return Page([proposal_view(one, secret=approvals.secret(one.act.kind)) for one in found])


@post("/approvals", opt=needs(Permission.APPROVAL_READ), operation_id="propose", tags=_TAGS, status_code=202)
async def propose(request: Req, data: JSONBody[ProposeCommand]) -> ProposalView:
    """Propose an act, though the rule may ask for nothing. The act's own permission is needed, too."""
    approvals = services_of(request).approvals
    made = await approvals.submit(data.kind, data.payload, asker(request), comment=data.comment, propose=True)
    assert made.proposal is not None  # noqa: S101 -- it was asked for
    raise Proposed(made.proposal)


@post("/approvals/preview", opt=needs(Permission.APPROVAL_READ), operation_id="previewAct", tags=_TAGS,
      status_code=200)  # fmt: skip
async def preview(request: Req, data: JSONBody[ProposeCommand]) -> ActPreview:
    """What an act would do now, and what it asks for; nothing is done or proposed."""
    found, demand = await services_of(request).approvals.preview(data.kind, data.payload, asker(request))
    roles = tuple(sorted(role.value for role in demand.roles)) if demand.approvals else ()
    return ActPreview(found.words, found.lines, found.digest.hex(), found.size, demand.approvals, roles)


@get("/approvals/rule", opt=needs(Permission.APPROVAL_READ), operation_id="getApprovalRule", tags=_TAGS)
async def get_rule(request: Req) -> ApprovalRuleView:
    """The rule in force, what each kind of act asks for, and who could approve now."""
    approvals = services_of(request).approvals
    rule = await approvals.rule()
    hours = int(rule.expiry.total_seconds() // 3600)
    return ApprovalRuleView(rule.version, rule.document, hours, await demands_of(approvals, rule))


async def demands_of(approvals: Approvals, rule: Rule) -> tuple[RuleDemand, ...]:
    """What each kind of act asks for under ``rule`` when it hits very much, and who could give it now."""
    demands = []
    for kind in approvals.kinds:
        if kind in approvals.judged:
            continue  # how many must approve is the signer's to say
        demand = rule.demand(kind, 1_000_000)
        could = tuple(await approvals.eligible(demand)) if demand.approvals else ()
        roles = tuple(sorted(role.value for role in demand.roles)) if demand.approvals else ()
        demands.append(RuleDemand(kind, demand.approvals, roles, could))
    return tuple(demands)


@post("/approvals/rule", opt=needs(Permission.ACCESS_MANAGE), operation_id="applyApprovalRule", tags=_TAGS,
      status_code=200)  # fmt: skip
async def apply_rule(request: Req, data: JSONBody[RuleCommand]) -> ApprovalRuleView:
    """Change the rule. It takes the approvals that old and new rule ask for together."""
    await ask(request, "rule.change", {"document": data.document})
    return await get_rule.fn(request)  # type: ignore[no-any-return]


async def _shown(request: Req, proposal_id: UUID) -> ProposalView:
    approvals = services_of(request).approvals
    found = await approvals.proposals.get(proposal_id)
    return proposal_view(found, secret=approvals.secret(found.act.kind))


@get("/approvals/{proposal_id:uuid}", opt=needs(Permission.APPROVAL_READ), operation_id="getApproval", tags=_TAGS)
async def get_approval(request: Req, proposal_id: FromPath[UUID]) -> ProposalView:
    """One proposal with its approvals."""
    return await _shown(request, proposal_id)


@post("/approvals/{proposal_id:uuid}/question", opt=needs(Permission.APPROVAL_DECIDE),
      operation_id="askForApproval", tags=_TAGS, status_code=200)  # fmt: skip
async def question(request: Req, proposal_id: FromPath[UUID]) -> Question:
    """What the approver's passkey is to sign: this act, on this state, once."""
    asked = await services_of(request).approvals.proposals.question(proposal_id, asker(request))
    return Question(asked["options"], asked["nonce"])


@post("/approvals/{proposal_id:uuid}/approve", opt=needs(Permission.APPROVAL_DECIDE), operation_id="approve",
      tags=_TAGS, status_code=200)  # fmt: skip
async def approve(request: Req, proposal_id: FromPath[UUID], data: JSONBody[ApproveCommand]) -> ProposalView:
    """Say yes with a passkey. The last approval that was missing has the act done."""
    await services_of(request).approvals.approve(
        proposal_id, asker(request), nonce=bytes.fromhex(data.nonce), answer=data.credential, comment=data.comment
    )
    return await _shown(request, proposal_id)


@post("/approvals/{proposal_id:uuid}/reject", opt=needs(Permission.APPROVAL_DECIDE), operation_id="rejectApproval",
      tags=_TAGS, status_code=200)  # fmt: skip
async def reject(request: Req, proposal_id: FromPath[UUID], data: JSONBody[RejectCommand]) -> ProposalView:
    """End a proposal."""
    await services_of(request).approvals.proposals.reject(proposal_id, asker(request), why=data.reason)
    return await _shown(request, proposal_id)


@post("/approvals/{proposal_id:uuid}/withdraw", opt=needs(Permission.APPROVAL_READ),
      operation_id="withdrawApproval", tags=_TAGS, status_code=200)  # fmt: skip
async def withdraw(request: Req, proposal_id: FromPath[UUID], data: JSONBody[WithdrawCommand]) -> ProposalView:
    """Take one's own proposal back."""
    await services_of(request).approvals.proposals.withdraw(proposal_id, asker(request), why=data.reason)
    return await _shown(request, proposal_id)


@post("/approvals/{proposal_id:uuid}/execute", opt=needs(Permission.APPROVAL_READ), operation_id="executeApproval",
      tags=_TAGS, status_code=200)  # fmt: skip
async def execute(request: Req, proposal_id: FromPath[UUID]) -> Executed:
    """Have done what was approved; one whose outcome is a secret, by its proposer alone."""
    _, outcome = await services_of(request).approvals.execute(proposal_id, asker(request))
    return Executed(await _shown(request, proposal_id), outcome)


HANDLERS = (
    list_approvals, propose, preview, get_rule, apply_rule, get_approval, question, approve, reject, withdraw, execute,
)  # fmt: skip
