"""Counting what EST clients ask and are told, without a statement for each of them."""

from __future__ import annotations

import asyncio

from troth.enroll.est.store import add_counts
from troth.kit.log import get_logger
from troth.store.errors import StoreError
from troth.store.pool import Database

log = get_logger("enroll")

_FLUSH_SECONDS = 1.0


class Tally:
    """Adds to the database once a second. Belongs to one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[tuple[str, str, str], int] = {}
        self._flushing: asyncio.Task[None] | None = None

    def count(self, label: str, operation: str, result: str) -> None:
        """One more. All three are words of ours, not the client's: they become labels of a metric."""
        key = (label, operation, result)
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._soon())

    async def flush(self) -> None:
        """Write what was counted; what cannot be written now is kept."""
        counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            await add_counts(self._database, counts)
        except StoreError as error:
            log.warning("est.counts_postponed", error=str(error))
            for key, number in counts.items():
                self._counts[key] = self._counts.get(key, 0) + number

    async def close(self) -> None:
        """Write what is left."""
        flushing, self._flushing = self._flushing, None
        if flushing is not None:
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)
        await self.flush()

    async def _soon(self) -> None:
        try:
            while self._counts:
                await asyncio.sleep(_FLUSH_SECONDS)
                await self.flush()
        finally:
            self._flushing = None
