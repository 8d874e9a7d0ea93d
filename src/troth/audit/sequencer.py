"""The sequencer: gives committed events their index, one after the other, without gaps.

Writers only insert into the inbox, so no index is handed out on the issuing path and no lock is shared there. One
process holds the duty under a fenced lease; each move checks the epoch and locks the head row in its own
transaction, so a holder that was thought dead and comes back writes nothing. An event that was committed is moved
sooner or later whoever dies; an event that was not committed never existed.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from troth.audit import store
from troth.audit.event import URGENT_KINDS, entry_hash
from troth.audit.merkle import Frontier, leaf_hash
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.kit.rhythm import Rhythm
from troth.kit.waiting import until_set
from troth.store.bell import BUSY_SECONDS, Bell
from troth.store.errors import LEASE_LOST, UNAVAILABLE, LeaseLost, StoreError, Unavailable
from troth.store.failures import BROKEN
from troth.store.lease import Held, Lease, Tenure
from troth.store.pool import INBOX_CHANNEL, URGENT_CHANNEL, Database
from troth.store.wire import Ask, Wire

log = get_logger("audit")

#: Woken when the log has grown.
STREAM_CHANNEL = "troth_stream"
LEASE_NAME = "sequencer"

_BATCH = 2000
#: Who commits events wakes us; and the pulse does (``pulse.py``), where one died before it could.
_LOOK = Rhythm("sequencer.look", 30.0, "worker")
#: Seconds between the beginnings of two moves: a busy log grows in larger steps, and a lone event waits for nothing.
#: Nor does an urgent one, however busy the log is: of it the followers hear at once, too.
_PACE_SECONDS = 0.2
#: And between two wake-ups of those who follow the log; what they must not miss they poll for.
_STREAM_PACE = 0.2
_LEASE_SECONDS = 3.0


class _Labels(msgspec.Struct):
    """What of a payload stands in columns as well."""

    kind: str
    actor: str
    subjects: list[str]


class Sequencer:
    """Moves events from the inbox into the log for as long as it holds the lease."""

    def __init__(self, database: Database, clock: Clock, instance: UUID) -> None:
        self._database = database
        self._clock = clock
        self._lease = Lease(database, clock, LEASE_NAME, instance, seconds=_LEASE_SECONDS)
        self._bell = Bell(_LOOK, database, INBOX_CHANNEL, URGENT_CHANNEL)
        self._hurry = asyncio.Event()
        self._partitions_ready = -1
        self._wire: Wire | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set. A database that is away is waited for."""
        await self._database.listen(URGENT_CHANNEL, self._hurry.set)
        try:
            async with self._bell.heeding(stop), self._lease.kept(self._bell.ring) as tenure:
                while not stop.is_set():
                    await self._turn(tenure)
                if tenure.held is not None:
                    await self.move(tenure.held)
        except StoreError as error:
            log.warning("sequencer.interrupted", error=str(error))
        finally:
            self._database.forget(URGENT_CHANNEL, self._hurry.set)

    async def _turn(self, tenure: Tenure) -> None:
        """Move what there is, and wait for more."""
        self._bell.hush()
        self._hurry.clear()
        held = tenure.held
        if held is None:
            await self._bell.wait()
            return
        begun = self._clock.monotonic()
        try:
            moved = await self.move(held)
        except StoreError as error:
            log.warning("sequencer.interrupted", error=str(error))
            if isinstance(error, LeaseLost):
                tenure.drop()
            await asyncio.sleep(BUSY_SECONDS)
            return
        if moved < _BATCH:
            await self._bell.wait()
            await until_set(self._hurry, begun + _PACE_SECONDS - self._clock.monotonic())

    async def move(self, held: Held) -> int:
        """Move one batch; returns how many events got an index. Raises LeaseLost if the duty has moved on."""
        ready = self._partitions_ready
        try:
            moved, urgent = await self._move(held)
        except BaseException as error:
            # A partition that was made in a transaction that failed is not there: the next move makes it again.
            self._partitions_ready = ready
            self._drop_wire()
            if isinstance(error, BROKEN):
                raise Unavailable(UNAVAILABLE, str(error)) from error
            raise
        if moved:
            self._database.wake(STREAM_CHANNEL, pace=0.0 if urgent else _STREAM_PACE)
        return moved

    async def _move(self, held: Held) -> tuple[int, bool]:
        """One transaction in two exchanges: look, then write and commit. What fails is undone with its connection.

        Returns how many events moved, and whether one of them is urgent.
        """
        if await self._database.lookups.fetchval(store.ANY_INBOX) is None:
            return 0, False
        if self._wire is None or self._wire.closed:
            self._wire = await self._database.open_wire("troth-sequencer")
        epoch, rows, head = await self._exchange(
            Ask("BEGIN"),
            Ask(store.EPOCH, (held.name, held.epoch)),
            Ask(store.TAKE_INBOX, (_BATCH,)),
            Ask(store.HEAD_FOR_UPDATE),
        )
        if not epoch:
            await self._exchange(Ask("ROLLBACK"))
            raise LeaseLost(LEASE_LOST, "another sequencer is at work")
        if not rows:
            await self._exchange(Ask("COMMIT"))
            return 0, False
        rows.sort()
        ((size, frontier, newest_at),) = head
        asks, urgent = _appended(rows, size, frontier, newest_at)
        await self._exchange(*self._prepare_partitions(size + len(rows)), *asks)
        return len(rows), urgent

    async def _exchange(self, *asks: Ask) -> list[list[Any]]:
        """Rows of each of ``asks`` but the first. Raises what the database says."""
        if self._wire is None:
            raise Unavailable(UNAVAILABLE, "the connection is gone")
        outcome = await self._wire.exchange(asks)
        if outcome.error is not None:
            raise outcome.error
        return outcome.rows[1:]

    def _drop_wire(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _prepare_partitions(self, size: int) -> list[Ask]:
        """Have the partition that holds ``size``, and the one after it, before an index falls into it."""
        wanted = size // store.PARTITION_SIZE + 1
        if wanted <= self._partitions_ready:
            return []
        self._partitions_ready = wanted
        return [Ask(store.partition_ddl(number)) for number in range(wanted - 1, wanted + 1)]


def _appended(
    rows: list[tuple[UUID, datetime, bytes, bytes]], size: int, nodes: list[bytes], newest_at: datetime | None
) -> tuple[list[Ask], bool]:
    """The statements that give ``rows`` of the inbox their places from ``size`` on; and whether one is urgent."""
    frontier = Frontier(size, nodes)
    places: dict[str, list[int]] = {}
    columns: tuple[list[Any], ...] = ([], [], [], [], [], [], [], [])
    for index, (identifier, recorded_at, payload, salt) in enumerate(rows, start=size):
        value = msgspec.json.decode(payload, type=_Labels)
        leaf = leaf_hash(entry_hash(salt, payload))
        frontier.append(leaf)
        cells = (index, identifier, recorded_at, value.kind, value.actor, payload, salt, leaf)
        for column, cell in zip(columns, cells, strict=True):
            column.append(cell)
        for ref in dict.fromkeys(value.subjects):
            places.setdefault(ref, []).append(index)
    newest = max(row[1] for row in rows)
    if newest_at is not None:
        newest = max(newest, newest_at)
    moved = Ask(store.MOVE_HEAD, (size + len(rows), frontier.nodes, frontier.root(), newest))
    subjects = [Ask(store.APPEND_SUBJECTS, _referred(places))] if places else []
    urgent = not URGENT_KINDS.isdisjoint(columns[3])
    return [Ask(store.APPEND, columns), *subjects, moved, Ask("COMMIT")], urgent


def _referred(places: dict[str, list[int]]) -> tuple[list[str], list[int], list[str | None]]:
    """Columns of the rows that find events by what they are about; the third as PostgreSQL writes an array."""
    more = [f"{{{','.join(map(str, rest))}}}" if rest else None for _, *rest in places.values()]
    return list(places), [first for first, *_ in places.values()], more
