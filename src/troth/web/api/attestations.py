"""Attestations over the API: what was judged, inspection, roots and status lists."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Sequence
from typing import Annotated, Any

from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.kit.ids import parse_id
from troth.web.asking import ask
from troth.web.books.attestations import AttestationView, RootView, StatusView, known_format
from troth.web.errors import MALFORMED, NotFound, WebError
from troth.web.guard import asker, needs
from troth.web.parameters import Limit
from troth.web.render import Req, services_of
from troth.web.views import Page

_TAGS = ["Attestations"]
_MAX_STATEMENT = 400_000
_MAX_LIST = 8 * 1024 * 1024


class InspectCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """A statement as somebody has it, in base64: the CBOR, JSON with attObj, or a PEM chain.

    What it is held against may be left out; those checks are then not asked.
    """

    statement: Annotated[str, Meta(max_length=_MAX_STATEMENT)]
    key_authorization: Annotated[str, Meta(max_length=300)] = ""
    identifier: Annotated[str, Meta(max_length=400)] = ""


class RootsCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """Roots of one format: PEM, and whether those that Troth ships count beside them."""

    reason: str
    pem: Annotated[str, Meta(max_length=262_144)] = ""
    shipped: bool = True


class RootsDone(Struct, frozen=True):
    """Which version of the format's roots is in force now."""

    format: str
    version: int


class StatusCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """The maker's JSON document, as text."""

    document: Annotated[str, Meta(max_length=_MAX_LIST)]


@get("/attestations", opt=needs(Permission.CERTIFICATE_READ), operation_id="listAttestations", tags=_TAGS)
async def list_attestations(
    request: Req,
    device: FromQuery[str] = "",
    attested: FromQuery[bool | None] = None,
    cursor: FromQuery[str] = "",
    limit: Limit = 50,
) -> Page[AttestationView]:
    """Statements that were judged, the latest first; of one ``device`` (id or name); ``attested`` or not."""
    services, found = services_of(request), None
    if device:
        found = await services.subjects.find(device[:300])
        if found is None:
            raise NotFound("there is no such device")
    return await services.attestations.page(device=found, attested=attested, cursor=cursor[:64], limit=limit)


@get("/attestations/{attestation:str}", opt=needs(Permission.CERTIFICATE_READ), operation_id="getAttestation",
     tags=_TAGS)  # fmt: skip
async def get_attestation(request: Req, attestation: FromPath[str]) -> AttestationView:
    """One, with every check and field."""
    identifier = parse_id(attestation)
    if identifier is None:
        raise NotFound("there is no such attestation")
    return await services_of(request).attestations.get(identifier)


@post("/attestations/inspect", opt=needs(Permission.CERTIFICATE_READ), operation_id="inspectAttestation", tags=_TAGS,
      status_code=200)  # fmt: skip
async def inspect(request: Req, data: JSONBody[InspectCommand]) -> dict[str, Any]:
    """Every check and field of a statement, by the roots and the status list in force. Nothing is written."""
    try:
        statement = b64decode(data.statement, validate=True)
    except (binascii.Error, ValueError) as error:
        raise WebError(MALFORMED, "the statement is in base64") from error
    return dict(
        await services_of(request).attestations.inspect(
            statement, key_authorization=data.key_authorization, identifier=data.identifier
        )
    )


@get("/attestation-roots", opt=needs(Permission.AUTHORITY_READ), operation_id="listAttestationRoots", tags=_TAGS)
async def list_roots(request: Req) -> Sequence[RootView]:
    """Whom each format's chains must lead to."""
    return await services_of(request).attestations.roots()


@post("/attestation-roots/{kind:str}", opt=needs(Permission.ACCESS_MANAGE), operation_id="setAttestationRoots",
      tags=_TAGS, status_code=200)  # fmt: skip
async def set_roots(request: Req, kind: FromPath[str], data: JSONBody[RootsCommand]) -> RootsDone:
    """Pin a format's roots; they vouch for no other format."""
    payload: dict[str, Json] = {
        "format": known_format(kind),
        "pem": data.pem,
        "shipped": data.shipped,
        "reason": data.reason,
    }
    done = await ask(request, "attestation.roots", payload)
    version = done["version"]
    return RootsDone(str(done["format"]), version if isinstance(version, int) else 0)


@get("/attestation-status", opt=needs(Permission.AUTHORITY_READ), operation_id="getAttestationStatus", tags=_TAGS)
async def get_status(request: Req) -> StatusView:
    """Android's list of revoked attestation certificates, as we have it."""
    return await _status(request)


@post("/attestation-status", opt=needs(Permission.ACCESS_MANAGE), operation_id="setAttestationStatus", tags=_TAGS,
      status_code=200)  # fmt: skip
async def set_status(request: Req, data: JSONBody[StatusCommand]) -> StatusView:
    """Take in a status list that was fetched elsewhere, for networks from which its maker cannot be reached."""
    book = services_of(request).attestations
    actor = asker(request).actor
    await book.desk.put_statuses(data.document.encode(), source=actor, actor=actor)
    return await _status(request)


async def _status(request: Req) -> StatusView:
    found = await services_of(request).attestations.status()
    if found is None:
        raise NotFound("there is no status list yet")
    return found


HANDLERS = (list_attestations, get_attestation, inspect, list_roots, set_roots, get_status, set_status)
