"""Write units on a real PostgreSQL: what shares a commit, what drops out, what is run again."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from troth.kit.ids import new_id
from troth.store.errors import Unavailable
from troth.store.pool import Database
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Unit

ADD = Write("t_add", "INSERT INTO t (id, v) SELECT * FROM unnest($1::uuid[], $2::int[])", ("uuid", "int"))
CHECKED = Write(
    "t_checked", "INSERT INTO t_checked (id, v) SELECT * FROM unnest($1::uuid[], $2::int[])", ("uuid", "int"), rank=60
)
MOVE = Write(
    "t_move",
    "UPDATE t SET v = i.v FROM unnest($1::uuid[], $2::int[]) AS i(id, v) WHERE t.id = i.id",
    ("uuid", "int"),
)
IS = Guard(
    "t_is",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[], $3::int[]) AS i(n, id, v)
       JOIN t ON t.id = i.id AND t.v = i.v ORDER BY t.id FOR UPDATE OF t""",
    ("uuid", "int"),
)
TAKE = Claim(
    "t_take",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[]) AS i(n, key)),
            w AS (INSERT INTO t_name (key) SELECT key FROM i ON CONFLICT DO NOTHING RETURNING key)
       SELECT i.n FROM i JOIN w USING (key)""",
    ("text",),
)
TAKE_LATER = Claim(
    "t_take_later",
    TAKE.sql.replace("t_name", "t_name2"),
    ("text",),
    rank=60,
)


class Refused(Exception):
    """The refusal the tests hand in."""


@pytest.fixture
async def tables(database: Database) -> Database:
    """Four little tables beside Troth's own."""
    for sql in (
        "CREATE TABLE t (id uuid PRIMARY KEY, v int NOT NULL)",
        "CREATE TABLE t_checked (id uuid PRIMARY KEY, v int NOT NULL CHECK (v >= 0))",
        "CREATE TABLE t_name (key text PRIMARY KEY)",
        "CREATE TABLE t_name2 (key text PRIMARY KEY)",
    ):
        await database.fetch(sql)
    return database


async def outcomes(database: Database, units: list[Unit]) -> list[BaseException | None]:
    """Commit all at once; None for a commit, else what it raised."""
    return await asyncio.gather(*(database.commit(unit) for unit in units), return_exceptions=True)


async def test_a_failed_guard_drops_its_unit_alone(tables: Database) -> None:
    rows = [new_id() for _ in range(50)]
    await asyncio.gather(*(tables.commit(Unit().write(ADD, row, 0)) for row in rows))
    units = [
        Unit().guard(IS, row, 1 if n % 10 == 3 else 0, refuse=partial(Refused, n), key=row).write(MOVE, row, 7)
        for n, row in enumerate(rows)
    ]
    results = await outcomes(tables, units)
    refused = [n for n, result in enumerate(results) if isinstance(result, Refused)]
    assert refused == [3, 13, 23, 33, 43]
    assert [results[n].args for n in refused] == [(n,) for n in refused]
    assert await tables.fetchval("SELECT count(*) FROM t WHERE v = 7") == 45
    assert await tables.fetchval("SELECT count(*) FROM t WHERE v = 0") == 5


async def test_a_failing_statement_fails_its_unit_alone_and_leaves_nothing_of_it(tables: Database) -> None:
    units = []
    for n in range(40):
        row = new_id()
        units.append(Unit().write(ADD, row, n).write(CHECKED, row, -1 if n == 17 else n))
    results = await outcomes(tables, units)
    assert [n for n, result in enumerate(results) if result is not None] == [17]
    assert isinstance(results[17], asyncpg.CheckViolationError)
    assert await tables.fetchval("SELECT count(*) FROM t") == 39
    assert await tables.fetchval("SELECT count(*) FROM t_checked") == 39


async def test_one_of_many_claims_on_a_name_wins(tables: Database) -> None:
    units = [Unit().claim(TAKE, "serial", refuse=Refused()).write(ADD, new_id(), n) for n in range(30)]
    results = await outcomes(tables, units)
    assert sum(result is None for result in results) == 1
    assert await tables.fetchval("SELECT count(*) FROM t") == 1


async def test_a_later_claim_that_is_refused_takes_back_the_earlier_one(tables: Database) -> None:
    await tables.commit(Unit().claim(TAKE_LATER, "b", refuse=Refused()))
    loser = Unit().claim(TAKE, "a", refuse=Refused()).claim(TAKE_LATER, "b", refuse=Refused()).write(ADD, new_id(), 1)
    winner = Unit().claim(TAKE, "c", refuse=Refused()).write(ADD, new_id(), 2)
    results = await outcomes(tables, [loser, winner])
    assert isinstance(results[0], Refused)
    assert results[1] is None
    assert await tables.fetchval("SELECT count(*) FROM t_name WHERE key = 'a'") == 0
    assert await tables.fetchval("SELECT array_agg(v) FROM t") == [2]


