"""SQL of what came over streams: tokens that were taken, counters, events that wait for a person, aliases that end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from troth.store.statement import Guard, Write
from troth.store.unit import Reader, Row, Unit

_TAKE = Write(
    "ssf_event_take",
    """INSERT INTO ssf_event (stream, jti, digest, type, outcome, detail, issued_at, received_at, id)
       SELECT DISTINCT ON (stream, jti) * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::text[],
              $6::text[], $7::timestamptz[], $8::timestamptz[], $9::uuid[])
              AS i(stream, jti, digest, type, outcome, detail, issued_at, received_at, id)
       ORDER BY stream, jti, id ON CONFLICT (stream, jti) DO NOTHING""",
    ("text", "text", "bytea", "text", "text", "text", "timestamptz", "timestamptz", "uuid"),
    rank=62,
)
_COUNT = Write(
    "ssf_count",
    """INSERT INTO ssf_count (stream, outcome, n)
       SELECT stream, outcome, count(*) FROM unnest($1::text[], $2::text[]) AS i(stream, outcome)
       GROUP BY stream, outcome ORDER BY stream, outcome
       ON CONFLICT (stream, outcome) DO UPDATE SET n = ssf_count.n + excluded.n""",
    ("text", "text"),
    rank=95,
)
_HOLD = Write(
    "ssf_wide_hold",
    """INSERT INTO ssf_wide (id, stream, feed, jti, type, subject, signals, fields, observed_at, received_at)
       SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[],
                            $8::jsonb[], $9::timestamptz[], $10::timestamptz[])
       ON CONFLICT (stream, jti) DO NOTHING""",
    ("uuid", "text", "text", "text", "text", "text", "jsonb", "jsonb", "timestamptz", "timestamptz"),
    rank=63,
)
#: It waits, and is ours until commit.
LOCK_WIDE = Guard(
    "ssf_wide_lock",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id)
       JOIN ssf_wide w ON w.id = i.id AND w.state = 'waiting' ORDER BY w.id FOR UPDATE OF w""",
    ("uuid",),
    rank=13,
)
_SETTLE = Write(
    "ssf_wide_settle",
    """UPDATE ssf_wide w SET state = i.state, settled_by = i.actor, settled_at = i.at
       FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[]) AS i(id, state, actor, at)
       WHERE w.id = i.id""",
    ("uuid", "text", "text", "timestamptz"),
)

_FIND = "SELECT digest, outcome, detail FROM ssf_event WHERE stream = $1 AND jti = $2"
_NEWEST = """
SELECT jti, type, outcome, detail, issued_at, received_at, id FROM ssf_event WHERE stream = $1
AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3"""
_COUNTS = "SELECT stream, outcome, n FROM ssf_count ORDER BY stream, outcome"
_FORGET = """
WITH gone AS (DELETE FROM ssf_event WHERE (stream, jti) IN (SELECT stream, jti FROM ssf_event WHERE issued_at < $1
ORDER BY issued_at LIMIT 5000) RETURNING 1) SELECT count(*) FROM gone"""
_WIDE = """
SELECT id, stream, feed, jti, type, subject, signals, fields, observed_at, received_at, state, settled_by, settled_at
FROM ssf_wide"""
_WIDE_ONE = f"{_WIDE} WHERE id = $1"
_WIDE_WAITING = f"{_WIDE} WHERE state = 'waiting' ORDER BY id LIMIT 500"
_ALIASES = "SELECT subject_id, source FROM subject_alias WHERE system = $1 AND value = $2 LIMIT 50"
_IN_SCOPE = """
SELECT id FROM subject WHERE removed_at IS NULL AND kind = ANY($1::text[])
AND (cardinality($2::text[]) = 0 OR groups ?| $2::text[]) AND id > $3 ORDER BY id LIMIT $4"""


