"""A database that is used again is as new: the tests' tests of it, for what a test may have left."""

from __future__ import annotations

import asyncio
from itertools import count

import asyncpg
import pytest

from tests.support.mint import Minted
from tests.support.postgres import PostgresServer, run_apart
from tests.support.recycling import Recycling

_NUMBERS = count()
_EVERYTHING = """
SELECT format('%I.%I', nspname, relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"""


async def contents(url: str) -> dict[str, list[str]]:
    connection = await asyncpg.connect(url)
    try:
        names = [row["name"] for row in await connection.fetch(_EVERYTHING)]
        return {
            name: [row[0] for row in await connection.fetch(f"SELECT t::text FROM {name} t ORDER BY 1")]
            for name in names
        }
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("left", "again"),
    [
        ("INSERT INTO duty_mark (name, at) SELECT 'm' || n, now() FROM generate_series(1, 3) n", True),
        ("UPDATE authority SET name = 'Another'", True),
        ("UPDATE authority SET name = name", True),
        ("DELETE FROM authority WHERE slug = 'issuing'", True),
        ("TRUNCATE authority CASCADE", False),
        ("CREATE TABLE of_a_test ()", False),
        ("ALTER TABLE authority ALTER COLUMN name SET DEFAULT 'x'", False),
        ("DROP TABLE duty_mark", False),
        ("CREATE OR REPLACE FUNCTION of_a_test() RETURNS int LANGUAGE sql AS 'SELECT 1'", False),
        ("ANALYZE authority", False),
        ("INSERT INTO duty_mark (name, at) SELECT repeat('m', 99) || n, now() FROM generate_series(1, 20000) n", False),
    ],
)
def test_what_a_test_left_is_gone(postgres: PostgresServer, minted: Minted, left: str, again: bool) -> None:
    recycling = Recycling(postgres, prefix=f"recycled_{next(_NUMBERS)}")
    first = recycling.take(minted.template)
    before, had = run_apart(contents(postgres.url(first.name))), first.name
    run_apart(postgres.execute(left, first.name))
    recycling.give_back(first)
    second = recycling.take(minted.template)
    assert (second is first) is again
    assert second.name != had
    assert run_apart(contents(postgres.url(second.name))) == before
    assert any(before.values())
    run_apart(postgres.execute(f"DROP DATABASE {second.name}"))


def test_who_still_holds_a_connection_is_cut_off(postgres: PostgresServer, migrated_template: str) -> None:
    recycling = Recycling(postgres, prefix=f"recycled_{next(_NUMBERS)}")
    taken = recycling.take(migrated_template)

    async def hold_on() -> None:
        connection = await asyncpg.connect(postgres.url(taken.name))
        async with asyncio.timeout(60):
            await asyncio.to_thread(recycling.give_back, taken)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await connection.execute("SELECT 1")

    run_apart(hold_on())
    run_apart(postgres.execute(f"DROP DATABASE {taken.name}"))
