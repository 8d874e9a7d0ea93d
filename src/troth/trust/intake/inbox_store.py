"""SQL of the inbox: signals that were accepted and wait to be acted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from troth.store.statement import Write
from troth.store.unit import Reader, Row, Unit

#: Woken when signals were accepted, or are to be taken again; the worker listens.
SIGNALS_CHANNEL: Final = "troth_signals"

#: What was taken before, acted on or not, is not taken again.
_ADD = Write(
    "inbox_add",
    """INSERT INTO signal_inbox (id, feed, message_id, body, severity, accepted_at, due, refused, detail)
       SELECT DISTINCT ON (i.feed, i.message_id) i.id, i.feed, i.message_id, i.body, i.severity, i.at, i.at, i.refused,
              i.detail
       FROM unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::int[], $6::timestamptz[], $7::text[],
                   $8::text[]) AS i(id, feed, message_id, body, severity, at, refused, detail)
       WHERE NOT EXISTS (SELECT FROM signal s WHERE s.feed = i.feed AND s.message_id = i.message_id)
       ORDER BY i.feed, i.message_id, i.id
       ON CONFLICT (feed, message_id) DO NOTHING""",
    ("uuid", "text", "text", "jsonb", "int", "timestamptz", "text", "text"),
    rank=60,
    wakes=SIGNALS_CHANNEL,
)
_DROP = Write(
    "inbox_drop",
    "DELETE FROM signal_inbox x USING unnest($1::uuid[]) AS i(id) WHERE x.id = i.id",
    ("uuid",),
    rank=61,
)
_REFUSE = Write(
    "inbox_refuse",
    """UPDATE signal_inbox x SET refused = i.code, detail = i.detail
       FROM unnest($1::uuid[], $2::text[], $3::text[]) AS i(id, code, detail) WHERE x.id = i.id""",
    ("uuid", "text", "text"),
    rank=61,
)
_POSTPONE = Write(
    "inbox_postpone",
    """UPDATE signal_inbox x SET attempts = x.attempts + 1, due = i.due, detail = i.detail
       FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS i(id, due, detail) WHERE x.id = i.id""",
    ("uuid", "timestamptz", "text"),
    rank=61,
    wakes=SIGNALS_CHANNEL,
)

_RETRY = Write(
    "inbox_retry",
    """UPDATE signal_inbox x SET refused = NULL, detail = NULL, attempts = 0, due = i.due
       FROM unnest($1::uuid[], $2::timestamptz[]) AS i(id, due) WHERE x.id = i.id""",
    ("uuid", "timestamptz"),
    rank=61,
    wakes=SIGNALS_CHANNEL,
)

_COLUMNS = "id, feed, message_id, body, severity, accepted_at, attempts, refused, detail"
_DUE = f"""
SELECT {_COLUMNS} FROM signal_inbox WHERE refused IS NULL AND due <= $1 ORDER BY severity DESC, id LIMIT $2"""
_NEXT_DUE = "SELECT min(due) FROM signal_inbox WHERE refused IS NULL"
_REFUSED = f"""
SELECT {_COLUMNS} FROM signal_inbox WHERE refused IS NOT NULL AND ($1::text IS NULL OR feed = $1)
AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3"""
_COUNTS = """
SELECT feed, count(*) FILTER (WHERE refused IS NULL) AS waiting, min(accepted_at) FILTER (WHERE refused IS NULL) AS
       oldest, count(*) FILTER (WHERE refused IS NOT NULL) AS refused FROM signal_inbox GROUP BY feed"""
_FORGET = """
DELETE FROM signal_inbox WHERE id IN (SELECT id FROM signal_inbox WHERE refused IS NOT NULL AND accepted_at < $1
ORDER BY id LIMIT 1000)"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One row of the inbox. ``body`` is JSON text; ``refused`` a reason code if it is kept only to be seen."""

    id: UUID
    feed: str
    message_id: str
    body: str
    severity: int
    accepted_at: datetime
    attempts: int
    refused: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class InboxCount:
    """How many signals of one feed wait, since when the oldest does, and how many were refused."""

    feed: str
    waiting: int
    oldest: datetime | None
    refused: int


def add(
    unit: Unit,
    *,
    id: UUID,
    feed: str,
    message_id: str,
    body: str,
    severity: int,
    at: datetime,
    refused: str | None = None,
    detail: str | None = None,
) -> None:
    """Add the write of one signal; a repetition is passed over."""
    unit.write(_ADD, id, feed, message_id, body, severity, at, refused, detail)


def drop(unit: Unit, id: UUID) -> Unit:
    """Add the end of a row: it was acted on."""
    return unit.write(_DROP, id)


def refuse(unit: Unit, id: UUID, code: str, detail: str) -> Unit:
    """Add the write that keeps a row for a person to see, and has nobody act on it."""
    return unit.write(_REFUSE, id, code, detail[:300])


def postpone(unit: Unit, id: UUID, due: datetime, detail: str) -> Unit:
    """Add the write that has it tried again at ``due``."""
    return unit.write(_POSTPONE, id, due, detail[:300])


def retry(unit: Unit, id: UUID, due: datetime) -> Unit:
    """Add the write that has a refused one tried again."""
    return unit.write(_RETRY, id, due)


async def next_due(reader: Reader) -> datetime | None:
    """When the next signal is due; None: none waits."""
    due: datetime | None = await reader.fetchval(_NEXT_DUE)
    return due


async def due(reader: Reader, at: datetime, limit: int) -> Sequence[Waiting]:
    """What waits to be acted on, the most severe first, then in the order of arrival."""
    return [_waiting(row) for row in await reader.fetch(_DUE, at, limit)]


async def refused(
    reader: Reader, feed: str | None = None, *, before: UUID | None = None, limit: int = 50
) -> Sequence[Waiting]:
    """What was refused, the newest first."""
    return [_waiting(row) for row in await reader.fetch(_REFUSED, feed, before, limit)]


async def counts(reader: Reader) -> Sequence[InboxCount]:
    """How much waits, by feed."""
    return [InboxCount(row["feed"], row["waiting"], row["oldest"], row["refused"])
            for row in await reader.fetch(_COUNTS)]  # fmt: skip


async def forget_refused(reader: Reader, before: datetime) -> None:
    """Drop what was refused before then."""
    await reader.fetch(_FORGET, before)


def _waiting(row: Row) -> Waiting:
    values: dict[str, Any] = dict(row)
    return Waiting(**values)
