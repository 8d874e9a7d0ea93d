"""Doing jobs: claims what is due for the kinds it knows, runs handlers side by side, bounded.

A handler ends its job itself, in the unit that holds the job's effect (:func:`troth.store.jobs.finish` or
``postpone``). A handler that raises has its job tried again later, more and more rarely, and after
``give_up_after`` tries left as dead for a person to see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeAlias

from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.kit.rhythm import Rhythm
from troth.store.bell import BUSY_SECONDS, Bell
from troth.store.errors import StoreError
from troth.store.jobs import JOBS_CHANNEL, JobQueue, LeasedJob
from troth.store.pool import Database

log = get_logger("jobs")

Handler: TypeAlias = Callable[[LeasedJob], Awaitable[None]]

#: Who enqueues a job wakes us; this is for one whose process died before it could.
_LOOK = Rhythm("jobs.look", 30.0, "worker", statements=2)


class JobRunner:
    """Runs jobs until told to stop; what is running then is finished."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        handlers: Mapping[str, Handler],
        *,
        at_once: int = 64,
        lease: timedelta = timedelta(seconds=60),
        give_up_after: int = 10,
    ) -> None:
        self._database = database
        self._queue = JobQueue(database, clock)
        self._clock = clock
        self._handlers = handlers
        self._at_once = at_once
        self._lease = lease
        self._give_up_after = give_up_after
        self._bell = Bell(_LOOK, database, JOBS_CHANNEL)
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set. A database that is away is waited for."""
        async with self._bell.heeding(stop):
            while not stop.is_set():
                self._bell.hush()
                room = self._at_once - len(self._running)
                claimed = await self._begin(room) if room > 0 else 0
                if claimed is None or 0 < claimed < room:
                    # Where there was one there soon is another: when the next is due is asked when there was none.
                    await self._bell.wait(BUSY_SECONDS)
                elif room <= 0:
                    await self._bell.wait()
                elif not claimed:
                    await self._bell.wait_until(await self._next_due(), self._clock)
        if self._running:
            await asyncio.wait(self._running, timeout=self._lease.total_seconds())

    async def _begin(self, room: int) -> int | None:
        """Begin up to ``room`` jobs; how many there were, or None where that could not be learnt."""
        try:
            jobs = await self._queue.claim(list(self._handlers), limit=room, lease=self._lease)
        except StoreError as error:
            log.warning("jobs.interrupted", error=str(error))
            return None
        for job in jobs:
            task = asyncio.create_task(self._one(job))
            self._running.add(task)
            task.add_done_callback(self._finished)
        return len(jobs)

    async def _next_due(self) -> datetime | None:
        try:
            return await self._queue.next_due(list(self._handlers))
        except StoreError as error:
            log.warning("jobs.interrupted", error=str(error))
            return self._clock.now()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if len(self._running) == self._at_once - 1:
            self._bell.ring()

    async def _one(self, job: LeasedJob) -> None:
        try:
            await self._handlers[job.kind](job)
        except Exception as error:
            expected = isinstance(error, TrothError)
            log.warning(
                "job.failed", kind=job.kind, key=job.key, attempts=job.attempts, exc_info=not expected, error=str(error)
            )
            pause = timedelta(seconds=min(3600, 2**job.attempts))
            try:
                await self._queue.retry(
                    job, at=self._clock.now() + pause, error=str(error), give_up=job.attempts >= self._give_up_after
                )
            except StoreError:
                pass  # its lease lapses and it becomes due by itself
            self._bell.ring()  # it is due sooner than its lease would lapse
