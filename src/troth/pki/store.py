"""SQL of certificates: reserving, storing, finding. Status changes are in ``status_store``."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from troth.pki.model import CertificateRecord, Hold, Page, SerialStatus
from troth.pki.serial import SerialNumber
from troth.pki.template import subject_of
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row

#: Takes request id and serial number at once: whoever comes second gets nothing.
RESERVE = Claim(
    "certificate_reserve",
    """WITH i AS (
           SELECT * FROM unnest(
               $1::int[], $2::text[], $3::uuid[], $4::text[], $5::bytea[], $6::text[], $7::int[], $8::bytea[],
               $9::jsonb[], $10::text[], $11::timestamptz[], $12::timestamptz[], $13::bytea[], $14::uuid[],
               $15::uuid[], $16::timestamptz[], $17::text[], $18::smallint[], $19::boolean[],
               $20::text[], $21::jsonb[])
           AS t(n, request_id, id, authority, serial, profile, profile_version, spki_sha256, names, common_name,
                not_before, not_after, tbs, decision_id, instance, reserved_at, actor, crl_shard, no_rev_avail,
                key_assurance, subject)
       ), w AS (
           INSERT INTO certificate (request_id, id, authority, serial, profile, profile_version, spki_sha256, names,
               common_name, not_before, not_after, tbs, decision_id, instance, reserved_at, actor, crl_shard,
               no_rev_avail, key_assurance, subject, state, status_at)
           SELECT request_id, id, authority, serial, profile, profile_version, spki_sha256, names, common_name,
               not_before, not_after, tbs, decision_id, instance, reserved_at, actor, crl_shard, no_rev_avail,
               key_assurance, subject, 'reserved', reserved_at
           FROM i ORDER BY request_id ON CONFLICT DO NOTHING RETURNING id
       ) SELECT i.n FROM i JOIN w USING (id)""",
    (
        "text",
        "uuid",
        "text",
        "bytea",
        "text",
        "int",
        "bytea",
        "jsonb",
        "text",
        "timestamptz",
        "timestamptz",
        "bytea",
        "uuid",
        "uuid",
        "timestamptz",
        "text",
        "smallint",
        "boolean",
        "text",
        "jsonb",
    ),
    rank=60,
)

#: The key is not blocked, and no certificate for it was revoked because it is in other hands.
KEY_SOUND = Guard(
    "certificate_key_sound",
    """SELECT i.n FROM unnest($1::int[], $2::bytea[]) AS i(n, spki_sha256) WHERE NOT EXISTS (
           SELECT 1 FROM certificate c
           WHERE c.spki_sha256 = i.spki_sha256 AND c.status = 'revoked' AND c.revocation_reason = 1)
         AND NOT EXISTS (SELECT 1 FROM blocked_key b WHERE b.spki_sha256 = i.spki_sha256)""",
    ("bytea",),
    rank=59,
)

BIND = Write(
    "certificate_bind",
    """INSERT INTO certificate_subject (subject_id, certificate_id, role)
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[]) ON CONFLICT DO NOTHING""",
    ("uuid", "uuid", "text"),
    rank=61,
)

NAME = Write(
    "certificate_name",
    """INSERT INTO certificate_name (name, certificate_id)
       SELECT * FROM unnest($1::text[], $2::uuid[]) ON CONFLICT DO NOTHING""",
    ("text", "uuid"),
    rank=61,
)

#: Still reserved, and for exactly the bytes that were signed: the database compares what *it* holds.
STORABLE = Guard(
    "certificate_storable",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[], $3::bytea[], $4::int[]) AS i(n, id, tbs, version)
       JOIN certificate c ON c.id = i.id AND c.state = 'reserved' AND c.tbs = i.tbs AND c.status_version = i.version
       ORDER BY c.id FOR UPDATE OF c""",
    ("uuid", "bytea", "int"),
    rank=60,
)

STORE = Write(
    "certificate_store",
    """UPDATE certificate c SET state = 'issued', tbs = NULL, der = i.der, sha256 = i.sha256, issued_at = i.at
       FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::timestamptz[]) AS i(id, der, sha256, at)
       WHERE c.id = i.id AND c.state = 'reserved'""",
    ("uuid", "bytea", "bytea", "timestamptz"),
    rank=60,
)

#: All that :func:`record` reads.
COLUMNS = """c.id, c.authority, c.serial, c.request_id, c.profile, c.profile_version, c.spki_sha256, c.names,
    c.common_name, c.not_before, c.not_after, c.state, c.tbs, c.der, c.sha256, c.decision_id, c.reserved_at,
    c.issued_at, c.status, c.status_version, c.status_at, c.revocation_reason, c.actor,
    c.key_assurance, c.subject"""
_BY = f"SELECT {COLUMNS} FROM certificate c WHERE "
_BY_ID = _BY + "c.id = $1"
_BY_REQUEST = _BY + "c.request_id = $1"
_BY_SERIAL = _BY + "c.serial = $1"
_BY_SHA256 = _BY + "c.sha256 = $1"
_OF_SUBJECT = f"""SELECT {COLUMNS} FROM certificate_subject s JOIN certificate c ON c.id = s.certificate_id
    WHERE s.subject_id = $1 ORDER BY c.id DESC LIMIT $2"""
_SHARE_ONE = """SELECT EXISTS (SELECT FROM certificate_subject a JOIN certificate_subject b USING (certificate_id)
    WHERE a.subject_id = $1 AND b.subject_id = ANY($2::uuid[]))"""
