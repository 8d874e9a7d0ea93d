"""Pages of connectors: one with its reads, and what names nobody we know."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.web.connector_views import TestView
from troth.web.errors import MALFORMED, NotFound, WebError
from troth.web.forms import fields
from troth.web.guard import asker, needs
from troth.web.problems import shown
from troth.web.render import Req, page, services_of
from troth.web.views import EventFilter

_SHOWN = 100


@get("/feeds/{name:str}", opt=needs(Permission.FEED_READ), include_in_schema=False)
async def feed(request: Req, name: FromPath[str]) -> Response[str]:
    """One feed: how it is, who speaks for it, what happened."""
    services = services_of(request)
    found = next((one for one in await services.configuration.feeds() if one.name == name), None)
    if found is None:
        raise NotFound(f"there is no feed {name[:80]!r}")
    events = await services.events.list(EventFilter(ref=f"feed:{found.name}", limit=50))
    spoken_for = [one for one in await services.connectors.list() if one.feed == found.name]
    return await page(request, "feed.html", area="feeds", feed=found, connectors=spoken_for, events=events.items)


async def _one(
    request: Req, name: str, *, problem: TrothError | None = None, tested: TestView | None = None
) -> Response[str]:
    services = services_of(request)
    found = await services.connectors.get(name)
    events = await services.events.list(EventFilter(ref=f"connector:{found.name}", limit=20))
    return await page(
        request, "connector.html", area="feeds", status=problem.reason.status if problem else 200, connector=found,
        events=events.items, tested=tested, problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/connectors/{name:str}", opt=needs(Permission.FEED_READ), include_in_schema=False)
async def connector(request: Req, name: FromPath[str]) -> Response[str]:
    """One connector: its reads, how each stands, what happened."""
    return await _one(request, name)


@post("/connectors/{name:str}/do", opt=needs(Permission.FEED_WRITE), include_in_schema=False, status_code=200)
async def do(request: Req, name: FromPath[str]) -> Response[Any]:
    """Test, pause, let go on, read again: nothing of it takes anything away."""
    what, note = await fields(request, "what", "note")
    book, by = services_of(request).connectors, asker(request)
    try:
        if what == "test":
            return await _one(request, name, tested=await book.test(name))
        if what in ("pause", "resume"):
            await book.pause(name, paused=what == "pause", reason=note[:500], by=by)
        elif what == "reread":
            await book.reread(name, by)
        else:
            raise WebError(MALFORMED, "there is nothing of that kind to do")
    except TrothError as error:
        return await _one(request, name, problem=error)
    return Redirect(f"/connectors/{name}?done=connector_{what}", status_code=303)


@post("/connectors/{name:str}/secret", opt=needs(Permission.FEED_WRITE), include_in_schema=False)
async def secret(request: Req, name: FromPath[str]) -> Response[Any]:
    """Keep a secret."""
    text, kind = await fields(request, "secret", "kind", longest=16_384)
    try:
        if not text.strip():
            raise WebError(MALFORMED, "there is no secret in this")
        await services_of(request).connectors.set_secret(name, kind[:40], text.encode(), asker(request))
    except TrothError as error:
        return await _one(request, name, problem=error)
    return Redirect(f"/connectors/{name}?done=connector_secret", status_code=303)


async def _remove(request: Req, name: str, problem: TrothError | None = None) -> Response[str]:
    found = await services_of(request).connectors.get(name)
    hits = [
        f"{found.title} is not read any more, and its secrets are forgotten.",
        f"What it said as the feed {found.feed} stays as it is, until a person clears it.",
    ]
    return await page(
        request, "confirm.html", area="feeds", status=problem.reason.status if problem else 200, tone="danger",
        title=f"Remove the connector {found.name}", text="Its feed stays.", hits=hits,
        action=f"/connectors/{found.name}/remove", back=f"/connectors/{found.name}", verb="Remove it",
        typed=found.name, note_required=False, note_label="", reasons=[], line=f"troth connector remove {found.name}",
        problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/connectors/{name:str}/remove", opt=needs(Permission.FEED_WRITE), include_in_schema=False)
async def remove_preview(request: Req, name: FromPath[str]) -> Response[str]:
    """What it would mean."""
    return await _remove(request, name)


@post("/connectors/{name:str}/remove", opt=needs(Permission.FEED_WRITE), include_in_schema=False)
async def remove(request: Req, name: FromPath[str]) -> Response[Any]:
    """Remove it."""
    (typed,) = await fields(request, "typed")
    try:
        if typed.strip() != name:
            raise WebError(MALFORMED, "the name typed is not the connector's")
        await services_of(request).connectors.remove(name, asker(request))
    except TrothError as error:
        return await _remove(request, name, error)
    return Redirect("/feeds?done=connector_removed", status_code=303)


async def _unresolved(request: Req, problem: TrothError | None = None) -> Response[str]:
    book = services_of(request).unresolved
    return await page(
        request, "unresolved.html", area="feeds", status=problem.reason.status if problem else 200,
        signals=await book.signals(limit=_SHOWN), strangers=await book.strangers(limit=_SHOWN),
        refused=await book.refused(limit=_SHOWN), problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/unresolved", opt=needs(Permission.FEED_READ), include_in_schema=False)
async def unresolved(request: Req) -> Response[str]:
    """What names nobody we know, or several, and what was refused."""
    return await _unresolved(request)


@post("/unresolved/{signal_id:uuid}", opt=needs(Permission.FEED_WRITE), include_in_schema=False)
async def settle(request: Req, signal_id: FromPath[UUID]) -> Response[Any]:
    """Say whom a signal means, or that it means nobody here."""
    subject, what, note = await fields(request, "subject", "what", "note")
    book, by = services_of(request).unresolved, asker(request)
    try:
        if what == "aside":
            await book.set_aside(signal_id, note[:500], by)
        elif subject.strip():
            await book.bind(signal_id, subject.strip()[:300], by)
        else:
            raise WebError(MALFORMED, "say whom it means")
    except TrothError as error:
        return await _unresolved(request, error)
    return Redirect(f"/unresolved?done=signal_{'aside' if what == 'aside' else 'bound'}", status_code=303)


@post("/unresolved/refused/{row_id:uuid}", opt=needs(Permission.FEED_WRITE), include_in_schema=False)
async def retry(request: Req, row_id: FromPath[UUID]) -> Response[Any]:
    """Take a refused signal again."""
    try:
        await services_of(request).unresolved.retry(row_id, asker(request))
    except TrothError as error:
        return await _unresolved(request, error)
    return Redirect("/unresolved?done=signal_retried", status_code=303)


HANDLERS = (feed, connector, do, secret, remove_preview, remove, unresolved, settle, retry)
