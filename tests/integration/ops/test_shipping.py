"""Shipped bundles, replayed over an empty database: the same rows and ledger, whatever failed on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
import pyrage
import pytest

from tests.support.mint import Mint
from troth.audit.event import Event
from troth.audit.note import NoteKey
from troth.audit.sequencer import Sequencer
from troth.audit.store import LedgerStore
from troth.kit.ids import new_id
from troth.ops.backup.bundle import bundle_name
from troth.ops.backup.coverage import BY_REFERENCE, LEDGER, LEFT_OUT, NOT_REBUILT, WHOLE, unclassified
from troth.ops.backup.errors import BackupRefused, RestoreRefused, ShippingFailed
from troth.ops.backup.replay import Replayed, replay
from troth.ops.backup.sealing import Opener, Seal
from troth.ops.backup.shipping import Shipper
from troth.pki.revocation import OfCertificate, hold, release, revoke
from troth.pki.serial import made_at, new_serial
from troth.radius.sessions.partition_store import SESSIONS, Partitions, begin_restore, end_restore
from troth.store.migrate import migrations
from troth.store.pool import Database
from troth.store.snapshot import loading, snapshot
from troth.store.unit import Unit

ORIGIN, SECRET = "pki.test/ledger", bytes(32)
KEY = NoteKey(ORIGIN, bytes(32))


class MemoryTarget:
    """Files in memory; the ``fail_at``-th write fails, before or after it was done."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.fail_at = -1
        self.puts = 0

    def put(self, name: str, content: bytes) -> None:
        self.puts += 1
        if self.puts == self.fail_at:
            raise ShippingFailed(_reason(), name)
        self.files[name] = content

    def get(self, name: str) -> bytes | None:
        return self.files.get(name)

    def drop(self, name: str) -> None:
        self.files.pop(name, None)

    def names(self, folder: str) -> list[str]:
        return sorted({name[len(folder) + 1 :].split("/")[0] for name in self.files if name.startswith(f"{folder}/")})


def _reason() -> object:
    from troth.ops.backup.errors import SHIPPING

    return SHIPPING


@pytest.fixture
def identity() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def target() -> MemoryTarget:
    return MemoryTarget()


@pytest.fixture
def shipper(
    database_url: str, mint: Mint, target: MemoryTarget, identity: pyrage.x25519.Identity
) -> Callable[[], Shipper]:
    """Makes a shipper that knows nothing of what was shipped before, as after a restart."""
    seal = Seal((identity.to_public(),))
    return lambda: Shipper(database_url, target, seal, mint.clock, origin=ORIGIN, secret=SECRET)


@pytest.fixture
def sequenced(mint: Mint) -> Callable[[], Awaitable[int]]:
    """Gives every event its index; how many there are."""

    async def run() -> int:
        stop = asyncio.Event()
        stop.set()
        from troth.kit.ids import new_id
        from troth.store.lease import Lease

        sequencer = Sequencer(mint.database, mint.clock, new_id())
        held = await Lease(mint.database, mint.clock, "sequencer", new_id(), seconds=0.0).acquire()
        assert held is not None
        while await sequencer.move(held):
            continue
        return (await LedgerStore(mint.database).head()).size

    return run


async def live(mint: Mint) -> None:
    """Issue four; hold one, hold and release one, revoke one."""
    made = [(await mint.gate.issue(mint.request(f"r{number}"))).id for number in range(4)]
    at = mint.clock.now()
    # About things whose references look like those of a large table, and which have no row in one.
    odd = ("account:badge-reader", "account:", "certificate:4711", "key:ocsp-1", "key:abc")
    await mint.database.commit(Unit().record(Event("test.odd", "admin:a", odd)))
    changes: list[Callable[[Unit], Unit]] = [
        lambda unit: hold(unit, OfCertificate(made[0]), cause="admin:a", actor="admin:a", at=at),
        lambda unit: hold(unit, OfCertificate(made[1]), cause="admin:a", actor="admin:a", at=at),
        lambda unit: release(unit, OfCertificate(made[1]), cause="admin:a", actor="admin:a", at=at),
        lambda unit: revoke(unit, OfCertificate(made[2]), reason=4, actor="admin:a", at=at),
    ]
    for change in changes:
        await mint.database.commit(change(Unit()))


#: A row each, however many were moved into the log together.
_REFERENCES = "(SELECT s.ref, i.idx FROM ledger_subject s CROSS JOIN LATERAL unnest(s.idx || s.more) AS i(idx))"


async def rows(url: str) -> dict[str, list[str]]:
    """All that is to come back."""
    async with snapshot(url) as view:
        found: dict[str, list[str]] = {}
        for table in [*BY_REFERENCE, *WHOLE, "ledger_event", _REFERENCES]:
            found[table] = sorted(
                [row["t"] for row in await view.fetch(f"SELECT to_jsonb(t)::text AS t FROM {table} t")]
            )
        return found


async def replayed(url: str, target: MemoryTarget, opener: Opener, secret: bytes = SECRET) -> Replayed:
    newest = max(one.number for one in migrations())
    async with loading(url) as loader:
        return await replay(loader, target, opener, secret, KEY, newest_migration=newest)


