"""Looking less often while nothing happens.

Much is looked for every few seconds that only comes about by what stands in the ledger: a certificate that is to be
followed up, an act that was approved, a feed that was granted. While the ledger grows, and for a little after, such
work keeps its pace; once nothing has happened for that long it is looked for rarely, until the ledger grows again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from troth.audit.sequencer import STREAM_CHANNEL
from troth.kit.rhythm import Rhythm
from troth.kit.waiting import until_set
from troth.store.pool import Database

#: Seconds for which the ledger must not have grown.
LINGER: Final = 20.0


class Lull:
    """One loop's or several loops' view of whether something happens. Belongs to one event loop.

    Args:
        quiet: how often to look all the same.
    """

    def __init__(self, quiet: Rhythm, database: Database, *, linger: float = LINGER) -> None:
        self._quiet = quiet
        self._database = database
        self._linger = linger
        self._busy = asyncio.Event()
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.asynccontextmanager
    async def noticed(self, stop: asyncio.Event) -> AsyncIterator[Lull]:
        """Notice what happens for as long as the block runs; it begins as if something had."""
        await self._database.listen(STREAM_CHANNEL, self._grown)
        stopping = asyncio.create_task(self._heed(stop))
        try:
            yield self
        finally:
            self._database.forget(STREAM_CHANNEL, self._grown)
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)
            if self._timer is not None:
                self._timer.cancel()

    async def rest(self, pace: float, stop: asyncio.Event) -> None:
        """Between two looks: ``pace`` seconds, or while nothing happens as long as that is so, at most ``quiet``."""
        if pace < self._quiet.seconds and not self._busy.is_set():
            await until_set(self._busy, self._quiet.pause())
            if not self._busy.is_set():
                return
        await until_set(stop, pace)

    async def _heed(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._busy.set()

    def _grown(self) -> None:
        loop = asyncio.get_running_loop()
        self._until = loop.time() + self._linger
        self._busy.set()
        if self._timer is None:
            self._timer = loop.call_at(self._until, self._over)

    def _over(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._until:
            self._timer = loop.call_at(self._until, self._over)
            return
        self._timer = None
        self._busy.clear()