_SUBJECTS = "SELECT subject_id, role FROM certificate_subject WHERE certificate_id = $1 ORDER BY role DESC, subject_id"
_HOLDS = "SELECT cause, actor, raised_at FROM certificate_hold WHERE certificate_id = $1 ORDER BY raised_at, cause"
_SERIAL_STATUS = """SELECT serial, state, status, status_at, revocation_reason, not_after FROM certificate
    WHERE authority = $1 AND serial = ANY($2::bytea[])"""
_LISTED = f"""SELECT {COLUMNS} FROM certificate c
    WHERE ($1::uuid IS NULL OR c.id < $1) AND ($2::text IS NULL OR c.authority = $2)
      AND ($3::text IS NULL OR c.profile = $3) AND ($4::text IS NULL OR c.state = $4)
      AND ($5::text IS NULL OR c.status = $5) AND ($6::timestamptz IS NULL OR c.not_after > $6)
      AND ($7::timestamptz IS NULL OR c.not_after <= $7)
      AND ($8::text IS NULL OR c.id IN (SELECT certificate_id FROM certificate_name WHERE name LIKE $8))
    ORDER BY c.id DESC LIMIT $9"""
_COUNTS = """SELECT CASE WHEN not_after <= $1 THEN 'expired' ELSE status END AS status, count(*) AS n FROM certificate
    WHERE state = 'issued' GROUP BY 1"""


def record(row: Row | Mapping[str, Any]) -> CertificateRecord:
    """A row with all of ``COLUMNS``."""
    values = dict(row)
    values["names"] = tuple((kind, value) for kind, value in json.loads(values["names"]))
    values["serial"] = SerialNumber(values["serial"])
    if values["subject"] is not None:
        values["subject"] = tuple((kind, value) for kind, value in json.loads(values["subject"]))
    else:
        # Reserved before subjects were kept whole.
        values["subject"] = subject_of((), values["common_name"])
    return CertificateRecord(**values)


def backwards(name: str) -> str:
    """The form in which names are searched."""
    return name.lower()[::-1]


class CertificateStore:
    """Finding certificates. Works on the database and inside a unit's step alike."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def by_id(self, certificate_id: UUID) -> CertificateRecord | None:
        """By identifier."""
        return await self._one(_BY_ID, certificate_id)

    async def by_request(self, request_id: str) -> CertificateRecord | None:
        """By the request id that it answers."""
        return await self._one(_BY_REQUEST, request_id)

    async def by_serial(self, serial: bytes) -> CertificateRecord | None:
        """By serial number: 16 octets, unique over all authorities."""
        return await self._one(_BY_SERIAL, serial)

    async def by_sha256(self, digest: bytes) -> CertificateRecord | None:
        """By SHA-256 of the DER."""
        return await self._one(_BY_SHA256, digest)

    async def _one(self, sql: str, value: object) -> CertificateRecord | None:
        row = await self._reader.fetchrow(sql, value)
        return None if row is None else record(row)

    async def of_subject(self, subject_id: UUID, *, limit: int = 100) -> list[CertificateRecord]:
        """A subject's certificates, newest first."""
        return [record(row) for row in await self._reader.fetch(_OF_SUBJECT, subject_id, limit)]

    async def share_one(self, subject_id: UUID, others: Collection[UUID]) -> bool:
        """Whether a certificate binds the subject and one of the others."""
        return bool(await self._reader.fetchval(_SHARE_ONE, subject_id, list(others)))

    async def subjects(self, certificate_id: UUID) -> list[tuple[UUID, str]]:
        """(subject id, role) of a certificate, the subject before the owner."""
        return [(row["subject_id"], row["role"]) for row in await self._reader.fetch(_SUBJECTS, certificate_id)]

    async def holds(self, certificate_id: UUID) -> list[Hold]:
        """The causes for which a certificate is held, oldest first."""
        rows = await self._reader.fetch(_HOLDS, certificate_id)
        return [Hold(row["cause"], row["actor"], row["raised_at"]) for row in rows]

    async def serial_status(self, authority: str, serials: Sequence[bytes]) -> dict[bytes, SerialStatus]:
        """Status by serial number; serials that the authority never reserved are missing."""
        rows = await self._reader.fetch(_SERIAL_STATUS, authority, list(serials))
        return {
            row["serial"]: SerialStatus(
                SerialNumber(row["serial"]),
                row["state"],
                row["status"],
                row["status_at"],
                row["revocation_reason"],
                row["not_after"],
            )
            for row in rows
        }

    async def listed(
        self,
        *,
        before: UUID | None = None,
        authority: str | None = None,
        profile: str | None = None,
        state: str | None = None,
        status: str | None = None,
        alive_at: datetime | None = None,
        expires_by: datetime | None = None,
        name: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Certificates, newest first. ``name`` finds names that end in it (``.example.com``) or equal it."""
        pattern = None if name is None else backwards(name).translate(_LIKE_ESCAPES) + "%"
        rows = await self._reader.fetch(
            _LISTED, before, authority, profile, state, status, alive_at, expires_by, pattern, limit + 1
        )
        found = [record(row) for row in rows[:limit]]
        return Page(found, found[-1].id if len(rows) > limit else None)

    async def counts(self, now: datetime) -> dict[str, int]:
        """Issued certificates by status, with ``expired`` apart."""
        return {row["status"]: row["n"] for row in await self._reader.fetch(_COUNTS, now)}


_LIKE_ESCAPES = str.maketrans({"%": r"\%", "_": r"\_", "\\": r"\\"})