@pytest.fixture
async def second(postgres: object, migrated_template: str) -> object:
    """The URL of another migrated database."""
    from tests.support.postgres import PostgresServer
    from troth.kit.ids import new_id

    assert isinstance(postgres, PostgresServer)
    name = f"second_{new_id().hex}"
    await postgres.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
    yield postgres.url(name)
    await postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_every_table_has_a_word_on_how_it_comes_back(database: Database, database_url: str) -> None:
    async with snapshot(database_url) as view:
        there = frozenset(table.name for table in await view.tables())
    # A new table? Say in ops/backup/coverage.py how it comes back after a restore, or why it need not.
    assert unclassified(there) == frozenset()
    assert {*BY_REFERENCE, *WHOLE, *LEDGER, *NOT_REBUILT, *LEFT_OUT} == there


async def test_what_was_shipped_rebuilds_rows_and_ledger_whichever_write_failed(
    mint: Mint, database_url: str, target: MemoryTarget, shipper: Callable[[], Shipper],
    sequenced: Callable[[], Awaitable[int]], identity: pyrage.x25519.Identity, second: str,
) -> None:  # fmt: skip
    await sequenced()
    await shipper().ship()
    await live(mint)
    size = await sequenced()
    before = dict(target.files)
    await shipper().ship()
    writes, whole = target.puts, dict(target.files)
    assert size > 256 // 32
    for fail_at in range(1, 12):
        target.files, target.puts, target.fail_at = dict(before), 0, fail_at
        with_failure = shipper()
        try:
            await with_failure.ship()
        except ShippingFailed:
            await with_failure.ship()
        assert target.files.keys() == whole.keys()
    assert writes > 3
    target.fail_at = -1
    done = await replayed(second, target, Opener((identity,)))
    assert (done.missing, done.size) == ("", size)
    assert await rows(second) == await rows(database_url)


async def test_a_pass_reads_what_events_are_about_from_them_and_walks_no_index_of_the_whole_ledger(
    mint: Mint, database_url: str, target: MemoryTarget, shipper: Callable[[], Shipper],
    sequenced: Callable[[], Awaitable[int]], identity: pyrage.x25519.Identity, second: str,
) -> None:  # fmt: skip
    await live(mint)
    await sequenced()
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("ALTER TABLE ledger_subject RENAME TO away")
        await shipper().ship()
        await connection.execute("ALTER TABLE away RENAME TO ledger_subject")
    finally:
        await connection.close()
    await replayed(second, target, Opener((identity,)))
    assert await rows(second) == await rows(database_url)


async def test_an_event_without_an_index_comes_back_into_the_inbox(
    mint: Mint, target: MemoryTarget, shipper: Callable[[], Shipper], sequenced: Callable[[], Awaitable[int]],
    identity: pyrage.x25519.Identity, second: str,
) -> None:  # fmt: skip
    await sequenced()
    issued = await mint.gate.issue(mint.request())
    await shipper().ship()
    await replayed(second, target, Opener((identity,)))
    async with snapshot(second) as view:
        waiting = await view.fetch("SELECT convert_from(payload, 'UTF8') AS p FROM ledger_inbox ORDER BY id")
    assert [row["p"].count(str(issued.id)) > 0 for row in waiting] == [True, True]


async def test_a_missing_bundle_is_told_and_a_foreign_or_changed_one_refused(
    mint: Mint, target: MemoryTarget, shipper: Callable[[], Shipper], sequenced: Callable[[], Awaitable[int]],
    identity: pyrage.x25519.Identity, second: str,
) -> None:  # fmt: skip
    first = await sequenced()
    await shipper().ship()
    await live(mint)
    await sequenced()
    await shipper().ship()
    opener = Opener((identity,))
    with pytest.raises(BackupRefused):
        await replayed(second, target, Opener((pyrage.x25519.Identity.generate(),)))
    with pytest.raises(RestoreRefused, match="not made by this installation"):
        await replayed(second, target, opener, b"x" * 32)
    name = bundle_name(first)
    whole = target.files.pop(name)
    assert "are missing from event" in (await replayed(second, target, opener)).missing
    target.files[name] = whole[:-20]
    with pytest.raises(BackupRefused):
        await replayed(second, target, opener)


def test_a_serial_number_tells_when_it_was_made(clock: object) -> None:
    from troth.kit.clock import FakeClock

    assert isinstance(clock, FakeClock)
    said = made_at(new_serial(clock.now()), clock.now())
    assert abs((said - clock.now()).total_seconds()) < 0.002


async def test_sessions_of_any_month_are_put_down_in_an_empty_database(
    database: Database, database_url: str, second: str
) -> None:
    august, march = datetime(2025, 8, 31, 23, 59, 59, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    await Partitions(database).ensure(march, august)
    for opened_at in (august, march):
        await database.fetchval(
            """INSERT INTO radius_session (id, opened_at, nas, box, source, last_at, heard_at, ages_at)
               VALUES ($1, $2, 'ap-1', 'b', '192.0.2.1', $2, $2, $2)""",
            new_id(), opened_at,
        )  # fmt: skip
    rows: list[bytes] = []

    async def keep(piece: bytes) -> None:
        rows.append(piece)

    async def pieces() -> AsyncIterator[bytes]:
        for row in rows:
            yield row

    async with snapshot(database_url) as view:
        [table] = [one for one in await view.tables() if one.name == SESSIONS]
        assert await view.copy_out(table, keep) == 2
    async with loading(second) as loader:
        await begin_restore(loader)
        assert await loader.copy_in(table, pieces()) == 2
        await end_restore(loader)
        found = await loader.fetch("SELECT tableoid::regclass::text AS month FROM radius_session ORDER BY opened_at")
        assert [row["month"] for row in found] == ["radius_session_202508", "radius_session_202603"]
