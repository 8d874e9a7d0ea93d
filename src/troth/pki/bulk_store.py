"""SQL of revoking many: what a selector finds, and what of it is still to be done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.store.statement import Guard, Write
from troth.store.unit import Reader


@dataclass(frozen=True, slots=True)
class Selector:
    """Which certificates: all that fit every field that is given, but for those of the subjects in ``spared``."""

    subject: UUID | None = None
    profile: str | None = None
    authority: str | None = None
    issued_after: datetime | None = None
    issued_before: datetime | None = None
    serials: tuple[bytes, ...] = ()
    spared: tuple[UUID, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing narrows it."""
        return self == Selector(spared=self.spared)


@dataclass(frozen=True, slots=True)
class Found:
    """One certificate that would be revoked."""

    id: UUID
    serial: bytes
    authority: str
    profile: str
    title: str


@dataclass(frozen=True, slots=True)
class Bulk:
    """One order to revoke many, and how far it has come."""

    id: UUID
    reason: int
    actor: str
    total: int
    revoked: int
    passed_over: int
    started_at: datetime
    finished_at: datetime | None


ADD_BULK = Write(
    "bulk_revocation_add",
    """INSERT INTO bulk_revocation (id, selector, reason, actor, note, total, started_at)
       SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::text[], $6::int[], $7::timestamptz[])""",
    ("uuid", "text", "int", "text", "text", "int", "timestamptz"),
)
ADD_ITEM = Write(
    "bulk_revocation_item_add",
    """INSERT INTO bulk_revocation_item (bulk_id, certificate_id)
       SELECT * FROM unnest($1::uuid[], $2::uuid[]) ON CONFLICT DO NOTHING""",
    ("uuid", "uuid"),
    rank=51,
)
DROP_ITEM = Write(
    "bulk_revocation_item_drop",
    """DELETE FROM bulk_revocation_item b USING unnest($1::uuid[], $2::uuid[]) AS i(bulk_id, certificate_id)
       WHERE b.bulk_id = i.bulk_id AND b.certificate_id = i.certificate_id""",
    ("uuid", "uuid"),
    rank=70,
)
LOCK_BULK = Guard(
    "bulk_revocation_lock",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id) JOIN bulk_revocation b ON b.id = i.id
       WHERE b.finished_at IS NULL ORDER BY b.id FOR UPDATE OF b""",
    ("uuid",),
    rank=20,
)
ADVANCE = Write(
    "bulk_revocation_advance",
    """UPDATE bulk_revocation b SET revoked = b.revoked + i.revoked, passed_over = b.passed_over + i.passed_over,
           finished_at = i.finished_at
       FROM unnest($1::uuid[], $2::int[], $3::int[], $4::timestamptz[]) AS i(id, revoked, passed_over, finished_at)
       WHERE b.id = i.id""",
    ("uuid", "int", "int", "timestamptz"),
    rank=71,
)

#: Issued, not expired, and not revoked, or revoked for another reason than the one that may still replace it.
_FIND = """SELECT c.id, c.serial, c.authority, c.profile, c.common_name, c.names FROM certificate c
    WHERE c.state = 'issued' AND c.not_after > $1
      AND (c.status <> 'revoked' OR ($2::int = 1 AND c.revocation_reason <> 1))
      AND ($3::uuid IS NULL OR EXISTS (SELECT 1 FROM certificate_subject s
                                       WHERE s.certificate_id = c.id AND s.subject_id = $3))
      AND ($4::text IS NULL OR c.profile = $4)
      AND ($5::text IS NULL OR c.authority = $5)
      AND ($6::timestamptz IS NULL OR c.issued_at >= $6)
      AND ($7::timestamptz IS NULL OR c.issued_at < $7)
      AND (cardinality($8::bytea[]) = 0 OR c.serial = ANY($8::bytea[]))
      AND (cardinality($9::uuid[]) = 0 OR NOT EXISTS (SELECT 1 FROM certificate_subject s
                                       WHERE s.certificate_id = c.id AND s.subject_id = ANY($9)))
    ORDER BY c.id LIMIT $10"""
_NEXT = "SELECT certificate_id FROM bulk_revocation_item WHERE bulk_id = $1 ORDER BY certificate_id LIMIT $2"
_REVOCABLE = """SELECT id FROM certificate WHERE id = ANY($1::uuid[])
      AND (status <> 'revoked' OR ($2::int = 1 AND revocation_reason <> 1))"""
_BULK = "SELECT id, reason, actor, total, revoked, passed_over, started_at, finished_at FROM bulk_revocation "


class BulkStore:
    """Reads of revoking many."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, selector: Selector, reason: int, at: datetime, limit: int) -> list[Found]:
        """Up to ``limit`` certificates that the selector finds, by id."""
        rows = await self._reader.fetch(
            _FIND, at, reason, selector.subject, selector.profile, selector.authority, selector.issued_after,
            selector.issued_before, list(selector.serials), list(selector.spared), limit,
        )  # fmt: skip
        return [
            Found(row["id"], row["serial"], row["authority"], row["profile"], _title(row["common_name"], row["names"]))
            for row in rows
        ]

    async def next_items(self, bulk_id: UUID, limit: int) -> list[UUID]:
        """Certificates that are still to be revoked."""
        return [row["certificate_id"] for row in await self._reader.fetch(_NEXT, bulk_id, limit)]

    async def revocable(self, ids: Sequence[UUID], reason: int) -> set[UUID]:
        """Those of ``ids`` that a revocation for ``reason`` would change."""
        return {row["id"] for row in await self._reader.fetch(_REVOCABLE, list(ids), reason)}

    async def bulk(self, bulk_id: UUID) -> Bulk | None:
        """One order."""
        row = await self._reader.fetchrow(_BULK + "WHERE id = $1", bulk_id)
        return None if row is None else Bulk(**dict(row))


def _title(common_name: str | None, names: str) -> str:
    parsed = json.loads(names)
    return common_name or (str(parsed[0][1]) if parsed else "a certificate without a name")
