"""Databases for tests: one server per test process, a fresh migrated database per test."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.postgres import PostgresServer, run_apart
from tests.support.recycling import Recycling
from troth.kit.clock import FakeClock

if TYPE_CHECKING:
    from troth.store.pool import Database

_TEMPLATE = "troth_template"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL of this test process, without fsync: what is tested here is not a power cut."""
    server = PostgresServer.create()
    yield server
    server.destroy()


@pytest.fixture
def durable_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of this test alone, with fsync, that may be stopped, killed and started again."""
    server = PostgresServer.create(durable=True)
    yield server
    server.destroy()


@pytest.fixture(scope="session")
def migrated_template(postgres: PostgresServer) -> str:
    """The name of a database with every migration applied, to copy from.

    It has the ledger's second partition already, which any sequencer makes as soon as it runs.
    """
    from troth.audit.store import partition_ddl
    from troth.store.migrate import migrate

    run_apart(postgres.execute(f"CREATE DATABASE {_TEMPLATE}"))
    run_apart(migrate(postgres.url(_TEMPLATE)))
    run_apart(postgres.execute(partition_ddl(1), _TEMPLATE))
    return _TEMPLATE


@pytest.fixture
def template(request: pytest.FixtureRequest, migrated_template: str) -> str:
    """What this test's database is a copy of: with a ``mint`` the work of making one is done in it already."""
    return request.getfixturevalue("minted").template if "mint" in request.fixturenames else migrated_template


@pytest.fixture
def empty_database_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    name = f"empty_{next(_numbers)}"
    run_apart(postgres.execute(f"CREATE DATABASE {name}"))
    yield postgres.url(name)
    run_apart(postgres.execute(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def recycling(postgres: PostgresServer) -> Recycling:
    """The databases that the tests of this process use one after the other."""
    return Recycling(postgres)


@pytest.fixture
def database_url(postgres: PostgresServer, recycling: Recycling, template: str) -> Iterator[str]:
    """The URL of a fresh, migrated database that is this test's alone."""
    taken = recycling.take(template)
    yield postgres.url(taken.name)
    recycling.give_back(taken)


@pytest.fixture
async def database(database_url: str, clock: FakeClock) -> AsyncIterator[Database]:
    """An open :class:`troth.store.pool.Database` on a fresh database, with the test's fake clock."""
    from troth.store.pool import Database

    opened = await Database.open(database_url, clock=clock)
    yield opened
    await opened.close()
