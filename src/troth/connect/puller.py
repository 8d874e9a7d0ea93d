"""Pulling: every connector's reads, each at its own pace, in one process of the installation at a time.

A group of connectors (those that share a pace) is run under one lease. What a pull brings is written down together with
the cursor from which the next one goes on, fenced by that lease: a process that lost it writes nothing more, and the
next one begins where the last durable page ended. Killed at any step, nothing is lost; what is read twice counts once.

A pull that fails leaves its cursor where it was and is tried again, more and more rarely, or when the vendor says so.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from troth.audit.lull import Lull
from troth.connect import connector_store
from troth.connect.connector import Pulled, Read
from troth.connect.connector_store import ReadState, Stored
from troth.connect.desk import Opener
from troth.connect.errors import VENDOR_FAILED, Throttled
from troth.connect.vendors import Made
from troth.kit.clock import Clock
from troth.kit.errors import INTERNAL, TrothError, trace_of
from troth.kit.log import get_logger
from troth.kit.rhythm import Rhythm
from troth.kit.waiting import until_set
from troth.store.errors import LeaseLost, StoreError
from troth.store.lease import Held, Leases, fence
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.intake.inbox import Inbox

log = get_logger("connect")

_LOOK_SECONDS: Final = 1.0
#: Where there are no connectors, and nothing happens by which there might be some.
_QUIET: Final = Rhythm("connectors.quiet", 30.0, "worker")
_LEASE_SECONDS: Final = 10.0
_FIRST_PAUSE: Final = 2.0
_LONGEST_PAUSE: Final = 300.0
#: A pull that takes longer has lost its way.
_PULL_SECONDS: Final = 300.0


@dataclass
class _Running:
    stored: Stored
    task: asyncio.Task[None]


class Puller:
    """Runs the connectors whose lease this process holds."""

    def __init__(self, database: Database, clock: Clock, holder: UUID, opener: Opener, inbox: Inbox) -> None:
        self._database = database
        self._clock = clock
        self._opener = opener
        self._inbox = inbox
        self._leases = Leases(database, clock, holder, seconds=_LEASE_SECONDS)
        self._held: Mapping[str, Held] = {}
        self._running: dict[str, _Running] = {}
        #: Of each read that waits for its next look: set to end the wait.
        self._waiting: dict[tuple[str, str], asyncio.Event] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set. A database that is away is waited for."""
        try:
            async with Lull(_QUIET, self._database).noticed(stop) as lull:
                while not stop.is_set():
                    try:
                        await self.look()
                    except StoreError as error:
                        log.warning("puller.interrupted", error=str(error))
                    if self._running:
                        await until_set(stop, _LOOK_SECONDS)
                    else:
                        await lull.rest(_LOOK_SECONDS, stop)
        finally:
            await self._end(list(self._running))
            with contextlib.suppress(StoreError):
                await self._leases.release(list(self._held))

    async def look(self) -> None:
        """Take and renew leases; begin what is to run, and end what is not any more."""
        wanted = {one.name: one for one in await connector_store.connectors(self._database) if not one.paused}
        groups = {name: f"connect:{self._opener.group(one.definition)}" for name, one in wanted.items()}
        self._held = await self._leases.acquire(set(groups.values())) if groups else {}
        mine = {name: one for name, one in wanted.items() if groups[name] in self._held}
        ended = [
            name for name, one in self._running.items()
            if name not in mine or mine[name].version != one.stored.version or one.task.done()
        ]  # fmt: skip
        await self._end(ended)
        for name, stored in mine.items():
            if name not in self._running:
                self._running[name] = _Running(stored, asyncio.create_task(self._run(stored, groups[name])))
        for read in await connector_store.are_due(self._database) if self._waiting else ():
            if read in self._waiting:
                self._waiting[read].set()

    async def hold(self, group: str) -> bool:
        """Take (or renew) the lease of one group; whether it is held."""
        self._held = {**self._held, **await self._leases.acquire({group})}
        return group in self._held

    async def _end(self, names: list[str]) -> None:
        ending = [self._running.pop(name).task for name in names]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _run(self, stored: Stored, group: str) -> None:
        """One connector until it is cancelled, because it was changed or its lease was lost."""
        pause = _FIRST_PAUSE
        while True:
            try:
                made = await self._opener.open(stored)
                # What is not read any more cannot fail any more, and that it could not be opened is over.
                names = [read.name for read in made.connector.reads]
                await self._database.commit(connector_store.keep_reads(Unit(), stored.name, names))
            except StoreError:
                await asyncio.sleep(_FIRST_PAUSE)
                continue
            except TrothError as error:
                await self._failed(stored.name, "connector", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            break
        try:
            async with asyncio.TaskGroup() as tasks:
                for read in made.connector.reads:
                    tasks.create_task(self._read(stored, made, read, group))
        finally:
            await made.close()

    async def _read(self, stored: Stored, made: Made, read: Read, group: str) -> None:
        """One read, for ever."""
        failures = 0
        while True:
            state = await self._state(stored.name, read.name)
            if state is None or (wait := self._until_due(state, read)) <= 0:
                try:
                    more = await self.pull(stored, read, state, group)
                    failures, wait = 0, 0.0 if more else float(read.every)
                except (StoreError, LeaseLost):
                    wait = _FIRST_PAUSE
                except Exception as error:  # noqa: BLE001 -- written down and logged in _failed
                    failures += 1
                    wait = await self._later(stored.name, read, error, failures)
            await self._rest(stored.name, read, wait)

    async def _rest(self, connector: str, read: Read, seconds: float) -> None:
        """Wait that long, or until a pushed message says that there is something to be seen."""
        woken = self._waiting[connector, read.name] = asyncio.Event()
        try:
            await until_set(woken, seconds)
        finally:
            self._waiting.pop((connector, read.name), None)

    async def pull(self, stored: Stored, read: Read, state: ReadState | None, group: str) -> bool:
        """One pull, durable when this returns; whether there is more at once.

        Raises whatever went wrong; nothing was written then.
        """
        held = self._held.get(group)
        if held is None:
            return False
        began = self._clock.monotonic()
        async with asyncio.timeout(_PULL_SECONDS):
            brought = await read.pull(None if state is None else state.cursor)
        latency = int((self._clock.monotonic() - began) * 1000)
        await self._write(stored, read, brought, latency, held)
        if brought.signals or brought.spoilt:
            log.info("connector.pulled", connector=stored.name, read=read.name, signals=len(brought.signals),
                     spoilt=len(brought.spoilt))  # fmt: skip
        return brought.more

    async def _write(self, stored: Stored, read: Read, brought: Pulled, latency: int, held: Held) -> None:
        unit = fence(Unit(), held)
        observed = [one.observed_at for one in brought.signals] + [one.observed_at for one in brought.reports]
        connector_store.pulled(
            unit, stored.name, read.name, cursor=brought.cursor, more=brought.more, at=self._clock.now(),
            latency_ms=latency, signals=len(brought.signals), facts=sum(len(one.values) for one in brought.reports),
            observed_at=max(observed, default=None),
        )  # fmt: skip
        await self._inbox.accept(
            stored.definition.feed, brought.signals, reports=brought.reports, spoilt=brought.spoilt, joined=unit,
            heard=read.heartbeat,
        )  # fmt: skip

    async def _state(self, connector: str, read: str) -> ReadState | None:
        while True:
            try:
                found = await connector_store.reads(self._database, connector)
            except StoreError:
                await asyncio.sleep(_FIRST_PAUSE)
                continue
            return next((one for one in found if one.read == read), None)

    def _until_due(self, state: ReadState, read: Read) -> float:
        """A restart does not begin anew what was read a moment ago."""
        if state.pulled_at is None or state.more:
            return 0.0
        due = state.pulled_at + timedelta(seconds=read.every)
        return min((due - self._clock.now()).total_seconds(), float(read.every))

    async def _later(self, connector: str, read: Read, error: Exception, failures: int) -> float:
        """Write down what went wrong; returns how long to wait, in seconds."""
        await self._failed(connector, read.name, error)
        pause: float = min(_FIRST_PAUSE * 2 ** min(failures - 1, 10), _LONGEST_PAUSE)
        if isinstance(error, Throttled):
            return max((error.until - self._clock.now()).total_seconds(), 1.0)
        return pause

    async def _failed(self, connector: str, read: str, error: Exception) -> None:
        if isinstance(error, TrothError):
            code, detail = error.code, error.detail
            log.warning("connector.failed", connector=connector, read=read, code=code, detail=detail)
        elif isinstance(error, TimeoutError):
            code, detail = VENDOR_FAILED.code, f"a pull took longer than {int(_PULL_SECONDS)} s"
            log.warning("connector.failed", connector=connector, read=read, code=code)
        else:
            # A vendor's module that breaks must not take the others with it.
            code, detail = INTERNAL.code, type(error).__name__
            log.error("connector.failed", connector=connector, read=read, exc_info=trace_of(error))
        at = self._clock.now()
        with contextlib.suppress(StoreError):
            await self._database.commit(
                connector_store.failed(Unit(), connector, read, at=at, code=code, detail=detail)
            )


def lag(state: ReadState, now: datetime) -> timedelta | None:
    """How long ago the read last succeeded."""
    return None if state.pulled_at is None else now - state.pulled_at
