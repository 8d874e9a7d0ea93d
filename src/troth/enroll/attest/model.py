"""What a statement is held against, and what comes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from troth.enroll.attest.errors import AttestationRefused
from troth.kit.canonical import Json
from troth.kit.errors import Reason

#: A device identifier as ACME writes it: (``permanent-identifier`` or ``hardware-module``, value).
DeviceId: TypeAlias = tuple[str, str]

PERMANENT_IDENTIFIER, HARDWARE_MODULE = "permanent-identifier", "hardware-module"
#: The formats that are understood, as they stand in ``fmt``.
APPLE, TPM, ANDROID_KEY, STEP = "apple", "tpm", "android-key", "step"
FORMATS = (APPLE, TPM, ANDROID_KEY, STEP)


class Result(Enum):
    """What became of a check. ``NOT_ASKED``: what it is held against was not given (when a person inspects)."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class Check:
    """One rule, held against one statement.

    Attributes:
        name: stable, dotted: ``tpm.key.fixed_tpm``.
        expected: what the rule asks for, in words or as the value itself.
        got: what the statement says.
        reason: why a statement that fails here is refused.
    """

    name: str
    result: Result
    expected: str
    got: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator may loosen, per directory.

    Attributes:
        rsa_sha1: take TPM signatures of RSA with SHA-1 (COSE -65535), which Windows Hello makes.
        android_software: take Android keys that live in no hardware; for emulators in a laboratory.
        android_unlocked: take Android devices whose boot state is not Verified or whose boot loader is not locked.
        backdating: how long before the challenge an Apple certificate may begin.
    """

    rsa_sha1: bool = False
    android_software: bool = False
    android_unlocked: bool = False
    backdating: timedelta = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class StatusList:
    """Android's list of revoked attestation certificates, as it was at ``fetched_at``.

    ``entries``: serial number in lower-case hexadecimal without leading zeros → ``REVOKED`` or ``SUSPENDED``, reason.
    """

    entries: Mapping[str, tuple[str, str]]
    fetched_at: datetime
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What the verifier knows beside the statement. What is None is not asked (a person inspects, offline).

    Attributes:
        at: the moment at which chains must be valid.
        key_authorization: token, a dot, and the thumbprint of the account's key (RFC 8555, 8.1).
        challenged_at: when the challenge was made.
        identifiers: any one of which the hardware must attest.
        spki: DER of the key for which a certificate is asked.
        statuses: Android's status list; None when there is none that may be relied on.
        most_age: the greatest age of ``statuses``.
    """

    at: datetime
    key_authorization: str | None = None
    challenged_at: datetime | None = None
    identifiers: frozenset[DeviceId] | None = None
    spki: bytes | None = None
    statuses: StatusList | None = None
    most_age: timedelta = timedelta(hours=24)
    rules: Rules = field(default_factory=Rules)

    @property
    def token(self) -> str | None:
        """The challenge's token alone: all that Apple's servers sign."""
        return None if self.key_authorization is None else self.key_authorization.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Root:
    """A certificate that vouches for one format's chains. ``origin``: ``shipped``, or who added it."""

    certificate: x509.Certificate
    origin: str

    @property
    def sha256(self) -> str:
        """Of the DER, in hexadecimal."""
        return fingerprint(self.certificate)

    @property
    def name(self) -> str:
        """Its subject, or (vendors have left it empty) its fingerprint."""
        return self.certificate.subject.rfc4514_string() or self.sha256


