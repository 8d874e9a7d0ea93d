"""A report as it comes, and what is known afterwards."""

from __future__ import annotations

import base64
import binascii
import hashlib
import warnings
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning
from msgspec import Meta

from troth.inventory.errors import REPORT_MALFORMED, ReportRefused
from troth.pki.unreadable import UNREADABLE

MAX_CERTIFICATES, MAX_SIGHTINGS, MAX_STORES, MAX_ROOTS = 1000, 4000, 16, 1000
_MAX_CERTIFICATE, _MAX_NAMES, _MAX_TEXT = 32_768, 100, 1000

#: How agents of ours know a fact. Any other word is recorded as ``other``: each source has a row of its own for each
#: attribute, and a host in other hands must not fill the database with sources that it invents.
SOURCES = frozenset({"apt", "dm-crypt", "dpkg", "efi", "nftables", "os-release", "osquery", "proc"})
OTHER_SOURCE = "other"

Place: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1024)]
Sha256: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
SightingKind: TypeAlias = Literal["file", "keystore", "listener"]


class SightingReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one of the report's certificates lies.

    Attributes:
        certificate: its index in the report.
        place: a path, an alias in a keystore (``/etc/a.jks#alias``), or an address (``tcp:0.0.0.0:443``).
        key: whether its private key lies there too.
    """

    certificate: Annotated[int, Meta(ge=0, lt=MAX_CERTIFICATES)]
    place: Place
    kind: SightingKind
    key: bool = False


class StoreReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A trust store: which roots whoever uses it believes. ``roots`` is None for one that is there and not read."""

    name: Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,40}\Z")]
    place: Place
    roots: Annotated[tuple[Sha256, ...], Meta(max_length=MAX_ROOTS)] | None = None


class FactReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fact of posture; ``source`` is how the agent knows: ``proc``, ``efi``, ``osquery``."""

    path: Annotated[str, Meta(pattern=r"\Aposture\.[a-z][a-z0-9_]{0,62}\Z")]
    value: bool | int | Annotated[str, Meta(max_length=200)]
    observed_at: datetime
    source: Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9-]{0,30}\Z")]


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it.

    Attributes:
        at: the agent's clock; only differences to it count.
        certificates: DER in base64.
        cut: what was not looked at, and why: a bound, a permission.
    """

    agent: Annotated[str, Meta(max_length=80)]
    at: datetime
    certificates: Annotated[tuple[Annotated[str, Meta(max_length=44_000)], ...], Meta(max_length=MAX_CERTIFICATES)] = ()
    sightings: Annotated[tuple[SightingReport, ...], Meta(max_length=MAX_SIGHTINGS)] = ()
    stores: Annotated[tuple[StoreReport, ...], Meta(max_length=MAX_STORES)] = ()
    facts: Annotated[tuple[FactReport, ...], Meta(max_length=64)] = ()
    cut: Annotated[tuple[Annotated[str, Meta(max_length=300)], ...], Meta(max_length=64)] = ()


@dataclass(frozen=True, slots=True)
class FoundCertificate:
    """A certificate that somebody has shown, whoever issued it."""

    sha256: bytes
    der: bytes
    subject: str
    issuer: str
    serial: str
    names: tuple[str, ...]
    spki_sha256: bytes
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Sighting:
    """One certificate at one place of one host.

    Attributes:
        present: whether the host's latest report shows it.
        own: the certificate's id if it was issued here.
        key_known: a certificate for the same key was issued here.
    """

    certificate: FoundCertificate
    subject_id: UUID
    host: str
    place: str
    kind: SightingKind
    has_key: bool
    first_seen_at: datetime
    last_seen_at: datetime
    present: bool
    own: UUID | None
    key_known: bool


@dataclass(frozen=True, slots=True)
class HostReport:
    """The latest report of a host. ``stores``: (name, place, how many roots or None)."""

    subject_id: UUID
    host: str
    received_at: datetime
    agent: str
    certificates: int
    unreadable: int
    stores: tuple[tuple[str, str, int | None], ...]
    cut: tuple[str, ...]


def read_report(payload: bytes) -> Report:
    """The report in ``payload``. Raises ReportRefused."""
    try:
        report = msgspec.json.decode(payload, type=Report)
        times = [report.at, *(fact.observed_at for fact in report.facts)]
        if any(one.tzinfo is None for one in times):
            raise ReportRefused(REPORT_MALFORMED, "a time has no zone")
        # A lone surrogate or a NUL, which JSON can spell, is no text that a database takes.
        texts = [report.agent, *report.cut, *(one.place for one in report.sightings)]
        texts += [one.place for one in report.stores]
        texts += [fact.value for fact in report.facts if isinstance(fact.value, str)]
        if any("\0" in text for text in texts):
            raise ReportRefused(REPORT_MALFORMED, "a text holds a NUL")
        "".join(texts).encode("utf-8")
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ReportRefused(REPORT_MALFORMED, str(error)[:300]) from error
    if any(one.certificate >= len(report.certificates) for one in report.sightings):
        raise ReportRefused(REPORT_MALFORMED, "a sighting names a certificate that is not in the report")
    return report


def read_certificate(text: str) -> FoundCertificate | None:
    """A certificate out of a report; None for what is none, or one that cannot be read."""
    try:
        der = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(der) > _MAX_CERTIFICATE:
        return None
    try:
        with warnings.catch_warnings():
            # Old roots have serial numbers below 1; they are recorded, not believed.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            found = x509.load_der_x509_certificate(der)
            serial = f"{found.serial_number:x}"
        spki = found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return FoundCertificate(
            hashlib.sha256(der).digest(), der, _text(found.subject), _text(found.issuer), serial,
            _names(found), hashlib.sha256(spki).digest(), found.not_valid_before_utc, found.not_valid_after_utc,
        )  # fmt: skip
    except UNREADABLE:
        return None


def _text(name: x509.Name) -> str:
    return name.rfc4514_string().replace("\0", "\ufffd")[:_MAX_TEXT]


def _names(found: x509.Certificate) -> tuple[str, ...]:
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    kinds = (x509.DNSName, x509.IPAddress, x509.UniformResourceIdentifier, x509.RFC822Name)
    return tuple(str(one.value).replace("\0", "\ufffd")[:500] for one in names if isinstance(one, kinds))[:_MAX_NAMES]
