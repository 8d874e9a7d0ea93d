"""Look-ups of single serial numbers, shared: one query is under way at a time, for everything that gathered meanwhile.

So a flood of serial numbers that nobody knows costs the database one statement per round trip, however many ask; and
a hundred requests for one serial number cost one row.
"""

from __future__ import annotations

import asyncio

from troth.status.errors import BUSY, StatusUnavailable
from troth.status.model import Found
from troth.status.store import StatusReader

#: Serial numbers of one query, and the most that may wait for the next.
_BATCH = 500
_MOST_WAITING = 5_000


class Lookups:
    """See the module. Belongs to one event loop."""

    def __init__(self, reader: StatusReader) -> None:
        self._reader = reader
        self._waiting: dict[bytes, asyncio.Future[Found | None]] = {}
        self._task: asyncio.Task[None] | None = None
        self.rows = 0
        self.queries = 0

    async def find(self, serial: bytes) -> Found | None:
        """The row as it was at some moment after this call; None if the serial number was never reserved.

        Raises StatusUnavailable when too much waits, StoreError when the database does not answer. What arrives by the
        stream meanwhile is later than the row: see ``StatusTable.settle``, to be called without waiting in between.
        """
        future = self._waiting.get(serial)
        if future is None:
            if len(self._waiting) >= _MOST_WAITING:
                raise StatusUnavailable(BUSY)
            future = self._waiting[serial] = asyncio.get_running_loop().create_future()
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._run())
        # A client that goes away must not take the answer from the others.
        return await asyncio.shield(future)

    async def close(self) -> None:
        """Stop; whoever still waits is cancelled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for future in self._waiting.values():
            future.cancel()
        self._waiting.clear()

    async def _run(self) -> None:
        while self._waiting:
            serials = list(self._waiting)[:_BATCH]
            # Out before the query: who asks from now on may know of a later change, and gets the next one.
            batch = {serial: self._waiting.pop(serial) for serial in serials}
            self.queries += 1
            self.rows += len(batch)
            try:
                found = await self._reader.by_serials(serials)
            except asyncio.CancelledError:
                for future in batch.values():
                    future.cancel()
                raise
            except Exception as error:  # noqa: BLE001 -- it goes to those who wait; the loop must serve the rest
                for future in batch.values():
                    future.set_exception(error)
                    future.exception()  # a client that has gone away leaves nobody to report it to
                continue
            for serial, future in batch.items():
                future.set_result(found.get(serial))
