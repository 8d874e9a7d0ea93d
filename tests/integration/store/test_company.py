"""Steps that are run once for many units: who is in company, in which order, and what one refusal does to others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from troth.store.ahead import ReadAhead
from troth.store.pool import Database
from troth.store.statement import Claim, Write
from troth.store.unit import Apart, Member, Reader, Unit

ADD = Write("n_add", "INSERT INTO n (name, v) SELECT * FROM unnest($1::text[], $2::int[])", ("text", "int"))
TAKE = Claim(
    "n_take",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[]) AS i(n, name)),
            w AS (INSERT INTO n_taken (name) SELECT name FROM i ON CONFLICT DO NOTHING RETURNING name)
       SELECT i.n FROM i JOIN w USING (name)""",
    ("text",),
)


class Refused(Exception):
    """The refusal the tests hand in."""


@pytest.fixture
async def tables(database: Database) -> Database:
    """Two little tables beside Troth's own."""
    await database.fetch("CREATE TABLE n (name text PRIMARY KEY, v int NOT NULL)")
    await database.fetch("CREATE TABLE n_taken (name text PRIMARY KEY)")
    return database


class Counting:
    """A step that gives each of its units the next number; it notes who came together."""

    def __init__(self) -> None:
        self.companies: list[list[str]] = []
        self.trouble: dict[str, Exception] = {}
        self.refused: set[str] = set()

    async def __call__(self, reader: Reader, members: Sequence[Member], among: Sequence[Unit]) -> dict[int, Exception]:
        names = [one.item for one in members]
        self.companies.append(names)
        assert all(one.unit in among for one in members)
        count = await reader.fetchval("SELECT count(*) FROM n")
        for name, one in zip(names, members, strict=True):
            if name in self.trouble:
                raise self.trouble[name]
            if name not in self.refused:
                one.unit.write(ADD, name, count)
                count += 1
        return {place: Refused(name) for place, name in enumerate(names) if name in self.refused}

    def unit(self, name: str, company: str | None = "us") -> Unit:
        """A unit of ours that wants the counter for its company, or for itself."""
        unit = Unit().then_together(self, name)
        return unit.exclusively("counter") if company is None else unit.shares("counter", company)


async def outcomes(database: Database, units: Sequence[Unit]) -> list[Any]:
    return await asyncio.gather(*(database.commit(unit) for unit in units), return_exceptions=True)


async def numbers(database: Database) -> dict[str, int]:
    return {row["name"]: row["v"] for row in await database.fetch("SELECT name, v FROM n ORDER BY v")}


async def test_a_company_is_run_as_one_and_strangers_wait_for_it(tables: Database) -> None:
    step = Counting()
    units = [step.unit("a"), step.unit("b"), step.unit("x", None), step.unit("c"), step.unit("d", "them")]
    assert await outcomes(tables, units) == [None] * 5
    # Who came after one that wants the counter for itself does not overtake it.
    assert step.companies == [["a", "b"], ["x"], ["c"], ["d"]]
    assert await numbers(tables) == {"a": 0, "b": 1, "x": 2, "c": 3, "d": 4}


async def test_units_of_one_subject_stay_in_order_and_others_of_the_company_go_ahead(tables: Database) -> None:
    step = Counting()
    units = [step.unit("a").exclusively("s"), step.unit("b").exclusively("s"), step.unit("c")]
    await outcomes(tables, units)
    assert step.companies == [["a", "c"], ["b"]]


async def test_whom_the_step_refuses_drops_out_alone(tables: Database) -> None:
    step = Counting()
    step.refused = {"b"}
    came = await outcomes(tables, [step.unit("a"), step.unit("b"), step.unit("c")])
    assert [type(one) for one in came] == [type(None), Refused, type(None)]
    assert await numbers(tables) == {"a": 0, "c": 1}
    assert len(step.companies) == 1


@pytest.mark.parametrize("trouble", [Apart(), RuntimeError("nobody foresaw this")])
async def test_what_fails_in_company_is_run_one_by_one(tables: Database, trouble: Exception) -> None:
    step = Counting()
    step.trouble = {"b": trouble}
    came = await outcomes(tables, [step.unit("a"), step.unit("b"), step.unit("c")])
    assert came == [None, trouble, None]
    assert step.companies == [["a", "b", "c"], ["a"], ["b"], ["c"]]
    assert await numbers(tables) == {"a": 0, "c": 1}


@pytest.mark.parametrize("how", ["claim", "step"])
async def test_who_is_refused_after_others_were_told_of_it_is_as_if_it_had_not_been(tables: Database, how: str) -> None:
    await tables.fetch("INSERT INTO n_taken VALUES ('gone')")
    step = Counting()
    bad = step.unit("b")

    async def refuse(_reader: Reader, _unit: Unit) -> None:
        raise Refused

    bad = bad.claim(TAKE, "gone", refuse=Refused()) if how == "claim" else bad.then(refuse)
    came = await outcomes(tables, [step.unit("a"), bad, step.unit("c")])
    assert [type(one) for one in came] == [type(None), Refused, type(None)]
    assert await numbers(tables) == {"a": 0, "c": 1}


async def test_what_is_read_ahead_is_what_each_would_have_read(tables: Database) -> None:
    await tables.fetch("INSERT INTO n VALUES ('a', 1), ('b', 2), ('ab', 3), ('abc', 9)")
    asked = "SELECT name, v FROM n WHERE name LIKE $1 || '%' AND v < $2 ORDER BY v DESC"
    keys = [("a", 5), ("b", 9), ("nobody", 5), ("a", 5)]
    ahead = ReadAhead(tables, len(keys))
    ahead.expect(asked, ("text", "int"), keys)
    for key in [*keys, ("a", 99)]:
        assert [dict(row) for row in await ahead.fetch(asked, *key)] == [
            dict(row) for row in await tables.fetch(asked, *key)
        ]
    first = await ahead.fetchrow(asked, "a", 5)
    assert first is not None
    assert first["name"] == "ab"
    assert await ahead.fetchrow(asked, "nobody", 5) is None
    assert await ahead.fetchval("SELECT count(*) FROM n") == 4


async def test_a_step_that_reads_what_no_exchange_carries_is_run_all_the_same(tables: Database) -> None:
    async def step(reader: Reader, unit: Unit) -> None:
        half = await reader.fetchval("SELECT 2.5::numeric")
        unit.write(ADD, f"n-{half}-{len(seen)}", 1)
        seen.append(half)

    seen: list[object] = []
    assert await outcomes(tables, [Unit().then(step)]) == [None]
    assert await outcomes(tables, [Unit().then(step), Unit().then(step)]) == [None, None]
    assert len(await numbers(tables)) == 3
    assert not await tables.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database()"
    )


async def test_a_value_that_cannot_be_sent_holds_up_nobody(tables: Database) -> None:
    async def large(_reader: Reader, unit: Unit) -> None:
        unit.write(ADD, "large", 1 << 40)

    step = Counting()
    came = await outcomes(tables, [step.unit("a"), Unit().then(large), step.unit("b")])
    assert [one is None for one in came] == [True, False, True]
    assert await numbers(tables) == {"a": 0, "b": 1}
