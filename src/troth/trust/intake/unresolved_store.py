"""SQL of what was said about nobody we know, or about several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from troth.store.statement import Guard, Write
from troth.store.unit import Reader, Unit
from troth.trust.signals.codec import encode
from troth.trust.signals.model import Signal, Whom, alias_value

_KEEP = Write(
    "unresolved_keep",
    """INSERT INTO signal_unresolved (signal_id, feed, system, value, several, body, at)
       SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::jsonb[],
                            $7::timestamptz[])
       ON CONFLICT DO NOTHING""",
    ("uuid", "text", "text", "text", "boolean", "jsonb", "timestamptz"),
    rank=62,
)
_STRANGER = Write(
    "stranger_add",
    """INSERT INTO stranger (feed, system, value, several, first_at, last_at, reports)
       SELECT feed, system, value, bool_or(several), min(at), max(at), count(*)
       FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::timestamptz[])
            AS i(feed, system, value, several, at) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
       ON CONFLICT (feed, system, value) DO UPDATE SET several = excluded.several,
           last_at = greatest(stranger.last_at, excluded.last_at), reports = stranger.reports + excluded.reports""",
    ("text", "text", "text", "boolean", "timestamptz"),
    rank=63,
)
_SETTLE = Write(
    "unresolved_settle",
    """UPDATE signal_unresolved u SET settled_at = i.at, settled_by = i.by, subject_id = i.subject_id
       FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::uuid[]) AS i(id, at, by, subject_id)
       WHERE u.signal_id = i.id AND u.settled_at IS NULL""",
    ("uuid", "timestamptz", "text", "uuid"),
    rank=62,
)
_NO_STRANGER = Write(
    "stranger_drop",
    """DELETE FROM stranger s USING unnest($1::text[], $2::text[]) AS i(system, value)
       WHERE s.system = i.system AND s.value = i.value""",
    ("text", "text"),
    rank=63,
)
#: The signal is unresolved still, and ours until commit.
STILL_OPEN = Guard(
    "unresolved_still_open",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id)
       JOIN signal_unresolved u ON u.signal_id = i.id AND u.settled_at IS NULL ORDER BY u.signal_id FOR UPDATE OF u""",
    ("uuid",),
    rank=40,
)

_COLUMNS = "signal_id, feed, system, value, several, body, at"
_OPEN = f"""
SELECT {_COLUMNS} FROM signal_unresolved WHERE settled_at IS NULL AND ($1::uuid IS NULL OR signal_id < $1)
ORDER BY signal_id DESC LIMIT $2"""
_ONE = f"SELECT {_COLUMNS} FROM signal_unresolved WHERE signal_id = $1 AND settled_at IS NULL"
_OF = f"""
SELECT {_COLUMNS} FROM signal_unresolved WHERE settled_at IS NULL AND system = $1 AND value = $2
ORDER BY signal_id LIMIT $3"""
_OF_NAMES = f"""
SELECT {", ".join(f"u.{name.strip()}" for name in _COLUMNS.split(","))} FROM signal_unresolved u
JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::text[]) AS t(system, value)) AS i
  ON u.system = i.system AND u.value = i.value
WHERE u.settled_at IS NULL ORDER BY u.signal_id LIMIT $3"""
_STRANGERS = """
SELECT feed, system, value, several, first_at, last_at, reports FROM stranger
WHERE $1::timestamptz IS NULL OR last_at < $1 ORDER BY last_at DESC LIMIT $2"""
_COUNTS = """
SELECT feed, sum(signals)::bigint AS signals, sum(strangers)::bigint AS strangers FROM (
    SELECT feed, count(*) AS signals, 0 AS strangers FROM signal_unresolved WHERE settled_at IS NULL GROUP BY feed
    UNION ALL SELECT feed, 0, count(*) FROM stranger GROUP BY feed) AS c GROUP BY feed"""
_FORGET = """
DELETE FROM stranger WHERE (feed, system, value) IN
    (SELECT feed, system, value FROM stranger WHERE last_at < $1 ORDER BY last_at LIMIT 1000)"""
