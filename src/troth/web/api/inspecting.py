"""Blocked keys and findings over the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody

from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.web.asking import ask
from troth.web.errors import MALFORMED, NotFound, WebError
from troth.web.guard import asker, needs
from troth.web.inspecting import Audited, BlockCommand, BlockedKeyView, FindingView, KeyView, WalkView
from troth.web.parameters import Limit
from troth.web.render import Req, services_of

_KEYS, _FINDINGS = ["Blocked keys"], ["Findings"]


def key_hash(text: str) -> bytes:
    """SHA-256 in hexadecimal, colons dropped. Raises NotFound."""
    try:
        digest = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise NotFound("a key is named by the SHA-256 of its SubjectPublicKeyInfo, 64 hexadecimal digits")
    return digest


@get("/blocked-keys", opt=needs(Permission.CERTIFICATE_READ), operation_id="listBlockedKeys", tags=_KEYS)
async def list_blocked(request: Req, limit: Limit = 50) -> Sequence[BlockedKeyView]:
    """Keys that are never certified again, latest first."""
    return await services_of(request).inspections.blocked(limit)


@post("/blocked-keys", opt=needs(Permission.CERTIFICATE_REVOKE), operation_id="blockKey", tags=_KEYS, status_code=200)
async def block_key(request: Req, data: JSONBody[BlockCommand]) -> KeyView:
    """Block a key for ever and revoke every certificate that has it. A proof asks for nobody's approval."""
    return await blocked(request, data)


async def blocked(request: Req, command: BlockCommand) -> KeyView:
    """The key of ``command``, blocked. Raises TrothError; among them what a proposal that waits is told by."""
    book = services_of(request).inspections
    if bool(command.key) == bool(command.proof):
        raise WebError(MALFORMED, "either a key or a proof is needed, and not both")
    if command.proof:
        return await book.report(command.proof.encode(), asker(request))
    payload: dict[str, Json] = {
        "key": command.key, "reason": command.reason, "note": command.note, "confirmed": command.confirmed,
    }  # fmt: skip
    done = await ask(request, "key.block", payload, comment=command.note)
    return await book.key(bytes.fromhex(str(done["spki_sha256"])))


@get("/blocked-keys/{spki_sha256:str}", opt=needs(Permission.CERTIFICATE_READ), operation_id="getKeyUse", tags=_KEYS)
async def get_key(request: Req, spki_sha256: FromPath[str]) -> KeyView:
    """One key, blocked or not, and the certificates that have it."""
    return await services_of(request).inspections.key(key_hash(spki_sha256))


@get("/findings", opt=needs(Permission.CERTIFICATE_READ), operation_id="listFindings", tags=_FINDINGS)
async def list_findings(
    request: Req,
    source: FromQuery[Literal["", "lint", "audit"]] = "",
    cleared: FromQuery[bool] = False,
    limit: Limit = 100,
) -> Sequence[FindingView]:
    """What lint and audit have found in issued certificates, latest first."""
    return await services_of(request).inspections.findings(source=source, cleared=cleared, limit=limit)


@get("/inspections", opt=needs(Permission.CERTIFICATE_READ), operation_id="listInspections", tags=_FINDINGS)
async def list_walks(request: Req) -> Sequence[WalkView]:
    """How far lint and audit have come."""
    return await services_of(request).inspections.walks()


@post("/inspections/audit", opt=needs(Permission.LEDGER_EXPORT), operation_id="auditCertificates", tags=_FINDINGS,
      status_code=200)  # fmt: skip
async def audit_certificates(request: Req) -> Audited:
    """Hold every issued certificate against what the tables say of it, now."""
    return await services_of(request).inspections.audit(asker(request))


HANDLERS = (list_blocked, block_key, get_key, list_findings, list_walks, audit_certificates)