async def test_units_on_one_key_see_each_other_one_after_the_other(tables: Database) -> None:
    row = new_id()
    await tables.commit(Unit().write(ADD, row, 0))

    def add_one() -> Unit:
        async def step(reader: Reader, unit: Unit) -> None:
            unit.write(MOVE, row, 1 + await reader.fetchval("SELECT v FROM t WHERE id = $1", row))

        return Unit().exclusively(row).then(step)

    assert await outcomes(tables, [add_one() for _ in range(25)]) == [None] * 25
    assert await tables.fetchval("SELECT v FROM t WHERE id = $1", row) == 25


async def test_a_step_that_raises_drops_its_unit_alone(tables: Database) -> None:
    async def refuse(_reader: Reader, _unit: Unit) -> None:
        raise Refused

    results = await outcomes(tables, [Unit().write(ADD, new_id(), 1), Unit().write(ADD, new_id(), 2).then(refuse)])
    assert results[0] is None
    assert isinstance(results[1], Refused)
    assert await tables.fetchval("SELECT array_agg(v) FROM t") == [1]


async def test_a_killed_connection_is_replaced_and_the_next_commit_goes_through(tables: Database) -> None:
    await tables.commit(Unit().write(ADD, new_id(), 1))
    await tables.fetch(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE application_name = 'troth-writer' AND datname = current_database()"""
    )
    await asyncio.sleep(0.1)
    results = await outcomes(tables, [Unit().write(ADD, new_id(), 2)])
    if results[0] is not None:  # the dead connection was met first: typed, and the next one works
        assert results[0].code.startswith("store.")
        await tables.commit(Unit().write(ADD, new_id(), 2))
    assert await tables.fetchval("SELECT count(*) FROM t") == 2


@pytest.mark.parametrize("state", ["53100", "53200", "58030"], ids=["disk full", "no memory", "disk fails"])
async def test_a_server_without_room_is_unavailable_and_nothing_is_written(tables: Database, state: str) -> None:
    await tables.fetch(
        f"""CREATE FUNCTION t_exhausted(int) RETURNS int LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'chaos' USING ERRCODE = '{state}'; END $$"""
    )
    exhausted = Write("t_exhausted", "SELECT t_exhausted(v) FROM unnest($1::int[]) AS i(v)", ("int",), rank=60)
    with pytest.raises(Unavailable):
        await tables.commit(Unit().write(ADD, new_id(), 1).write(exhausted, 1))
    with pytest.raises(Unavailable):
        await tables.fetchval("SELECT t_exhausted(1)")
    assert await tables.fetchval("SELECT count(*) FROM t") == 0
    await tables.commit(Unit().write(ADD, new_id(), 2))


async def test_commits_are_shared(tables: Database) -> None:
    before = await tables.fetchval("SELECT txid_current()")
    await asyncio.gather(*(tables.commit(Unit().write(ADD, uuid4(), n)) for n in range(300)))
    used = await tables.fetchval("SELECT txid_current()") - before
    assert used < 30, f"300 units took {used} transactions"


async def test_who_is_alone_waits_for_no_company(tables: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("troth.store.commits._GATHER_SECONDS", 3600.0)
    monkeypatch.setattr("troth.store.commits._LONGEST_GATHER", 3600.0)
    for n in range(5):
        await tables.commit(Unit().write(ADD, new_id(), n))
    # All of a batch leave together, and who comes when nobody was left waiting is alone again.
    await asyncio.gather(*(tables.commit(Unit().write(ADD, new_id(), n)) for n in range(5)))
    await tables.commit(Unit().write(ADD, new_id(), 6))


async def test_who_waits_for_company_leaves_with_what_is_urgent(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("troth.store.commits._GATHER_SECONDS", 3600.0)
    monkeypatch.setattr("troth.store.commits._LONGEST_GATHER", 3600.0)
    commits = tables._commits
    write, late = commits._write, list[asyncio.Task[None]]()

    async def writing(waiting: list[Any]) -> None:
        if len(waiting) > 1 and not late:
            late.append(asyncio.create_task(tables.commit(Unit().write(ADD, new_id(), 9))))
            await asyncio.sleep(0)  # it waits now, behind a commit that is shared
        await write(waiting)

    async def step(_reader: Reader, _unit: Unit) -> None:
        """What changes a status or a standing looks first."""

    monkeypatch.setattr(commits, "_write", writing)
    await asyncio.gather(*(tables.commit(Unit().write(ADD, new_id(), n)) for n in range(5)))
    await tables.commit(Unit().then(step))
    await asyncio.gather(*late)
    assert await tables.fetchval("SELECT count(*) FROM t WHERE v = 9") == 1
