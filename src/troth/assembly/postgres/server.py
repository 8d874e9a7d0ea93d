"""The embedded database's life: start, adopt what survived a crash, stop."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

from troth.assembly.errors import PG_PERMISSION, START_FAILED, PostgresError
from troth.assembly.layout import Layout
from troth.assembly.postgres import account as accounts
from troth.assembly.postgres import binaries as programs
from troth.assembly.postgres import cluster, store, survivors
from troth.assembly.process import Process
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.kit.settings import DatabaseSettings

log = get_logger("assembly")

_PORT = 5432
#: Replaying the log after a crash can take long; nothing is gained by giving up on it early.
_START_SECONDS = 300.0
_STOP_SECONDS = 30.0


class EmbeddedPostgres:
    """One PostgreSQL server on the cluster in ``layout``.

    >>> database = EmbeddedPostgres(layout, config.database, clock)
    >>> url = await database.start()
    >>> await database.stop()

    Attributes:
        notes: what a person should know about how it runs.
        adopted: whether it was found running rather than started.
        version: ``18.6``, once started.
    """

    def __init__(self, layout: Layout, settings: DatabaseSettings, clock: Clock) -> None:
        self._layout = layout
        self._settings = settings
        self._clock = clock
        self._process: Process | None = None
        self.notes: list[str] = []
        self.adopted = False
        self.version = ""

    @property
    def url(self) -> str:
        """Where clients connect, over the Unix socket as the role ``troth``."""
        return url(self._layout)

    async def start(self) -> str:
        """Make the cluster if there is none, start the server or adopt a running one, and return its URL.

        Raises PostgresError, with a reason that says what to do.
        """
        where = self._layout.database
        account = accounts.for_database(where)
        if account.note:
            self.notes.append(account.note)
        if await self._adopt(where):
            return self.url
        found = programs.choose(cluster.version_of(where), self._settings.binaries)
        found = await asyncio.to_thread(programs.reachable, found, account)
        self.version = found.version
        if cluster.version_of(where) is None:
            if where.exists():
                raise PostgresError(PG_PERMISSION, f"{where} exists and is not a PostgreSQL cluster")
            await asyncio.to_thread(cluster.create, where, found, account)
        cluster.configure(where, account, self._settings)
        self._prepare_socket_dir(account)
        await survivors.clear(where)
        await self._launch(where, found, account)
        return self.url

    async def stop(self) -> None:
        """End the server: open transactions are rolled back, everything committed is written (a fast shutdown).

        A server that does not end is told to quit at once, which is safe too: it recovers at its next start.
        """
        process, self._process = self._process, None
        if process is None:
            return
        for number, seconds in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
            process.send(number)
            if await process.wait(seconds):
                return
            log.warning("postgres.slow_stop", signal=number.name, pid=process.pid)

    async def wait(self) -> int | None:
        """Until the server ends; its exit status, or None for an adopted one (and for one that was stopped)."""
        process = self._process
        if process is None:
            return None
        await process.wait()
        return process.status

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._process.pid if self._process is not None else None

    async def _adopt(self, where: Path) -> bool:
        """Take over a server that outlived its supervisor, if it can be reached through our socket."""
        pid = survivors.postmaster(where)
        process = Process.existing(pid) if pid is not None else None
        if process is None:
            return False
        if await self._ready(process, where):
            self._process = process
            self.adopted = True
            self.version = str(cluster.version_of(where) or "")
            log.info("postgres.adopted", pid=process.pid)
            return True
        # It lives, but clients cannot get at it (its socket is gone, say): end it, and start a new one.
        log.warning("postgres.survivor_unreachable", pid=process.pid)
        self._process = process
        await self.stop()
        return False

    def _prepare_socket_dir(self, account: accounts.Account) -> None:
        directory = self._layout.postgres_socket_dir
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            if account.drop:
                os.chown(directory, account.uid, account.gid, follow_symlinks=False)
        except OSError as error:
            raise PostgresError(PG_PERMISSION, str(error)) from error

    async def _launch(self, where: Path, found: programs.Binaries, account: accounts.Account) -> None:
        said = self._layout.run / "postgres.log"
        before = _logs(where)
        process = self._spawn(where, found, account, said)
        try:
            ready = await self._ready(process, where)
        except BaseException:
            process.send(signal.SIGQUIT)
            raise
        if ready:
            self._process = process
            return
        process.send(signal.SIGQUIT)
        await process.wait(10.0)
        output = said.read_text(errors="replace") + _logged_since(where, before)
        raise PostgresError(cluster.why(output, START_FAILED), cluster.last_lines(output))

    def _spawn(self, where: Path, found: programs.Binaries, account: accounts.Account, said: Path) -> Process:
        with cluster.handed_down(where, self._layout.postgres_socket_dir) as (addresses, fds), said.open("wb") as out:
            data, sockets = addresses
            command = [str(found.directory / "postgres"), "-D", data]
            command += ["-c", f"unix_socket_directories={sockets}"]
            command += ["-c", f"cluster_name={survivors.cluster_name(where)}"]
            # A session of its own: Ctrl-C in our terminal must not reach the database before its clients have ended.
            # It does not die with us either: a database is adopted, not killed, when its supervisor crashed.
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **cluster.as_account(account, fds),
            )
        return Process.child(child)

    async def _ready(self, process: Process, where: Path) -> bool:
        """Wait until the server says it is ready; whether it takes connections then. False if it ends."""
        deadline = self._clock.monotonic() + _START_SECONDS
        while self._clock.monotonic() < deadline and not process.ended():
            if survivors.status(where) == "ready":
                return await self._answers()
            await asyncio.sleep(0.02)
        return False

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(self._layout.postgres_socket_dir / f".s.PGSQL.{_PORT}")
        except OSError:
            return False
        writer.close()
        return True


def url(layout: Layout) -> str:
    """The embedded database's URL for ``layout``, whether it runs or not."""
    host = quote(str(layout.postgres_socket_dir), safe="")
    return f"postgresql://{store.ROLE}@/{store.DATABASE}?host={host}&port={_PORT}"


def _logs(where: Path) -> dict[Path, int]:
    """The log collector's files (it takes over from standard error once the server is up a little) and their sizes."""
    try:
        return {path: path.stat().st_size for path in sorted((where / "log").glob("*.log"))}
    except OSError:
        return {}


def _logged_since(where: Path, before: dict[Path, int]) -> str:
    """What the log collector wrote after ``before``."""
    told = []
    for path, size in _logs(where).items():
        kept = before.get(path, 0)
        with path.open("rb") as file:
            file.seek(kept if kept <= size else 0)  # a file of last week's day begins anew
            told.append(file.read().decode(errors="replace"))
    return "".join(told)
