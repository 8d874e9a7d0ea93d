"""Reads that share a round trip: look-ups by key on the paths where every request makes several.

While one exchange is under way the next reads gather, whoever asks; they then leave together and are answered
together, on one connection. Nobody is delayed on purpose: a lone read goes at once. Only short look-ups belong here: a
slow one would hold up all others.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import msgspec

from troth.store.errors import UNAVAILABLE, Unavailable
from troth.store.failures import CONFLICTS, CONNECT_ERRORS, RETRIES, back_off
from troth.store.unit import Fetching, Reader, Row
from troth.store.wire import Ask, Unsupported, Wire

_MAX_BATCH = 64
#: After an exchange that was shared the next waits for more to join: 1 ms for each read that the last one carried
#: beside the first. Each costs two processes a wake-up, and a read each only microseconds.
_GATHER_SECONDS, _LONGEST_GATHER = 0.001, 0.004


class _Waiting(msgspec.Struct):
    ask: Ask
    done: asyncio.Future[list[Row]]
    lost: int = 0
    conflicts: int = 0


class SharedReads(Fetching):
    """A :class:`~troth.store.unit.Reader`; rows are dictionaries. It belongs to one event loop.

    Args:
        connect: opens the connection when it is first needed, and again when it broke.
        otherwise: who reads what cannot be read here, having a type without a codec.
    """

    def __init__(self, connect: Callable[[], Awaitable[Wire]], otherwise: Reader) -> None:
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        self._otherwise = otherwise
        self._waiting: deque[_Waiting] = deque()
        self._unsupported: set[str] = set()
        self._wire: Wire | None = None
        self._pump: asyncio.Task[None] | None = None
        self._closing = False
        self._company = 0

    async def fetch(self, sql: str, *values: Any) -> list[Row]:
        """All rows. Raises Unavailable when the database does not answer."""
        if sql in self._unsupported:
            return await self._otherwise.fetch(sql, *values)
        waiting = self._join(Ask(sql, values))
        try:
            return await waiting.done
        except Unsupported:
            return await self._otherwise.fetch(sql, *values)

    async def fetch_each(self, *asks: Ask) -> list[list[Row]]:
        """The rows of each of ``asks``, which leave together. Raises Unavailable."""
        if any(ask.sql in self._unsupported for ask in asks):
            return [await self.fetch(ask.sql, *ask.values) for ask in asks]
        joined = [self._join(ask) for ask in asks]
        # All are waited for before any is asked what it came to: none is left behind with an error unheard.
        await asyncio.wait([one.done for one in joined])
        return [
            await (self._otherwise.fetch(one.ask.sql, *one.ask.values) if _unsupported(one) else one.done)
            for one in joined
        ]

    def _join(self, ask: Ask) -> _Waiting:
        """Let ``ask`` leave with the next exchange."""
        if self._closing:
            raise Unavailable(UNAVAILABLE, "this process is stopping")
        waiting = _Waiting(ask, self._loop.create_future())
        self._waiting.append(waiting)
        if self._pump is None:
            self._pump = self._loop.create_task(self._run())
        return waiting

    async def close(self) -> None:
        """Disconnect; who still waits hears that the database is unavailable."""
        self._closing = True
        if self._pump is not None:
            self._pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump
        self._fail_all(Unavailable(UNAVAILABLE, "this process is stopping"))
        self._drop()

    async def _run(self) -> None:
        """Exchange after exchange, for as long as somebody waits."""
        batch: list[_Waiting] = []
        try:
            while self._waiting:
                if self._company > 1:
                    await asyncio.sleep(min(_LONGEST_GATHER, (self._company - 1) * _GATHER_SECONDS))
                batch = [self._waiting.popleft() for _ in range(min(_MAX_BATCH, len(self._waiting)))]
                batch = [one for one in batch if not one.done.done()]
                self._company = len(batch)
                if batch:
                    await self._exchange(batch)
        except asyncio.CancelledError:
            self._waiting.extendleft(batch)
            raise
        except Exception as error:  # noqa: BLE001 -- whoever waits hears of any surprise, and the next read begins anew
            self._drop()
            self._waiting.extendleft(batch)
            self._fail_all(error)
        finally:
            self._pump = None

    async def _exchange(self, batch: list[_Waiting]) -> None:
        try:
            if self._wire is None or self._wire.closed:
                self._wire = await self._connect()
            outcome = await self._wire.exchange([one.ask for one in batch])
        except Unsupported as unsupported:
            self._unsupported.add(unsupported.sql)
            for one in batch:
                if one.ask.sql == unsupported.sql:
                    _fail(one, unsupported)
            self._again([one for one in batch if one.ask.sql != unsupported.sql])
            return
        except (*CONNECT_ERRORS, TimeoutError, Unavailable) as error:
            self._drop()
            await self._lost(batch, error)
            return
        except (TypeError, ValueError, AttributeError, struct.error) as error:
            # A value that its type cannot hold: nothing was sent, and it is nobody else's trouble.
            if len(batch) == 1:
                _fail(batch[0], error)
                return
            for one in batch:
                await self._exchange([one])
            return
        for one, rows, columns in zip(batch, outcome.rows, outcome.columns, strict=False):
            if not one.done.done():
                one.done.set_result([dict(zip(columns, row, strict=True)) for row in rows])
        if outcome.error is not None:
            done = len(outcome.rows)
            await self._failed(batch[done], outcome.error)
            self._again(batch[done + 1 :])

    async def _failed(self, one: _Waiting, error: asyncpg.PostgresError) -> None:
        if isinstance(error, CONNECT_ERRORS):
            await self._lost([one], error)
        elif isinstance(error, asyncpg.InvalidCachedStatementError):
            self._drop()  # the schema has changed under a prepared statement: another connection prepares anew
            await self._lost([one], error)
        elif isinstance(error, CONFLICTS) and one.conflicts < RETRIES:
            await asyncio.sleep(back_off(one.conflicts))
            one.conflicts += 1
            self._again([one])
        elif isinstance(error, CONFLICTS):
            _fail(one, Unavailable(UNAVAILABLE, "conflicting transactions did not clear"))
        else:
            _fail(one, error)

    async def _lost(self, batch: list[_Waiting], error: Exception) -> None:
        """Reads change nothing, so each is tried once more."""
        again = []
        for one in batch:
            one.lost += 1
            if one.lost > 1:
                failure = Unavailable(UNAVAILABLE, str(error))
                failure.__cause__ = error
                _fail(one, failure)
            else:
                again.append(one)
        self._again(again)
        if again:
            await asyncio.sleep(back_off(0))

    def _again(self, batch: list[_Waiting]) -> None:
        self._waiting.extendleft(reversed(batch))

    def _drop(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _fail_all(self, error: Exception) -> None:
        while self._waiting:
            _fail(self._waiting.popleft(), error)


def _unsupported(waiting: _Waiting) -> bool:
    return isinstance(waiting.done.exception(), Unsupported)


async def fetch_each(reader: Reader, *asks: Ask) -> list[list[Row]]:
    """The rows of each of ``asks``: in one exchange where ``reader`` has exchanges, else one after the other."""
    if isinstance(reader, SharedReads):
        return await reader.fetch_each(*asks)
    return [await reader.fetch(ask.sql, *ask.values) for ask in asks]


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)
