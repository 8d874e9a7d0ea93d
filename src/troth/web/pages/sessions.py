"""The pages of sessions: who is on the network, each with its story, and what is ordered about it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.web.books.sessions import SessionFilter
from troth.web.errors import MALFORMED, WebError
from troth.web.forms import fields
from troth.web.guard import asker, needs
from troth.web.pages.looking import link
from troth.web.problems import shown
from troth.web.render import Req, page, services_of
from troth.web.views import EventFilter

_LIMIT = 50


@get("/network/sessions", opt=needs(Permission.NETWORK_READ), include_in_schema=False)
async def sessions(
    request: Req,
    mac: FromQuery[str] = "",
    user: FromQuery[str] = "",
    serial: FromQuery[str] = "",
    nas: FromQuery[str] = "",
    network: FromQuery[str] = "",
    all: FromQuery[str] = "",
    cursor: FromQuery[str] = "",
) -> Response[str]:
    """Who is on the network, and what waits for a person."""
    book = services_of(request).sessions
    wanted = SessionFilter(
        mac=mac[:64], user=user[:253], serial=serial[:64], nas=nas[:63], network=network[:63], all=bool(all),
        cursor=cursor, limit=_LIMIT,
    )  # fmt: skip
    found = await book.search(wanted)
    asked = {"mac": wanted.mac, "user": wanted.user, "serial": wanted.serial, "nas": wanted.nas,
             "network": wanted.network, "all": "yes" if wanted.all else ""}  # fmt: skip
    return await page(
        request, "sessions.html", area="sessions", page=found, asked=asked, open=await book.open_count(),
        staged=(await book.orders("staged", limit=20)).items, troubles=(await book.orders("refused", limit=10)).items,
        first_url=link("/network/sessions", **asked), self_url=link("/network/sessions", **asked, cursor=cursor),
        next_url=link("/network/sessions", **asked, cursor=found.next), cursor=cursor,
    )  # fmt: skip


@get("/network/sessions/{session_id:uuid}", opt=needs(Permission.NETWORK_READ), include_in_schema=False)
async def session(request: Req, session_id: FromPath[UUID]) -> Response[str]:
    """One session."""
    return await _one(request, session_id)


async def _one(
    request: Req, session_id: UUID, *, status: int = 200, problem: TrothError | None = None
) -> Response[str]:
    services = services_of(request)
    found = await services.sessions.get(session_id)
    events = await services.events.list(EventFilter(ref=f"session:{session_id}", limit=30))
    return await page(
        request, "session.html", area="sessions", status=status, session=found.session, orders=found.orders,
        events=events.items, problem=shown(problem) if problem else None,
    )  # fmt: skip


@post("/network/sessions/{session_id:uuid}", opt=needs(Permission.EFFECT_MANAGE), include_in_schema=False)
async def act(request: Req, session_id: FromPath[UUID]) -> Response[Any]:
    """End it, or have it judged anew."""
    verb, note = await fields(request, "verb", "note")
    book = services_of(request).sessions
    try:
        if verb == "disconnect":
            await book.order_one(session_id, "disconnect", asker(request), note[:500])
        elif verb == "reauthorize":
            await book.order_one(session_id, "reauthorize", asker(request), note[:500])
        else:
            raise WebError(MALFORMED, "the verb is disconnect or reauthorize")
    except TrothError as error:
        return await _one(request, session_id, status=error.reason.status, problem=error)
    return Redirect(f"/network/sessions/{session_id}?done=session_{verb}", status_code=303)


@post("/network/session-orders/{order_id:uuid}", opt=needs(Permission.STAGED_DECIDE), include_in_schema=False)
async def decide(request: Req, order_id: FromPath[UUID]) -> Response[Any]:
    """Let what a cap has staged be done, or drop it."""
    verdict, note = await fields(request, "verdict", "note")
    if verdict not in ("approve", "drop"):
        raise WebError(MALFORMED, "the verdict is approve or drop")
    book = services_of(request).sessions
    await book.decide(order_id, asker(request), approve=verdict == "approve", reason=note[:500])
    return Redirect(f"/network/sessions?done=session_order_{verdict}", status_code=303)


HANDLERS = (sessions, session, act, decide)
