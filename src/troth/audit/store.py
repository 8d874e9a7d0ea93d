"""The ledger's SQL: the sequencer's move from inbox to log, and everybody's reads by index."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from troth.audit.errors import TAMPERED, LedgerTampered
from troth.audit.event import StreamEvent, parse_payload
from troth.store.pool import Database
from troth.store.unit import Reader, Row

#: Events a partition holds. Retention drops payloads or whole partitions; leaves stay in exports.
PARTITION_SIZE = 5_000_000

EPOCH = "SELECT 1 FROM lease WHERE name = $1 AND epoch = $2 FOR UPDATE"
HEAD_FOR_UPDATE = "SELECT size, frontier, newest_at FROM ledger_head FOR UPDATE"
TAKE_INBOX = """
DELETE FROM ledger_inbox WHERE id IN (SELECT id FROM ledger_inbox ORDER BY id LIMIT $1)
RETURNING id, recorded_at, payload, salt"""
ANY_INBOX = "SELECT 1 AS one FROM ledger_inbox ORDER BY id LIMIT 1"
APPEND = """
INSERT INTO ledger_event (idx, id, recorded_at, kind, actor, payload, salt, leaf)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::bytea[], $7::bytea[],
    $8::bytea[])"""
#: One row for all that a move brings about one object: the index is most of what an event costs besides itself.
APPEND_SUBJECTS = """
INSERT INTO ledger_subject (ref, idx, more)
SELECT ref, idx, more::bigint[] FROM unnest($1::text[], $2::bigint[], $3::text[]) AS i(ref, idx, more)"""
MOVE_HEAD = "UPDATE ledger_head SET size = $1, frontier = $2, root = $3, newest_at = $4"

_HEAD = "SELECT size, frontier, root, newest_at FROM ledger_head"
_INBOX_OLDEST = "SELECT min(recorded_at) FROM ledger_inbox"
_WAITING = """
SELECT (SELECT id FROM ledger_inbox ORDER BY id LIMIT 1) AS oldest,
       (SELECT id FROM ledger_inbox ORDER BY id DESC LIMIT 1) AS newest"""
_FROM = "SELECT idx, payload FROM ledger_event WHERE idx >= $1 ORDER BY idx LIMIT $2"
#: Events of some kinds alone, and the last index looked at (there are no gaps), so that a reader knows how far it is.
_FROM_SOME = """
SELECT e.idx, e.payload
FROM (SELECT idx, kind, payload FROM ledger_event WHERE idx >= $1 AND idx < $1 + $2 ORDER BY idx LIMIT $2) AS e
WHERE e.kind = ANY($3::text[]) OR split_part(e.kind, '.', 1) = ANY($3::text[])
UNION ALL
SELECT least(size, $1 + $2) - 1, NULL FROM ledger_head WHERE size > $1"""
_RAW = """
SELECT idx, id, recorded_at, kind, actor, payload, salt, leaf FROM ledger_event
WHERE idx >= $1 ORDER BY idx LIMIT $2"""
_LEAVES = "SELECT idx, leaf FROM ledger_event WHERE idx >= $1 ORDER BY idx LIMIT $2"
#: Rows about one object follow each other like the moves that made them, so as many rows as events are wanted suffice.
_ABOUT = """
SELECT e.idx, e.payload
FROM (SELECT i.idx
      FROM (SELECT idx, more FROM ledger_subject WHERE ref = $1 AND idx < $2 ORDER BY idx DESC LIMIT $3) AS s
      CROSS JOIN LATERAL unnest(s.idx || s.more) AS i(idx)
      WHERE i.idx < $2 ORDER BY i.idx DESC LIMIT $3) AS newest
