"""The normalised signal: one security event about one subject, in Troth's own words.

A vendor's words are turned into these in ``connect``; from here on nobody asks who said what in which dialect.
``kinds`` is the registry of what can be said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final
from uuid import UUID

import msgspec

from troth.kit.canonical import Json
from troth.trust.signals.errors import KIND_UNKNOWN, OBSERVED_IN_FUTURE, SignalError
from troth.trust.signals.kinds import KINDS, SEVERITY_OF, Effect, HardRule, Shape, SignalKind
from troth.trust.standing import Standing

__all__ = (
    "FUTURE_TOLERANCE",
    "KINDS",
    "MAX_EVIDENCE",
    "MAX_MESSAGE_ID",
    "Effect",
    "HardRule",
    "Method",
    "Shape",
    "Signal",
    "SignalKind",
    "Verified",
    "Whom",
    "kind_named",
    "signal",
)

#: How far a sender's clock may be ahead of ours.
FUTURE_TOLERANCE: Final = timedelta(minutes=5)

MAX_EVIDENCE: Final = 1_000
MAX_MESSAGE_ID: Final = 200
MAX_SEQUENCE: Final = 200
#: Of ``fields``: entries, and bytes of their JSON.
MAX_FIELDS: Final = 32
MAX_FIELD_BYTES: Final = 4_096
_CAUSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}\Z")
_SYSTEM = re.compile(r"[a-z][a-z0-9_.-]{0,63}\Z")
_HEX = re.compile(r"[0-9a-f]{1,64}\Z")
_MAX_ALIAS = 400

#: Systems whose values anybody may choose, or a host reports of itself: they find whom a word may be about, and prove
#: nothing. A word that names its subject so may raise and never clears.
WEAK_SYSTEMS: Final = frozenset({"hostname", "mac", "serial", "ip"})
#: Systems whose values are compared to the letter; all others are lower-cased.
_EXACT_SYSTEMS = frozenset({"iss_sub", "okta.user", "google.user", "opaque"})


def kind_named(name: str) -> SignalKind:
    """The kind of that name. Raises SignalError (``signal.kind_unknown``)."""
    found = KINDS.get(name)
    if found is None:
        raise SignalError(KIND_UNKNOWN, f"{name[:80]!r} is no kind of signal", kind=name[:80])
    return found


def alias_value(system: str, value: str) -> str:
    """``value`` as it is kept and compared in ``system``."""
    stripped = value.strip()
    return stripped if system in _EXACT_SYSTEMS else stripped.lower()


@dataclass(frozen=True, slots=True)
class Whom:
    """Whom a signal is about, in exactly one way.

    Attributes:
        id: of the subject.
        kind, name: as in the directory.
        device_serial: a device's serial number as the sender knows it; a weak key, since nothing attests it.
        alias: (system, value): what another system calls the subject: ``("entra.device", id)``, ``("iss_sub",
            "<iss>|<sub>")``, ``("email", address)``, ``("udid", …)``.
        certificate: (issuer, serial number): the issuer's name as RFC 4514 text, the serial number in hexadecimal.
        certificate_sha256: the SHA-256 of a certificate's DER, in hexadecimal.
    """

    id: UUID | None = None
    kind: str | None = None
    name: str | None = None
    device_serial: str | None = None
    alias: tuple[str, str] | None = None
    certificate: tuple[str, str] | None = None
    certificate_sha256: str | None = None

    def __post_init__(self) -> None:
        by_name = self.kind is not None and self.name is not None
        others = (self.id, self.device_serial, self.alias, self.certificate, self.certificate_sha256)
        ways = by_name + sum(way is not None for way in others)
        if ways != 1 or (self.kind is None) != (self.name is None):
            raise ValueError(
                "a subject is named by `id`, by `kind` and `name`, by `device_serial`, by `alias` or by `certificate`, "
                "and by one only"
            )
        if self.alias is not None and not (_SYSTEM.match(self.alias[0]) and 0 < len(self.alias[1]) <= _MAX_ALIAS):
            raise ValueError(f"an alias is a system such as entra.device and a value of 1 to {_MAX_ALIAS} characters")
        if self.certificate is not None and not _HEX.match(_digits(self.certificate[1])):
            raise ValueError("a certificate's serial number is hexadecimal")
        if self.certificate_sha256 is not None and len(_digits(self.certificate_sha256)) != 64:
            raise ValueError("a SHA-256 is 64 hexadecimal digits")

    @property
    def weak(self) -> bool:
        """Whether the key proves nothing about whom it names: what comes by it may raise, never clear."""
        return self.device_serial is not None or (self.alias is not None and self.alias[0] in WEAK_SYSTEMS)

    @property
    def serial_number(self) -> bytes:
        """The serial number of ``certificate``: its significant octets."""
        digits = _digits(self.certificate[1] if self.certificate else "0")
        return bytes.fromhex(digits.zfill(len(digits) + len(digits) % 2))

    @property
    def fingerprint(self) -> bytes:
        """The octets of ``certificate_sha256``."""
        return bytes.fromhex(_digits(self.certificate_sha256 or ""))

    def __str__(self) -> str:
        if self.id is not None:
            return str(self.id)
        if self.device_serial is not None:
            return f"device with serial {self.device_serial}"
        if self.alias is not None:
            return f"{self.alias[0]} {self.alias[1]}"
        if self.certificate is not None:
            return f"certificate {self.certificate[1]} of {self.certificate[0][:200]}"
        if self.certificate_sha256 is not None:
            return f"certificate with SHA-256 {self.certificate_sha256}"
        return f"{self.kind} {self.name}"


def _digits(text: str) -> str:
    digits = text.replace(":", "").strip().lower().removeprefix("0x")
    return digits if _HEX.match(digits) else ""


class Method(Enum):
    """How it was verified that a signal comes from its feed."""

    NONE = "none"
    HMAC = "hmac"
    JWS = "jws"
    BEARER = "bearer"
    TLS_PULL = "tls-pull"
    MTLS = "mtls"


@dataclass(frozen=True, slots=True)
class Verified:
    """How a signal was verified, and with which key where that can be told (a JWS ``kid``)."""

    method: Method = Method.NONE
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """One event from one feed, as it arrived.

    Attributes:
        feed: who says it.
        message_id: the sender's own id of the message; (feed, message_id) is taken once.
        digest: SHA-256 of the message as received: the same id with another digest is refused.
        level: what the sender asks for when raising; never more than the feed is granted.
        cause: what is raised or cleared, within the feed: an alert id, or the kind's own key.
        observed_at: when the sender saw it; an older word never undoes a newer one.
        evidence: what the sender wants a person to read.
        severity, confidence: 0 to 100: how bad, and how sure.
        expires_at: when the word weighs no more, if its sender said so.
        sequence: the source's own number or cursor of the event; kept, and compared by nobody.
        verified: how it was proved who speaks.
        fields: evidence for machines: at most 32 entries, 4 KiB as JSON.
    """

    feed: str
    message_id: str
    digest: bytes
    kind: SignalKind
    whom: Whom
    effect: Effect
    level: Standing
    cause: str
    observed_at: datetime
    evidence: str
    severity: int = 50
    confidence: int = 80
    expires_at: datetime | None = None
    sequence: str | None = None
    verified: Verified = Verified()
    fields: Mapping[str, Json] = field(default_factory=dict)

    @property
    def shape(self) -> Shape:
        """How long it weighs; its kind says so."""
        return self.kind.shape


def signal(
    *,
    feed: str,
    message_id: str,
    digest: bytes,
    kind: str,
    whom: Whom,
    observed_at: datetime,
    now: datetime,
    effect: Effect | None = None,
    level: Standing | None = None,
    cause: str | None = None,
    evidence: str = "",
    severity: int | None = None,
    confidence: int | None = None,
    expires_at: datetime | None = None,
    sequence: str | None = None,
    verified: Verified = Verified(),
    fields: Mapping[str, Json] | None = None,
) -> Signal:
    """A signal with its kind's defaults filled in.

    Raises SignalError for an unknown kind or an observation from the future, ValueError for what a schema should
    have refused before (bounds, a naive time, a raise to *trusted*).
    """
    known = kind_named(kind)
    effect = effect or known.effect
    if severity is None:
        severity = known.severity if level is None or level is known.level else SEVERITY_OF[level]
    if level is None:
        level = known.level if effect is Effect.RAISE else Standing.TRUSTED
    if effect is Effect.RAISE and level is Standing.TRUSTED:
        raise ValueError("a raised cause asks for a level above `trusted`")
    confidence = known.confidence if confidence is None else confidence
    _bounds(message_id, evidence, cause, severity, confidence, sequence, fields or {})
    if observed_at.tzinfo is None or (expires_at is not None and expires_at.tzinfo is None):
        raise ValueError("observed_at and expires_at need their offset from UTC")
    for moment in (observed_at, expires_at):
        _must_be_storable(moment)
    if observed_at > now + FUTURE_TOLERANCE:
        raise SignalError(OBSERVED_IN_FUTURE, f"observed_at is {observed_at.isoformat()}", kind=kind)
    return Signal(
        feed=feed,
        message_id=message_id,
        digest=digest,
        kind=known,
        whom=whom,
        effect=effect,
        level=level,
        cause=cause or known.cause,
        observed_at=observed_at,
        evidence=evidence,
        severity=severity,
        confidence=confidence,
        expires_at=expires_at,
        sequence=sequence,
        verified=verified,
        fields=dict(fields or {}),
    )


def _must_be_storable(moment: datetime | None) -> None:
    """Raise ValueError for a time that is before the year 1 or after 9999 in UTC: no database and no clock holds it."""
    try:
        if moment is not None:
            moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a time lies outside of the years 1 to 9999") from error


def _bounds(
    message_id: str,
    evidence: str,
    cause: str | None,
    severity: int,
    confidence: int,
    sequence: str | None,
    fields: Mapping[str, Json],
) -> None:
    if not message_id or len(message_id) > MAX_MESSAGE_ID:
        raise ValueError(f"a message id has 1 to {MAX_MESSAGE_ID} characters")
    if len(evidence) > MAX_EVIDENCE:
        raise ValueError(f"evidence has at most {MAX_EVIDENCE} characters")
    if cause is not None and not _CAUSE.match(cause):
        raise ValueError("a cause is 1 to 128 letters, digits and ._:/@- and starts with a letter or digit")
    if not (0 <= severity <= 100 and 0 <= confidence <= 100):
        raise ValueError("severity and confidence are 0 to 100")
    if sequence is not None and len(sequence) > MAX_SEQUENCE:
        raise ValueError(f"a sequence has at most {MAX_SEQUENCE} characters")
    if len(fields) > MAX_FIELDS or (fields and len(msgspec.json.encode(fields)) > MAX_FIELD_BYTES):
        raise ValueError(f"fields are at most {MAX_FIELDS} entries and {MAX_FIELD_BYTES} bytes as JSON")