@dataclass(frozen=True, slots=True)
class TakenEvent:
    """One token that was taken."""

    jti: str
    type: str
    outcome: str
    detail: str
    issued_at: datetime
    received_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class WideEvent:
    """An event about many at once. ``signals``: what it says, as (kind, severity)."""

    id: UUID
    stream: str
    feed: str
    jti: str
    type: str
    subject: str
    signals: tuple[tuple[str, int | None], ...]
    fields: Mapping[str, str]
    observed_at: datetime
    received_at: datetime
    state: str = "waiting"
    settled_by: str | None = None
    settled_at: datetime | None = None


def take(
    unit: Unit, stream: str, jti: str, digest: bytes, *, type: str, outcome: str, detail: str, issued_at: datetime,
    received_at: datetime, id: UUID,
) -> None:  # fmt: skip
    """Add the write that a token was taken, and count it."""
    unit.write(_TAKE, stream, jti, digest, type[:300], outcome, detail[:500], issued_at, received_at, id)
    count(unit, stream, outcome)


def count(unit: Unit, stream: str, outcome: str) -> None:
    """Add one to a counter."""
    unit.write(_COUNT, stream, outcome)


def hold(unit: Unit, event: WideEvent) -> None:
    """Add the write of an event that waits for a person."""
    unit.write(
        _HOLD, event.id, event.stream, event.feed, event.jti, event.type, event.subject,
        msgspec.json.encode(event.signals).decode(), msgspec.json.encode(event.fields).decode(), event.observed_at,
        event.received_at,
    )  # fmt: skip


def settle(unit: Unit, id: UUID, state: str, *, actor: str, at: datetime) -> None:
    """Add the write of what a person decided; the event must be locked by LOCK_WIDE."""
    unit.write(_SETTLE, id, state, actor, at)


async def find_taken(reader: Reader, stream: str, jti: str) -> tuple[bytes, str, str] | None:
    """(digest, outcome, detail) of the token that was taken under this jti."""
    row = await reader.fetchrow(_FIND, stream, jti)
    return None if row is None else (bytes(row["digest"]), row["outcome"], row["detail"])


async def newest(reader: Reader, stream: str, *, before: UUID | None = None, limit: int = 50) -> list[TakenEvent]:
    """What came over a stream, the newest first."""
    return [TakenEvent(**dict(row)) for row in await reader.fetch(_NEWEST, stream, before, limit)]


async def counts(reader: Reader) -> dict[tuple[str, str], int]:
    """(stream, outcome) → how often."""
    return {(row["stream"], row["outcome"]): row["n"] for row in await reader.fetch(_COUNTS)}


async def forget(reader: Reader, before: datetime) -> int:
    """Drop up to 5,000 tokens issued before then: they are refused for their age. How many it were."""
    return int(await reader.fetchval(_FORGET, before))


async def find_wide(reader: Reader, id: UUID) -> WideEvent | None:
    """One event about many."""
    row = await reader.fetchrow(_WIDE_ONE, id)
    return None if row is None else _wide(row)


async def waiting(reader: Reader) -> list[WideEvent]:
    """Events about many that wait for a person, the oldest first."""
    return [_wide(row) for row in await reader.fetch(_WIDE_WAITING)]


async def aliases(reader: Reader, system: str, value: str) -> list[tuple[UUID, str]]:
    """(subject, source) of everybody who is known by an alias."""
    return [(row["subject_id"], row["source"]) for row in await reader.fetch(_ALIASES, system, value)]


async def in_scope(
    reader: Reader, kinds: Sequence[str], groups: Sequence[str], *, after: UUID, limit: int
) -> list[UUID]:
    """Subjects of those kinds and groups, by id."""
    return [row["id"] for row in await reader.fetch(_IN_SCOPE, list(kinds), list(groups), after, limit)]


def _wide(row: Row | Mapping[str, Any]) -> WideEvent:
    values: dict[str, Any] = dict(row)
    values["signals"] = msgspec.json.decode(values["signals"], type=tuple[tuple[str, int | None], ...])
    values["fields"] = msgspec.json.decode(values["fields"], type=dict[str, str])
    return WideEvent(**values)
