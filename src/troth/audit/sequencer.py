"""The sequencer: gives committed events their index, one after the other, without gaps.

Writers only insert into the inbox, so no index is handed out on the issuing path and no lock is shared there. One
process holds the duty under a fenced lease; each move checks the epoch and locks the head row in its own
transaction, so a holder that was thought dead and comes back writes nothing. An event that was committed is moved
sooner or later whoever dies; an event that was not committed never existed.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

from troth.audit import store
from troth.audit.event import entry_hash
from troth.audit.merkle import Frontier, leaf_hash
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.store.errors import LEASE_LOST, LeaseLost, StoreError
from troth.store.lease import Held, Lease
from troth.store.pool import INBOX_CHANNEL, Database

log = get_logger("audit")

#: Woken when the log has grown.
STREAM_CHANNEL = "troth_stream"
LEASE_NAME = "sequencer"

_BATCH = 2000
_POLL_SECONDS = 0.1
_LEASE_SECONDS = 3.0


class Sequencer:
    """Moves events from the inbox into the log for as long as it holds the lease."""

    def __init__(self, database: Database, clock: Clock, instance: UUID) -> None:
        self._database = database
        self._clock = clock
        self._lease = Lease(database, clock, LEASE_NAME, instance, seconds=_LEASE_SECONDS)
        self._wake = asyncio.Event()
        self._partitions_ready = -1

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set. A database that is away is waited for."""
        await self._database.listen(INBOX_CHANNEL, self._wake.set)
        held: Held | None = None
        while not stop.is_set():
            try:
                if held is None or self._clock.monotonic() > held.until - _LEASE_SECONDS * 2 / 3:
                    held = await self._lease.acquire()
                if held is None:
                    await asyncio.sleep(_LEASE_SECONDS / 3)
                    continue
                self._wake.clear()
                moved = await self.move(held)
            except StoreError as error:
                log.warning("sequencer.interrupted", error=str(error))
                held = None
                await asyncio.sleep(_POLL_SECONDS)
                continue
            if moved < _BATCH:
                await self._idle()
        if held is not None:
            try:
                await self.move(held)
                await self._lease.release()
            except StoreError as error:
                log.warning("sequencer.interrupted", error=str(error))

    async def _idle(self) -> None:
        try:
            async with asyncio.timeout(_POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            pass  # the poll is the truth, the wake-up only saves the wait

    async def move(self, held: Held) -> int:
        """Move one batch; returns how many events got an index. Raises LeaseLost if the duty has moved on."""
        ready = self._partitions_ready
        try:
            async with self._database.transaction() as connection:
                if not await store.epoch_in_force(connection, held.name, held.epoch):
                    raise LeaseLost(LEASE_LOST, "another sequencer is at work")
                moved = await self._move_in(connection)
        except BaseException:
            # A partition that was made in a transaction that failed is not there: the next move makes it again.
            self._partitions_ready = ready
            raise
        if moved:
            self._database.wake(STREAM_CHANNEL)
        return moved

    async def _move_in(self, connection: Any) -> int:
        rows = await connection.fetch(store.TAKE_INBOX, _BATCH)
        if not rows:
            return 0
        rows.sort(key=lambda row: row["id"])
        head = await connection.fetchrow(store.HEAD_FOR_UPDATE)
        size: int = head["size"]
        await self._prepare_partitions(connection, size + len(rows))
        frontier = Frontier(size, [bytes(node) for node in head["frontier"]])
        refs: list[str] = []
        ref_indexes: list[int] = []
        columns: tuple[list[Any], ...] = ([], [], [], [], [], [], [], [])
        for index, row in enumerate(rows, start=size):
            payload, salt = bytes(row["payload"]), bytes(row["salt"])
            value = json.loads(payload)
            leaf = leaf_hash(entry_hash(salt, payload))
            frontier.append(leaf)
            cells = (index, row["id"], row["recorded_at"], value["kind"], value["actor"], payload, salt, leaf)
            for column, cell in zip(columns, cells, strict=True):
                column.append(cell)
            refs += value["subjects"]
            ref_indexes += [index] * len(value["subjects"])
        newest = max(row["recorded_at"] for row in rows)
        if head["newest_at"] is not None:
            newest = max(newest, head["newest_at"])
        await connection.execute(store.APPEND, *columns)
        if refs:
            await connection.execute(store.APPEND_SUBJECTS, refs, ref_indexes)
        await connection.execute(store.MOVE_HEAD, size + len(rows), frontier.nodes, frontier.root(), newest)
        return len(rows)

    async def _prepare_partitions(self, connection: Any, size: int) -> None:
        """Have the partition that holds ``size``, and the one after it, before an index falls into it."""
        wanted = size // store.PARTITION_SIZE + 1
        if wanted > self._partitions_ready:
            for number in range(wanted - 1, wanted + 1):
                await connection.execute(store.partition_ddl(number))
            self._partitions_ready = wanted
