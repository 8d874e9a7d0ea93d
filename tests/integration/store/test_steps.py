"""Units with steps take few exchanges, and whatever fails in one of them leaves what the careful way would leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import pytest

from tests.support.wires import EXCHANGE, look_on
from troth.store.errors import CommitUnknown, Unavailable
from troth.store.pool import Database
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Unit
from troth.store.wire import Ask, Outcome, Wire

ADD = Write("s_add", "INSERT INTO s (name) SELECT * FROM unnest($1::text[])", ("text",))
FULL = Write("s_full", "SELECT s_full(name) FROM unnest($1::text[]) AS i(name)", ("text",))
TAKE = Claim(
    "s_take",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[]) AS i(n, name)),
            w AS (INSERT INTO s_taken (name) SELECT name FROM i ON CONFLICT DO NOTHING RETURNING name)
       SELECT i.n FROM i JOIN w USING (name)""",
    ("text",),
)
OPEN = Guard(
    "s_open",
    """SELECT i.n FROM unnest($1::int[], $2::text[]) AS i(n, name) JOIN s_open o ON o.name = i.name
       ORDER BY o.name FOR UPDATE OF o""",
    ("text",),
)


class Refused(Exception):
    """The refusal the tests hand in."""


class Exchanges:
    """Notes what is asked, wake-ups apart, and does something else where it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.instead: Callable[[Wire, Sequence[Ask]], Any] | None = None

    async def __call__(self, wire: Wire, asks: Sequence[Ask]) -> Outcome:
        # A wake-up after a commit leaves when the look-ups' connection is there: when that is, is a matter of time.
        if said := [ask.sql for ask in asks if "pg_notify" not in ask.sql]:
            self.asked.append(said)
        instead, last = self.instead, asks[-1].sql == "COMMIT"
        if instead is not None and last:
            self.instead = None
            outcome: Outcome = await instead(wire, asks)
            return outcome
        return await EXCHANGE(wire, asks)


#: Asyncpg makes a UUID of it.
_TEXT = "01930000-0000-7000-8000-000000000000"


@pytest.fixture
async def tables(database: Database) -> Database:
    """Little tables beside Troth's own."""
    await database.fetch("CREATE TABLE s (name text PRIMARY KEY)")
    await database.fetch("CREATE TABLE s_taken (name text PRIMARY KEY)")
    await database.fetch("CREATE TABLE s_open (name text PRIMARY KEY)")
    await database.fetch("INSERT INTO s_open VALUES ('a'), ('b'), ('c')")
    await database.fetch(
        "CREATE FUNCTION s_full(name text) RETURNS void LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END$$"
    )
    return database


@pytest.fixture
async def exchanges(tables: Database, monkeypatch: pytest.MonkeyPatch) -> Exchanges:
    noted = Exchanges()
    look_on(monkeypatch, noted)
    return noted


def adding(name: str, *, reads: int = 1) -> Unit:
    async def step(reader: Reader, unit: Unit) -> None:
        for _ in range(reads):
            await reader.fetchval("SELECT count(*) FROM s")
        unit.write(ADD, name)

    return Unit().guard(OPEN, name, refuse=Refused(name)).then(step)


async def outcomes(database: Database, units: Sequence[Unit]) -> list[Any]:
    return await asyncio.gather(*(database.commit(unit) for unit in units), return_exceptions=True)


async def names(database: Database) -> list[str]:
    return [row["name"] for row in await database.fetch("SELECT name FROM s ORDER BY name")]


async def nobody_holds_anything(database: Database) -> bool:
    return not await database.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database()"
    )


async def test_begin_and_guards_are_one_exchange_each_read_another_and_all_else_the_last(
    tables: Database, exchanges: Exchanges
) -> None:
    await tables.commit(adding("a", reads=3))
    assert [(len(asked), asked[0], asked[-1]) for asked in exchanges.asked if "FROM s" not in asked[0]] == [
        (2, "BEGIN", OPEN.sql),
        (2, ADD.sql, "COMMIT"),
    ]
    assert len(exchanges.asked) == 5
    exchanges.asked.clear()
    assert await outcomes(tables, [adding("b"), adding("c")]) == [None, None]
    assert len(exchanges.asked) == 4


async def test_whom_a_guard_refuses_drops_out_alone_and_at_no_cost(tables: Database, exchanges: Exchanges) -> None:
    came = await outcomes(tables, [adding("a"), adding("closed"), adding("b")])
    assert [type(one) for one in came] == [type(None), Refused, type(None)]
    assert await names(tables) == ["a", "b"]
    assert len(exchanges.asked) == 4
    assert [type(one) for one in await outcomes(tables, [adding("closed")])] == [Refused]
    assert await nobody_holds_anything(tables)


