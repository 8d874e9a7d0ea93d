"""SQL of certificate status: locking what is about to change, changing it, and finding what was left reserved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.pki.model import State, Status
from troth.pki.serial import SerialNumber
from troth.store.statement import Write
from troth.store.unit import Reader, Row

#: One row per certificate and unit; of several in one unit the newest version counts.
SET_STATUS = Write(
    "certificate_set_status",
    """UPDATE certificate c SET status = i.status, status_version = i.version, status_at = i.at,
           revocation_reason = i.reason, crl_entry = i.entry
       FROM (SELECT DISTINCT ON (id) * FROM
               unnest($1::uuid[], $2::text[], $3::int[], $4::timestamptz[], $5::int[], $6::bytea[])
               AS u(id, status, version, at, reason, entry)
             ORDER BY id, version DESC) AS i
       WHERE c.id = i.id""",
    ("uuid", "text", "int", "timestamptz", "int", "bytea"),
    rank=62,
)

SET_BURNT = Write(
    "certificate_set_burnt",
    """UPDATE certificate c SET state = 'burnt' FROM unnest($1::uuid[]) AS i(id)
       WHERE c.id = i.id AND c.state = 'reserved'""",
    ("uuid",),
    rank=63,
)

#: What the next CRL of the shard has to show.
ADD_CRL_CHANGE = Write(
    "crl_change_add",
    """INSERT INTO crl_change (certificate_id, status_version, authority, shard, serial, changed_at)
       SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::smallint[], $5::bytea[], $6::timestamptz[])
       ON CONFLICT DO NOTHING""",
    ("uuid", "int", "text", "smallint", "bytea", "timestamptz"),
    rank=66,
)

ADD_CAUSE = Write(
    "certificate_hold_add",
    """INSERT INTO certificate_hold (certificate_id, cause, actor, raised_at)
       SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[]) ON CONFLICT DO NOTHING""",
    ("uuid", "text", "text", "timestamptz"),
    rank=65,
)

DROP_CAUSE = Write(
    "certificate_hold_drop",
    """DELETE FROM certificate_hold h USING unnest($1::uuid[], $2::text[]) AS i(certificate_id, cause)
       WHERE h.certificate_id = i.certificate_id AND h.cause = i.cause""",
    ("uuid", "text"),
    rank=64,
)

_COLUMNS = """c.id, c.serial, c.authority, c.profile, c.state, c.status, c.status_version, c.status_at,
    c.revocation_reason, c.not_after, c.crl_shard, c.no_rev_avail"""
_LOCK_ID = f"SELECT {_COLUMNS} FROM certificate c WHERE c.id = $1 FOR UPDATE"
_LOCK_LIVE_OF_SUBJECTS = f"""SELECT i.n, {_COLUMNS} FROM unnest($1::uuid[], $2::timestamptz[]) WITH ORDINALITY
        AS i(subject_id, at, n)
    CROSS JOIN LATERAL (SELECT DISTINCT s.certificate_id FROM certificate_subject s WHERE s.subject_id = i.subject_id) b
    JOIN certificate c ON c.id = b.certificate_id
    WHERE c.state <> 'burnt' AND c.not_after >= i.at ORDER BY c.id FOR UPDATE OF c"""
_LOCK_LIVE_OF_KEY = f"""SELECT {_COLUMNS} FROM certificate c
    WHERE c.spki_sha256 = $1 AND c.state <> 'burnt' AND c.not_after >= $2
      AND NOT (c.status = 'revoked' AND c.revocation_reason = 1)
    ORDER BY c.id LIMIT $3 FOR UPDATE"""
_CAUSES = "SELECT certificate_id, cause FROM certificate_hold WHERE certificate_id = ANY($1::uuid[]) ORDER BY cause"
_SUBJECTS = "SELECT certificate_id, subject_id FROM certificate_subject WHERE certificate_id = ANY($1::uuid[])"
# A process that never wrote its row in `instance` is judged by age alone.
_ABANDONED = """SELECT c.id FROM certificate c LEFT JOIN instance i ON i.id = c.instance
    WHERE c.state = 'reserved' AND (c.reserved_at < $1 OR i.lease_until < now())
    ORDER BY c.reserved_at LIMIT $2"""


@dataclass(frozen=True, slots=True)
class StatusRow:
    """A locked certificate, as far as its status goes."""

    id: UUID
    serial: SerialNumber
    authority: str
    profile: str
    state: State
    status: Status
    status_version: int
    status_at: datetime
    revocation_reason: int | None
    not_after: datetime
    crl_shard: int
    no_rev_avail: bool
    causes: frozenset[str]
    subjects: tuple[UUID, ...]


class StatusStore:
    """Locks rows until the end of the transaction that ``reader`` is in."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def lock_certificate(self, certificate_id: UUID) -> StatusRow | None:
        """One certificate, whatever its state."""
        rows = await self._reader.fetch(_LOCK_ID, certificate_id)
        return (await self._complete(rows))[0] if rows else None

    async def lock_live_of_subjects(
        self, subjects: Sequence[tuple[UUID, datetime]]
    ) -> dict[tuple[UUID, datetime], list[StatusRow]]:
        """For each (subject id, time) the certificates not burnt nor expired then, reserved ones included, by id."""
        asked = list(dict.fromkeys(subjects))
        ids, times = [one for one, _ in asked], [at for _, at in asked]
        found = [dict(row) for row in await self._reader.fetch(_LOCK_LIVE_OF_SUBJECTS, ids, times)]
        places = [row.pop("n") - 1 for row in found]
        rows: dict[tuple[UUID, datetime], list[StatusRow]] = {one: [] for one in asked}
        for place, row in zip(places, await self._complete(found), strict=True):
            rows[asked[place]].append(row)
        return rows

    async def lock_live_of_key(self, spki_sha256: bytes, *, at: datetime, limit: int) -> list[StatusRow]:
        """A key's certificates as above, but for those revoked as compromised already; ``limit`` at most."""
        return await self._complete(await self._reader.fetch(_LOCK_LIVE_OF_KEY, spki_sha256, at, limit))

    async def _complete(self, rows: Sequence[Row]) -> list[StatusRow]:
        ids = list({row["id"] for row in rows})
        causes: dict[UUID, set[str]] = {}
        subjects: dict[UUID, list[UUID]] = {}
        if ids:
            for row in await self._reader.fetch(_CAUSES, ids):
                causes.setdefault(row["certificate_id"], set()).add(row["cause"])
            for row in await self._reader.fetch(_SUBJECTS, ids):
                subjects.setdefault(row["certificate_id"], []).append(row["subject_id"])
        return [
            StatusRow(
                **dict(row), causes=frozenset(causes.get(row["id"], ())), subjects=tuple(subjects.get(row["id"], ()))
            )
            for row in rows
        ]

    async def abandoned(self, older_than: datetime, limit: int = 500) -> list[UUID]:
        """Reservations made before ``older_than``, or by a process whose lease has lapsed."""
        return [row["id"] for row in await self._reader.fetch(_ABANDONED, older_than, limit)]
