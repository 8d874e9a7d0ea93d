"""Processes of an embedded database that outlived their supervisor.

Each server is started with a ``cluster_name`` made from its data directory's inode. The name stands in the command
line of the postmaster and in the process title of every backend, which anyone may read: unlike ``/proc/N/cwd``, that
works in a container whose root has no CAP_SYS_PTRACE. Without ``/proc`` nothing is recognised, and PostgreSQL's own
interlock speaks instead.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from troth.assembly.errors import IN_USE, PostgresError
from troth.assembly.process import Process

_PROC = Path("/proc")
_PID_FILE = "postmaster.pid"


def cluster_name(cluster: Path) -> str:
    """The name that marks the processes of ``cluster``."""
    found = cluster.stat()
    return f"troth-{found.st_dev:x}-{found.st_ino:x}"


def status(cluster: Path) -> str:
    """What the running server says of itself: ``starting``, ``ready``, ``stopping``; empty without one."""
    lines = _lines(cluster)
    return lines[7].strip() if len(lines) > 7 else ""


def postmaster(cluster: Path) -> int | None:
    """The process id of a living server on ``cluster``, or None."""
    lines = _lines(cluster)
    pid = int(lines[0]) if lines and lines[0].strip().isdecimal() else None
    return pid if pid is not None and _belongs(pid, cluster) else None


async def clear(cluster: Path) -> None:
    """Make way for a new server where the last one was killed: end its orphaned backends, remove its pid file.

    PostgreSQL would take a stale pid file for a living server when the number has been given to another process of
    the same user, which is the rule rather than the exception after a container's restart. Raises PostgresError if
    a process of the old server does not go away.
    """
    for pid in list(_processes(cluster)):
        orphan = Process.existing(pid)
        if orphan is None:
            continue
        # SIGQUIT is PostgreSQL's own "the postmaster is gone, drop everything"; the next start recovers.
        for number in (signal.SIGQUIT, signal.SIGKILL):
            orphan.send(number)
            if await orphan.wait(5.0):
                break
        else:
            raise PostgresError(IN_USE, f"process {pid} of an earlier server does not end")
    (cluster / _PID_FILE).unlink(missing_ok=True)


def _lines(cluster: Path) -> list[str]:
    try:
        return (cluster / _PID_FILE).read_text().splitlines()
    except OSError:
        return []


def _processes(cluster: Path) -> Iterator[int]:
    try:
        names = os.listdir(_PROC)
    except OSError:
        return
    for name in names:
        if name.isdecimal() and _belongs(int(name), cluster):
            yield int(name)


def _belongs(pid: int, cluster: Path) -> bool:
    directory = _PROC / str(pid)
    try:
        # The owner too, since anybody may write anything into the command line of a process of their own.
        if directory.stat().st_uid != cluster.stat().st_uid:
            return False
        return cluster_name(cluster).encode() in (directory / "cmdline").read_bytes()
    except OSError:
        return False
