"""Who may approve what the signer judges, and the keys that the signer has."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.pki.signer import acts
from troth.web.asking import ask
from troth.web.errors import MALFORMED, WebError
from troth.web.forms import fields
from troth.web.guard import needs
from troth.web.problems import shown
from troth.web.render import Req, page, services_of
from troth.web.words import proposal_view


async def _approvers(request: Req, *, problem: TrothError | None = None) -> Response[str]:
    services = services_of(request)
    waiting = [one for one in await services.approvals.listed(waiting=True) if one.act.kind == acts.ADD]
    return await page(
        request, "approvers.html", area="approvals", status=problem.reason.status if problem else 200,
        pinned=await services.approvers.list(), waiting_ones=[proposal_view(one, secret=False) for one in waiting],
        problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/approvers", opt=needs(Permission.APPROVAL_READ), include_in_schema=False)
async def approvers(request: Req) -> Response[str]:
    """Who is pinned in the signer."""
    return await _approvers(request)


@post("/approvers/number", opt=needs(Permission.ACCESS_MANAGE), include_in_schema=False)
async def number(request: Req) -> Response[Any]:
    """Propose how many pinned persons must approve."""
    (needed,) = await fields(request, "needed")
    try:
        if not needed.strip().isdigit():
            raise WebError(MALFORMED, "say how many persons")
        await ask(request, acts.NUMBER, {"needed": int(needed)})
    except TrothError as error:
        return await _approvers(request, problem=error)
    return Redirect("/approvers", status_code=303)


@post("/approvers/{credential_id:str}/remove", opt=needs(Permission.ACCESS_MANAGE), include_in_schema=False)
async def remove(request: Req, credential_id: FromPath[str]) -> Response[Any]:
    """Propose that a passkey be unpinned."""
    try:
        await ask(request, acts.REMOVE, {"credential_id": credential_id[:2048]})
    except TrothError as error:
        return await _approvers(request, problem=error)
    return Redirect("/approvers", status_code=303)


async def _keys(request: Req, *, tested: str = "", problem: TrothError | None = None) -> Response[str]:
    return await page(
        request, "keys.html", area="authorities", status=problem.reason.status if problem else 200,
        found=await services_of(request).keys.list(), tested=tested, problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/keys", opt=needs(Permission.KEY_READ), include_in_schema=False)
async def keys(request: Req) -> Response[str]:
    """Custodians, and every key of the signer."""
    return await _keys(request)


@post("/keys/{key_id:str}/test", opt=needs(Permission.KEY_MANAGE), include_in_schema=False, status_code=200)
async def test(request: Req, key_id: FromPath[str]) -> Response[Any]:
    """Have a key sign now."""
    try:
        done = await services_of(request).keys.test(key_id[:100])
    except TrothError as error:
        return await _keys(request, problem=error)
    return await _keys(request, tested=f"{done.key_id} signs, and the signature verifies ({done.milliseconds} ms).")


HANDLERS = (approvers, number, remove, keys, test)