async def test_whom_a_claim_refuses_drops_out_alone_and_nothing_is_written_twice(tables: Database) -> None:
    await tables.fetch("INSERT INTO s_taken VALUES ('b')")
    units = [adding(name).claim(TAKE, name, refuse=Refused(name)) for name in ("a", "b", "c")]
    came = await outcomes(tables, units)
    assert [type(one) for one in came] == [type(None), Refused, type(None)]
    assert await names(tables) == ["a", "c"]
    assert [row["name"] for row in await tables.fetch("SELECT name FROM s_taken ORDER BY name")] == ["a", "b", "c"]
    assert await nobody_holds_anything(tables)


async def test_a_connection_that_ends_between_the_exchanges_has_written_nothing(tables: Database) -> None:
    async def cut(reader: Reader, unit: Unit) -> None:
        pid = await reader.fetchval("SELECT pg_backend_pid()")
        unit.write(ADD, "a")
        await tables.fetchval("SELECT pg_terminate_backend($1, 10000)", pid)
        await reader.fetchval("SELECT 1")

    assert [type(one) for one in await outcomes(tables, [Unit().then(cut), adding("b")])] == [Unavailable, Unavailable]
    assert await names(tables) == []
    await tables.commit(adding("c"))
    assert await names(tables) == ["c"]


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_connection_that_ends_at_the_last_exchange_leaves_it_unknown(
    tables: Database, exchanges: Exchanges, arrives: bool
) -> None:
    async def lost(wire: Wire, asks: Sequence[Ask]) -> Outcome:
        if arrives:
            await EXCHANGE(wire, asks)
        wire.close()
        raise ConnectionResetError

    exchanges.instead = lost
    assert [type(one) for one in await outcomes(tables, [adding("a")])] == [CommitUnknown]
    assert await names(tables) == (["a"] if arrives else [])
    await tables.commit(adding("b"))


async def test_a_server_that_has_no_room_before_commit_has_certainly_written_nothing(tables: Database) -> None:
    unit = adding("a").write(FULL, "a")
    assert [type(one) for one in await outcomes(tables, [unit])] == [Unavailable]
    assert await names(tables) == []
    assert await nobody_holds_anything(tables)


async def test_what_collides_with_another_transaction_is_tried_again_and_written_once(tables: Database) -> None:
    tries: list[str] = []

    async def step(_reader: Reader, unit: Unit) -> None:
        unit.write(ADD, "a")
        tries.append("a")
        if len(tries) < 3:
            raise asyncpg.DeadlockDetectedError("another was in the way")

    assert await outcomes(tables, [Unit().then(step), adding("b")]) == [None, None]
    assert len(tries) == 3
    assert await names(tables) == ["a", "b"]


async def test_who_is_in_the_way_of_a_guard_is_waited_for_and_the_unit_tried_again(tables: Database) -> None:
    async with tables.transaction() as other:
        await other.execute("SELECT 1 FROM s_open WHERE name = 'a' FOR UPDATE")
        committing = asyncio.create_task(tables.commit(adding("a")))
        while not await tables.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            await asyncio.sleep(0.01)
    await committing
    assert await names(tables) == ["a"]


async def test_a_statement_that_fails_of_itself_fails_its_unit_alone(tables: Database) -> None:
    async def wrong(reader: Reader, _unit: Unit) -> None:
        await reader.fetchval("SELECT 1 / (count(*) - count(*)) FROM s")

    async def double(_reader: Reader, unit: Unit) -> None:
        unit.write(ADD, "b")

    await tables.commit(adding("b"))
    came = await outcomes(tables, [adding("a"), Unit().then(wrong), Unit().then(double), adding("c")])
    assert [type(one) for one in came] == [
        type(None), asyncpg.DivisionByZeroError, asyncpg.UniqueViolationError, type(None),
    ]  # fmt: skip
    assert await names(tables) == ["a", "b", "c"]
    assert await nobody_holds_anything(tables)


async def test_who_does_not_wait_any_more_is_written_all_the_same_and_holds_up_nobody(tables: Database) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_reader: Reader, unit: Unit) -> None:
        unit.write(ADD, "a")
        begun.set()
        await go_on.wait()

    leaving = asyncio.create_task(tables.commit(Unit().then(slow)))
    staying = asyncio.create_task(tables.commit(adding("b")))
    await begun.wait()
    leaving.cancel()
    go_on.set()
    await staying
    assert await names(tables) == ["a", "b"]


async def test_a_value_that_asyncpg_takes_and_an_exchange_does_not_refuses_nobody(tables: Database) -> None:
    async def step(reader: Reader, unit: Unit) -> None:
        found = await reader.fetchval("SELECT count(*) FROM s WHERE $1::uuid IS NOT NULL", _TEXT)
        unit.write(ADD, f"n{found}")

    assert await outcomes(tables, [Unit().then(step)]) == [None]
    assert await names(tables) == ["n0"]