JOIN ledger_event e USING (idx) ORDER BY e.idx DESC"""
_LATEST = "SELECT idx, payload FROM ledger_event WHERE idx < $1 ORDER BY idx DESC LIMIT $2"
_ADD_CHECKPOINT = """
INSERT INTO ledger_checkpoint (size, root, note, signed_at) VALUES ($1, $2, $3, $4) ON CONFLICT (size) DO NOTHING"""
_LAST_CHECKPOINT = "SELECT size, root, note, signed_at FROM ledger_checkpoint ORDER BY size DESC LIMIT 1"
_CHECKPOINTS = "SELECT size, root, note, signed_at FROM ledger_checkpoint ORDER BY size"
_ACKNOWLEDGE = """
INSERT INTO stream_point (id, name, idx, lease_until) VALUES ($1, $2, $3, now() + $4 * interval '1 second')
ON CONFLICT (id) DO UPDATE SET idx = excluded.idx, lease_until = excluded.lease_until"""
_LEAVE = "DELETE FROM stream_point WHERE id = $1"
_FORGET = "DELETE FROM stream_point WHERE lease_until < now() - interval '1 hour'"
#: How far the log is and what waits for an index; with it the rows of processes that live, and of the points that have
#: applied all of it, are renewed. In the order of their ids, so that two of these never wait for each other in a ring.
PULSE = """
WITH head AS (SELECT size FROM ledger_head),
alive AS (
    UPDATE instance i SET lease_until = greatest(i.lease_until, now() + mine.seconds * interval '1 second')
    FROM (SELECT n.id, p.seconds FROM unnest($1::uuid[], $2::float8[]) AS p(id, seconds)
          JOIN instance n ON n.id = p.id ORDER BY n.id FOR UPDATE OF n) AS mine
    WHERE i.id = mine.id RETURNING i.id),
point AS (
    INSERT INTO stream_point (id, name, idx, lease_until)
    SELECT p.id, p.name, p.idx, now() + $3::float8 * interval '1 second'
    FROM unnest($4::uuid[], $5::text[], $6::bigint[]) AS p(id, name, idx), head WHERE p.idx >= head.size ORDER BY p.id
    ON CONFLICT (id) DO UPDATE SET idx = greatest(stream_point.idx, excluded.idx),
        lease_until = greatest(stream_point.lease_until, excluded.lease_until)
    RETURNING id)
SELECT (SELECT size FROM head) AS head, (SELECT id FROM ledger_inbox ORDER BY id LIMIT 1) AS oldest,
       (SELECT id FROM ledger_inbox ORDER BY id DESC LIMIT 1) AS newest,
       (SELECT array_agg(id) FROM alive) AS alive, (SELECT array_agg(id) FROM point) AS points"""
_EFFECTIVE = "SELECT count(*) FROM stream_point WHERE idx <= $1 AND lease_until >= now()"
_POINTS = "SELECT name, idx, lease_until >= now() AS live FROM stream_point ORDER BY name, id"


@dataclass(frozen=True, slots=True)
class Head:
    """How far the log has come.

    Attributes:
        size: number of events in the log; the next index.
        root: RFC 6962 root over them.
        newest_at: the latest time any of them claims.
    """

    size: int
    root: bytes
    newest_at: datetime | None


@dataclass(frozen=True, slots=True)
class RawEvent:
    """A row as it lies in the table, unverified."""

    index: int
    id: UUID
    recorded_at: datetime
    kind: str
    actor: str
    payload: bytes | None
    salt: bytes | None
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed statement of the log's size and root (C2SP signed note)."""

    size: int
    root: bytes
    note: str
    signed_at: datetime


@dataclass(frozen=True, slots=True)
class Point:
    """A decision point: the next index it has yet to apply, and whether its lease stands."""

    name: str
    index: int
    live: bool


def partition_ddl(number: int) -> str:
    """The statement that makes partition ``number`` if it is not there."""
    first = int(number) * PARTITION_SIZE
    return (
        f"CREATE TABLE IF NOT EXISTS ledger_event_p{int(number)} PARTITION OF ledger_event "
        f"FOR VALUES FROM ({first}) TO ({first + PARTITION_SIZE})"
    )


