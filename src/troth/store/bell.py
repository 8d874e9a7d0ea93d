"""Waiting for work: until somebody says that there may be some, or, in case nobody could, for a while.

Whoever writes a row that another waits for wakes its channel after the commit (``Write.wakes``, ``Database.wake``).
That is lost only with the process that was about to say it, or with a broken connection; hence the look now and then,
and one whenever the connection stands again (``Database.listen``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime

from troth.kit.clock import Clock
from troth.kit.rhythm import Rhythm
from troth.store.pool import Database

#: What is due and could not be begun (its target is busy, its turn has not come) is looked at again so soon.
BUSY_SECONDS = 0.25


class Bell:
    """What one loop waits for. It belongs to that loop.

    >>> async with Bell(rhythm, database, "troth_jobs").heeding(stop) as bell:
    ...     while not stop.is_set():
    ...         bell.hush()
    ...         await work()
    ...         await bell.wait()

    Args:
        rhythm: how long to wait at most.
        channels: by which it is woken.
    """

    def __init__(self, rhythm: Rhythm, database: Database, *channels: str) -> None:
        self._rhythm = rhythm
        self._database = database
        self._channels = channels
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """There may be something to do."""
        self._rung.set()

    def hush(self) -> None:
        """What was rung for until now is seen to by what follows."""
        self._rung.clear()

    @contextlib.asynccontextmanager
    async def heeding(self, stop: asyncio.Event) -> AsyncIterator[Bell]:
        """Listen for as long as the block runs; ``stop`` rings too."""
        for channel in self._channels:
            await self._database.listen(channel, self.ring)
        heeding = asyncio.create_task(self._heed(stop))
        try:
            yield self
        finally:
            for channel in self._channels:
                self._database.forget(channel, self.ring)
            heeding.cancel()
            await asyncio.gather(heeding, return_exceptions=True)

    async def _heed(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.ring()

    async def wait(self, at_most: float | None = None) -> bool:
        """Until it rings, or for ``at_most`` seconds, or its rhythm's: the shortest of them. Whether it has rung."""
        seconds = self._rhythm.pause()
        if at_most is not None:
            seconds = min(seconds, at_most)
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._rung.wait()
        except TimeoutError:
            return False
        return True

    async def wait_until(self, due: datetime | None, clock: Clock) -> None:
        """The same, and at most until ``due``. What is due already could not be begun, and is tried again soon."""
        await self.wait(None if due is None else max(BUSY_SECONDS, (due - clock.now()).total_seconds()))
