"""Approvals: what waits, and one proposal with all that an approver must see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from troth.access.approvals.model import Proposal
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.web.api.approvals import demands_of
from troth.web.approval_views import ApproversView
from troth.web.errors import MALFORMED, WebError
from troth.web.forms import fields
from troth.web.guard import asker, needs
from troth.web.problems import shown
from troth.web.render import Req, page, services_of
from troth.web.views import EventFilter
from troth.web.words import proposal_view


@get("/approvals", opt=needs(Permission.APPROVAL_READ), include_in_schema=False)
async def approvals(request: Req) -> Response[str]:
    """What waits, what is done, and the rule."""
    room = services_of(request).approvals
    views = {
        waiting: [proposal_view(one, secret=room.secret(one.act.kind)) for one in
                  await room.listed(waiting=waiting, limit=200 if waiting else 30)]
        for waiting in (True, False)
    }  # fmt: skip
    rule = await room.rule()
    demands = [one for one in await demands_of(room, rule) if one.approvals]
    return await page(
        request, "approvals.html", area="approvals", open=views[True], done_ones=views[False], rule=rule,
        demands=demands,
    )  # fmt: skip


async def _is_mine(request: Req, proposal: Proposal, me: Principal) -> bool:
    """Whether the reader is the proposer, with whatever account."""
    if proposal.actor == me.actor:
        return True
    if me.id is None or proposal.person is None:
        return False
    return (await services_of(request).access.accounts.get(me.id)).person == proposal.person


async def _pinned(request: Req) -> ApproversView | None:
    """Who is pinned in the signer; None while it does not answer."""
    try:
        return await services_of(request).approvers.list()
    except TrothError:
        return None


async def _page(
    request: Req, proposal_id: UUID, *, problem: TrothError | None = None, secret: str = ""
) -> Response[str]:
    services, me = services_of(request), asker(request)
    found = await services.approvals.proposals.get(proposal_id)
    view = proposal_view(found, secret=services.approvals.secret(found.act.kind))
    head, judged = view.act_hash[:24], services.approvals.proposals.judges(found)
    return await page(
        request, "approval.html", area="approvals", status=problem.reason.status if problem else 200, one=view,
        mine=await _is_mine(request, found, me), judged=judged, pinned=await _pinned(request) if judged else None,
        passkeys=await services.access.credentials.passkeys(me),
        groups=[head[place : place + 4] for place in range(0, len(head), 4)], secret=secret,
        events=(await services.events.list(EventFilter(ref=f"proposal:{proposal_id}", limit=30))).items,
        problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/approvals/{proposal_id:uuid}", opt=needs(Permission.APPROVAL_READ), include_in_schema=False)
async def approval(request: Req, proposal_id: FromPath[UUID]) -> Response[str]:
    """One proposal: who, what in words and exactly, what it would hit, and who has approved."""
    return await _page(request, proposal_id)


@post("/approvals/{proposal_id:uuid}/reject", opt=needs(Permission.APPROVAL_DECIDE), include_in_schema=False)
async def reject(request: Req, proposal_id: FromPath[UUID]) -> Response[Any]:
    """End a proposal, with a reason."""
    (comment,) = await fields(request, "comment")
    try:
        if not comment.strip():
            raise WebError(MALFORMED, "say in the comment why you reject it")
        await services_of(request).approvals.proposals.reject(proposal_id, asker(request), why=comment)
    except TrothError as error:
        return await _page(request, proposal_id, problem=error)
    return Redirect(f"/approvals/{proposal_id}?done=rejected", status_code=303)


@post("/approvals/{proposal_id:uuid}/withdraw", opt=needs(Permission.APPROVAL_READ), include_in_schema=False)
async def withdraw(request: Req, proposal_id: FromPath[UUID]) -> Response[Any]:
    """Take one's own proposal back."""
    try:
        await services_of(request).approvals.proposals.withdraw(proposal_id, asker(request))
    except TrothError as error:
        return await _page(request, proposal_id, problem=error)
    return Redirect(f"/approvals/{proposal_id}?done=withdrawn", status_code=303)


@post("/approvals/{proposal_id:uuid}/execute", opt=needs(Permission.APPROVAL_READ), include_in_schema=False,
      status_code=200)  # fmt: skip
async def execute(request: Req, proposal_id: FromPath[UUID]) -> Response[Any]:
    """Have done what was approved; a secret that comes of it is shown this once."""
    try:
        _, outcome = await services_of(request).approvals.execute(proposal_id, asker(request))
    except TrothError as error:
        return await _page(request, proposal_id, problem=error)
    return await _page(request, proposal_id, secret=_secret(outcome))


def _secret(outcome: object) -> str:
    if not isinstance(outcome, Mapping):
        return ""
    if isinstance(outcome.get("secret"), str):
        return str(outcome["secret"])
    changes = outcome.get("changes")
    made = [one for one in changes if isinstance(one, Mapping) and one.get("secret")] if isinstance(
        changes, list) else []  # fmt: skip
    return "\n".join(f"{one.get('name')}: {one.get('secret')}" for one in made)


HANDLERS = (approvals, approval, reject, withdraw, execute)
