"""What the auditor checks of one certificate: a function from the stored bytes and columns to findings.

Nothing here uses what issuing used: the bytes are parsed again by cryptography, the key is read out of them, and the
profile is compiled again from its stored text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from troth.kit.clock import to_seconds
from troth.kit.errors import TrothError
from troth.pki import algorithms
from troth.pki.attributes import attributes_of
from troth.pki.authorities import Authority
from troth.pki.crl_der import crl_entry
from troth.pki.errors import KeyRefused
from troth.pki.finding_store import Audited
from troth.pki.keycheck import check_offered
from troth.pki.lint_full import Finding
from troth.pki.model import CertificateRecord
from troth.pki.names import names_of
from troth.pki.sid import SECURITY_EXTENSION
from troth.pki.unreadable import UNREADABLE

_SAN = "2.5.29.17"
#: Actors of doors at which strangers ask: what came through them was decided upon.
_DOORS = ("acme:",)


@dataclass(frozen=True, slots=True)
class Context:
    """What one certificate is held against.

    Attributes:
        authority: None if there is none of this slug any more.
        extension_oids: of the profile's version, compiled anew; None if that cannot be had.
        decision_known: whether the decision it names exists; None if it names none.
    """

    authority: Authority | None
    extension_oids: frozenset[str] | None
    decision_known: bool | None
    now: datetime


def audit(one: Audited, context: Context) -> list[Finding]:
    """What does not fit, empty when all does."""
    return [Finding("ERROR", code, where) for code, where in _audit(one, context)]


def _audit(one: Audited, context: Context) -> Iterator[tuple[str, str]]:
    record = one.record
    der = record.der or b""
    if record.sha256 != hashlib.sha256(der).digest():
        yield "audit.digest", "sha256"
    try:
        certificate = x509.load_der_x509_certificate(der)
        extensions = list(certificate.extensions)
        key = certificate.public_key()
    except UNREADABLE:
        yield "audit.unparsable", "der"
        return
    yield from _columns(record, certificate)
    yield from _key(one, key, context.now)
    if context.authority is None or not _signed(certificate, context.authority):
        yield "audit.issuer", record.authority
    if context.extension_oids is None:
        yield "audit.profile", f"{record.profile} {record.profile_version}"
    else:
        allowed = context.extension_oids | {_SAN, SECURITY_EXTENSION}
        more = sorted({extension.oid.dotted_string for extension in extensions} - allowed)
        if more:
            yield "audit.extensions", ", ".join(more)
    if one.crl_entry != _entry(record):
        yield "audit.status", f"{record.status} {record.revocation_reason}"
    if one.unshown:
        yield "audit.unshown", record.status
    if context.decision_known is False or (record.decision_id is None and record.actor.startswith(_DOORS)):
        yield "audit.decision", str(record.decision_id)


def _columns(record: CertificateRecord, certificate: x509.Certificate) -> Iterator[tuple[str, str]]:
    if certificate.serial_number != int.from_bytes(record.serial, "big"):
        yield "audit.serial", "serial"
    times = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    if times != (record.not_before, record.not_after):
        yield "audit.validity", "not_before, not_after"
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(names_of(found))
    except x509.ExtensionNotFound:
        names = ()
    except TrothError:
        yield "audit.names", "unreadable"
        return
    if sorted(names) != sorted(record.names):
        yield "audit.names", "names"
    try:
        subject = attributes_of(certificate.subject)
    except TrothError:
        subject = None
    if subject != tuple(record.subject):
        yield "audit.subject", "subject"


def _key(one: Audited, key: object, now: datetime) -> Iterator[tuple[str, str]]:
    record = one.record
    alive = record.status == "good" and record.not_after > now
    if not isinstance(key, algorithms.PublicKey):
        yield "audit.key", "kind"
        return
    if hashlib.sha256(algorithms.spki_of(key)).digest() != record.spki_sha256:
        yield "audit.key", "spki_sha256"
    try:
        check_offered(key)
    except KeyRefused as refusal:
        if alive:
            yield "audit.weak_key", refusal.detail
    if one.blocked and alive:
        yield "audit.blocked_key", record.spki_sha256.hex()


def _signed(certificate: x509.Certificate, authority: Authority) -> bool:
    return certificate.issuer == authority.x509.subject and algorithms.verifies(
        authority.public_key, certificate.signature, certificate.tbs_certificate_bytes
    )


def _entry(record: CertificateRecord) -> bytes | None:
    if record.status == "good":
        return None
    return crl_entry(record.serial, to_seconds(record.status_at), record.revocation_reason or 0)
