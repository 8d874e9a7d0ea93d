"""POSIX: directories that are held open, symbolic links, modes and owners, process groups."""

from __future__ import annotations

import asyncio
import fcntl
import grp
import os
import pwd
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

#: Where the agent's configuration and its state are unless one says otherwise.
CONFIG, STATE = "/etc/troth/agent.toml", "/var/lib/troth-agent"
#: Whether the agent stays, answers on a Unix socket, and turns links.
SERVES = True
#: How a file is opened to be read: a pipe in its place does not stop us.
READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
#: What of the agent's own environment a program gets.
_PASSED = ("PATH", "LANG", "LC_ALL", "TZ", "HOME", "DBUS_SYSTEM_BUS_ADDRESS", "XDG_RUNTIME_DIR")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write(path: Path, data: bytes, *, mode: int, uid: int = -1, gid: int = -1, directory: int | None = None) -> None:
    """Put ``data`` at ``path``, durably, in one step. Raises OSError, and then the old file is there.

    Args:
        directory: where ``path``'s name goes, if it is held open already.
    """
    if directory is None:
        held = os.open(path.parent, _DIRECTORY)
        try:
            _write_in(held, path.name, data, mode, uid, gid)
        finally:
            os.close(held)
    else:
        _write_in(directory, path.name, data, mode, uid, gid)


def point(link: Path, target: str) -> None:
    """Have ``link`` lead to ``target``, durably, in one step. Raises OSError."""
    beside = link.with_name(f".{link.name}.troth-new")
    beside.unlink(missing_ok=True)
    try:
        beside.symlink_to(target)
        beside.rename(link)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(link.parent)


def read_link(path: Path) -> str | None:
    """Where :func:`point` had ``path`` lead; None if nothing is there or it is no link."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def make_directory(path: Path, mode: int) -> None:
    """A new directory. Raises OSError."""
    path.mkdir(mode=mode)
    path.chmod(mode)  # whatever the umask said


def sync_directory(path: Path) -> None:
    """What was renamed, made or removed in ``path`` stays so after a power cut."""
    descriptor = os.open(path, _DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hold(descriptor: int) -> None:
    """Lock a file for as long as it is open. Raises OSError if another process has."""
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def owner(user: str, group: str) -> tuple[int, int]:
    """The numbers of a user and a group, -1 for none named. Raises KeyError for one that does not exist."""
    uid = -1 if not user else int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    gid = -1 if not group else int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    return uid, gid


def others_may_read(path: Path) -> str:
    """Why others than its owner may read ``path``; empty if they may not. Raises OSError."""
    mode = path.stat().st_mode
    return f"mode {mode & 0o777:04o}; chmod 0600" if mode & 0o077 else ""


def troubles() -> Iterator[str]:
    """Nothing of this system makes files unsafe."""
    yield from ()


def scratch() -> int:
    """A file without a name."""
    return os.memfd_create("output", os.MFD_CLOEXEC)


def environment() -> Mapping[str, str]:
    """What a program of the operator gets of the agent's environment."""
    return {"PATH": _PATH, **{name: os.environ[name] for name in _PASSED if name in os.environ}}


def end(process: asyncio.subprocess.Process) -> None:
    """Kill ``process``, which leads a session, with its children."""
    os.killpg(process.pid, signal.SIGKILL)


def _write_in(directory: int, name: str, data: bytes, mode: int, uid: int, gid: int) -> None:
    beside = f".{name}.troth-new"
    with suppress(FileNotFoundError):
        os.unlink(beside, dir_fd=directory)
    # O_EXCL and O_NOFOLLOW: in a directory that others may write, nobody chooses where these bytes go.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(beside, flags, 0o600, dir_fd=directory)
    try:
        try:
            _write_all(descriptor, data)
            if (uid, gid) != (-1, -1):
                os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(beside, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=directory)
        raise
    os.fsync(directory)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
