"""Networks over the API, others' revocation lists, and what happened when somebody wanted to join."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

from litestar import delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.web.api.certificates import Note
from troth.web.books.networks import sought
from troth.web.errors import MALFORMED, WebError
from troth.web.guard import asker, needs
from troth.web.network_views import ConversationView, CrlSourceView, ForeignCrlView, NetworkView
from troth.web.parameters import Limit
from troth.web.render import Req, services_of

_TAGS = ["Network"]
_Base64 = Annotated[str, Meta(min_length=4, max_length=12_000_000)]
Word = Annotated[str, Meta(max_length=253)]


class CrlHandedOver(Struct, frozen=True, forbid_unknown_fields=True):
    """A complete revocation list of an anchor's, or of an authority below it. Octets are DER in Base64.

    ``issuers``: the authority that signed it, then whoever signed that one, up to the anchor; empty: the anchor itself.
    """

    anchor: Annotated[str, Meta(min_length=1, max_length=253)]
    crl: _Base64
    issuers: Annotated[tuple[Annotated[str, Meta(min_length=4, max_length=100_000)], ...], Meta(max_length=6)] = ()


@get("/network/networks", opt=needs(Permission.NETWORK_READ), operation_id="listNetworks", tags=_TAGS)
async def list_networks(request: Req) -> Sequence[NetworkView]:
    """All networks."""
    return await services_of(request).networks.list()


@get("/network/networks/{name:str}", opt=needs(Permission.NETWORK_READ), operation_id="getNetwork", tags=_TAGS)
async def get_network(request: Req, name: FromPath[str]) -> NetworkView:
    """One network."""
    return await services_of(request).networks.get(name)


@delete("/network/networks/{name:str}", opt=needs(Permission.NETWORK_WRITE), operation_id="removeNetwork", tags=_TAGS)
async def remove_network(request: Req, name: FromPath[str]) -> None:
    """Forget a network: whoever joins it from then on is refused."""
    await services_of(request).networks.remove(name, asker(request))


@post("/network/networks/{name:str}/breaker", opt=needs(Permission.NETWORK_WRITE), operation_id="closeBreaker",
      tags=_TAGS)  # fmt: skip
async def close_breaker(request: Req, name: FromPath[str], data: JSONBody[Note]) -> None:
    """The refusals that the admission breaker has excused are right: refuse from now on, for a day."""
    await services_of(request).networks.close_breaker(name, asker(request), note=data.note)


@get("/network/crls", opt=needs(Permission.NETWORK_READ), operation_id="listForeignCrls", tags=_TAGS)
async def list_crls(request: Req) -> Sequence[ForeignCrlView]:
    """Revocation lists of foreign issuers, handed over or fetched."""
    return await services_of(request).networks.crls()


@post("/network/crls", opt=needs(Permission.NETWORK_WRITE), operation_id="takeForeignCrl", tags=_TAGS, status_code=200)
async def take_crl(request: Req, data: JSONBody[CrlHandedOver]) -> ForeignCrlView:
    """Take a revocation list of a foreign issuer; one that is not newer than the one in force is refused."""
    try:
        der = base64.b64decode(data.crl, validate=True)
        issuers = [base64.b64decode(one, validate=True) for one in data.issuers]
    except binascii.Error as error:
        raise WebError(MALFORMED, "crl and issuers are Base64") from error
    return await services_of(request).networks.take_crl(data.anchor, der, issuers, asker(request))


@get("/network/crl-sources", opt=needs(Permission.NETWORK_READ), operation_id="listCrlSources", tags=_TAGS)
async def list_crl_sources(request: Req) -> Sequence[CrlSourceView]:
    """Where foreign revocation lists are fetched from, and how that goes."""
    return await services_of(request).networks.crl_sources()


@post("/network/crl-sources/fetch", opt=needs(Permission.NETWORK_WRITE), operation_id="fetchForeignCrls", tags=_TAGS,
      status_code=202)  # fmt: skip
async def fetch_crls(request: Req) -> None:
    """Have the worker look at all of them now, rather than when each is due."""
    await services_of(request).networks.fetch_crls()


@get("/network/conversations", opt=needs(Permission.NETWORK_READ), operation_id="listConversations", tags=_TAGS)
async def list_conversations(
    request: Req,
    mac: FromQuery[Word | None] = None,
    user: FromQuery[Word | None] = None,
    serial: FromQuery[Word | None] = None,
    correlation: FromQuery[Word | None] = None,
    network: FromQuery[Word | None] = None,
    outcome: FromQuery[Literal["allow", "restrict", "quarantine", "deny"] | None] = None,
    subject: FromQuery[UUID | None] = None,
    certificate: FromQuery[UUID | None] = None,
    before: FromQuery[UUID | None] = None,
    limit: Limit = 50,
) -> Sequence[ConversationView]:
    """Attempts to join a network, the newest first, without their timelines."""
    wanted = sought(
        mac_address=mac, user=user, serial=serial, correlation=correlation, network=network, outcome=outcome,
        subject=subject, certificate=certificate,
    )  # fmt: skip
    return await services_of(request).conversations.list(wanted, before=before, limit=limit)


@get("/network/conversations/{conversation_id:uuid}", opt=needs(Permission.NETWORK_READ),
     operation_id="getConversation", tags=_TAGS)  # fmt: skip
async def get_conversation(request: Req, conversation_id: FromPath[UUID]) -> ConversationView:
    """One attempt, with what happened line by line."""
    return await services_of(request).conversations.get(conversation_id)


HANDLERS = (
    list_networks, get_network, remove_network, close_breaker, list_crls, take_crl, list_crl_sources,
    fetch_crls, list_conversations, get_conversation,
)  # fmt: skip
