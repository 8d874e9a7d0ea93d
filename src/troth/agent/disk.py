"""Files that are there whole or not at all.

A file is written beside its place, given its owner and mode, synced and renamed; then its directory is synced. A crash
or a full disk at any step leaves the old one. What a cut-short write left beside is taken away by the next one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from troth.agent import system
from troth.agent.errors import DISK, AgentError

#: Nothing the agent reads back is longer; what is longer was not written by it.
MAX_READ = 4 * 1024 * 1024


def write(path: Path, data: bytes, *, mode: int = 0o600, uid: int = -1, gid: int = -1) -> None:
    """Put ``data`` at ``path``, durably, in one step; ``-1`` leaves owner or group as they come. Raises AgentError."""
    with _told(path):
        system.write(path, data, mode=mode, uid=uid, gid=gid)


@dataclass(frozen=True, slots=True)
class Held:
    """A directory that is held open: whatever its names come to mean meanwhile, files go into this one and no other."""

    path: Path
    descriptor: int

    def write(self, name: str, data: bytes, *, mode: int) -> None:
        """As :func:`write`. Raises AgentError."""
        with _told(self.path / name):
            system.write(self.path / name, data, mode=mode, directory=self.descriptor)

    def remove(self, name: str) -> None:
        """As :func:`remove`. Raises AgentError."""
        with _told(self.path / name), suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)


@contextmanager
def below(root: Path, *names: str, mode: int) -> Iterator[Held]:
    """The directory ``names`` below ``root``, made where it is missing, for where others may write below the root.

    No link below the root is followed, at whatever moment it is put there. Raises AgentError.
    """
    place = root.joinpath(*names)
    if not system.SERVES:
        raise AgentError(DISK, f"{place}: directories of others are written on POSIX systems alone")
    directory = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    with ExitStack() as stack:
        with _told(place):
            descriptor = os.open(root, directory)
            stack.callback(os.close, descriptor)
            for name in names:
                made = False
                with suppress(FileExistsError):
                    os.mkdir(name, mode, dir_fd=descriptor)
                    made = True
                descriptor = os.open(name, directory | os.O_NOFOLLOW, dir_fd=descriptor)
                stack.callback(os.close, descriptor)
                if made:
                    os.fchmod(descriptor, mode)  # whatever the umask said
        yield Held(place, descriptor)


def point(link: Path, target: str) -> None:
    """Make the link ``link`` lead to ``target``, durably, in one step. Raises AgentError."""
    with _told(link):
        system.point(link, target)


def make_directory(path: Path, mode: int = 0o700) -> None:
    """Have the directory ``path``, with its parents; ``mode`` is of a directory that is new. Raises AgentError."""
    with _told(path):
        if path.is_dir():
            return
        make_directory(path.parent, mode)
        try:
            system.make_directory(path, mode)
        except FileExistsError:
            if not path.is_dir():
                raise
        else:
            sync_directory(path.parent)


def read(path: Path) -> bytes | None:
    """What is at ``path``; None if nothing is. Raises AgentError for what is no file, or too long."""
    with _told(path):
        try:
            descriptor = os.open(path, system.READ)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as opened:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise AgentError(DISK, f"{path} is no file")
            data = opened.read(MAX_READ + 1)
    if len(data) > MAX_READ:
        raise AgentError(DISK, f"{path} has more than {MAX_READ} octets")
    return data


def read_link(path: Path) -> str | None:
    """Where :func:`point` had ``path`` lead; None if nothing is there or it is no link."""
    return system.read_link(path)


def remove(path: Path) -> None:
    """Have no file ``path``. Raises AgentError."""
    with _told(path):
        path.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """What was renamed, made or removed in ``path`` stays so after a power cut."""
    system.sync_directory(path)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AgentError(DISK, f"{path}: {error.strerror or error}", errno=error.errno or 0) from error
