"""Certificates: finding and showing them, a person's holds and revocations, and issuing for an operator."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypedDict
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from troth.access.model import Principal
from troth.audit.event import Event
from troth.enroll.issuance import Ask, Issuance, operator_request_id
from troth.kit.clock import Clock
from troth.kit.ids import parse_id
from troth.pki import revocation
from troth.pki.algorithms import MldsaPublicKey, mldsa_kind
from troth.pki.catalogue import Catalogue
from troth.pki.csr import parse_csr
from troth.pki.errors import ALREADY_REVOKED, RevocationRefused
from troth.pki.model import CertificateRecord, IssuedCertificate
from troth.pki.names import GeneralNames
from troth.pki.pem import pem
from troth.pki.revocation import OfCertificate
from troth.pki.store import CertificateStore
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.errors import TrustError
from troth.trust.model import Kind
from troth.trust.model import Subject as KnownSubject
from troth.trust.signals.errors import CAUSE_NOT_OPEN, CauseNotOpen
from troth.trust.subjects.store import SubjectStore
from troth.trust.subjects.whom import Subjects
from troth.web.books.store import BookStore
from troth.web.errors import MALFORMED, OTHERS_NAME, NotFound, WebError
from troth.web.views import (
    Certificate,
    CertificateCounts,
    CertificateFilter,
    CertificateRow,
    Hold,
    IssueCommand,
    Issued,
    Name,
    Page,
    SubjectLink,
)

#: How long before its end a certificate counts as expiring soon.
EXPIRING = timedelta(days=14)


_ASSURANCES = {
    "attested": "attested: its hardware was verified",
    "mdm-asserted": "asserted by its manager",
    "unproven": "unproven",
}


class _Narrowed(TypedDict, total=False):
    """What a status of the list means as arguments of :meth:`CertificateStore.listed`."""

    state: str
    status: str
    alive_at: datetime
    expires_by: datetime


_HEX = re.compile(r"[0-9a-f]{4,32}\Z")


def _digits(text: str) -> str | None:
    """The hexadecimal digits of (the beginning of) a serial number, colons and spaces dropped; None if it is none."""
    plain = text.lower().replace(":", "").replace(" ", "").removeprefix("0x")
    return plain if _HEX.match(plain) else None


def _row(record: CertificateRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "serial": record.serial.hex(),
        "authority": record.authority,
        "profile": record.profile,
        "common_name": record.common_name,
        "names": tuple(Name(kind, value) for kind, value in record.names),
        "not_before": record.not_before,
        "not_after": record.not_after,
        "state": record.state,
        "status": record.status,
        "status_at": record.status_at,
        "revocation_reason": record.revocation_reason,
        "issued_at": record.issued_at,
    }


def link(subject: KnownSubject, role: str = "subject") -> SubjectLink:
    """A subject as others refer to it."""
    return SubjectLink(subject.id, subject.kind.value, subject.name, subject.standing.value, role)


def _fields(der: bytes | None) -> tuple[tuple[str, str], ...]:
    """What a person wants to read of the certificate itself, beside its names and times."""
    if der is None:
        return ()
    certificate = x509.load_der_x509_certificate(der)
    key = certificate.public_key()
    kind = type(key).__name__.removesuffix("PublicKey")
    if isinstance(key, ec.EllipticCurvePublicKey):
        kind = f"EC {key.curve.name}"
    elif isinstance(key, rsa.RSAPublicKey):
        kind = f"RSA {key.key_size} bits"
    elif isinstance(key, ed25519.Ed25519PublicKey):
        kind = "Ed25519"
    elif isinstance(key, MldsaPublicKey):
        kind = f"ML-DSA-{mldsa_kind(key).removeprefix('mldsa')}"
    fields = [("Issuer", certificate.issuer.rfc4514_string()), ("Key", kind)]
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.ExtendedKeyUsage):
            fields.append(("Good for", ", ".join(usage._name for usage in value)))
        elif isinstance(value, x509.AuthorityInformationAccess):
            fields += [
                ("OCSP" if one.access_method._name == "OCSP" else "Issuer certificate", str(one.access_location.value))
                for one in value
            ]
        elif isinstance(value, x509.CRLDistributionPoints):
            fields += [("CRL", str(name.value)) for point in value for name in point.full_name or ()]
    return tuple(fields)


class Certificates:
    """See :class:`troth.web.services.CertificateBook`."""

    def __init__(
        self, database: Database, clock: Clock, subjects: Subjects, issuance: Issuance, catalogue: Catalogue
    ) -> None:
        self._database = database
        self._clock = clock
        self._store = CertificateStore(database)
        self._books = BookStore(database)
        self._subjects = SubjectStore(database)
        self._finder = subjects
        self._issuance = issuance
        self._catalogue = catalogue

    async def search(self, wanted: CertificateFilter) -> Page[CertificateRow]:
        """See the port. Text is tried as serial number, then as name, then as a subject's name."""
        now = self._clock.now()
        if wanted.subject is not None:
            found = await self._store.of_subject(wanted.subject, limit=wanted.limit)
            return Page(self._rows(found))
        if wanted.status == "expiring" and wanted.cursor is None and not wanted.text:
            soon = await self._books.ending_next(now, now + EXPIRING, wanted.limit)
            return Page(self._rows(await self._all(soon)))
        before = None
        if wanted.cursor is not None:
            before = parse_id(wanted.cursor)
            if before is None:
                raise WebError(MALFORMED, "this cursor is none of ours")
        digits = _digits(wanted.text)
        if digits is not None:
            by_serial = await self._all(await self._books.by_serial_prefix(digits, wanted.limit))
            if by_serial:
                return Page(self._rows([one for one in by_serial if self._fits(one, wanted, now)]))
        page = await self._store.listed(
            before=before, profile=wanted.profile or None, name=wanted.text.lower() or None, limit=wanted.limit,
            **self._narrowed(wanted.status, now),
        )  # fmt: skip
        if not page.certificates and wanted.text and before is None:
            by_subject = await self._all(await self._books.by_subject_name(wanted.text, wanted.limit))
            return Page(self._rows([one for one in by_subject if self._fits(one, wanted, now)]))
        return Page(self._rows(page.certificates), None if page.cursor is None else str(page.cursor))

    def _narrowed(self, status: str, now: datetime) -> _Narrowed:
        narrowed: dict[str, _Narrowed] = {
            "good": {"state": "issued", "status": "good", "alive_at": now},
            "held": {"status": "held"},
            "revoked": {"status": "revoked"},
            "expired": {"state": "issued", "expires_by": now},
            "expiring": {"state": "issued", "status": "good", "alive_at": now, "expires_by": now + EXPIRING},
            "reserved": {"state": "reserved"},
            "burnt": {"state": "burnt"},
        }
        return narrowed.get(status, {})

    def _fits(self, record: CertificateRecord, wanted: CertificateFilter, now: datetime) -> bool:
        asked = self._narrowed(wanted.status, now)
        alive, ends = asked.get("alive_at"), asked.get("expires_by")
        return (
            wanted.profile in ("", record.profile)
            and asked.get("state") in (None, record.state)
            and asked.get("status") in (None, record.status)
            and not (alive is not None and record.not_after <= alive)
            and not (ends is not None and record.not_after > ends)
        )

    async def _all(self, ids: Sequence[UUID]) -> list[CertificateRecord]:
        found = [await self._store.by_id(one) for one in ids]
        return [one for one in found if one is not None]

    def _rows(self, records: Sequence[CertificateRecord]) -> list[CertificateRow]:
        return [CertificateRow(**_row(record)) for record in records]  # type: ignore[arg-type]

    async def get(self, certificate_id: UUID) -> Certificate | None:
        record = await self._store.by_id(certificate_id)
        if record is None:
            return None
        bound = await self._store.subjects(record.id)
        known = {subject.id: subject for subject in await self._subjects.by_ids([one for one, _ in bound])}
        return Certificate(
            **_row(record),  # type: ignore[arg-type]
            sha256=record.sha256.hex() if record.sha256 else None,
            spki_sha256=record.spki_sha256.hex(),
            pem=pem(record.der).decode() if record.der else None,
            actor=record.actor,
            request_id=record.request_id,
            profile_version=record.profile_version,
            decision_id=record.decision_id,
            holds=tuple([await self._hold(hold.cause, hold.actor, hold.raised_at) for hold in
                         await self._store.holds(record.id)]),
            subjects=tuple(link(known[one], role) for one, role in bound if one in known),
            fields=(*_fields(record.der), ("Key assurance", _ASSURANCES[record.key_assurance])),
            subject=record.subject,
            key_assurance=record.key_assurance,
        )  # fmt: skip

    async def _hold(self, cause: str, actor: str, raised_at: datetime) -> Hold:
        kind, _, identifier = cause.partition(":")
        subject_id = parse_id(identifier) if kind == "standing" else None
        subject = await self._subjects.by_id(subject_id) if subject_id else None
        title = f"{subject.kind.value} {subject.name} is {subject.standing.value}" if subject else cause
        return Hold(cause, actor, raised_at, title, subject_id)

    async def find(self, text: str) -> UUID | None:
        identifier = parse_id(text)
        if identifier is not None:
            record = await self._store.by_id(identifier)
            return None if record is None else record.id
        digits = _digits(text)
        if digits is None:
            return None
        found = await self._books.by_serial_prefix(digits, 2)
        return found[0] if len(found) == 1 else None

    async def counts(self) -> CertificateCounts:
        now = self._clock.now()
        counts = await self._store.counts(now)
        return CertificateCounts(
            counts.get("good", 0),
            counts.get("held", 0),
            counts.get("revoked", 0),
            counts.get("expired", 0),
            await self._books.expiring(now, now + EXPIRING),
        )

    # --- a person's orders -----------------------------------------------------------------------------------------

    async def hold(self, certificate_id: UUID, by: Principal, note: str) -> None:
        record = await self._present(certificate_id)
        if record.status == "revoked":
            raise RevocationRefused(ALREADY_REVOKED, serial=record.serial.hex())
        unit = self._ordered(certificate_id, by, "hold", note)
        revocation.hold(unit, OfCertificate(certificate_id), cause=by.actor, actor=by.actor, at=self._clock.now())
        await self._database.commit(unit)

    async def release(self, certificate_id: UUID, by: Principal, note: str) -> None:
        await self._present(certificate_id)
        if by.actor not in {hold.cause for hold in await self._store.holds(certificate_id)}:
            raise CauseNotOpen(CAUSE_NOT_OPEN, f"{by.name} has no hold on this certificate; others' causes stay")
        unit = self._ordered(certificate_id, by, "release", note)
        revocation.release(unit, OfCertificate(certificate_id), cause=by.actor, actor=by.actor, at=self._clock.now())
        await self._database.commit(unit)

    async def revoke(self, certificate_id: UUID, by: Principal, reason: int, note: str) -> None:
        await self._present(certificate_id)
        unit = self._ordered(certificate_id, by, "revoke", note)
        revocation.revoke(unit, OfCertificate(certificate_id), reason=reason, actor=by.actor, at=self._clock.now())
        await self._database.commit(unit)

    async def _present(self, certificate_id: UUID) -> CertificateRecord:
        record = await self._store.by_id(certificate_id)
        if record is None:
            raise NotFound("there is no such certificate")
        return record

    def _ordered(self, certificate_id: UUID, by: Principal, order: str, note: str) -> Unit:
        """A unit that begins with the person's word, and why."""
        return Unit().record(
            Event("certificate.ordered", by.actor, (f"certificate:{certificate_id}",), {"order": order, "note": note})
        )

    # --- issuing for an operator -----------------------------------------------------------------------------------

    async def issue(self, command: IssueCommand, by: Principal) -> Issued:
        """See the port. The operator's word stands for the control of the names; policy and profile judge the rest."""
        csr = parse_csr(_der(command.csr))
        names = csr.names or ((("dns", csr.common_name),) if csr.common_name else ())
        subject = await self._subject(command.subject, [value for _, value in names])
        await self._refuse_strangers_names([value for _, value in names], subject)
        ask = Ask(
            request_id=f"api:{by.actor}:{command.request_id}" if command.request_id else operator_request_id(),
            profile=command.profile,
            spki=csr.key.spki,
            names=names,
            actor=by.actor,
            evidence={
                "controlled_names": [value for _, value in names],
                "methods": ["operator"],
                "operator": by.name,
                "possession": True,
            },
            request={"protocol": "api", "key_type": csr.key.kind},
            origin="api",
            subject=subject,
            common_name=self._common_name(command.profile, csr.common_name, names, subject),
            lifetime=None if command.lifetime_seconds is None else timedelta(seconds=command.lifetime_seconds),
            by_account=by.id,
        )
        issued = await self._issuance.issue(ask, with_reserve=Unit, with_store=_nothing_more)
        return Issued(
            issued.id,
            issued.serial.hex(),
            pem(issued.der).decode(),
            tuple(pem(one).decode() for one in issued.chain),
            issued.not_before,
            issued.not_after,
        )

    async def _subject(self, text: str, names: Sequence[str]) -> KnownSubject | None:
        """Whom the operator means; None for a name of the request that nobody holds yet: a workload is made for it."""
        try:
            return await self._finder.find(text)
        except TrustError:
            if text.lower().removeprefix(f"{Kind.WORKLOAD.value}:") in names:
                return None
            raise

    def _common_name(
        self, profile: str, asked: str | None, names: GeneralNames, subject: KnownSubject | None
    ) -> str | None:
        """The common name to issue: none where the profile has none, and never one that nobody vouches for."""
        applied = self._catalogue.profiles.get(profile)
        if applied is None or applied.profile.common_name == "absent":
            return None
        if asked is None:
            return names[0][1] if names and applied.profile.common_name == "required" else None
        vouched = {value for _, value in names} | ({subject.name} if subject is not None else set())
        if asked not in vouched:
            raise WebError(MALFORMED, f"the common name {asked!r} is neither a name of the request nor the subject's")
        return asked

    async def _refuse_strangers_names(self, names: Sequence[str], subject: KnownSubject | None) -> None:
        """A name that belongs to somebody else is judged by *his* standing, so it cannot be asked for in another's."""
        for name, holder in (await self._subjects.by_names(names)).items():
            if subject is not None and holder.id != subject.id:
                raise WebError(
                    OTHERS_NAME, f"{name} belongs to {holder.kind.value} {holder.name}, not to {subject.name}"
                )


def _nothing_more(_issued: IssuedCertificate) -> Unit:
    return Unit()


def _der(text: str) -> bytes:
    """A CSR's DER out of PEM or plain base64."""
    body = re.sub(r"-----(BEGIN|END)[A-Z ]*CERTIFICATE REQUEST-----", "", text)
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except ValueError as error:
        raise WebError(MALFORMED, "the CSR is neither PEM nor base64") from error
