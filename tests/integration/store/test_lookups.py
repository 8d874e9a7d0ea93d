"""Reads that share round trips, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import asyncpg
import pytest

from troth.kit.ids import new_id
from troth.store.errors import Unavailable
from troth.store.pool import Database

EVERY_TYPE = """SELECT $1::uuid AS a, $2::text AS b, $3::bytea AS c, $4::int4 AS d, $5::int8 AS e, $6::int2 AS f,
    $7::boolean AS g, $8::jsonb AS h, '2026-06-01T12:00:00.000001Z'::timestamptz AS i,
    NULL::timestamptz AS j,
    ARRAY[$1::uuid, NULL] AS k, '{}'::text[] AS l, NULL::jsonb AS m, 1.5::float8 AS n, 'x'::varchar AS o,
    ARRAY[$3::bytea] AS p"""
_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'troth-lookups'"
_HERE = " AND datname = current_database()"


async def test_every_type_reads_as_the_driver_reads_it(database: Database) -> None:
    values = (new_id(), "ä\n", b"\0\xff", -5, 2**40, 7, True, '{"b": 1, "a": "ü"}')
    shared, plain = await database.lookups.fetchrow(EVERY_TYPE, *values), await database.fetchrow(EVERY_TYPE, *values)
    assert shared is not None
    assert plain is not None
    assert dict(shared) == dict(plain)


async def test_reads_asked_for_together_travel_together(database: Database) -> None:
    sql = "SELECT $1::int4 AS n, statement_timestamp() AS at"
    await database.lookups.fetchval(sql, 0)
    rows = await asyncio.gather(*(database.lookups.fetchrow(sql, n) for n in range(40)))
    assert [row["n"] for row in rows if row is not None] == list(range(40))
    one = "SELECT pg_current_xact_id()::text::int8"
    assert len(set(await asyncio.gather(*(database.lookups.fetchval(one) for _ in range(20))))) <= 2


async def test_an_error_is_its_own_askers_alone(database: Database) -> None:
    asked = [database.lookups.fetchval("SELECT 10 / $1::int4", n) for n in (1, 0, 2, 0, 5)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [answers[0], answers[2], answers[4]] == [10, 5, 2]
    assert isinstance(answers[1], asyncpg.DivisionByZeroError)
    assert isinstance(answers[3], asyncpg.DivisionByZeroError)


async def test_a_value_that_its_type_cannot_hold_is_its_own_askers_alone(database: Database) -> None:
    sql = "SELECT $1::int4"
    good, bad = await asyncio.gather(
        database.lookups.fetchval(sql, 1), database.lookups.fetchval(sql, "one"), return_exceptions=True
    )
    assert good == 1
    assert isinstance(bad, Exception)
    assert await database.lookups.fetchval(sql, 2) == 2


async def test_a_type_without_a_codec_is_read_by_the_driver(database: Database) -> None:
    sql = "SELECT 1.5::numeric + $1::int4"
    both = await asyncio.gather(database.lookups.fetchval(sql, 1), database.lookups.fetchval("SELECT 3"))
    assert both == [Decimal("2.5"), 3]
    assert await database.lookups.fetchval(sql, 2) == Decimal("3.5")


async def test_a_statement_that_cannot_be_prepared_says_why(database: Database) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await database.lookups.fetch("SELECT * FROM no_such_table")
    assert await database.lookups.fetch("SELECT 1 WHERE false") == []
    assert await database.lookups.fetchval("SELECT 1 WHERE false") is None
    assert await database.lookups.fetchrow("SELECT 1 WHERE false") is None


async def test_a_connection_that_was_ended_is_replaced_unnoticed(database: Database) -> None:
    assert await database.lookups.fetchval("SELECT 1") == 1
    await database.fetch(_END + _HERE)
    assert await database.lookups.fetchval("SELECT 2") == 2


async def test_a_read_that_is_cut_off_twice_is_unavailable(database: Database) -> None:
    with pytest.raises(Unavailable):
        await database.lookups.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
    assert await database.lookups.fetchval("SELECT 2") == 2


async def test_a_schema_that_changed_under_a_prepared_statement_is_read_as_it_is_now(database: Database) -> None:
    await database.fetch("CREATE TABLE t (a int)")
    await database.fetch("INSERT INTO t VALUES (1)")
    assert await database.lookups.fetchrow("SELECT * FROM t") == {"a": 1}
    await database.fetch("ALTER TABLE t ADD COLUMN b text DEFAULT 'x'")
    assert await database.lookups.fetchrow("SELECT * FROM t") == {"a": 1, "b": "x"}


async def test_a_conflict_that_passes_is_not_noticed_and_one_that_stays_is_unavailable(database: Database) -> None:
    await database.fetch("CREATE SEQUENCE tries")
    await database.fetch(
        """CREATE FUNCTION conflicting(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
           IF nextval('tries') < $1 THEN RAISE EXCEPTION 'chaos' USING ERRCODE = '40001'; END IF; RETURN $1; END $$"""
    )
    assert await database.lookups.fetchval("SELECT conflicting(3)") == 3
    with pytest.raises(Unavailable):
        await database.lookups.fetchval("SELECT conflicting(1000)")


async def test_whoever_gives_up_takes_nobody_along(database: Database) -> None:
    slow = asyncio.create_task(database.lookups.fetchval("SELECT 1 FROM pg_sleep(0.05)"))
    await asyncio.sleep(0)
    other = asyncio.create_task(database.lookups.fetchval("SELECT 2"))
    await asyncio.sleep(0.01)
    slow.cancel()
    assert await other == 2


async def test_a_database_that_is_closed_answers_nobody(database_url: str) -> None:
    from troth.kit.clock import SystemClock

    database = await Database.open(database_url, clock=SystemClock())
    waiting = asyncio.create_task(database.lookups.fetchval("SELECT 1 FROM pg_sleep(5)"))
    await asyncio.sleep(0.05)
    await database.close()
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await database.lookups.fetchval("SELECT 1")
