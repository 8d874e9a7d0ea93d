"""Authorities over the API."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Sequence
from typing import Annotated, Literal

from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from troth.access.approvals.errors import PAYLOAD_INVALID, ApprovalRefused
from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.pki.takeover import BATCH
from troth.web.asking import ask
from troth.web.authority_views import AuthorityView
from troth.web.errors import NotFound
from troth.web.guard import asker, needs
from troth.web.render import Req, services_of


class StateCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """The state that an authority goes to."""

    state: Literal["active", "retiring", "retired"]


class AuthorityCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """An authority whose certificate was made elsewhere. Certificates and CRL are DER in base64.

    Attributes:
        chain: what is above it and not known here yet, its issuer first, the root last.
        key_id: its key, bound to the certificate in the signer.
        crl: its latest CRL elsewhere; empty for a new one.
    """

    authority: str
    certificate: str
    issuer_classes: tuple[str, ...]
    key_id: str
    chain: tuple[str, ...] = ()
    crl: str = ""


class AuthorityAdded(Struct, frozen=True):
    """What was added, or with ``dry_run`` what would be: ``lines`` tell of it."""

    authority: str
    added: tuple[str, ...] = ()
    revoked: int = 0
    dry_run: bool = False
    words: str = ""
    lines: tuple[str, ...] = ()


class IssuedCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """Certificates that an authority had issued elsewhere: DER in base64."""

    certificates: Annotated[tuple[str, ...], Meta(min_length=1, max_length=BATCH)]


class IssuedTaken(Struct, frozen=True):
    """How many were recorded now, and how many were here before."""

    taken: int
    present: int


@get("/authorities", opt=needs(Permission.AUTHORITY_READ), operation_id="listAuthorities", tags=["Authorities"])
async def list_authorities(request: Req) -> Sequence[AuthorityView]:
    """All authorities, with the freshness of their CRLs."""
    return await services_of(request).authorities.list()


@get("/authorities/{slug:str}", opt=needs(Permission.AUTHORITY_READ), operation_id="getAuthority", tags=["Authorities"])
async def get_authority(request: Req, slug: FromPath[str]) -> AuthorityView:
    """One authority: its key, its limits, its CRLs."""
    found = await services_of(request).authorities.get(slug)
    if found is None:
        raise NotFound("there is no such authority")
    return found


@post("/authorities/{slug:str}/state", opt=needs(Permission.POLICY_WRITE), operation_id="setAuthorityState",
      tags=["Authorities"], status_code=200)  # fmt: skip
async def set_authority_state(
    request: Req, slug: FromPath[str], data: JSONBody[StateCommand]
) -> Sequence[AuthorityView]:
    """Let an authority issue, or stop it; it goes on signing its CRLs."""
    await ask(request, "authority.state", {"authority": slug, "state": data.state})
    return await services_of(request).authorities.list()


@post("/authorities", opt=needs(Permission.ACCESS_MANAGE), operation_id="addAuthority", tags=["Authorities"],
      status_code=200)  # fmt: skip
async def add_authority(
    request: Req, data: JSONBody[AuthorityCommand], dry_run: FromQuery[bool] = False
) -> AuthorityAdded:
    """Take in an authority whose certificate was made elsewhere; it issues nothing until its state is changed."""
    payload: dict[str, Json] = {
        "authority": data.authority, "certificate": data.certificate, "chain": list(data.chain),
        "issuer_classes": list(data.issuer_classes), "key_id": data.key_id, "crl": data.crl,
    }  # fmt: skip
    if dry_run:
        preview, _ = await services_of(request).approvals.preview("authority.add", payload, asker(request))
        return AuthorityAdded(data.authority, dry_run=True, words=preview.words, lines=preview.lines)
    await ask(request, "authority.add", payload, comment=data.authority)
    return AuthorityAdded(data.authority, added=(data.authority,))


@post("/authorities/{slug:str}/issued", opt=needs(Permission.ACCESS_MANAGE), operation_id="importIssued",
      tags=["Authorities"], status_code=200)  # fmt: skip
async def import_issued(request: Req, slug: FromPath[str], data: JSONBody[IssuedCommand]) -> IssuedTaken:
    """Record certificates that a planned authority had issued elsewhere, with their status from its CRL."""
    try:
        certificates = [b64decode(one, validate=True) for one in data.certificates]
    except (Base64Error, ValueError) as error:
        raise ApprovalRefused(PAYLOAD_INVALID, "certificates are DER in base64") from error
    taken, present = await services_of(request).authorities.take_issued(slug, certificates, asker(request))
    return IssuedTaken(taken, present)


HANDLERS = [list_authorities, get_authority, set_authority_state, add_authority, import_issued]
