"""SQL of tokens on their way to receivers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from troth.connect.ssf.transmitter.model import QueuedToken
from troth.store.statement import Write
from troth.store.unit import Reader, Unit

#: Tokens that wait for one stream. A receiver that has gone must not fill the disk: beyond it the oldest are dropped.
MOST: Final = 100_000

_QUEUE = Write(
    "ssf_out_queue",
    """INSERT INTO ssf_out_token (id, stream, jti, cause, type, token, itself, queued_at)
       SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[],
                            $8::timestamptz[]) ORDER BY 1
       ON CONFLICT DO NOTHING""",
    ("uuid", "text", "text", "text", "text", "text", "boolean", "timestamptz"),
)
_TAKEN = Write(
    "ssf_out_taken",
    """DELETE FROM ssf_out_token t USING unnest($1::text[], $2::text[]) AS i(stream, jti)
       WHERE t.stream = i.stream AND t.jti = i.jti AND t.refused IS NULL""",
    ("text", "text"),
)
_REFUSED = Write(
    "ssf_out_refused",
    """UPDATE ssf_out_token t SET refused = i.why FROM unnest($1::text[], $2::text[], $3::text[]) AS i(stream, jti, why)
       WHERE t.stream = i.stream AND t.jti = i.jti""",
    ("text", "text", "text"),
)
_COUNT = Write(
    "ssf_out_count",
    """INSERT INTO ssf_out_count (stream, outcome, n)
       SELECT stream, outcome, count(*) FROM unnest($1::text[], $2::text[]) AS i(stream, outcome)
       GROUP BY stream, outcome ORDER BY stream, outcome
       ON CONFLICT (stream, outcome) DO UPDATE SET n = ssf_out_count.n + excluded.n""",
    ("text", "text"),
    rank=95,
)
_EMPTY = Write(
    "ssf_out_empty", "DELETE FROM ssf_out_token t USING unnest($1::text[]) AS i(id) WHERE t.stream = i.id", ("text",)
)

_WAITING = """
SELECT id, stream, jti, type, token, itself, queued_at FROM ssf_out_token
WHERE stream = $1 AND refused IS NULL AND (itself OR NOT $2) ORDER BY id LIMIT $3"""
_NUMBERS = """
SELECT stream, count(*) FILTER (WHERE refused IS NULL) AS waiting, count(*) FILTER (WHERE refused IS NOT NULL) AS
       refused, min(queued_at) FILTER (WHERE refused IS NULL) AS oldest FROM ssf_out_token GROUP BY stream"""
_HERE = "SELECT jti FROM ssf_out_token WHERE stream = $1 AND jti = ANY($2::text[])"
_FORGET = "DELETE FROM ssf_out_token WHERE refused IS NOT NULL AND queued_at < $1"
_TRIM = """
DELETE FROM ssf_out_token WHERE id IN (SELECT id FROM ssf_out_token WHERE stream = $1 AND refused IS NULL
ORDER BY id DESC OFFSET $2)"""
_COUNTS = "SELECT stream, outcome, n FROM ssf_out_count"


def queue(unit: Unit, one: QueuedToken, cause: str) -> None:
    """Add the write of a token on its way; of one cause the same event is queued once."""
    unit.write(_QUEUE, one.id, one.stream, one.jti, cause, one.type, one.token, one.itself, one.queued_at)


def taken(unit: Unit, stream: str, jti: str) -> None:
    """Add the end of a token: the receiver has it."""
    unit.write(_TAKEN, stream, jti)
    unit.write(_COUNT, stream, "delivered")


def refuse(unit: Unit, stream: str, jti: str, why: str) -> None:
    """Add the write that the receiver will not have a token."""
    unit.write(_REFUSED, stream, jti, why[:500])
    unit.write(_COUNT, stream, "refused")


def empty(unit: Unit, stream: str) -> None:
    """Add the removal of all that waits for a stream."""
    unit.write(_EMPTY, stream)


async def waiting(reader: Reader, stream: str, *, only_itself: bool, limit: int) -> list[QueuedToken]:
    """What waits for a stream, the oldest first. ``only_itself``: what is about the stream itself."""
    return [QueuedToken(**dict(row)) for row in await reader.fetch(_WAITING, stream, only_itself, limit)]


async def here(reader: Reader, stream: str, jtis: Sequence[str]) -> frozenset[str]:
    """Which of ``jtis`` wait for, or were refused by, the stream."""
    return frozenset(row["jti"] for row in await reader.fetch(_HERE, stream, list(jtis)))


async def numbers(reader: Reader) -> Mapping[str, tuple[int, int, datetime | None]]:
    """Stream → (waiting, refused, since when the oldest waits)."""
    return {row["stream"]: (row["waiting"], row["refused"], row["oldest"]) for row in await reader.fetch(_NUMBERS)}


async def counts(reader: Reader) -> Mapping[tuple[str, str], int]:
    """(stream, outcome) → how many ever."""
    return {(row["stream"], row["outcome"]): row["n"] for row in await reader.fetch(_COUNTS)}


async def forget(reader: Reader, before: datetime) -> None:
    """Drop refusals older than that."""
    await reader.fetch(_FORGET, before)


async def trim(reader: Reader, stream: str, most: int = MOST) -> None:
    """Drop the oldest of what waits beyond ``most``."""
    await reader.fetch(_TRIM, stream, most)


def new(id: UUID, stream: str, jti: str, type: str, token: str, at: datetime, *, itself: bool = False) -> QueuedToken:
    """A token to queue."""
    return QueuedToken(id, stream, jti, type, token, itself, at)
