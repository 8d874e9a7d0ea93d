"""The mint's records: what is asked for, what was issued, what the tables say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

from troth.pki.attributes import Attributes
from troth.pki.names import GeneralNames
from troth.pki.profile import KeyAssurance
from troth.pki.serial import SerialNumber

State: TypeAlias = Literal["reserved", "issued", "burnt"]
Status: TypeAlias = Literal["good", "held", "revoked"]


class Binding(msgspec.Struct, frozen=True):
    """One subject that a certificate speaks for. ``role`` is ``subject``, ``owner`` or ``carrier``."""

    subject_id: UUID
    role: str = "subject"


class IssuanceRequest(msgspec.Struct, frozen=True):
    """What the gate is asked for.

    Attributes:
        request_id: the caller's own name for this issuance; it yields at most one certificate, ever.
        authority: slug.
        profile: name.
        spki: DER SubjectPublicKeyInfo whose possession the caller has had proved.
        names: canonical, and proved by the caller.
        lifetime: counted from notBefore; None takes the profile's default, more than its maximum is cut.
        not_after: no later than this; with no lifetime given it takes the place of the profile's default.
        actor: who asks, as in the ledger: ``acme:<account id>``, ``admin:alice``.
        common_name: the subject, where it is a common name alone.
        subject: the whole subject, in order; empty where ``common_name`` says it.
        key_assurance: how well the key is known to live where it should; recorded with the certificate.
        sid: for the security extension of Active Directory, where the profile has one.
    """

    request_id: str
    authority: str
    profile: str
    spki: bytes
    names: GeneralNames
    actor: str
    common_name: str | None = None
    lifetime: timedelta | None = None
    not_after: datetime | None = None
    subjects: tuple[Binding, ...] = ()
    decision_id: UUID | None = None
    subject: Attributes = ()
    key_assurance: KeyAssurance = "unproven"
    sid: str | None = None


class IssuedCertificate(msgspec.Struct, frozen=True):
    """A certificate that is signed, verified and durably stored.

    Attributes:
        der: the certificate.
        chain: DER, issuing authority first, the root left out.
        status: what it was when it was stored: a hold may have come before the signature.
    """

    id: UUID
    serial: SerialNumber
    der: bytes
    sha256: bytes
    chain: tuple[bytes, ...]
    not_before: datetime
    not_after: datetime
    profile: str
    authority: str
    status: Status = "good"
    status_version: int = 0


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """One row of ``certificate``."""

    id: UUID
    authority: str
    serial: SerialNumber
    request_id: str
    profile: str
    profile_version: int
    spki_sha256: bytes
    names: GeneralNames
    common_name: str | None
    not_before: datetime
    not_after: datetime
    state: State
    tbs: bytes | None
    der: bytes | None
    sha256: bytes | None
    decision_id: UUID | None
    reserved_at: datetime
    issued_at: datetime | None
    status: Status
    status_version: int
    status_at: datetime
    revocation_reason: int | None
    actor: str
    key_assurance: KeyAssurance
    subject: Attributes


@dataclass(frozen=True, slots=True)
class Hold:
    """One cause of a hold."""

    cause: str
    actor: str
    raised_at: datetime


@dataclass(frozen=True, slots=True)
class SerialStatus:
    """What OCSP needs to know of a serial number.

    Attributes:
        state: a serial that is only reserved is answered ``unknown`` unless it is held or revoked.
        reason: RFC 5280 reason code while not good.
    """

    serial: SerialNumber
    state: State
    status: Status
    status_at: datetime
    reason: int | None
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Responder:
    """A delegated responder's certificate and the name of its key in the signer."""

    certificate_id: UUID
    authority: str
    key_id: str
    certificate: bytes
    not_before: datetime
    not_after: datetime


CrlKind: TypeAlias = Literal["full", "delta"]


@dataclass(frozen=True, slots=True)
class Crl:
    """A published CRL.

    Attributes:
        sha256: SHA-256 of its to-be-signed bytes' SHA-256 and its signature: names it as a hash over all of it would.
        base_number: of the complete CRL that a delta starts from.
        point: URL of the distribution point that it is limited to; None covers everything.
        parts: its bytes, in pieces; empty when only the facts were asked for.
    """

    authority: str
    shard: int
    kind: CrlKind
    number: int
    base_number: int | None
    this_update: datetime
    next_update: datetime
    entries: int
    size: int
    sha256: bytes
    parts: tuple[bytes, ...] = field(default=(), repr=False)
    build_seconds: float | None = field(default=None, compare=False)
    point: str | None = None

    @property
    def der(self) -> bytes:
        """All of it in one piece."""
        return b"".join(self.parts)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of certificates, newest first; ``cursor`` continues, None at the end."""

    certificates: Sequence[CertificateRecord] = field(default_factory=tuple)
    cursor: UUID | None = None