class LedgerStore:
    """Reads of the ledger."""

    def __init__(self, database: Database) -> None:
        self.database = self._database = database

    async def head(self) -> Head:
        """The present head."""
        row = await self._database.fetchrow(_HEAD)
        if row is None:
            raise LedgerTampered(TAMPERED, "the log has no head")
        return Head(row["size"], bytes(row["root"]), row["newest_at"])

    async def oldest_unsequenced(self) -> datetime | None:
        """When the oldest event that has no index yet was recorded."""
        return await self._database.fetchval(_INBOX_OLDEST)  # type: ignore[no-any-return]

    async def read(self, start: int, limit: int) -> list[StreamEvent]:
        """Events from index ``start`` on (those whose payload was erased are left out)."""
        return (await self.read_on(start, limit))[0]

    async def read_on(
        self, start: int, limit: int, rooms: Collection[str] | None = None
    ) -> tuple[list[StreamEvent], int]:
        """Like :meth:`read`, with the index to go on from.

        ``rooms``: only events whose kind is one of these (``certificate.revoked``) or begins with one of these words
        (``certificate``); None: all.
        """
        if rooms is None:
            rows = await self._database.lookups.fetch(_FROM, start, limit)
        else:
            rows = await self._database.lookups.fetch(_FROM_SOME, start, limit, sorted(rooms))
            rows = sorted(rows, key=_index)
        events = [parse_payload(row["idx"], bytes(row["payload"])) for row in rows if row["payload"] is not None]
        return events, rows[-1]["idx"] + 1 if rows else start

    async def latest(self, limit: int, *, before: int | None = None) -> list[StreamEvent]:
        """The newest events, newest first, with index below ``before``."""
        rows = await self._database.fetch(_LATEST, before if before is not None else 2**62, limit)
        return [parse_payload(row["idx"], bytes(row["payload"])) for row in rows if row["payload"] is not None]

    async def about(self, ref: str, limit: int, *, before: int | None = None) -> list[StreamEvent]:
        """The newest events about ``ref`` (``certificate:<uuid>`` …), newest first, with index below ``before``."""
        rows = await self._database.fetch(_ABOUT, ref, before if before is not None else 2**62, limit)
        return [parse_payload(row["idx"], bytes(row["payload"])) for row in rows if row["payload"] is not None]

    async def raw(self, *, chunk: int = 5000) -> AsyncIterator[RawEvent]:
        """Every row in the order of its index, as it lies there: for verification and export."""
        start = 0
        while rows := await self._database.fetch(_RAW, start, chunk):
            for row in rows:
                yield raw_event(row)
            start = rows[-1]["idx"] + 1

    async def leaves(self, start: int, limit: int) -> list[tuple[int, bytes]]:
        """(index, leaf hash) from ``start`` on."""
        return [(row["idx"], bytes(row["leaf"])) for row in await self._database.fetch(_LEAVES, start, limit)]

    async def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep a signed checkpoint."""
        await self._database.fetchval(
            _ADD_CHECKPOINT, checkpoint.size, checkpoint.root, checkpoint.note, checkpoint.signed_at
        )

    async def last_checkpoint(self) -> Checkpoint | None:
        """The newest signed checkpoint."""
        row = await self._database.fetchrow(_LAST_CHECKPOINT)
        return None if row is None else _checkpoint(row)

    async def checkpoints(self) -> list[Checkpoint]:
        """All signed checkpoints, oldest first."""
        return [_checkpoint(row) for row in await self._database.fetch(_CHECKPOINTS)]

    async def waiting(self) -> tuple[UUID, UUID] | None:
        """The least and the greatest id of the events that are committed and have no index yet; None if all have."""
        row = await self._database.lookups.fetchrow(_WAITING)
        if row is None or row["oldest"] is None or row["newest"] is None:
            return None
        return row["oldest"], row["newest"]

    async def acknowledge(self, point: UUID, name: str, index: int, lease_seconds: float) -> None:
        """Say that decision point ``point`` has applied everything below ``index``."""
        await self._database.fetchval(_ACKNOWLEDGE, point, name, index, lease_seconds)

    async def leave(self, point: UUID) -> None:
        """Take a decision point off the list: it has stopped answering."""
        await self._database.fetchval(_LEAVE, point)
        await self._database.fetchval(_FORGET)

    async def is_effective(self, index: int) -> bool:
        """Whether every live decision point has applied the event at ``index``."""
        return bool(await self._database.fetchval(_EFFECTIVE, index) == 0)

    async def points(self) -> list[Point]:
        """All decision points."""
        return [Point(row["name"], row["idx"], row["live"]) for row in await self._database.fetch(_POINTS)]


def _index(row: Row) -> int:
    index: int = row["idx"]
    return index


def raw_event(row: Any) -> RawEvent:
    """A row of ``ledger_event`` as a record."""
    return RawEvent(
        row["idx"],
        row["id"],
        row["recorded_at"],
        row["kind"],
        row["actor"],
        None if row["payload"] is None else bytes(row["payload"]),
        None if row["salt"] is None else bytes(row["salt"]),
        bytes(row["leaf"]),
    )


def _checkpoint(row: Any) -> Checkpoint:
    return Checkpoint(row["size"], bytes(row["root"]), row["note"], row["signed_at"])


async def epoch_in_force(reader: Reader, name: str, epoch: int) -> bool:
    """Whether lease ``name`` is still at ``epoch``; locks its row until the transaction ends."""
    return await reader.fetchval(EPOCH, name, epoch) is not None
