"""The database fixtures: real, migrated, and each test's own."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.support.postgres import PostgresServer, run_apart

if TYPE_CHECKING:
    from troth.store.pool import Database


async def one(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_has_a_migrated_database_of_its_own(database_url: str, turn: int) -> None:
    assert await one(database_url, "SELECT count(*) FROM schema_migration") != 0
    assert await one(database_url, "CREATE TABLE of_this_test_alone ()") is None


async def test_an_empty_database_is_empty(empty_database_url: str) -> None:
    assert await one(empty_database_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


async def test_the_open_database_answers(database: Database) -> None:
    assert await database.fetchval("SELECT 1") == 1


async def test_the_server_is_new_enough_and_listens_on_no_network(postgres: PostgresServer) -> None:
    assert int(str(await one(postgres.url(), "SHOW server_version_num"))) >= 150000
    assert await one(postgres.url(), "SHOW listen_addresses") == ""


def test_a_durable_server_keeps_what_was_committed_over_a_crash(durable_postgres: PostgresServer) -> None:
    run_apart(durable_postgres.execute("CREATE TABLE kept AS SELECT 7 AS seven"))
    durable_postgres.stop(signal.SIGQUIT)
    durable_postgres.start()
    assert run_apart(one(durable_postgres.url(), "SELECT seven FROM kept")) == 7
