"""Certificates over the API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.enroll.errors import AwaitingApproval
from troth.kit.canonical import Json
from troth.kit.ids import parse_id
from troth.web.asking import Proposed, ask
from troth.web.errors import NotFound
from troth.web.guard import asker, needs
from troth.web.parameters import Limit
from troth.web.render import Req, services_of
from troth.web.views import Certificate, CertificateFilter, CertificateRow, DecisionView, IssueCommand, Issued, Page

Status = Literal["", "good", "held", "revoked", "expired", "expiring", "reserved", "burnt"]
_TAGS = ["Certificates"]


class Note(Struct, frozen=True, forbid_unknown_fields=True):
    """Why somebody does something; it goes to the ledger."""

    note: Annotated[str, Meta(max_length=500)] = ""


class RevokeCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """``reason``: RFC 5280, 5.3.1: 0, 1, 3, 4, 5 or 9."""

    reason: Literal[0, 1, 3, 4, 5, 9] = 0
    note: Annotated[str, Meta(max_length=500)] = ""


class RevokeManyCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """Which certificates, all that fit every field given, and why. Times are ISO 8601 with their offset.

    ``protected``: also those of protected subjects, which are left out unless their subject or serial is named.
    """

    reason: Literal[0, 1, 3, 4, 5, 9] = 0
    note: Annotated[str, Meta(max_length=500)] = ""
    subject: Annotated[str, Meta(max_length=200)] = ""
    profile: Annotated[str, Meta(max_length=64)] = ""
    authority: Annotated[str, Meta(max_length=64)] = ""
    issued_after: datetime | None = None
    issued_before: datetime | None = None
    serials: Annotated[list[Annotated[str, Meta(max_length=80)]], Meta(max_length=10_000)] = []
    protected: bool = False


class RevokeMany(Struct, frozen=True):
    """What would be hit (``dry_run``), or the order that is being done: see ``bulk``."""

    dry_run: bool
    certificates: int
    lines: tuple[str, ...] = ()
    bulk: UUID | None = None


class BulkView(Struct, frozen=True):
    """How far an order to revoke many has come."""

    id: UUID
    total: int
    revoked: int
    passed_over: int
    started_at: datetime
    finished_at: datetime | None


async def certificate_named(request: Req, ref: str) -> Certificate:
    """The certificate of an id or serial number. Raises NotFound."""
    book = services_of(request).certificates
    certificate_id = await book.find(ref[:200])
    found = await book.get(certificate_id) if certificate_id else None
    if found is None:
        raise NotFound(f"there is no certificate {ref[:80]!r}")
    return found


@get("/certificates", opt=needs(Permission.CERTIFICATE_READ), operation_id="listCertificates", tags=_TAGS)
async def list_certificates(
    request: Req,
    q: FromQuery[str] = "",
    status: FromQuery[Status] = "",
    profile: FromQuery[str] = "",
    subject: FromQuery[UUID | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: Limit = 50,
) -> Page[CertificateRow]:
    """Certificates, latest first."""
    wanted = CertificateFilter(
        text=q[:200], status=status, profile=profile, subject=subject, cursor=cursor, limit=limit
    )
    return await services_of(request).certificates.search(wanted)


@post("/certificates", opt=needs(Permission.CERTIFICATE_ISSUE), operation_id="issueCertificate", tags=_TAGS)
async def issue_certificate(request: Req, data: JSONBody[IssueCommand]) -> Issued:
    """Judge and issue. The key stays where it was made: only a CSR, which proves possession, is sent.

    Where policy leaves it to a person the answer is 202, with the proposal; ask again once it is approved.
    """
    services = services_of(request)
    try:
        return await services.certificates.issue(data, asker(request))
    except AwaitingApproval as waits:
        raise Proposed(await services.approvals.proposals.get(UUID(str(waits.facts["proposal"])))) from waits


@get("/certificates/{ref:str}", opt=needs(Permission.CERTIFICATE_READ), operation_id="getCertificate", tags=_TAGS)
async def get_certificate(request: Req, ref: FromPath[str]) -> Certificate:
    """One certificate by id or serial number."""
    return await certificate_named(request, ref)


@post("/certificates/{ref:str}/hold", opt=needs(Permission.CERTIFICATE_HOLD), operation_id="holdCertificate",
      tags=_TAGS, status_code=200)  # fmt: skip
async def hold_certificate(request: Req, ref: FromPath[str], data: JSONBody[Note]) -> Certificate:
    """Put on hold for the caller's own cause."""
    found = await certificate_named(request, ref)
    await services_of(request).certificates.hold(found.id, asker(request), data.note)
    return await certificate_named(request, str(found.id))


