"""SQL of exemptions: for whom automation's holds are lifted, until when, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from troth.store.statement import Write
from troth.store.unit import Reader, Row, Unit

_ADD = Write(
    "exemption_add",
    """INSERT INTO exemption (id, subject_id, reason, begins_at, ends_at, proposed_by, approved_by)
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[],
                            $7::jsonb[])""",
    ("uuid", "uuid", "text", "timestamptz", "timestamptz", "text", "jsonb"),
)
_END = Write(
    "exemption_end",
    """UPDATE exemption e SET ended_at = i.at, ended_by = i.by
       FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS i(id, at, by)
       WHERE e.id = i.id AND e.ended_at IS NULL""",
    ("uuid", "timestamptz", "text"),
    # Before anything is counted as used.
    rank=45,
)
_USE = Write(
    "exemption_use",
    """UPDATE exemption e SET used = e.used + 1 FROM unnest($1::uuid[], $2::timestamptz[]) AS i(subject_id, at)
       WHERE e.subject_id = i.subject_id AND e.ended_at IS NULL AND e.begins_at <= i.at AND e.ends_at > i.at""",
    ("uuid", "timestamptz"),
)
_EXEMPTION = """SELECT id, subject_id, reason, begins_at, ends_at, proposed_by, approved_by, ended_at, ended_by, used
FROM exemption"""
_ONE = f"{_EXEMPTION} WHERE id = $1"
_IN_FORCE = f"{_EXEMPTION} WHERE ended_at IS NULL AND ends_at > $1 ORDER BY ends_at, id LIMIT 500"
_RECENT = f"{_EXEMPTION} ORDER BY id DESC LIMIT $1"


@dataclass(frozen=True, slots=True)
class Exemption:
    """One exemption. ``used`` counts what it kept from happening."""

    id: UUID
    subject_id: UUID
    reason: str
    begins_at: datetime
    ends_at: datetime
    proposed_by: str
    approved_by: tuple[str, ...]
    ended_at: datetime | None = None
    ended_by: str | None = None
    used: int = 0

    def in_force(self, at: datetime) -> bool:
        """Whether it holds at that moment."""
        return self.ended_at is None and self.begins_at <= at < self.ends_at


def add(unit: Unit, one: Exemption) -> None:
    """Add the write of a new exemption."""
    unit.write(
        _ADD, one.id, one.subject_id, one.reason, one.begins_at, one.ends_at, one.proposed_by,
        msgspec.json.encode(one.approved_by).decode(),
    )  # fmt: skip


def end(unit: Unit, exemption_id: UUID, at: datetime, by: str) -> None:
    """Add the write that ends one early."""
    unit.write(_END, exemption_id, at, by)


def use(unit: Unit, subject_id: UUID, at: datetime) -> None:
    """Add the count of one use."""
    unit.write(_USE, subject_id, at)


async def exemption(reader: Reader, exemption_id: UUID) -> Exemption | None:
    """The exemption of that id."""
    row = await reader.fetchrow(_ONE, exemption_id)
    return None if row is None else _made(row)


async def in_force(reader: Reader, at: datetime) -> list[Exemption]:
    """Those that hold at that moment, the soonest to end first."""
    return [_made(row) for row in await reader.fetch(_IN_FORCE, at)]


async def recent(reader: Reader, limit: int = 100) -> list[Exemption]:
    """Exemptions, ended ones too, the newest first."""
    return [_made(row) for row in await reader.fetch(_RECENT, limit)]


def _made(row: Row) -> Exemption:
    values: dict[str, Any] = dict(row)
    values["approved_by"] = msgspec.json.decode(values["approved_by"], type=tuple[str, ...])
    return Exemption(**values)
