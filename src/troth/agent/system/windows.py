"""Windows, as far as the agent needs it to get certificates once and end.

Links need a privilege there that a service does not have, so what would be one is a small file that holds its target,
and every installed form is a copy. Who may read a file is told by the access control list that it inherits from its
directory: the agent's own directories are for SYSTEM, administrators and their maker (what Python makes of mode 0700);
those of installed forms are the operator's.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

_HOME = os.environ.get("PROGRAMDATA", r"C:\ProgramData") + r"\Troth"
CONFIG, STATE = _HOME + r"\agent.toml", _HOME + r"\agent"
SERVES = False
#: Windows' flags for octets as they are, and for a file that is gone when it is closed.
_BINARY, _TEMPORARY = getattr(os, "O_BINARY", 0), getattr(os, "O_TEMPORARY", 0)
READ = os.O_RDONLY | _BINARY

#: What of the agent's own environment a program gets: without these a program of Windows does not start.
_PASSED = (
    "PATH", "PATHEXT", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "TEMP", "TMP", "PROGRAMDATA", "PROGRAMFILES",
)  # fmt: skip
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
#: A link's target is the name of a generation.
_LONGEST_TARGET = 260


def write(
    path: Path,
    data: bytes,
    *,
    mode: int,  # noqa: ARG001  # nor do the others mean anything here
    uid: int = -1,  # noqa: ARG001
    gid: int = -1,  # noqa: ARG001
    directory: int | None = None,  # noqa: ARG001
) -> None:
    """Put ``data`` at ``path`` in one step. Raises OSError, and then the old file is there; so it is while another
    program holds it open without leave to replace it."""
    beside = path.with_name(f".{path.name}.troth-new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, _NEW, 0o600)
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _replaced(beside, path)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def _replaced(beside: Path, path: Path) -> None:
    """Rename, again for a moment if a scanner or an indexer has just opened one of the two."""
    for pause in (0.05, 0.1, 0.2, 0.4):
        with suppress(PermissionError):
            beside.replace(path)
            return
        time.sleep(pause)
    beside.replace(path)


def point(link: Path, target: str) -> None:
    """A file that holds ``target``. Raises OSError."""
    write(link, target.encode(), mode=0o600)


def read_link(path: Path) -> str | None:
    """What :func:`point` wrote; None if nothing is there."""
    try:
        with path.open("rb") as opened:
            return opened.read(_LONGEST_TARGET).decode()
    except (OSError, UnicodeDecodeError):
        return None


def make_directory(path: Path, mode: int) -> None:  # noqa: ARG001
    """A new directory for SYSTEM, administrators and this user, whatever ``mode`` says. Raises OSError."""
    path.mkdir(mode=0o700)


def sync_directory(path: Path) -> None:
    """Nothing: Windows flushes no directories; NTFS has a journal."""


def hold(descriptor: int) -> None:
    """Lock a file for as long as it is open. Raises OSError if another process has."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)


def owner(user: str, group: str) -> tuple[int, int]:
    """Nobody: raises KeyError for any name."""
    if user or group:
        raise KeyError(f"{user or group} (on Windows the directory's access control list says who may read)")
    return -1, -1


def others_may_read(path: Path) -> str:
    """Nothing is known of that here but whether the file is there. Raises OSError if not."""
    path.stat()
    return ""


def troubles() -> Iterator[str]:
    """What of this Python makes files unsafe: mode 0700 means nothing to older ones (CVE-2024-4030)."""
    if sys.version_info < (3, 11, 10) or (3, 12) <= sys.version_info < (3, 12, 4):
        told = ".".join(map(str, sys.version_info[:3]))
        yield f"Python {told} lets others read the directories that it makes; take 3.11.10, 3.12.4 or newer"


def scratch() -> int:
    """A file that is gone when it is closed."""
    handle, name = tempfile.mkstemp(prefix="troth-")
    os.close(handle)
    return os.open(name, os.O_RDWR | _BINARY | _TEMPORARY)


def environment() -> Mapping[str, str]:
    """What a program of the operator gets of the agent's environment."""
    return {name: os.environ[name] for name in _PASSED if name in os.environ}


def end(process: asyncio.subprocess.Process) -> None:
    """Kill ``process``; its children live on."""
    process.kill()
