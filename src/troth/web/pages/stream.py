"""Live events by SSE: each with its data, and with the row that the list shows."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec
from litestar import get
from litestar.response import Stream

from troth.access.model import Principal
from troth.access.roles import Permission
from troth.web.door import session_secret
from troth.web.guard import asker, needs
from troth.web.parameters import Index
from troth.web.render import Renderer, Req, renderer_of, services_of
from troth.web.services import AdminServices
from troth.web.views import EventView

#: A reconnecting browser is sent at most this many events that it missed.
_CATCH_UP = 500


def _frame(renderer: Renderer, event: EventView) -> bytes:
    body = msgspec.json.encode(msgspec.to_builtins(event) | {"html": renderer.event_row(event)})
    return b"event: ledger\nid: %d\ndata: %b\n\n" % (event.index, body)


async def _frames(
    services: AdminServices, renderer: Renderer, me: Principal, secret: str | None, last: int | None
) -> AsyncGenerator[bytes, None]:
    with services.live.subscribe() as subscription:
        yield b"retry: 2000\n: hello\n\n"
        sent = last if last is not None else -1
        if last is not None:
            missed = await services.events.since(last + 1, _CATCH_UP)
            for event in missed:
                sent = event.index
                yield _frame(renderer, event)
            subscription.lost = len(missed) == _CATCH_UP
        checked = services.clock.monotonic()
        while not subscription.closed:
            for event in await services.events.viewed(await subscription.take(2.0)):
                if event.index > sent:
                    sent = event.index
                    yield _frame(renderer, event)
            if subscription.lost:
                subscription.lost = False
                yield b"event: lost\ndata: {}\n\n"
            if services.clock.monotonic() - checked >= services.session_grace.total_seconds():
                checked = services.clock.monotonic()
                if me.via == "session" and not (secret and await services.access.sessions.believe(secret, touch=False)):
                    yield b"event: ended\ndata: {}\n\n"
                    return
                yield b": still here\n\n"


@get("/events/stream", opt=needs(Permission.EVENT_READ), include_in_schema=False)
async def events_stream(request: Req, since: Index = None) -> Stream:
    """Follow the ledger for as long as the session stands, from ``since`` on, or from where this browser left off."""
    last = request.headers.get("last-event-id", "")
    after = int(last) if last.isdigit() and len(last) < 18 else None if since is None else since - 1
    frames = _frames(
        services_of(request), renderer_of(request), asker(request), session_secret(request.headers.get("cookie", "")),
        after,
    )  # fmt: skip
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return Stream(frames, media_type="text/event-stream", headers=headers)


@get("/waiting", opt=needs(Permission.EVENT_READ, quiet=True), include_in_schema=False)
async def waiting(request: Req) -> dict[str, int]:
    """How much waits for a person: what the navigation's counts are set to when an event says that it changed."""
    return await renderer_of(request).waiting(asker(request))


HANDLERS = (events_stream, waiting)