@post("/certificates/{ref:str}/release", opt=needs(Permission.CERTIFICATE_HOLD), operation_id="releaseCertificate",
      tags=_TAGS, status_code=200)  # fmt: skip
async def release_certificate(request: Req, ref: FromPath[str], data: JSONBody[Note]) -> Certificate:
    """Clear the caller's own cause."""
    found = await certificate_named(request, ref)
    await services_of(request).certificates.release(found.id, asker(request), data.note)
    return await certificate_named(request, str(found.id))


@post("/certificates/{ref:str}/revoke", opt=needs(Permission.CERTIFICATE_REVOKE), operation_id="revokeCertificate",
      tags=_TAGS, status_code=200)  # fmt: skip
async def revoke_certificate(request: Req, ref: FromPath[str], data: JSONBody[RevokeCommand]) -> Certificate:
    """Revoke for good."""
    found = await certificate_named(request, ref)
    await services_of(request).certificates.revoke(found.id, asker(request), data.reason, data.note)
    return await certificate_named(request, str(found.id))


@post("/certificates/revoke-many", opt=needs(Permission.CERTIFICATE_REVOKE), operation_id="revokeMany", tags=_TAGS,
      status_code=200)  # fmt: skip
async def revoke_many(request: Req, data: JSONBody[RevokeManyCommand], dry_run: FromQuery[bool] = True) -> RevokeMany:
    """Revoke all that a selector finds, for good. ``dry_run`` (the default) shows what it would hit."""
    payload: dict[str, Json] = {
        "reason": data.reason, "note": data.note, "subject": data.subject, "profile": data.profile,
        "authority": data.authority, "issued_after": data.issued_after.isoformat() if data.issued_after else "",
        "issued_before": data.issued_before.isoformat() if data.issued_before else "",
        "serials": list(data.serials), "protected": data.protected,
    }  # fmt: skip
    if dry_run:
        preview, _ = await services_of(request).approvals.preview("certificate.revoke_many", payload, asker(request))
        return RevokeMany(True, preview.size, preview.lines)
    done = await ask(request, "certificate.revoke_many", payload, comment=data.note)
    return msgspec.convert({"dry_run": False} | done, RevokeMany)


@get("/certificates/revoke-many/{bulk_id:uuid}", opt=needs(Permission.CERTIFICATE_READ),
     operation_id="getRevokeMany", tags=_TAGS)  # fmt: skip
async def get_revoke_many(request: Req, bulk_id: FromPath[UUID]) -> BulkView:
    """How far an order to revoke many has come."""
    found = await services_of(request).bulk.progress(bulk_id)
    return BulkView(found.id, found.total, found.revoked, found.passed_over, found.started_at, found.finished_at)


@get("/why/{ref:str}", opt=needs(Permission.DECISION_READ), operation_id="why", tags=["Decisions"])
async def why(request: Req, ref: FromPath[str]) -> DecisionView:
    """The decision behind a certificate (id or serial), a subject's latest, or a decision by its own id."""
    services = services_of(request)
    identifier = parse_id(ref)
    if identifier is not None:
        found = await services.decisions.get(identifier)
        if found is not None:
            return found
    certificate_id = await services.certificates.find(ref[:200])
    if certificate_id is not None:
        certificate = await services.certificates.get(certificate_id)
        if certificate is not None and certificate.decision_id is not None:
            found = await services.decisions.get(certificate.decision_id)
            if found is not None:
                return found
    subject_id = await services.subjects.find(ref[:200])
    if subject_id is not None:
        latest = await services.decisions.of_subject(subject_id, limit=1)
        if latest:
            return latest[0]
        known = await services.subjects.get(subject_id)
        raise NotFound(
            f"nothing was decided about this subject itself; what was about what belongs to it: /subjects/{subject_id}"
            if known is not None and known.owns
            else "nothing was decided about this subject yet"
        )
    raise NotFound(f"no certificate, subject or decision is called {ref[:80]!r}")


@get("/decisions/{decision_id:uuid}", opt=needs(Permission.DECISION_READ), operation_id="getDecision",
     tags=["Decisions"])  # fmt: skip
async def get_decision(request: Req, decision_id: FromPath[UUID]) -> DecisionView:
    """One decision, condition by condition."""
    found = await services_of(request).decisions.get(decision_id)
    if found is None:
        raise NotFound("there is no such decision")
    return found


HANDLERS = (
    list_certificates, issue_certificate, get_certificate, hold_certificate, release_certificate, revoke_certificate,
    revoke_many, get_revoke_many, why, get_decision,
)  # fmt: skip
