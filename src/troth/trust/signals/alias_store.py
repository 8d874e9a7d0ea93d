"""SQL of names: whom a signal is about, and what other systems call our subjects.

A name that leads to nobody or to several is answered as it is; nobody here guesses.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from cryptography import x509

from troth.pki.model import CertificateRecord
from troth.pki.store import CertificateStore
from troth.store.statement import Write
from troth.store.unit import Reader, Unit
from troth.trust.signals.model import Whom, alias_value

#: From this confidence on, an alias proves whom it names; below, it may raise and never clears.
STRONG: Final = 80
#: How the source of an alias that a person has bound begins.
_PERSON: Final = "person:"

_ALIAS = Write(
    "subject_alias_put",
    """INSERT INTO subject_alias (system, value, subject_id, source, confidence, seen_at)
       SELECT DISTINCT ON (system, value, subject_id) system, value, subject_id, source, confidence, seen_at
       FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::smallint[], $6::timestamptz[])
            AS i(system, value, subject_id, source, confidence, seen_at)
       ORDER BY system, value, subject_id, seen_at DESC, confidence DESC
       ON CONFLICT (system, value, subject_id) DO UPDATE
       SET source = excluded.source, confidence = excluded.confidence, seen_at = excluded.seen_at
       WHERE subject_alias.seen_at <= excluded.seen_at
         AND (subject_alias.source NOT LIKE 'person:%' OR excluded.source LIKE 'person:%')
         AND (subject_alias.source = excluded.source OR subject_alias.confidence <= excluded.confidence)""",
    ("text", "text", "uuid", "text", "smallint", "timestamptz"),
)
_FORGET = Write(
    "subject_alias_forget",
    """DELETE FROM subject_alias a USING unnest($1::text[], $2::text[], $3::uuid[]) AS i(system, value, subject_id)
       WHERE a.system = i.system AND a.value = i.value AND a.subject_id = i.subject_id""",
    ("text", "text", "uuid"),
)

_PRESENT = "SELECT id FROM subject WHERE id = $1"
_BY_NAME = "SELECT id FROM subject WHERE kind = $1 AND name = $2 AND removed_at IS NULL"
_BY_SERIAL = """SELECT id FROM subject
WHERE attributes ->> 'serial' = $1 AND kind = 'device' AND removed_at IS NULL LIMIT 2"""
_BY_ALIAS = """SELECT a.subject_id AS id, a.confidence, a.source
FROM subject_alias a JOIN subject s ON s.id = a.subject_id
WHERE a.system = $1 AND a.value = $2 AND s.removed_at IS NULL
ORDER BY a.source LIKE 'person:%' DESC, a.subject_id LIMIT 2"""
#: Aliases that the directory's own attributes tell as well.
_BY_ATTRIBUTE = {
    "email": """SELECT id FROM subject
WHERE lower(attributes ->> 'email') = $1 AND kind = 'user' AND removed_at IS NULL LIMIT 2""",
    "upn": """SELECT id FROM subject
WHERE lower(attributes ->> 'upn') = $1 AND kind = 'user' AND removed_at IS NULL LIMIT 2""",
    "udid": """SELECT id FROM subject
WHERE lower(attributes ->> 'udid') = $1 AND kind = 'device' AND removed_at IS NULL LIMIT 2""",
    "hostname": """SELECT id FROM subject