_FORGET_SETTLED = """
WITH gone AS (
    DELETE FROM signal_unresolved WHERE signal_id IN
        (SELECT signal_id FROM signal_unresolved WHERE settled_at < $1 ORDER BY settled_at LIMIT $2)
    RETURNING 1)
SELECT count(*) FROM gone"""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A signal that named nobody, or several. ``body`` is the signal as the inbox keeps it."""

    signal_id: UUID
    feed: str
    system: str
    value: str
    several: bool
    body: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody a feed reports of whom we do not know, or cannot tell from others."""

    feed: str
    system: str
    value: str
    several: bool
    first_at: datetime
    last_at: datetime
    reports: int


def called(whom: Whom) -> tuple[str, str]:
    """(system, value): what ``whom`` is called, whichever way it names its subject."""
    if whom.alias is not None:
        return whom.alias[0], alias_value(*whom.alias)
    if whom.device_serial is not None:
        return "serial", whom.device_serial
    if whom.id is not None:
        return "id", str(whom.id)
    if whom.certificate is not None:
        return "certificate", f"{whom.certificate[0]}#{whom.certificate[1]}"
    if whom.certificate_sha256 is not None:
        return "certificate.sha256", whom.certificate_sha256
    return f"name.{whom.kind}", str(whom.name)


def keep(unit: Unit, signal_id: UUID, signal: Signal, *, several: bool, at: datetime) -> None:
    """Add the write that keeps a signal which names nobody, or several."""
    unit.write(_KEEP, signal_id, signal.feed, *called(signal.whom), several, encode(signal), at)


def add_stranger(unit: Unit, feed: str, whom: Whom, *, several: bool, at: datetime) -> None:
    """Add the write that counts a report about nobody, or several."""
    unit.write(_STRANGER, feed, *called(whom), several, at)


def settle(unit: Unit, signal_id: UUID, *, by: str, subject_id: UUID | None, at: datetime) -> None:
    """Add the write that has a person's word on whom a signal means (None: it is set aside)."""
    unit.write(_SETTLE, signal_id, at, by, subject_id)


def drop_stranger(unit: Unit, system: str, value: str) -> None:
    """Add the write that forgets a stranger: it is known now."""
    unit.write(_NO_STRANGER, system, value)


async def find(reader: Reader, signal_id: UUID) -> Unresolved | None:
    """One that is open."""
    row = await reader.fetchrow(_ONE, signal_id)
    return None if row is None else Unresolved(**dict(row))


async def unresolved(reader: Reader, *, before: UUID | None = None, limit: int = 50) -> Sequence[Unresolved]:
    """Open ones, the newest first."""
    return [Unresolved(**dict(row)) for row in await reader.fetch(_OPEN, before, limit)]


async def of_whom(reader: Reader, system: str, value: str, *, limit: int = 1_000) -> Sequence[Unresolved]:
    """Open ones that name the same, in the order in which they came."""
    return [Unresolved(**dict(row)) for row in await reader.fetch(_OF, system, value, limit)]


async def of_names(reader: Reader, names: Sequence[tuple[str, str]], *, limit: int = 1_000) -> Sequence[Unresolved]:
    """Open ones that name one of ``names``, in the order in which they came."""
    if not names:
        return []
    systems, values = [system for system, _ in names], [value for _, value in names]
    return [Unresolved(**dict(row)) for row in await reader.fetch(_OF_NAMES, systems, values, limit)]


async def strangers(reader: Reader, *, before: datetime | None = None, limit: int = 50) -> Sequence[Stranger]:
    """Whom reports speak of and nobody knows, the latest first."""
    return [Stranger(**dict(row)) for row in await reader.fetch(_STRANGERS, before, limit)]


async def counts(reader: Reader) -> dict[str, tuple[int, int]]:
    """Feed → (unresolved signals, strangers)."""
    rows: list[Any] = await reader.fetch(_COUNTS)
    return {row["feed"]: (row["signals"], row["strangers"]) for row in rows}


async def forget_strangers(reader: Reader, before: datetime) -> None:
    """Drop those of whom nothing was heard since."""
    await reader.fetch(_FORGET, before)


async def forget_settled(reader: Reader, before: datetime, limit: int) -> int:
    """Drop what was settled before then; how many went."""
    return int(await reader.fetchval(_FORGET_SETTLED, before, limit))
