"""Receivers of our shared signals over the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from litestar import get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.web.books.receivers import ReceiverView
from troth.web.guard import asker, needs
from troth.web.render import Req, services_of

_TAGS = ["Shared signals"]


class ClientSecret(Struct, frozen=True):
    """OAuth credentials, shown this once."""

    client_id: str
    secret: str
    token_endpoint: str


class HeaderBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The authorization header that the receiver wants with each delivery."""

    header: Annotated[str, Meta(min_length=1, max_length=2_048, pattern=r"\A[\x20-\x7e]+\Z")]


class OutStatusBody(Struct, frozen=True, forbid_unknown_fields=True):
    """What the stream should be, and why."""

    status: Literal["enabled", "paused"]
    reason: Annotated[str, Meta(max_length=200)] = ""


@get("/ssf/receivers", opt=needs(Permission.FEED_READ), operation_id="listSsfReceivers", tags=_TAGS)
async def list_receivers(request: Req) -> Sequence[ReceiverView]:
    """Who may hear what, with the streams to them."""
    return await services_of(request).streams.receivers.list()


@post("/ssf/receivers/{name:str}/secret", opt=needs(Permission.FEED_WRITE), operation_id="newSsfReceiverSecret",
      tags=_TAGS, status_code=200)  # fmt: skip
async def new_secret(request: Req, name: FromPath[str]) -> ClientSecret:
    """New OAuth credentials, shown this once; access tokens got by the former ones are worth nothing."""
    book = services_of(request).streams.receivers
    secret = await book.new_secret(name, asker(request))
    return ClientSecret(name, secret, f"{book.desk.issuer}/ssf/token")


@post("/ssf/receivers/{name:str}/header", opt=needs(Permission.FEED_WRITE), operation_id="setSsfReceiverHeader",
      tags=_TAGS, status_code=204)  # fmt: skip
async def set_header(request: Req, name: FromPath[str], data: JSONBody[HeaderBody]) -> None:
    """Keep the authorization header for a receiver with a `push_url`."""
    await services_of(request).streams.receivers.set_header(name, data.header, asker(request))


@post("/ssf/receivers/{name:str}/remove", opt=needs(Permission.FEED_WRITE), operation_id="removeSsfReceiver",
      tags=_TAGS, status_code=204)  # fmt: skip
async def remove(request: Req, name: FromPath[str]) -> None:
    """End a receiver, its streams, and what waits for them."""
    await services_of(request).streams.receivers.remove(name, asker(request))


@post("/ssf/out/{stream_id:str}/status", opt=needs(Permission.FEED_WRITE), operation_id="setSsfOutStatus",
      tags=_TAGS, status_code=204)  # fmt: skip
async def set_status(request: Req, stream_id: FromPath[str], data: JSONBody[OutStatusBody]) -> None:
    """Pause a stream to a receiver or let it go on; the receiver is told."""
    await services_of(request).streams.receivers.set_status(stream_id, data.status, data.reason, asker(request))


HANDLERS = (list_receivers, new_secret, set_header, remove, set_status)
