"""SQL of requests to access servers whose only way is their own connection: left by one process, taken by another."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.store.statement import Write
from troth.store.unit import Reader, Unit

_LEAVE = Write(
    "radius_reverse_leave",
    """INSERT INTO radius_reverse (id, nas, code, attributes, until)
       SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::bytea[], $5::timestamptz[])""",
    ("uuid", "text", "int", "bytea", "timestamptz"),
    rank=72,
)
_DONE = Write(
    "radius_reverse_done",
    """UPDATE radius_reverse r SET reply_code = i.code, reply = i.reply, failed = i.failed, detail = i.detail
       FROM unnest($1::uuid[], $2::int[], $3::bytea[], $4::text[], $5::text[]) AS i(id, code, reply, failed, detail)
       WHERE r.id = i.id""",
    ("uuid", "int", "bytea", "text", "text"),
    rank=73,
)
_FORGET = Write(
    "radius_reverse_forget",
    "DELETE FROM radius_reverse r USING unnest($1::uuid[]) AS i(id) WHERE r.id = i.id",
    ("uuid",),
    rank=74,
)
_FORGET_OLD = Write(
    "radius_reverse_forget_old",
    "DELETE FROM radius_reverse r USING unnest($1::timestamptz[]) AS i(before) WHERE r.until < i.before",
    ("timestamptz",),
    rank=74,
)
#: One statement, so that two processes with a connection each do not both send it.
_TAKE = """UPDATE radius_reverse SET taken_at = $2
           WHERE id IN (SELECT id FROM radius_reverse WHERE nas = ANY($1::text[]) AND taken_at IS NULL AND until > $2
                        ORDER BY id LIMIT 64 FOR UPDATE SKIP LOCKED)
           RETURNING id, nas, code, attributes, until"""
_ANSWERS = """SELECT id, reply_code, reply, failed, detail FROM radius_reverse
              WHERE id = ANY($1::uuid[]) AND (reply_code IS NOT NULL OR failed IS NOT NULL)"""


@dataclass(frozen=True, slots=True)
class Left:
    """A request that waits for a connection. ``attributes``: as on the wire, nothing in them hidden."""

    id: UUID
    nas: str
    code: int
    attributes: bytes
    until: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of it: the reply's code and attributes, or a reason code and words."""

    id: UUID
    reply_code: int | None
    reply: bytes | None
    failed: str | None
    detail: str


def leave(unit: Unit, one: Left) -> Unit:
    """Add the write of a request."""
    unit.write(_LEAVE, one.id, one.nas, one.code, one.attributes, one.until)
    return unit


def done(unit: Unit, answer: Answer) -> Unit:
    """Add the write of its answer."""
    unit.write(_DONE, answer.id, answer.reply_code, answer.reply, answer.failed, answer.detail)
    return unit


def forget(unit: Unit, id: UUID) -> Unit:
    """Add the removal of one whose answer has been read."""
    unit.write(_FORGET, id)
    return unit


def forget_old(unit: Unit, before: datetime) -> Unit:
    """Add the removal of those that nobody waits for any more."""
    unit.write(_FORGET_OLD, before)
    return unit


async def take(reader: Reader, nas: Collection[str], at: datetime) -> Sequence[Left]:
    """Take what waits for these access servers; nobody else gets it then."""
    return [Left(**dict(row)) for row in await reader.fetch(_TAKE, list(nas), at)]


async def answers(reader: Reader, ids: Collection[UUID]) -> Sequence[Answer]:
    """The answers that are there by now."""
    return [Answer(**dict(row)) for row in await reader.fetch(_ANSWERS, list(ids))]
