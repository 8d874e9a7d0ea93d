"""Finding whom a name belongs to: quick on a database that has just begun, and blind to who is gone."""

from __future__ import annotations

import time

import asyncpg
import pytest

from troth.kit.clock import FakeClock
from troth.store.pool import Database
from troth.trust.subjects.directory_plan import Directory
from troth.trust.subjects.store import SubjectStore

_MANY = """INSERT INTO subject (id, kind, name, origin, standing_since, created_at, confirmed_at)
SELECT gen_random_uuid(), 'workload', 'n' || i || '.example', 'acme', now(), now(), now()
FROM generate_series(1, 3000) i"""


async def test_a_plan_made_while_there_was_nobody_does_not_read_everybody(
    database: Database, database_url: str, subject_store: SubjectStore
) -> None:
    administrator = await asyncpg.connect(database_url)
    await administrator.execute("ALTER TABLE subject SET (autovacuum_enabled = off)")
    for _ in range(8):  # from the sixth time on PostgreSQL keeps its plan
        assert await subject_store.by_names(["n1.example"]) == {}
    await administrator.execute(_MANY)
    await administrator.close()
    begun = time.perf_counter()
    for number in range(1, 51):
        name = f"n{number}.example"
        assert (await subject_store.by_names([name]))[name].name == name
    # It was a second for each of them.
    assert time.perf_counter() - begun < 2.5


@pytest.mark.parametrize("gone", ["laptop-1", "alice"])
async def test_who_was_removed_neither_holds_a_name_nor_owns_its_holder(
    database: Database, clock: FakeClock, subject_store: SubjectStore, directory: Directory, gone: str
) -> None:
    text = """users: [{name: alice, enabled: true}]
devices: [{name: laptop-1, owner: alice, names: [laptop.example]}]
"""
    await directory.apply(await directory.plan(text), actor="admin:test")
    held = (await subject_store.by_names(["laptop.example"]))["laptop.example"]
    assert held.owner is not None
    await database.fetchval("UPDATE subject SET removed_at = now() WHERE name = $1", gone)
    found = (await subject_store.by_names(["laptop.example"])).get("laptop.example")
    if gone == "laptop-1":
        assert found is None
    else:
        assert found is not None
        assert found.owner is None
