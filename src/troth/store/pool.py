"""The database: pooled reads, and commits shared by everyone who is waiting.

While one commit is under way the next units gather; they are then written together, one statement for all rows of a
kind and one fsync for all of them. Nobody is delayed on purpose: a lone unit goes at once. A unit's caller is
answered only after its own transaction is durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass
from typing import Any

import asyncpg

from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.store import batch
from troth.store.errors import COMMIT_UNKNOWN, TOO_OLD, UNAVAILABLE, CommitUnknown, StoreError, Unavailable
from troth.store.unit import Row, Unit

log = get_logger("store")

#: Woken after a commit that wrote ledger events; the sequencer listens.
INBOX_CHANNEL = "troth_inbox"

#: Every statement finds its rows by an index. On tables that are empty still, the planner prefers to read them whole,
#: and a prepared statement keeps that plan until the first ANALYZE, however many rows there are by then.
_PLANNER = {"enable_seqscan": "off"}
_MAX_BATCH = 128
_RETRIES = 5
_CONNECT_ERRORS = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # the server is shutting down, starting up, or has ended our connection
    asyncpg.InsufficientResourcesError,  # no room on its disk, no memory, no connection left
    asyncpg.PostgresSystemError,  # its disk fails
)
_CONFLICTS = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
)


@dataclass(slots=True)
class _Waiting:
    unit: Unit
    done: asyncio.Future[None]


async def _no_reset(_connection: Any) -> None:
    """Connections hold no session state, so the pool need not spend a round trip on resetting it."""


class Database:
    """Reads and shared commits on one PostgreSQL. Make it with :meth:`open`; it belongs to one event loop."""

    def __init__(self, pool: Any, url: str, clock: Clock) -> None:
        self._pool = pool
        self._url = url
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._lane: Any = None
        self._callbacks: dict[str, list[Callable[[], None]]] = {}
        self._listener: Any = None
        self._listen_again = asyncio.Event()
        self._notifying: set[str] = set()
        self._renotify: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._writer = asyncio.create_task(self._write_forever())

    @classmethod
    async def open(cls, url: str, *, clock: Clock, max_connections: int = 8) -> Database:
        """Connect. Raises Unavailable if nothing answers, StoreError if the server is older than 15."""
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=max_connections,
                reset=_no_reset,
                command_timeout=30,
                server_settings={"application_name": "troth", "lock_timeout": "5s", **_PLANNER},
            )
        except (*_CONNECT_ERRORS, TimeoutError) as error:
            raise Unavailable(UNAVAILABLE, f"cannot connect: {error}") from error
        version = await pool.fetchval("SELECT current_setting('server_version_num')::int")
        if version < 150000:
            await pool.close()
            raise StoreError(TOO_OLD, f"server version is {version}")
        return cls(pool, url, clock)

    async def close(self) -> None:
        """Write what waits, then disconnect."""
        self._closing = True
        self._wake.set()
        await self._writer
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listener is not None:
            await self._listener.close()
        try:
            async with asyncio.timeout(5):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    # --- reads -------------------------------------------------------------------------------------------------

    async def fetch(self, sql: str, *values: Any) -> list[Row]:
        """All rows. Raises Unavailable when the database does not answer."""
        rows: list[Row] = await self._read("fetch", sql, values)
        return rows

    async def fetchrow(self, sql: str, *values: Any) -> Row | None:
        """The first row, or None."""
        return await self._read("fetchrow", sql, values)  # type: ignore[no-any-return]

    async def fetchval(self, sql: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        return await self._read("fetchval", sql, values)

    async def _read(self, method: str, sql: str, values: tuple[Any, ...]) -> Any:
        for attempt in range(_RETRIES):
            try:
                return await getattr(self._pool, method)(sql, *values)
            except _CONFLICTS:
                await asyncio.sleep(_back_off(attempt))
            except (*_CONNECT_ERRORS, TimeoutError) as error:
                if attempt >= 1:
                    raise Unavailable(UNAVAILABLE, str(error)) from error
                # The pool may have handed out a connection that died with the server's restart.
                await asyncio.sleep(_back_off(attempt))
        raise Unavailable(UNAVAILABLE, "conflicting transactions did not clear")

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A transaction on a connection of its own: for snapshots and the sequencer, which write no units.

        Whatever the database says becomes Unavailable; nothing is written then.
        """
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                yield connection
        except (*_CONNECT_ERRORS, asyncpg.PostgresError, TimeoutError) as error:
            raise Unavailable(UNAVAILABLE, str(error)) from error

    # --- commits -----------------------------------------------------------------------------------------------

    async def commit(self, unit: Unit) -> None:
        """Write ``unit`` durably, sharing the commit with whoever else is waiting.

        Raises the refusal of the guard or claim that did not hold, what a step raised, Unavailable (nothing was
        written), or CommitUnknown.
        """
        if self._closing:
            raise Unavailable(UNAVAILABLE, "this process is stopping")
        waiting = _Waiting(unit, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._wake.set()
        await waiting.done

    def _take(self) -> list[_Waiting]:
        """The next batch: in order of arrival, no two units with a common key."""
        taken: list[_Waiting] = []
        keys: set[Hashable] = set()
        later: list[_Waiting] = []
        while self._waiting and len(taken) < _MAX_BATCH:
            waiting = self._waiting.popleft()
            if waiting.done.cancelled():
                continue
            if keys.isdisjoint(waiting.unit.keys):
                taken.append(waiting)
            else:
                later.append(waiting)
            # A later unit's keys are blocked too: units on one key stay in the order of their arrival.
            keys |= waiting.unit.keys
        self._waiting.extendleft(reversed(later))
        return taken

    async def _write_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while batch_ := self._take():
                try:
                    await self._write(batch_)
                except Exception as error:  # the writer must outlive any surprise, and say so to those who wait
                    log.exception("store.writer_failed")
                    for waiting in batch_:
                        _fail(waiting, error)
            if self._closing and not self._waiting:
                await self._drop_lane()
                return

    async def _write(self, waiting: list[_Waiting]) -> None:
        """Commit a batch; a statement that fails is found by running its units singly."""
        try:
            await self._try(waiting)
        except asyncpg.PostgresError as error:
            if isinstance(error, _CONNECT_ERRORS):
                raise
            if len(waiting) == 1:
                _fail(waiting[0], error)
                return
            log.warning("store.batch_split", units=len(waiting), error=type(error).__name__)
            for one in waiting:
                if not one.done.done():
                    await self._write([one])

    async def _try(self, waiting: list[_Waiting]) -> None:
        waiting = [one for one in waiting if not one.done.done()]
        for attempt in range(_RETRIES):
            try:
                refused = await self._transaction([one.unit for one in waiting])
            except batch.Again as again:
                for ordinal, refusal in again.refused.items():
                    _fail(waiting[ordinal], refusal)
                rest = [one for ordinal, one in enumerate(waiting) if ordinal not in again.refused]
                if rest:
                    await self._try(rest)
                return
            except _CONFLICTS:
                if attempt == _RETRIES - 1:
                    raise
                await asyncio.sleep(_back_off(attempt))
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
            if batch.has_events(one.unit for one in waiting):
                self.wake(INBOX_CHANNEL)
            return

    async def _transaction(self, units: list[Unit]) -> dict[int, Exception]:
        connection = await self._connection()
        transaction = connection.transaction()
        committing = False
        try:
            await transaction.start()
            refused = await batch.run(connection, units, self._clock.now())
            if len(refused) == len(units):
                await transaction.rollback()
                return refused
            committing = True
            await transaction.commit()
        except (*_CONNECT_ERRORS, TimeoutError) as error:
            await self._drop_lane()
            if committing:
                raise CommitUnknown(COMMIT_UNKNOWN, str(error)) from error
            raise Unavailable(UNAVAILABLE, str(error)) from error
        except BaseException:
            if not committing:
                try:
                    await transaction.rollback()
                except (*_CONNECT_ERRORS, asyncpg.PostgresError):
                    await self._drop_lane()
            raise
        return refused

    async def _connection(self) -> Any:
        if self._lane is None or self._lane.is_closed():
            try:
                self._lane = await asyncpg.connect(
                    self._url,
                    command_timeout=30,
                    server_settings={"application_name": "troth-writer", "lock_timeout": "2s", **_PLANNER},
                )
            except (*_CONNECT_ERRORS, TimeoutError) as error:
                raise Unavailable(UNAVAILABLE, f"cannot connect: {error}") from error
        return self._lane

    async def _drop_lane(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None and not lane.is_closed():
            try:
                await lane.close(timeout=1)
            except (*_CONNECT_ERRORS, asyncpg.PostgresError, TimeoutError):
                lane.terminate()

    # --- wake-ups ----------------------------------------------------------------------------------------------

    def wake(self, channel: str) -> None:
        """Tell listeners of ``channel`` that there may be something to read. Losing it costs only a poll's delay.

        It runs outside the commit: PostgreSQL serialises commits that notify on one global lock.
        """
        if channel in self._notifying:
            self._renotify.add(channel)
            return
        self._notifying.add(channel)
        task = asyncio.create_task(self._notify(channel))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self, channel: str) -> None:
        try:
            while True:
                self._renotify.discard(channel)
                await self._pool.execute("SELECT pg_notify($1, '')", channel)
                if channel not in self._renotify:
                    return
        except (*_CONNECT_ERRORS, asyncpg.PostgresError, TimeoutError):
            log.warning("store.notify_failed", channel=channel)
        finally:
            self._notifying.discard(channel)

    async def listen(self, channel: str, callback: Callable[[], None]) -> None:
        """Call ``callback`` at each wake-up of ``channel``, for as long as this database is open.

        Best effort: callers poll as well. All channels share one connection, remade when it breaks: a wake-up costs
        PostgreSQL a signal to every connection that listens, to whatever it listens.
        """
        first = not self._callbacks
        self._callbacks.setdefault(channel, []).append(callback)
        callback()  # what was said before is made up for by one look
        self._listen_again.set()
        if first:
            task = asyncio.create_task(self._listen_forever())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _listen_forever(self) -> None:
        attempt = 0
        while not self._closing:
            try:
                self._listener = connection = await asyncpg.connect(
                    self._url, server_settings={"application_name": "troth-listen"}
                )
                connection.add_termination_listener(lambda _connection: self._listen_again.set())
                heard: set[str] = set()
                while not connection.is_closed():
                    self._listen_again.clear()
                    for channel in self._callbacks.keys() - heard:
                        await connection.add_listener(channel, self._heard)
                        heard.add(channel)
                        self._heard(connection, 0, channel, "")
                    attempt = 0
                    await self._listen_again.wait()
            except (*_CONNECT_ERRORS, asyncpg.PostgresError, TimeoutError):
                attempt += 1
            await asyncio.sleep(_back_off(attempt))

    def _heard(self, _connection: Any, _pid: int, channel: str, _payload: object) -> None:
        for callback in self._callbacks.get(channel, ()):
            callback()


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)


def _back_off(attempt: int) -> float:
    """Seconds to wait before try ``attempt`` + 1: jittered, doubling from about 10 ms to a second."""
    ceiling: float = min(1.0, 0.01 * 2.0**attempt)
    return ceiling * (0.5 + random.random())  # noqa: S311 -- jitter, not a secret