#: By format. A root for one format never vouches for another's statements.
Roots: TypeAlias = Mapping[str, tuple[Root, ...]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a statement says, once its checks have passed; before that: what it claims.

    Attributes:
        spki: DER SubjectPublicKeyInfo of the attested key.
        identifiers: the device identifiers that the hardware attests.
        facts: hardware facts by name, as policies read them under ``evidence.``: text, whole numbers and booleans.
        attested_by: SHA-256 of the key that vouches, where that is not the device's maker's: a TPM's attestation key.
    """

    format: str
    spki: bytes | None
    identifiers: frozenset[DeviceId]
    facts: Mapping[str, Json]
    attested_by: str | None = None

    @property
    def spki_sha256(self) -> str | None:
        """In hexadecimal."""
        return None if self.spki is None else hashlib.sha256(self.spki).hexdigest()


@dataclass(frozen=True, slots=True)
class Report:
    """All that can be said of one statement.

    Attributes:
        sha256: of the CBOR that was sent.
        checks: in the order in which they were made; nothing is left out because something before it failed.
        fields: every member, decoded, for a person.
        root: name and fingerprint of the pinned root that the path leads to.
    """

    format: str
    sha256: str
    checks: tuple[Check, ...]
    evidence: Evidence
    fields: Mapping[str, Json]
    root: tuple[str, str] | None = None

    @property
    def failed(self) -> tuple[Check, ...]:
        """Those that speak against it."""
        return tuple(one for one in self.checks if one.result is Result.FAILED)

    @property
    def unknown(self) -> tuple[Check, ...]:
        """Those that could not be answered, though they had to be."""
        return tuple(one for one in self.checks if one.result is Result.UNKNOWN)

    def with_check(self, check: Check) -> Report:
        """With one more, that only the database can answer."""
        return replace(self, checks=(*self.checks, check))

    def identified(self, by: frozenset[DeviceId], how: str) -> Report:
        """With the identifier's check passed on somebody else's word: of a device whose hardware names nobody."""
        checks = tuple(
            replace(one, result=Result.PASSED, got=shown(how)) if one.name == "identifier" else one
            for one in self.checks
        )
        return replace(self, checks=checks, evidence=replace(self.evidence, identifiers=by))

    def require(self) -> Evidence:
        """What is proved. Raises AttestationRefused for the first check that failed, else for the first unanswered.

        A check that nobody asked for counts as unanswered: who relies on a statement hands over all that is known.
        """
        for found in (Result.FAILED, Result.UNKNOWN, Result.NOT_ASKED):
            for one in self.checks:
                if one.result is found:
                    raise refused(one)
        return self.evidence


def refused(check: Check) -> AttestationRefused:
    """The refusal that a check which did not pass makes."""
    detail = f"{check.name}: expected {check.expected}, got {check.got}"
    return AttestationRefused(
        check.reason, detail[:500], check=check.name, expected=check.expected, got=check.got, result=check.result.value
    )


class Checks:
    """The list of checks in the making."""

    def __init__(self) -> None:
        self._made: list[Check] = []

    def hold(self, name: str, passed: bool | None, expected: object, got: object, reason: Reason) -> bool:
        """Note a check: passed, failed, or not to be answered (None). Returns whether it passed."""
        result = Result.UNKNOWN if passed is None else Result.PASSED if passed else Result.FAILED
        self._made.append(Check(name, result, shown(expected), shown(got), reason))
        return passed is True

    def not_asked(self, name: str, expected: object, reason: Reason) -> None:
        """Note a check for which nothing was given to hold the statement against."""
        self._made.append(Check(name, Result.NOT_ASKED, shown(expected), "nothing given to compare with", reason))

    def all(self) -> tuple[Check, ...]:
        """What was noted so far."""
        return tuple(self._made)


def shown(value: object) -> str:
    """A value in a check's words: bytes in hexadecimal, bounded, and without control characters."""
    text = value.hex() if isinstance(value, bytes) else str(value)
    text = "".join(one if one.isprintable() else "�" for one in text)
    return text if len(text) <= 200 else f"{text[:199]}…"


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER, in hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def key_sha256(spki: bytes) -> str:
    """SHA-256 of a DER SubjectPublicKeyInfo, in hexadecimal."""
    return hashlib.sha256(spki).hexdigest()
