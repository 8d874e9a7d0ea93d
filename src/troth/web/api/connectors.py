"""Connectors over the API, and what they said of nobody we know."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.web.api.certificates import Note
from troth.web.connector_views import (
    BoundView,
    ConnectorView,
    RefusedView,
    StrangerView,
    TestView,
    UnresolvedView,
    WouldBeView,
)
from troth.web.guard import asker, needs
from troth.web.parameters import Limit
from troth.web.render import Req, services_of

_TAG = ["Connectors"]


class SecretHandedOver(Struct, frozen=True, forbid_unknown_fields=True):
    """A secret of the other system's. ``kind``: empty: the vendor's usual one. It is sealed and never shown again.

    ``leaked``: a former one by which the other system proves itself stops at once, not in a day.
    """

    secret: Annotated[str, Meta(min_length=1, max_length=16_384)]
    kind: Annotated[str, Meta(max_length=40)] = ""
    leaked: bool = False


class SecretTaken(Struct, frozen=True):
    """Which kind of secret was set."""

    kind: str


class Meant(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom it means: an id, a name or ``kind:name``."""

    subject: Annotated[str, Meta(min_length=1, max_length=300)]


class NameMeant(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a name of another system means."""

    system: Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_.-]{0,63}\Z")]
    value: Annotated[str, Meta(min_length=1, max_length=400)]
    subject: Annotated[str, Meta(min_length=1, max_length=300)]


@get("/connectors", opt=needs(Permission.FEED_READ), operation_id="listConnectors", tags=_TAG)
async def list_connectors(request: Req) -> Sequence[ConnectorView]:
    """All connectors with their state."""
    return await services_of(request).connectors.list()


@get("/connectors/{name:str}", opt=needs(Permission.FEED_READ), operation_id="getConnector", tags=_TAG)
async def get_connector(request: Req, name: FromPath[str]) -> ConnectorView:
    """One connector."""
    return await services_of(request).connectors.get(name)


@post("/connectors/{name:str}/secret", opt=needs(Permission.FEED_WRITE), operation_id="setConnectorSecret", tags=_TAG,
      status_code=200)  # fmt: skip
async def set_secret(request: Req, name: FromPath[str], data: JSONBody[SecretHandedOver]) -> SecretTaken:
    """Hand over a secret."""
    book, secret = services_of(request).connectors, data.secret.encode()
    kind = await book.set_secret(name, data.kind, secret, asker(request), leaked=data.leaked)
    return SecretTaken(kind)


@post("/connectors/{name:str}/test", opt=needs(Permission.FEED_WRITE), operation_id="testConnector", tags=_TAG,
      status_code=200)  # fmt: skip
async def test_connector(request: Req, name: FromPath[str]) -> TestView:
    """Ask the other system for as little as possible: what is granted, how fast it is, what its clock says."""
    return await services_of(request).connectors.test(name)


@post("/connectors/{name:str}/try", opt=needs(Permission.FEED_READ), operation_id="tryConnector", tags=_TAG,
      status_code=200)  # fmt: skip
async def try_connector(request: Req, name: FromPath[str]) -> Sequence[WouldBeView]:
    """What the message in the body would become; nothing is written."""
    return await services_of(request).connectors.tried(name, await request.body())


@post("/connectors/{name:str}/pause", opt=needs(Permission.FEED_WRITE), operation_id="pauseConnector", tags=_TAG,
      status_code=200)  # fmt: skip
async def pause(request: Req, name: FromPath[str], data: JSONBody[Note]) -> ConnectorView:
    """Stop reading and listening."""
    await services_of(request).connectors.pause(name, paused=True, reason=data.note, by=asker(request))
    return await services_of(request).connectors.get(name)


@post("/connectors/{name:str}/resume", opt=needs(Permission.FEED_WRITE), operation_id="resumeConnector", tags=_TAG,
      status_code=200)  # fmt: skip
async def resume(request: Req, name: FromPath[str], data: JSONBody[Note]) -> ConnectorView:
    """Go on."""
    await services_of(request).connectors.pause(name, paused=False, reason=data.note, by=asker(request))
    return await services_of(request).connectors.get(name)


@post("/connectors/{name:str}/reread", opt=needs(Permission.FEED_WRITE), operation_id="rereadConnector", tags=_TAG,
      status_code=200)  # fmt: skip
async def reread(request: Req, name: FromPath[str]) -> ConnectorView:
    """Have everything read again."""
    await services_of(request).connectors.reread(name, asker(request))
    return await services_of(request).connectors.get(name)


@delete("/connectors/{name:str}", opt=needs(Permission.FEED_WRITE), operation_id="removeConnector", tags=_TAG)
async def remove(request: Req, name: FromPath[str]) -> None:
    """Forget it with its secrets. Its feed, and what it has said, stay."""
    await services_of(request).connectors.remove(name, asker(request))


@get("/signals/unresolved", opt=needs(Permission.FEED_READ), operation_id="listUnresolved", tags=_TAG)
async def list_unresolved(
    request: Req, before: FromQuery[UUID | None] = None, limit: Limit = 50
) -> Sequence[UnresolvedView]:
    """Signals about nobody we know, or about several, the newest first."""
    return await services_of(request).unresolved.signals(before, limit=limit)


@get("/signals/strangers", opt=needs(Permission.FEED_READ), operation_id="listStrangers", tags=_TAG)
async def list_strangers(
    request: Req, before: FromQuery[datetime | None] = None, limit: Limit = 50
) -> Sequence[StrangerView]:
    """Of whom connectors report and whom nobody knows, the latest first."""
    return await services_of(request).unresolved.strangers(before, limit=limit)


@get("/signals/refused", opt=needs(Permission.FEED_READ), operation_id="listRefused", tags=_TAG)
async def list_refused(request: Req, before: FromQuery[UUID | None] = None, limit: Limit = 50) -> Sequence[RefusedView]:
    """Signals that were accepted and then refused, the newest first."""
    return await services_of(request).unresolved.refused(before, limit=limit)


@post("/signals/unresolved/{signal_id:uuid}/bind", opt=needs(Permission.FEED_WRITE), operation_id="bindUnresolved",
      tags=_TAG, status_code=200)  # fmt: skip
async def bind(request: Req, signal_id: FromPath[UUID], data: JSONBody[Meant]) -> BoundView:
    """Say whom it means: the name is bound, and every signal that names the same is taken again."""
    return await services_of(request).unresolved.bind(signal_id, data.subject, asker(request))


@post("/signals/bind", opt=needs(Permission.FEED_WRITE), operation_id="bindName", tags=_TAG, status_code=200)
async def bind_name(request: Req, data: JSONBody[NameMeant]) -> BoundView:
    """Say whom a name of another system means."""
    return await services_of(request).unresolved.bind_name(data.system, data.value, data.subject, asker(request))


@post("/signals/unresolved/{signal_id:uuid}/aside", opt=needs(Permission.FEED_WRITE), operation_id="setAside",
      tags=_TAG)  # fmt: skip
async def set_aside(request: Req, signal_id: FromPath[UUID], data: JSONBody[Note]) -> None:
    """It means nobody here; it is listed no more."""
    await services_of(request).unresolved.set_aside(signal_id, data.note, asker(request))


@post("/signals/refused/{row_id:uuid}/retry", opt=needs(Permission.FEED_WRITE), operation_id="retryRefused", tags=_TAG)
async def retry(request: Req, row_id: FromPath[UUID]) -> None:
    """Take it again: its feed may be granted by now what it was not."""
    await services_of(request).unresolved.retry(row_id, asker(request))


HANDLERS = [
    list_connectors, get_connector, set_secret, test_connector, try_connector, pause, resume, reread, remove,
    list_unresolved, list_strangers, list_refused, bind, bind_name, set_aside, retry,
]  # fmt: skip
