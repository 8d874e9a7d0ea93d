"""Certificates over the API."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.kit.ids import parse_id
from troth.web.errors import NotFound
from troth.web.guard import asker, needs
from troth.web.render import Req, services_of
from troth.web.views import Certificate, CertificateFilter, CertificateRow, DecisionView, IssueCommand, Issued, Page

Limit = Annotated[int, Meta(ge=1, le=200)]
Status = Literal["", "good", "held", "revoked", "expired", "expiring", "reserved", "burnt"]
_TAGS = ["Certificates"]


class Note(Struct, frozen=True, forbid_unknown_fields=True):
    """Why somebody does something; it goes to the ledger."""

    note: Annotated[str, Meta(max_length=500)] = ""


class RevokeCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """``reason``: RFC 5280, 5.3.1: 0, 1, 3, 4, 5 or 9."""

    reason: Literal[0, 1, 3, 4, 5, 9] = 0
    note: Annotated[str, Meta(max_length=500)] = ""


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
    limit: FromQuery[Limit] = 50,
) -> Page[CertificateRow]:
    """Certificates, latest first."""
    wanted = CertificateFilter(
        text=q[:200], status=status, profile=profile, subject=subject, cursor=cursor, limit=limit
    )
    return await services_of(request).certificates.search(wanted)


@post("/certificates", opt=needs(Permission.CERTIFICATE_ISSUE), operation_id="issueCertificate", tags=_TAGS)
async def issue_certificate(request: Req, data: JSONBody[IssueCommand]) -> Issued:
    """Judge and issue. The key stays where it was made: only a CSR, which proves possession, is sent."""
    return await services_of(request).certificates.issue(data, asker(request))


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
        raise NotFound("nothing was decided about this subject yet")
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
    why, get_decision,
)  # fmt: skip
