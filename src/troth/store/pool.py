"""The database: pooled reads, and commits shared by everyone who is waiting.

While one commit is under way the next units gather; they are then written together, one statement for all rows of a
kind and one fsync for all of them. Nobody is delayed on purpose: a lone unit goes at once. A unit's caller is
answered only after its own transaction is durable.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any

import asyncpg

from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.kit.waiting import until_set
from troth.store.commits import Commits
from troth.store.errors import TOO_OLD, UNAVAILABLE, StoreError, Unavailable
from troth.store.failures import CONFLICTS, CONNECT_ERRORS, RETRIES, back_off
from troth.store.reads import SharedReads
from troth.store.unit import Reader, Row, Unit
from troth.store.wire import Wire

log = get_logger("store")

#: Woken after a commit that wrote ledger events; the sequencer listens.
INBOX_CHANNEL = "troth_inbox"

#: The same for a commit that may have changed a status or a standing: the sequencer moves without pace.
URGENT_CHANNEL = "troth_urgent"

#: Wakes everybody, whatever he listens to: said by a process that begins, since one before it may have died when it had
#: committed something and not yet woken those who wait for it.
ANY_CHANNEL = "troth_any"

_NOTIFY = "SELECT pg_notify($1, '')"
#: Seconds between two wake-ups of the sequencer by this process, and of whoever waits for what a commit wrote.
INBOX_PACE = 0.2

#: Every statement finds its rows by an index. On tables that are empty still, the planner prefers to read them whole,
#: and a prepared statement keeps that plan until the first ANALYZE, however many rows there are by then.
_PLANNER = {"enable_seqscan": "off"}
#: Look-ups by key have one good plan whatever is looked up: making it anew each time costs more than the look-up.
_ONE_PLAN = {"plan_cache_mode": "force_generic_plan"}


async def _no_reset(_connection: Any) -> None:
    """Connections hold no session state, so the pool need not spend a round trip on resetting it."""


class Database:
    """Reads and shared commits on one PostgreSQL. Make it with :meth:`open`; it belongs to one event loop."""

    def __init__(self, pool: Any, url: str, clock: Clock) -> None:
        self._pool = pool
        self._url = url
        self._callbacks: dict[str, list[Callable[[], None]]] = {}
        self._listener: Any = None
        self._listen_again = asyncio.Event()
        self._notifying: set[str] = set()
        self._renotify: set[str] = set()
        self._hurries: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._wires: list[Wire] = []
        self._commits = Commits(url, _PLANNER, clock, self._recorded, self._wrote)
        self._lookups = SharedReads(self._open_lookups, self)

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
        except (*CONNECT_ERRORS, TimeoutError) as error:
            raise Unavailable(UNAVAILABLE, f"cannot connect: {error}") from error
        version = await pool.fetchval("SELECT current_setting('server_version_num')::int")
        if version < 150000:
            await pool.close()
            raise StoreError(TOO_OLD, f"server version is {version}")
        return cls(pool, url, clock)

    async def close(self) -> None:
        """Write what waits, then disconnect."""
        self._closing = True
        await self._commits.close()
        await self._lookups.close()
        for wire in self._wires:
            wire.close()
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

    @property
    def url(self) -> str:
        """Where it is; secrets may be in it."""
        return self._url

    # --- reads -------------------------------------------------------------------------------------------------

    @property
    def lookups(self) -> Reader:
        """Reads that share round trips with others': for short look-ups by key where requests are many."""
        return self._lookups

    async def _open_lookups(self) -> Wire:
        return await self.open_wire("troth-lookups")

    async def open_wire(self, name: str, **more: str) -> Wire:
        """A connection for exchanges of somebody's own, with ``more`` settings. Raises Unavailable.

        It is closed with this database, if nobody did before.
        """
        settings = {"application_name": name, "lock_timeout": "5s", **_PLANNER, **_ONE_PLAN, **more}
        try:
            wire = await Wire.open(self._url, server_settings=settings)
        except (*CONNECT_ERRORS, TimeoutError) as error:
            raise Unavailable(UNAVAILABLE, f"cannot connect: {error}") from error
        self._wires = [one for one in self._wires if not one.closed]
        self._wires.append(wire)
        return wire

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
        for attempt in range(RETRIES):
            try:
                return await getattr(self._pool, method)(sql, *values)
            except CONFLICTS:
                await asyncio.sleep(back_off(attempt))
            except (*CONNECT_ERRORS, TimeoutError) as error:
                if attempt >= 1:
                    raise Unavailable(UNAVAILABLE, str(error)) from error
                # The pool may have handed out a connection that died with the server's restart.
                await asyncio.sleep(back_off(attempt))
        raise Unavailable(UNAVAILABLE, "conflicting transactions did not clear")

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A transaction on a connection of its own: for snapshots and the sequencer, which write no units.

        Whatever the database says becomes Unavailable; nothing is written then.
        """
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                yield connection
        except (*CONNECT_ERRORS, asyncpg.PostgresError, TimeoutError) as error:
            raise Unavailable(UNAVAILABLE, str(error)) from error

    # --- commits -----------------------------------------------------------------------------------------------

    def commit(self, unit: Unit) -> Coroutine[Any, Any, None]:
        """Write ``unit`` durably, sharing the commit with whoever else is waiting.

        Raises the refusal of the guard or claim that did not hold, what a step raised, Unavailable (nothing was
        written), or CommitUnknown.
        """
        return self._commits.commit(unit)

    def _recorded(self, urgent: bool) -> None:
        if urgent:
            self.wake(URGENT_CHANNEL)
        else:
            self.wake(INBOX_CHANNEL, pace=INBOX_PACE)

    def _wrote(self, channels: Iterable[str]) -> None:
        for channel in channels:
            self.wake(channel, pace=INBOX_PACE)

    # --- wake-ups ----------------------------------------------------------------------------------------------

    def wake(self, channel: str, *, pace: float = 0.0) -> None:
        """Tell listeners of ``channel`` that there may be something to read. Losing it costs only a poll's delay.

        The next wake-up of the channel comes ``pace`` seconds later at the earliest: each wakes every process that
        listens to anything. One without pace waits for nobody's.

        It runs outside the commit: PostgreSQL serialises commits that notify on one global lock.
        """
        if channel in self._notifying:
            self._renotify.add(channel)
            if not pace:
                self._hurries[channel].set()
            return
        self._notifying.add(channel)
        self._hurries[channel] = hurry = asyncio.Event()
        task = asyncio.create_task(self._notify(channel, pace, hurry))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self, channel: str, pace: float, hurry: asyncio.Event) -> None:
        try:
            while True:
                self._renotify.discard(channel)
                hurry.clear()
                await self._lookups.fetch(_NOTIFY, channel)
                await until_set(hurry, pace)
                if channel not in self._renotify:
                    return
        except (*CONNECT_ERRORS, asyncpg.PostgresError, TimeoutError, Unavailable):
            log.warning("store.notify_failed", channel=channel)
        finally:
            self._notifying.discard(channel)

    async def listen(self, channel: str, callback: Callable[[], None]) -> None:
        """Call ``callback`` at each wake-up of ``channel``, for as long as this database is open.

        Best effort: callers poll as well. All channels share one connection, remade when it breaks: a wake-up costs
        PostgreSQL a signal to every connection that listens, to whatever it listens.
        """
        first = not self._callbacks
        if first:
            self._callbacks[ANY_CHANNEL] = [self._ring_all]
        self._callbacks.setdefault(channel, []).append(callback)
        callback()  # what was said before is made up for by one look
        self._listen_again.set()
        if first:
            task = asyncio.create_task(self._listen_forever())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def forget(self, channel: str, callback: Callable[[], None]) -> None:
        """Call ``callback`` no more."""
        with contextlib.suppress(KeyError, ValueError):
            self._callbacks[channel].remove(callback)

    def _ring_all(self) -> None:
        for channel in tuple(self._callbacks.keys() - {ANY_CHANNEL}):
            self.heard(channel)

    def heard(self, channel: str) -> None:
        """Call those of this process who listen to ``channel``: what would wake them has been learnt in another way."""
        self._heard(None, 0, channel, "")

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
            except (*CONNECT_ERRORS, asyncpg.PostgresError, TimeoutError):
                attempt += 1
            await asyncio.sleep(back_off(attempt))

    def _heard(self, _connection: Any, _pid: int, channel: str, _payload: object) -> None:
        for callback in tuple(self._callbacks.get(channel, ())):
            callback()
