"""One chosen call of a process made to fail: a statement, a commit, a connection, a signature, a validation.

A :class:`Faults` stands between a process that a test runs inside itself and everything that is not this process:
PostgreSQL (below asyncpg), the signer's port, the network. It first *records* the calls of a good run; then the same
run is made again for each call and each :class:`How`, and that one call goes wrong in that way. Errors are real ones:
the server raises them, or the server ends the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple, NoReturn, Protocol, TypeVar

import asyncpg
import pytest

from troth.store.reads import SharedReads
from troth.store.wire import Ask, Outcome, Wire

T = TypeVar("T")
Work = Callable[[], Awaitable[T]]

_connect, _create_pool = asyncpg.connect, asyncpg.create_pool
_exchange, _shared_fetch = Wire.exchange, SharedReads.fetch

#: Set in the task that walks and in what it starts: what a process does beside the walk is not counted.
_walking: contextvars.ContextVar[bool] = contextvars.ContextVar("walking", default=False)
#: Commits are made by a task of the pool's own, over this connection; the only units are the walk's.
_WRITER = "troth-writer"
_LOOKUPS = "troth-lookups"
_WAKE_UP = "SELECT pg_notify"


class How(Enum):
    """What becomes of the call."""

    REFUSED = "is refused"
    CONFLICT = "meets a conflict that passes"
    CUT_BEFORE = "loses its connection before it is done"
    CUT_AFTER = "is done, and the connection lost before the answer"
    GIVEN_UP = "is under way when its caller gives up"
    DIED_BEFORE = "is the first that a dying process does not make"
    DIED_AFTER = "is the last that a dying process makes"


class Call(NamedTuple):
    """One call of a run: the ``nth`` with this text in this stage of the walk."""

    stage: str
    text: str
    nth: int

    def __str__(self) -> str:
        return f"{self.stage}: {self.text}" + (f" ({self.nth})" if self.nth > 1 else "")


Plan = Mapping[Call, How]


class Harm(Protocol):
    """How one kind of call goes wrong."""

    async def refuse(self) -> NoReturn:
        """Raise; the call is not made."""
        ...

    async def conflict(self) -> NoReturn:
        """Raise what a second try does not meet; the call is not made."""
        ...

    #: Whether a call is known to be in vain once the connection is cut; else it is made, and fails by itself.
    in_vain: bool

    async def cut(self) -> None:
        """Break the connection."""
        ...

    def lost(self) -> Exception:
        """What a caller gets whose answer never comes."""
        ...


class Faults:
    """Records the calls of a process, and makes some of them go wrong.

    Attributes:
        url: of the database.
        stage: where the walk is; whoever walks says so.
        calls: those of the walk so far, in order.
        left: calls that are still to go wrong.
        died: set once the process is dead: no call of it is made any more, none returns before :meth:`bury`.
        deaf: whether wake-ups (NOTIFY) get lost.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.deaf = False
        self._admin: asyncpg.Connection | None = None
        self.arm()

    async def admin(self, statement: str, *values: object) -> None:
        """Run a statement that nothing goes wrong with, on a connection that outlives all processes."""
        if self._admin is None:
            self._admin = await _connect(self.url)
        await self._admin.execute(statement, *values)

    async def close(self) -> None:
        """Close that connection."""
        if self._admin is not None:
            await self._admin.close()

    def arm(self, plan: Plan | None = None) -> None:
        """A new process, in which the calls of ``plan`` go wrong, each in its way."""
        self.stage = ""
        self.calls: list[Call] = []
        self.left = dict(plan or {})
        self.died = asyncio.Event()
        self._buried = asyncio.Event()
        self._connections: list[Watched] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._looked_up: Counter[str] = Counter()
        self._walk: asyncio.Task[Any] | None = None

    def enter(self, stage: str) -> None:
        """The walk has come to ``stage``."""
        self.stage = stage

    def walk(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start the walk whose calls count."""

        async def walking() -> T:
            _walking.set(True)
            return await work

        self._walk = asyncio.create_task(walking())
        return self._walk

    async def bury(self) -> None:
        """What the kernel does for a dead process: close what it had open. Its code then unwinds, doing no harm."""
        for connection in self._connections:
            await end(connection)
        self._buried.set()

    async def meet(self, text: str, work: Work[T], harm: Harm, *, counts: bool = True) -> T:
        """Make the call ``work``, unless it is the chosen one or the process is dead."""
        await self._rest_if_dead(harm)
        if not counts:
            return await work()
        self._counts[self.stage, text] += 1
        call = Call(self.stage, text, self._counts[self.stage, text])
        self.calls.append(call)
        how = self.left.pop(call, None)
        match how:
            case How.REFUSED:
                await harm.refuse()
            case How.CONFLICT:
                await harm.conflict()
            case How.DIED_BEFORE:
                await self._die(harm)
            case How.CUT_BEFORE:
                await harm.cut()
                if harm.in_vain:
                    raise harm.lost()
            case How.GIVEN_UP if self._walk is not None:
                self._walk.cancel()
        result = await work()
        match how:
            case How.DIED_AFTER:
                await self._die(harm)
            case How.CUT_AFTER:
                await harm.cut()
                raise harm.lost()
        return result

    async def _die(self, harm: Harm) -> None:
        self.died.set()
        await self._rest_if_dead(harm)

    async def _rest_if_dead(self, harm: Harm) -> None:
        if self.died.is_set():
            await self._buried.wait()
            raise harm.lost()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Every connection to PostgreSQL that is opened within is watched."""

        async def opened(*arguments: Any, **options: Any) -> Watched:
            if self.died.is_set():
                raise ConnectionRefusedError("this process is dead")
            connection: Watched = await _connect(*arguments, **{**options, "connection_class": Watched})
            name = options.get("server_settings", {}).get("application_name")
            connection.writes, connection.shared = name == _WRITER, name == _LOOKUPS
            connection.faults = self
            self._connections.append(connection)
            return connection

        def pooled(*arguments: Any, **options: Any) -> Any:
            return _create_pool(*arguments, **options, connection_class=Watched, connect=opened)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(asyncpg, "connect", opened)
            patched.setattr(asyncpg, "create_pool", pooled)
            patched.setattr(Wire, "exchange", self._exchanged())
            patched.setattr(SharedReads, "fetch", self._looking_up())
            yield

    def _looking_up(self) -> Callable[..., Awaitable[Any]]:
        """Look-ups travel in a task that serves everyone: whose they are is noted where they are asked for."""

        async def fetch(reads: SharedReads, sql: str, *values: Any) -> Any:
            if sql.startswith(_WAKE_UP):
                if self.deaf:
                    raise asyncpg.InterfaceError("this wake-up gets lost")
            elif _walking.get():
                self._looked_up[f"{sql}{values!r}"] += 1
            return await _shared_fetch(reads, sql, *values)

        return fetch

    def _exchanged(self) -> Callable[[Wire, list[Ask]], Awaitable[Outcome]]:
        """Each statement of an exchange is a call; what fails in one is what the server would have failed in."""

        async def exchange(wire: Wire, asks: list[Ask]) -> Outcome:
            # Not by isinstance: asyncpg's metaclass takes every connection for one of every class of connections.
            if type(wire._connection) is not Watched:
                return await _exchange(wire, asks)

            async def all_of_it() -> Outcome:
                return await _exchange(wire, asks)

            work: Work[Outcome] = all_of_it
            for place, ask in reversed(list(enumerate(asks))):
                text = re.sub(r"\s+", " ", ask.sql).strip()
                asked = f"{ask.sql}{tuple(ask.values)!r}"
                if wire._connection.shared:
                    counts = self._looked_up[asked] > 0
                    self._looked_up[asked] -= counts
                else:
                    counts = text != "ROLLBACK" and (wire._connection.writes or _walking.get())
                work = _nested(self, text, work, _OfExchange(wire, place), counts=counts)
            try:
                return await work()
            except _FailsAt as fails:
                return await _exchange(wire, [*asks[: fails.place], Ask(_RAISING.format(state=fails.state))])

        return exchange


def _nested(faults: Faults, text: str, inner: Work[T], harm: Harm, *, counts: bool) -> Work[T]:
    async def met() -> T:
        return await faults.meet(text, inner, harm, counts=counts)

    return met


class Watched(asyncpg.Connection):
    """A connection whose every statement passes by :class:`Faults`."""

    faults: Faults | None = None
    writes: bool = False
    shared: bool = False

    async def execute(self, query: str, *values: Any, **options: Any) -> Any:
        done = super().execute
        return await self._meet(query, lambda: done(query, *values, **options))

    async def fetch(self, query: str, *values: Any, **options: Any) -> Any:
        done = super().fetch
        return await self._meet(query, lambda: done(query, *values, **options))

    async def fetchrow(self, query: str, *values: Any, **options: Any) -> Any:
        done = super().fetchrow
        return await self._meet(query, lambda: done(query, *values, **options))

    async def fetchval(self, query: str, *values: Any, **options: Any) -> Any:
        done = super().fetchval
        return await self._meet(query, lambda: done(query, *values, **options))

    async def _meet(self, query: str, work: Work[Any]) -> Any:
        if self.faults is None:
            return await work()
        text = re.sub(r"\s+", " ", query).strip().rstrip(";")
        if text.startswith(_WAKE_UP) and self.faults.deaf:
            raise asyncpg.InterfaceError("this wake-up gets lost")
        counts = (self.writes or _walking.get()) and not text.startswith((_WAKE_UP, "ROLLBACK"))
        return await self.faults.meet(text, work, _OfStatement(self, text), counts=counts)


_RAISING = "DO $$ BEGIN RAISE EXCEPTION 'chaos' USING ERRCODE = '{state}'; END $$"


class _FailsAt(Exception):
    """The statement at ``place`` of an exchange is to fail."""

    def __init__(self, place: int, state: str) -> None:
        super().__init__(place, state)
        self.place = place
        self.state = state


class _OfExchange:
    """Errors of PostgreSQL in the midst of an exchange."""

    in_vain = False

    def __init__(self, wire: Wire, place: int) -> None:
        self._wire = wire
        self._place = place

    async def refuse(self) -> NoReturn:
        raise _FailsAt(self._place, "XX000")

    async def conflict(self) -> NoReturn:
        raise _FailsAt(self._place, "40001")

    async def cut(self) -> None:
        await end(self._wire._connection)

    def lost(self) -> Exception:
        self._wire.close()
        return ConnectionResetError("connection was closed in the middle of operation")


class _OfStatement:
    """Errors of PostgreSQL, raised by PostgreSQL."""

    in_vain = False

    def __init__(self, connection: Watched, text: str) -> None:
        self._connection = connection
        self._text = text

    async def refuse(self) -> NoReturn:
        await self._fail("XX000")  # internal error: nothing that anybody expects

    async def conflict(self) -> NoReturn:
        await self._fail("40001")  # serialization failure

    async def cut(self) -> None:
        await end(self._connection)

    def lost(self) -> Exception:
        return asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    async def _fail(self, state: str) -> NoReturn:
        send = super(Watched, self._connection).execute
        try:
            await send(_RAISING.format(state=state))
        except asyncpg.PostgresError:
            if self._text == "COMMIT":  # a commit that fails has ended its transaction
                await send("ROLLBACK")
            raise
        raise AssertionError("the server raised nothing")


async def end(connection: Watched) -> None:
    """Have the server end ``connection``, and wait until it has."""
    if connection.faults is None or connection.is_closed():
        return
    await connection.faults.admin("SELECT pg_terminate_backend($1, 5000)", connection.get_server_pid())
