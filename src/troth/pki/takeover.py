"""What another CA had issued before Troth took it over: its CRL's entries, and its certificates.

1. With the authority come the entries of its CRL, each as a row of its own, whether or not the certificate is ever
   given: from then on every CRL that is built here lists them, and OCSP says *revoked*. A serial number that is taken
   already, by whichever authority, refuses all of it.
2. The CRL itself is published as it is. Its number is where numbering goes on: the next is higher (RFC 5280, 5.2.3).
3. Certificates follow in batches, in any order, and again if a batch was cut short. Each is verified under the
   authority's key. What an entry was known of becomes a certificate with that status; all others are *good*, since the
   CRL is complete. Serial numbers that were never given stay *unknown* to OCSP.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from troth.kit.clock import Clock, to_seconds
from troth.kit.ids import new_id
from troth.pki.admission import common_name, issued_by
from troth.pki.authorities import Authority
from troth.pki.crl_der import crl_entry
from troth.pki.errors import IMPORT_REFUSED, CrlRefused
from troth.pki.events import certificate_event
from troth.pki.model import Status
from troth.pki.reading import value_of
from troth.pki.revocation import CERTIFICATE_HOLD
from troth.pki.serial import SerialNumber
from troth.pki.status_store import ADD_CAUSE
from troth.pki.store import NAME, backwards
from troth.pki.takeover_store import COMPLETE, KNOWN_BY_ENTRY, TAKE, present
from troth.store.pool import Database
from troth.store.unit import Unit

#: Certificates of one batch: what one write unit and one request hold.
BATCH = 200
#: The instance of rows that no process of ours has reserved.
_NOBODY = UUID(int=0)
_KINDS: dict[type[x509.GeneralName], str] = {
    x509.DNSName: "dns",
    x509.IPAddress: "ip",
    x509.RFC822Name: "email",
    x509.UniformResourceIdentifier: "uri",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One element of a CRL's revokedCertificates."""

    serial: SerialNumber
    at: datetime
    reason: int

    @property
    def status(self) -> Status:
        """What it makes of its certificate."""
        return "held" if self.reason == CERTIFICATE_HOLD else "revoked"