WHERE name = $1 AND kind = 'device' AND removed_at IS NULL LIMIT 2""",
}
_OF_SUBJECT = """SELECT system, value, subject_id, source, confidence, seen_at FROM subject_alias
WHERE subject_id = $1 ORDER BY system, value LIMIT 200"""


@dataclass(frozen=True, slots=True)
class Alias:
    """What another system calls a subject, who says so, how sure (0 to 100) and when last."""

    system: str
    value: str
    subject_id: UUID
    source: str
    confidence: int
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Resolved:
    """Whom a name leads to: usually one subject, none if nobody is known, two or more if it is unclear.

    ``weak``: the name proves nothing about whom it names; what came by it may raise and never clears.
    """

    ids: tuple[UUID, ...]
    weak: bool = False


def bind_alias(unit: Unit, alias: Alias) -> None:
    """Add the write of ``alias``, in the place of an older word on the same three.

    What a person has bound stays his, and a source that is less sure does not weaken what another has told.
    """
    unit.write(
        _ALIAS, alias.system, alias_value(alias.system, alias.value), alias.subject_id, alias.source, alias.confidence,
        alias.seen_at,
    )  # fmt: skip


def forget_alias(unit: Unit, system: str, value: str, subject_id: UUID) -> None:
    """Add the removal of one alias of one subject."""
    unit.write(_FORGET, system, alias_value(system, value), subject_id)


async def aliases_of(reader: Reader, subject_id: UUID) -> list[Alias]:
    """What other systems call the subject."""
    return [Alias(**dict(row)) for row in await reader.fetch(_OF_SUBJECT, subject_id)]


async def resolve(reader: Reader, whom: Whom) -> Resolved:
    """The subjects that ``whom`` names."""
    if whom.id is not None:
        found = await reader.fetchrow(_PRESENT, whom.id)
        return Resolved(() if found is None else (whom.id,))
    if whom.device_serial is not None:
        rows = await reader.fetch(_BY_SERIAL, whom.device_serial)
        ids = tuple(row["id"] for row in rows)
        return Resolved(ids if len(ids) == 1 else await _bound(reader, "serial", whom.device_serial) or ids, weak=True)
    if whom.alias is not None:
        return await _by_alias(reader, whom)
    if whom.certificate is not None or whom.certificate_sha256 is not None:
        return await _by_certificate(reader, whom)
    named = await reader.fetchval(_BY_NAME, whom.kind, whom.name)
    if named is None:
        return Resolved(await _bound(reader, f"name.{whom.kind}", whom.name or ""))
    return Resolved((named,))


async def _bound(reader: Reader, system: str, value: str) -> tuple[UUID, ...]:
    """Whom a person has said that the name means: that comes before every source's word."""
    rows = await reader.fetch(_BY_ALIAS, system, alias_value(system, value))
    return tuple(row["id"] for row in rows if row["source"].startswith(_PERSON))


async def _by_alias(reader: Reader, whom: Whom) -> Resolved:
    system, value = whom.alias or ("", "")
    value = alias_value(system, value)
    rows = await reader.fetch(_BY_ALIAS, system, value)
    told = tuple(row["id"] for row in rows if row["source"].startswith(_PERSON))
    if told:
        return Resolved(told, whom.weak)
    known = {row["id"]: int(row["confidence"]) for row in rows}
    if system == "serial":
        known |= {row["id"]: 0 for row in await reader.fetch(_BY_SERIAL, (whom.alias or ("", ""))[1].strip())}
    declared = _BY_ATTRIBUTE.get(system)
    if declared is not None:
        known |= {row["id"]: 100 for row in await reader.fetch(declared, value)}
    return Resolved(tuple(sorted(known)), whom.weak or any(sure < STRONG for sure in known.values()))


async def _by_certificate(reader: Reader, whom: Whom) -> Resolved:
    """The subjects that a certificate of ours speaks for; who merely owns or carries it is not meant."""
    found = await certificate_of(reader, whom)
    if found is None:
        return Resolved(())
    subjects = await CertificateStore(reader).subjects(found.id)
    return Resolved(tuple(subject for subject, role in subjects if role == "subject"))


async def certificate_of(reader: Reader, whom: Whom) -> CertificateRecord | None:
    """The certificate of ours that ``whom`` names by issuer and serial number, or by hash."""
    store = CertificateStore(reader)
    if whom.certificate_sha256 is not None:
        return await store.by_sha256(whom.fingerprint)
    found = await store.by_serial(whom.serial_number)
    if found is not None and (found.der is None or not _issued_by(found.der, (whom.certificate or ("", ""))[0])):
        return None
    return found


def _issued_by(der: bytes, issuer: str) -> bool:
    """Whether the certificate's issuer is called so (RFC 4514 text; some write the names the other way round)."""
    try:
        named = x509.Name.from_rfc4514_string(issuer)
    except ValueError:
        return False
    real = x509.load_der_x509_certificate(der).issuer
    wanted = [frozenset((one.oid, one.value) for one in rdn) for rdn in named.rdns]
    return [frozenset((one.oid, one.value) for one in rdn) for rdn in real.rdns] in (wanted, wanted[::-1])
