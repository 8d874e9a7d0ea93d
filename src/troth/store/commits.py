"""Commits shared by everyone who is waiting.

A batch is tried in the cheap way first: all its statements and COMMIT in one exchange, in which guards and claims are
written so that they fail unless they hold for every unit. If one fails, nothing is committed (COMMIT is skipped, or
undoes), and the batch runs again in the careful way (``batch.run``), a statement at a time, which finds out whose
fault it was. Units with steps have their guards in one exchange, then what the steps read, and all that is left with
COMMIT in another (``batch.begin``); where that fails, they take the careful way, too. What is committed is the same:
the same statements in the same order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import Any

import asyncpg
import msgspec

from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.store import batch
from troth.store.errors import COMMIT_UNKNOWN, UNAVAILABLE, CommitUnknown, StoreError, Unavailable
from troth.store.failures import CONFLICTS, CONNECT_ERRORS, RETRIES, back_off
from troth.store.unit import Apart, Step, Together, Unit
from troth.store.wire import Ask, Unsupported, Wire

log = get_logger("store")

_MAX_BATCH = 128
#: Units with shared keys in one batch: their steps take turns, and whoever is in the batch waits for all of them.
_MAX_COMPANY = 64
#: A commit costs its dozen statements and a synced log, whether for one unit or for many. So after one that was shared
#: the next waits for more to join: 2 ms for each unit that the last one carried beside the first, since where there
#: were many there soon are again. Who is alone waits for nobody, and nobody for long with whom something urgent goes.
_GATHER_SECONDS, _LONGEST_GATHER = 0.002, 0.01
_BEGIN, _COMMIT, _ROLLBACK = Ask("BEGIN"), Ask("COMMIT"), Ask("ROLLBACK")
_BROKEN = (*CONNECT_ERRORS, TimeoutError)


class _Waiting(msgspec.Struct):
    unit: Unit
    done: asyncio.Future[None]


class Commits:
    """The writer of a :class:`~troth.store.pool.Database`.

    Args:
        url: the database.
        settings: of its connections.
        recorded: called after a commit that may have written ledger events, with whether some of them are urgent.
        woken: called after a commit with the channels of those who wait for what it wrote.
    """

    def __init__(
        self,
        url: str,
        settings: dict[str, str],
        clock: Clock,
        recorded: Callable[[bool], None],
        woken: Callable[[Iterable[str]], None],
    ) -> None:
        self._url = url
        self._settings = settings
        self._clock = clock
        self._recorded = recorded
        self._woken = woken
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        #: Something that waits has to leave at once: a hold, a revocation.
        self._hurry = asyncio.Event()
        self._lane: Any = None
        self._wire: Wire | None = None
        #: Steps that read what no exchange can carry.
        self._careful: set[object] = set()
        self._closing = False
        self._writer = asyncio.create_task(self._write_forever())

    async def commit(self, unit: Unit) -> None:
        """See :meth:`troth.store.pool.Database.commit`."""
        if self._closing:
            raise Unavailable(UNAVAILABLE, "this process is stopping")
        waiting = _Waiting(unit, self._loop.create_future())
        self._waiting.append(waiting)
        self._wake.set()
        if unit.urgent or unit.steps:
            self._hurry.set()
        await waiting.done

    async def close(self) -> None:
        """Write what waits, then disconnect."""
        self._closing = True
        self._wake.set()
        self._hurry.set()
        await self._writer

    async def _gather(self, seconds: float) -> None:
        """Let more units join, until one does that is in a hurry."""
        timer = self._loop.call_later(seconds, self._hurry.set)
        await self._hurry.wait()
        timer.cancel()

    def _take(self) -> list[_Waiting]:
        """The next batch: in order of arrival, no two units with a common key, unless they share it in one company."""
        taken: list[_Waiting] = []
        keys: set[Hashable] = set()
        shared: dict[Hashable, Hashable] = {}
        later: list[_Waiting] = []
        company = 0
        while self._waiting and len(taken) < _MAX_BATCH:
            waiting = self._waiting.popleft()
            if waiting.done.cancelled():
                continue
            unit = waiting.unit
            free = keys.isdisjoint(unit.keys) and keys.isdisjoint(unit.shared) and shared.keys().isdisjoint(unit.keys)
            if free and all(shared.get(key, whose) == whose for key, whose in unit.shared.items()):
                taken.append(waiting)
                company += bool(unit.shared)
            else:
                later.append(waiting)
            # A later unit's keys are blocked too: units on one key stay in the order of their arrival.
            keys |= unit.keys
            shared |= {key: shared.get(key, whose) for key, whose in unit.shared.items()}
            if company >= _MAX_COMPANY:
                break
        self._waiting.extendleft(reversed(later))
        return taken

    async def _write_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            company = 0
            while self._waiting:
                if company > 1:
                    await self._gather(min(_LONGEST_GATHER, (company - 1) * _GATHER_SECONDS))
                self._hurry.clear()
                batch_ = self._take()
                company = len(batch_)
                try:
                    await self._write(batch_)
                except Exception as error:  # the writer must outlive any surprise, and say so to those who wait
                    log.exception("store.writer_failed")
                    self._drop_wire()
                    for waiting in batch_:
                        _fail(waiting, error)
            if self._closing and not self._waiting:
                self._drop_wire()
                await self._drop_lane()
                return

    async def _write(self, waiting: list[_Waiting]) -> None:
        """Commit a batch; a statement that fails is found by running its units singly."""
        try:
            if not await self._try_together(waiting):
                await self._try(waiting)
        except (asyncpg.PostgresError, Apart) as error:
            if isinstance(error, CONNECT_ERRORS):
                raise
            if len(waiting) == 1:
                _fail(waiting[0], error)
                return
            log.warning("store.batch_split", units=len(waiting), error=type(error).__name__)
            for one in waiting:
                if not one.done.done():
                    await self._write([one])

    # --- the cheap way -----------------------------------------------------------------------------------------

    async def _try_together(self, waiting: list[_Waiting]) -> bool:
        """Whether the batch was settled; if not, nothing was written."""
        units = [one.unit for one in waiting]
        plan = batch.plan(units, self._clock.now())
        if plan is None:
            return False
        sent = False
        try:
            if self._wire is None or self._wire.closed:
                self._wire = await self._open_wire()
            sent = True
            outcome = await batch.exchanged(self._wire, [_BEGIN, *plan, _COMMIT])
            if outcome.error is not None and len(outcome.rows) <= len(plan):
                await self._wire.exchange([_ROLLBACK])
                return False
            if isinstance(outcome.error, CONNECT_ERRORS):
                raise outcome.error
            if outcome.error is not None or outcome.tags[-1] != "COMMIT":
                return False  # a commit that was refused is undone
        except (Unsupported, batch.Unsent):
            return False
        except _BROKEN as error:
            self._drop_wire()
            failure = CommitUnknown(COMMIT_UNKNOWN, str(error)) if sent else Unavailable(UNAVAILABLE, str(error))
            failure.__cause__ = error
            for one in waiting:
                _fail(one, failure)
            return True
        for one in waiting:
            if not one.done.done():
                one.done.set_result(None)
        if batch.has_events(units):
            self._recorded(batch.is_urgent(units))
        self._woken(batch.wakes(units))
        return True

    async def _open_wire(self) -> Wire:
        settings = {"application_name": "troth-writer", "lock_timeout": "2s", **self._settings}
        return await Wire.open(self._url, server_settings={**settings, "plan_cache_mode": "force_generic_plan"})

    def _drop_wire(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    # --- the careful way ---------------------------------------------------------------------------------------

    async def _try(self, waiting: list[_Waiting]) -> None:
        waiting = [one for one in waiting if not one.done.done()]
        for attempt in range(RETRIES):
            woken: set[str] = set()
            try:
                refused = await self._transaction([one.unit for one in waiting], woken)
            except batch.Again as again:
                for ordinal, refusal in again.refused.items():
                    _fail(waiting[ordinal], refusal)
                rest = [one for ordinal, one in enumerate(waiting) if ordinal not in again.refused]
                if rest:
                    await self._try(rest)
                return
            except CONFLICTS:
                if attempt == RETRIES - 1:
                    raise
                await asyncio.sleep(back_off(attempt))
                continue
            except StoreError as error:
                for one in waiting:
                    _fail(one, error)
                return
            for ordinal, one in enumerate(waiting):
                if ordinal in refused:
                    _fail(one, refused[ordinal])
                elif not one.done.done():
                    one.done.set_result(None)
            units = [one.unit for one in waiting]
            if batch.has_events(units):
                self._recorded(batch.is_urgent(units))
            self._woken(woken)
            return

    async def _in_few(self, units: list[Unit], woken: set[str]) -> dict[int, Exception] | None:
        """Who was refused, once the others are committed; None: nothing was written, and it needs the careful way.

        Raises as :meth:`_transaction` does.
        """
        ways = {_way(step) for unit in units for step in unit.steps}
        if not self._careful.isdisjoint(ways):
            return None
        committing = False
        try:
            if self._wire is None or self._wire.closed:
                self._wire = await self._open_wire()
            wire = self._wire
            try:
                begun = await batch.begin(wire, units, self._clock.now())
                if begun.last is None or len(begun.refused) == len(units):
                    await wire.exchange([_ROLLBACK])
                    return None if begun.last is None else begun.refused
                committing = True
                outcome = await batch.exchanged(wire, [*begun.last, _COMMIT])
            except (Unsupported, batch.Unsent) as error:
                committing = False
                if isinstance(error, Unsupported):
                    self._careful |= ways
                await wire.exchange([_ROLLBACK])
                return None
            except (batch.Again, Apart, *CONFLICTS):
                await wire.exchange([_ROLLBACK])
                raise
            except asyncpg.PostgresError as error:  # of a guard, or of what a step reads
                if isinstance(error, CONNECT_ERRORS):
                    raise
                await wire.exchange([_ROLLBACK])
                return None
            if outcome.error is None:
                if outcome.tags[-1] != "COMMIT":
                    return None  # a commit that was refused is undone
                woken |= begun.woken
                return begun.refused
            if len(outcome.rows) < len(begun.last):
                committing = False  # COMMIT was skipped
            if isinstance(outcome.error, CONNECT_ERRORS):
                raise outcome.error
            await wire.exchange([_ROLLBACK])
            if isinstance(outcome.error, CONFLICTS):
                raise outcome.error
            return None
        except _BROKEN as error:
            self._drop_wire()
            if committing:
                raise CommitUnknown(COMMIT_UNKNOWN, str(error)) from error
            raise Unavailable(UNAVAILABLE, str(error)) from error

    async def _transaction(self, units: list[Unit], woken: set[str]) -> dict[int, Exception]:
        done = await self._in_few(units, woken) if any(unit.steps for unit in units) else None
        if done is not None:
            return done
        connection = await self._connection()
        transaction = connection.transaction()
        committing = False
        try:
            await transaction.start()
            refused = await batch.run(connection, units, self._clock.now(), woken)
            if len(refused) == len(units):
                await transaction.rollback()
                return refused
            committing = True
            await transaction.commit()
        except _BROKEN as error:
            await self._drop_lane()
            if committing:
                raise CommitUnknown(COMMIT_UNKNOWN, str(error)) from error
            raise Unavailable(UNAVAILABLE, str(error)) from error
        except BaseException:
            if not committing:
                try:
                    await transaction.rollback()
                except (*CONNECT_ERRORS, asyncpg.PostgresError):
                    await self._drop_lane()
            raise
        return refused

    async def _connection(self) -> Any:
        if self._lane is None or self._lane.is_closed():
            try:
                self._lane = await asyncpg.connect(
                    self._url,
                    command_timeout=30,
                    server_settings={"application_name": "troth-writer", "lock_timeout": "2s", **self._settings},
                )
            except _BROKEN as error:
                raise Unavailable(UNAVAILABLE, f"cannot connect: {error}") from error
        return self._lane

    async def _drop_lane(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None and not lane.is_closed():
            try:
                await lane.close(timeout=1)
            except (*_BROKEN, asyncpg.PostgresError):
                lane.terminate()


def _way(step: Step | Together) -> object:
    """What a step is told from others by: not the closure, which is another for each unit, but its code."""
    if isinstance(step, Together):
        return step.run
    if isinstance(step, partial):
        return step.func
    return getattr(step, "__code__", type(step))


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)