def serial_of(number: int) -> SerialNumber:
    """Content octets of the INTEGER. Raises CrlRefused for what RFC 5280, 4.1.2.2 does not allow."""
    if not 0 < number < 1 << 159:
        raise CrlRefused(IMPORT_REFUSED, f"the serial number {number:x} is not positive, or has more than 20 octets")
    return SerialNumber(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def entries_in(crl: bytes) -> list[Entry]:
    """The entries of a complete CRL (DER). Raises CrlRefused."""
    try:
        found = []
        for one in x509.load_der_x509_crl(crl):
            reason = 0
            for part in one.extensions:
                if isinstance(part.value, x509.CRLReason):
                    reason = _REASONS[part.value.reason]
                elif part.critical:
                    raise CrlRefused(IMPORT_REFUSED, f"an entry has the critical extension {part.oid.dotted_string}")
            found.append(Entry(serial_of(one.serial_number), one.revocation_date_utc, reason))
    except (ValueError, KeyError, UnsupportedAlgorithm) as error:
        raise CrlRefused(IMPORT_REFUSED, "an entry of the CRL cannot be read") from error
    if len({one.serial for one in found}) < len(found):
        raise CrlRefused(IMPORT_REFUSED, "the CRL lists a serial number twice")
    return found


_REASONS = {
    x509.ReasonFlags.unspecified: 0,
    x509.ReasonFlags.key_compromise: 1,
    x509.ReasonFlags.ca_compromise: 2,
    x509.ReasonFlags.affiliation_changed: 3,
    x509.ReasonFlags.superseded: 4,
    x509.ReasonFlags.cessation_of_operation: 5,
    x509.ReasonFlags.certificate_hold: CERTIFICATE_HOLD,
    x509.ReasonFlags.privilege_withdrawn: 9,
    x509.ReasonFlags.aa_compromise: 10,
}


async def take_entries(
    database: Database, unit: Unit, authority: Authority, entries: Sequence[Entry], *, actor: str, now: datetime
) -> Unit:
    """Add rows for ``entries`` to ``unit``. Raises CrlRefused for a serial number that is taken."""
    taken = await present(database, [one.serial for one in entries])
    if taken:
        serial, one = next(iter(taken.items()))
        raise CrlRefused(
            IMPORT_REFUSED, f"serial number {serial.hex()} is {one.authority}'s already; {len(taken)} such"
        )
    for entry in entries:
        certificate_id = new_id()
        encoded = crl_entry(entry.serial, to_seconds(entry.at), entry.reason)
        _take(
            unit, authority, entry.serial, certificate_id, b"", "[]", None, entry.at, authority.not_after, "burnt",
            None, now, entry.status, entry.at, entry.reason, encoded, actor,
        )  # fmt: skip
        if entry.status == "held":
            unit.write(ADD_CAUSE, certificate_id, actor, actor, entry.at)
        unit.record(
            certificate_event(
                "certificate.imported",
                actor=actor,
                certificate_id=certificate_id,
                serial=entry.serial,
                authority=authority.slug,
                status=entry.status,
                status_version=0,
                status_at=entry.at,
                reason=entry.reason,
                not_after=authority.not_after,
                more={"sha256": None},
            )
        )
    return unit


@dataclass(frozen=True, slots=True)
class Given:
    """A certificate that was issued elsewhere, read and verified."""

    der: bytes
    parsed: x509.Certificate
    serial: SerialNumber

    @property
    def sha256(self) -> bytes:
        """Of the certificate."""
        return hashlib.sha256(self.der).digest()


def read_issued(certificates: Sequence[bytes], authority: Authority) -> list[Given]:
    """The certificates (DER), each verified under ``authority``. Raises CrlRefused, naming the first wrong one."""
    found: dict[SerialNumber, Given] = {}
    for place, der in enumerate(certificates):
        try:
            parsed = x509.load_der_x509_certificate(der)
            given = Given(parsed.public_bytes(Encoding.DER), parsed, serial_of(parsed.serial_number))
            ours = issued_by(parsed, authority.x509)
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
            raise CrlRefused(IMPORT_REFUSED, f"certificate {place + 1} cannot be read") from error
        if not ours:
            raise CrlRefused(
                IMPORT_REFUSED, f"certificate {place + 1} ({given.serial.hex()}) is not {authority.slug}'s"
            )
        other = found.setdefault(given.serial, given)
        if other.der != given.der:
            raise CrlRefused(IMPORT_REFUSED, f"two certificates have the serial number {given.serial.hex()}")
    return list(found.values())


async def take_issued(
    database: Database, authority: Authority, certificates: Sequence[bytes], *, actor: str, clock: Clock
) -> tuple[int, int]:
    """Record certificates that ``authority`` had issued elsewhere. Returns (taken now, here before).

    Raises CrlRefused; then nothing of the batch was written.
    """
    if len(certificates) > BATCH:
        raise CrlRefused(IMPORT_REFUSED, f"a batch has at most {BATCH} certificates")
    given = read_issued(certificates, authority)
    known = await present(database, [one.serial for one in given])
    unit, now, taken = Unit(), clock.now(), 0
    for one in given:
        there = known.get(one.serial)
        if there is not None and there.sha256 == one.sha256:
            continue
        if there is not None and (there.authority != authority.slug or there.state != "burnt"):
            raise CrlRefused(IMPORT_REFUSED, f"serial number {one.serial.hex()} is {there.authority}'s already")
        taken += 1
        parsed = one.parsed
        spki = hashlib.sha256(
            parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        ).digest()
        names, begin, end = _names(parsed), parsed.not_valid_before_utc, parsed.not_valid_after_utc
        told = common_name(parsed)[:2048] or None
        if there is None:
            certificate_id = new_id()
            _take(
                unit, authority, one.serial, certificate_id, spki, json.dumps(names), told, begin, end, "issued",
                one.der, now, "good", begin, None, None, actor,
            )  # fmt: skip
        else:
            certificate_id = there.id
            refused = CrlRefused(IMPORT_REFUSED, f"serial number {one.serial.hex()} was taken just now")
            unit.guard(KNOWN_BY_ENTRY, certificate_id, refuse=refused, key=("certificate", certificate_id))
            unit.write(COMPLETE, certificate_id, one.der, one.sha256, spki, json.dumps(names), told, begin, end)
        searched = {backwards(value) for _, value in names} | ({backwards(told)} if told else set())
        unit.write_all(NAME, [(name, certificate_id) for name in sorted(searched) if len(name.encode()) <= 2048])
        unit.record(
            certificate_event(
                "certificate.imported",
                actor=actor,
                certificate_id=certificate_id,
                serial=one.serial,
                authority=authority.slug,
                status="good" if there is None else _status(there.status),
                status_version=0 if there is None else there.status_version,
                status_at=begin if there is None else there.status_at,
                reason=None if there is None else there.reason,
                not_after=end,
                more={"sha256": one.sha256.hex()},
            )
        )
    if taken:
        await database.commit(unit)
    return taken, len(given) - taken


def _status(text: str) -> Status:
    return "held" if text == "held" else "revoked"


def _take(
    unit: Unit,
    authority: Authority,
    serial: SerialNumber,
    certificate_id: UUID,
    spki: bytes,
    names: str,
    told: str | None,
    begin: datetime,
    end: datetime,
    state: str,
    der: bytes | None,
    now: datetime,
    status: Status,
    at: datetime,
    reason: int | None,
    entry: bytes | None,
    actor: str,
) -> None:
    unit.claim(
        TAKE, serial, certificate_id, authority.slug, f"import:{authority.slug}:{serial.hex()}", spki, names, told,
        begin, end, state, der, None if der is None else hashlib.sha256(der).digest(), _NOBODY, now, status, at, reason,
        entry, actor, refuse=CrlRefused(IMPORT_REFUSED, f"serial number {serial.hex()} was taken just now"),
    )  # fmt: skip


def _names(certificate: x509.Certificate) -> list[list[str]]:
    try:
        found = value_of(certificate.extensions, x509.SubjectAlternativeName)
    except ValueError:
        return []
    return [[_KINDS[type(one)], str(one.value)] for one in found or () if type(one) in _KINDS]
