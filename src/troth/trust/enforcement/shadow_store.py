"""SQL of what feeds would have done where they are only watched."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.kit.ids import new_id
from troth.store.statement import Write
from troth.store.unit import Reader, Unit
from troth.trust.standing import Standing

_ADD = Write(
    "shadow_effect_add",
    """INSERT INTO shadow_effect (id, feed, kind, subject_id, signal_id, at, standing_from, standing_to, capped)
       SELECT *, false FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::timestamptz[],
                                   $7::text[], $8::text[])""",
    ("uuid", "text", "text", "uuid", "uuid", "timestamptz", "text", "text"),
)
_SUMMARY = """
SELECT kind, standing_to, count(DISTINCT subject_id)::int AS subjects, count(*)::int AS times, max(at) AS latest
FROM shadow_effect WHERE feed = $1 AND at >= $2 GROUP BY kind, standing_to ORDER BY kind, standing_to"""
_BUSIEST = """SELECT COALESCE(max(n), 0)::int FROM (
    SELECT count(DISTINCT subject_id) AS n FROM shadow_effect WHERE feed = $1 AND at >= $2
    GROUP BY floor(extract(epoch FROM at) / $3)) AS hours"""
_LATEST = """
SELECT e.at, e.kind, e.subject_id, s.kind AS subject_kind, s.name, e.standing_from, e.standing_to, e.signal_id
FROM shadow_effect e JOIN subject s ON s.id = e.subject_id WHERE e.feed = $1 AND e.at >= $2
ORDER BY e.at DESC LIMIT $3"""
_FORGET = "DELETE FROM shadow_effect WHERE at < $1"


@dataclass(frozen=True, slots=True)
class ShadowLine:
    """For one kind: how many subjects it would have brought to a standing, how often, and when last."""

    kind: str
    standing: Standing
    subjects: int
    times: int
    latest: datetime


@dataclass(frozen=True, slots=True)
class ShadowEffect:
    """What one signal would have done."""

    at: datetime
    kind: str
    subject_id: UUID
    subject: str
    before: Standing
    after: Standing
    signal_id: UUID


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """What a feed would have done since a moment.

    Attributes:
        busiest: how many subjects it would have restricted in the busiest of its cap's windows.
        allowed: how many its cap would have let it.
    """

    feed: str
    since: datetime
    lines: tuple[ShadowLine, ...]
    latest: tuple[ShadowEffect, ...]
    busiest: int
    allowed: int


def add(
    unit: Unit, feed: str, kind: str, subject_id: UUID, signal_id: UUID, at: datetime, before: Standing, after: Standing
) -> None:
    """Add the write of what a word would have done."""
    unit.write(_ADD, new_id(), feed, kind, subject_id, signal_id, at, before.value, after.value)


async def summary(reader: Reader, feed: str, since: datetime) -> list[ShadowLine]:
    """By kind and standing."""
    return [
        ShadowLine(row["kind"], Standing(row["standing_to"]), row["subjects"], row["times"], row["latest"])
        for row in await reader.fetch(_SUMMARY, feed, since)
    ]


async def busiest(reader: Reader, feed: str, since: datetime, window_seconds: int) -> int:
    """Subjects in the busiest window."""
    return int(await reader.fetchval(_BUSIEST, feed, since, window_seconds))


async def latest(reader: Reader, feed: str, since: datetime, limit: int = 50) -> list[ShadowEffect]:
    """One by one, the newest first."""
    return [
        ShadowEffect(
            row["at"], row["kind"], row["subject_id"], f"{row['subject_kind']} {row['name']}",
            Standing(row["standing_from"]), Standing(row["standing_to"]), row["signal_id"],
        )
        for row in await reader.fetch(_LATEST, feed, since, limit)
    ]  # fmt: skip


async def forget(reader: Reader, before: datetime) -> None:
    """Drop what is older."""
    await reader.fetchval(_FORGET, before)
