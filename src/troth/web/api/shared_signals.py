"""Streams of shared signals over the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.connect.ssf.subjects import parse_subject
from troth.web.asking import ask
from troth.web.books.shared_signals import StreamView, TokenView, WideView
from troth.web.guard import asker, needs
from troth.web.parameters import LongLimit
from troth.web.render import Req, services_of
from troth.web.views import Page

_TAGS = ["Shared signals"]


class SecretBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A client secret, a private key in PEM, or a token."""

    secret: Annotated[str, Meta(min_length=1, max_length=16_384)]


class StatusBody(Struct, frozen=True, forbid_unknown_fields=True):
    """What the stream should be, and why."""

    status: Literal["enabled", "paused", "disabled"]
    reason: Annotated[str, Meta(max_length=200)] = ""


class SubjectBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A subject identifier (RFC 9493), and whether events about it are wanted."""

    subject: dict[str, Any]
    add: bool = True


class DeleteBody(Struct, frozen=True, forbid_unknown_fields=True):
    """``only_here``: without asking the transmitter."""

    only_here: bool = False


class Header(Struct, frozen=True):
    """An authorization header, shown this once."""

    header: str


class Told(Struct, frozen=True):
    """Of how many subjects it was said."""

    subjects: int


@get("/ssf/streams", opt=needs(Permission.FEED_READ), operation_id="listSsfStreams", tags=_TAGS)
async def list_streams(request: Req) -> Sequence[StreamView]:
    """Streams of shared signals that are received."""
    return await services_of(request).streams.list()


@get("/ssf/streams/{name:str}", opt=needs(Permission.FEED_READ), operation_id="getSsfStream", tags=_TAGS)
async def get_stream(request: Req, name: FromPath[str]) -> StreamView:
    """One stream."""
    return await services_of(request).streams.get(name)


@get("/ssf/streams/{name:str}/tokens", opt=needs(Permission.FEED_READ), operation_id="listSsfTokens", tags=_TAGS)
async def list_tokens(
    request: Req, name: FromPath[str], cursor: FromQuery[str] = "", limit: LongLimit = 50
) -> Page[TokenView]:
    """Tokens that came over a stream and what became of each, the newest first."""
    return await services_of(request).streams.tokens(name, cursor, limit)


@post("/ssf/streams/{name:str}/secret", opt=needs(Permission.FEED_WRITE), operation_id="setSsfSecret", tags=_TAGS,
      status_code=200)  # fmt: skip
async def set_secret(request: Req, name: FromPath[str], data: JSONBody[SecretBody]) -> StreamView:
    """Keep the credential by which the transmitter knows us; nobody can read it again."""
    return await services_of(request).streams.set_secret(name, data.secret, asker(request))


@post("/ssf/streams/{name:str}/header", opt=needs(Permission.FEED_WRITE), operation_id="newSsfHeader", tags=_TAGS,
      status_code=200)  # fmt: skip
async def new_header(request: Req, name: FromPath[str]) -> Header:
    """A new authorization header for a stream that was set up by hand; the former one is taken until the next."""
    return Header(await services_of(request).streams.new_header(name, asker(request)))


@post("/ssf/streams/{name:str}/connect", opt=needs(Permission.FEED_WRITE), operation_id="connectSsfStream",
      tags=_TAGS, status_code=200)  # fmt: skip
async def connect(request: Req, name: FromPath[str], replace: FromQuery[bool] = False) -> StreamView:
    """Make the stream at its transmitter, or bring it into the defined form."""
    return await services_of(request).streams.connect(name, asker(request), replace=replace)


@post("/ssf/streams/{name:str}/refresh", opt=needs(Permission.FEED_WRITE), operation_id="refreshSsfStream",
      tags=_TAGS, status_code=200)  # fmt: skip
async def refresh(request: Req, name: FromPath[str]) -> StreamView:
    """Ask the transmitter how it has the stream."""
    return await services_of(request).streams.refresh(name)


@post("/ssf/streams/{name:str}/verify", opt=needs(Permission.FEED_WRITE), operation_id="verifySsfStream", tags=_TAGS,
      status_code=200)  # fmt: skip
async def verify(request: Req, name: FromPath[str]) -> StreamView:
    """Ask for a verification event; `verified_at` moves when it has come."""
    return await services_of(request).streams.verify(name, asker(request))


@post("/ssf/streams/{name:str}/status", opt=needs(Permission.FEED_WRITE), operation_id="setSsfStreamStatus",
      tags=_TAGS, status_code=200)  # fmt: skip
async def set_status(request: Req, name: FromPath[str], data: JSONBody[StatusBody]) -> StreamView:
    """Pause, disable or enable the stream at its transmitter."""
    return await services_of(request).streams.set_status(name, data.status, data.reason, asker(request))


@post("/ssf/streams/{name:str}/subjects", opt=needs(Permission.FEED_WRITE), operation_id="setSsfSubject", tags=_TAGS,
      status_code=200)  # fmt: skip
async def subject(request: Req, name: FromPath[str], data: JSONBody[SubjectBody]) -> StreamView:
    """Ask for events about a subject, or for none any more."""
    parse_subject(data.subject)
    book = services_of(request).streams
    await book.subject(name, data.subject, asker(request), add=data.add)
    return await book.get(name)


@post("/ssf/streams/{name:str}/delete", opt=needs(Permission.FEED_WRITE), operation_id="deleteSsfStream", tags=_TAGS,
      status_code=204)  # fmt: skip
async def delete(request: Req, name: FromPath[str], data: JSONBody[DeleteBody]) -> None:
    """End the stream at its transmitter and here."""
    await services_of(request).streams.delete(name, asker(request), only_here=data.only_here)


@get("/ssf/waiting", opt=needs(Permission.STAGED_READ), operation_id="listSsfWaiting", tags=_TAGS)
async def list_waiting(request: Req) -> Sequence[WideView]:
    """Events about many at once that wait for a person, the oldest first."""
    return await services_of(request).streams.waiting()


@get("/ssf/waiting/{event_id:uuid}", opt=needs(Permission.STAGED_READ), operation_id="getSsfWaiting", tags=_TAGS)
async def get_waiting(request: Req, event_id: FromPath[UUID]) -> WideView:
    """One of them, with how many subjects acting on it would be about."""
    return await services_of(request).streams.reach(event_id)


@post("/ssf/waiting/{event_id:uuid}/act", opt=needs(Permission.STAGED_DECIDE), operation_id="actOnSsfWaiting",
      tags=_TAGS, status_code=200)  # fmt: skip
async def act(request: Req, event_id: FromPath[UUID]) -> Told:
    """Say it of everybody in the feed's scope, within the feed's grants and caps."""
    made = await ask(request, "ssf.wide", {"event": str(event_id)})
    subjects = made["subjects"]
    return Told(subjects if isinstance(subjects, int) else 0)


@post("/ssf/waiting/{event_id:uuid}/dismiss", opt=needs(Permission.STAGED_DECIDE), operation_id="dismissSsfWaiting",
      tags=_TAGS, status_code=204)  # fmt: skip
async def dismiss(request: Req, event_id: FromPath[UUID]) -> None:
    """Drop it."""
    await services_of(request).streams.dismiss(event_id, asker(request))


HANDLERS = (
    list_streams, get_stream, list_tokens, set_secret, new_header, connect, refresh, verify, set_status, subject,
    delete, list_waiting, get_waiting, act, dismiss,
)  # fmt: skip
