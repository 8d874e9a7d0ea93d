"""Pages of shared signals: the streams, one stream, events that wait for a person."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.web.asking import ask
from troth.web.errors import MALFORMED, WebError
from troth.web.forms import fields
from troth.web.guard import asker, needs
from troth.web.pages.looking import link
from troth.web.problems import shown
from troth.web.render import Req, page, services_of

_LIMIT = 50


@get("/streams", opt=needs(Permission.FEED_READ), include_in_schema=False)
async def streams(request: Req) -> Response[str]:
    """All of them, what waits for a person, and who is told by us."""
    book = services_of(request).streams
    return await page(
        request, "streams.html", area="feeds", streams=await book.list(), events=await book.waiting(),
        receivers=await book.receivers.list(),
    )  # fmt: skip


async def _one(request: Req, name: str, cursor: str = "", problem: TrothError | None = None) -> Response[str]:
    book = services_of(request).streams
    found, tokens = await book.get(name), await book.tokens(name, cursor, _LIMIT)
    return await page(
        request, "stream.html", area="feeds", status=problem.reason.status if problem else 200, stream=found,
        tokens=tokens, first_url=link(f"/streams/{name}"), next_url=link(f"/streams/{name}", cursor=tokens.next),
        cursor=cursor, problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/streams/{name:str}", opt=needs(Permission.FEED_READ), include_in_schema=False)
async def stream(request: Req, name: FromPath[str], cursor: FromQuery[str] = "") -> Response[str]:
    """One stream, and what came over it."""
    return await _one(request, name, cursor)


@post("/streams/{name:str}/do", opt=needs(Permission.FEED_WRITE), include_in_schema=False)
async def do(request: Req, name: FromPath[str]) -> Response[Any]:
    """Connect, verify, ask again, pause, or let it go on: nothing of it takes anything away."""
    (what,) = await fields(request, "what")
    book, by = services_of(request).streams, asker(request)
    try:
        if what == "connect":
            await book.connect(name, by)
        elif what == "verify":
            await book.verify(name, by)
        elif what == "refresh":
            await book.refresh(name)
        elif what in ("paused", "enabled"):
            await book.set_status(name, what, "", by)
        else:
            raise WebError(MALFORMED, "there is nothing of that kind to do")
    except TrothError as error:
        return await _one(request, name, problem=error)
    return Redirect(f"/streams/{name}?done=stream_{what}", status_code=303)


@post("/streams/{name:str}/secret", opt=needs(Permission.FEED_WRITE), include_in_schema=False)
async def secret(request: Req, name: FromPath[str]) -> Response[Any]:
    """Keep the credential by which the transmitter knows us."""
    (text,) = await fields(request, "secret", longest=16_384)
    try:
        if not text.strip():
            raise WebError(MALFORMED, "there is no secret in this")
        await services_of(request).streams.set_secret(name, text.strip(), asker(request))
    except TrothError as error:
        return await _one(request, name, problem=error)
    return Redirect(f"/streams/{name}?done=stream_secret", status_code=303)


async def _end(request: Req, name: str, problem: TrothError | None = None) -> Response[str]:
    found = await services_of(request).streams.get(name)
    hits = [
        f"The stream {found.name} of {found.issuer}, {found.state}.",
        f"No events of it reach the feed {found.feed} any more. What it raised stays raised until a person clears it.",
    ]
    return await page(
        request, "confirm.html", area="feeds", status=problem.reason.status if problem else 200, tone="danger",
        title=f"End the stream {found.name}", text="Its transmitter is asked to end it, too.", hits=hits,
        action=f"/streams/{name}/delete", back=f"/streams/{name}", verb="End it", typed=found.name,
        note_required=False, note_label="", reasons=[("", "At the transmitter and here"), ("here", "Only here")],
        line=f"troth ssf stream delete {name}", problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/streams/{name:str}/delete", opt=needs(Permission.FEED_WRITE), include_in_schema=False)
async def delete_preview(request: Req, name: FromPath[str]) -> Response[str]:
    """What it would mean."""
    return await _end(request, name)


@post("/streams/{name:str}/delete", opt=needs(Permission.FEED_WRITE), include_in_schema=False)
async def delete(request: Req, name: FromPath[str]) -> Response[Any]:
    """End it."""
    typed, reason = await fields(request, "typed", "reason")
    try:
        if typed.strip() != name:
            raise WebError(MALFORMED, "the name typed is not the stream's")
        await services_of(request).streams.delete(name, asker(request), only_here=reason == "here")
    except TrothError as error:
        return await _end(request, name, error)
    return Redirect("/streams?done=stream_deleted", status_code=303)


async def _act(request: Req, event_id: UUID, problem: TrothError | None = None) -> Response[str]:
    found = await services_of(request).streams.reach(event_id)
    hits = [
        f"{', '.join(found.signals)}, said of {found.subject} by the stream {found.stream}.",
        f"{found.subjects} subjects are in the scope of the feed {found.feed}: it is said of each of them.",
        "Beyond the feed's cap, each is staged; a frozen enforcement stages all.",
    ]
    return await page(
        request, "confirm.html", area="feeds", status=problem.reason.status if problem else 200, tone="danger",
        title="Act on an event about many at once", text="Troth never does this by itself.", hits=hits,
        action=f"/streams/waiting/{event_id}/act", back="/streams", verb="Say it of all of them", typed="",
        note_required=False, note_label="", reasons=[], line=f"troth ssf wide act {event_id}",
        problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/streams/waiting/{event_id:uuid}/act", opt=needs(Permission.STAGED_DECIDE), include_in_schema=False)
async def act_preview(request: Req, event_id: FromPath[UUID]) -> Response[str]:
    """What it would hit."""
    return await _act(request, event_id)


@post("/streams/waiting/{event_id:uuid}/act", opt=needs(Permission.STAGED_DECIDE), include_in_schema=False)
async def act(request: Req, event_id: FromPath[UUID]) -> Response[Any]:
    """Say it of everybody in the feed's scope, or propose to."""
    try:
        await ask(request, "ssf.wide", {"event": str(event_id)})
    except TrothError as error:
        return await _act(request, event_id, error)
    return Redirect("/streams?done=wide_acted", status_code=303)


@post("/streams/waiting/{event_id:uuid}/dismiss", opt=needs(Permission.STAGED_DECIDE), include_in_schema=False)
async def dismiss(request: Req, event_id: FromPath[UUID]) -> Response[Any]:
    """Drop it."""
    await services_of(request).streams.dismiss(event_id, asker(request))
    return Redirect("/streams?done=wide_dismissed", status_code=303)


HANDLERS = (
    streams, stream, do, secret, delete_preview, delete, act_preview, act, dismiss,
)  # fmt: skip
