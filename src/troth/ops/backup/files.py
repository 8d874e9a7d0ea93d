"""Which files of the data directory belong into a backup: all of them, but for those named here."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from troth.ops.backup.errors import UNREADABLE, BackupRefused

#: Top-level names that stay behind, and why.
LEFT_BEHIND: Mapping[str, str] = {
    "pg": "the embedded database's cluster; its rows are in the archive",
    "run": "sockets",
    "lock": "held by a running supervisor",
    "nonces.map": "clients ask for a new nonce",
    "offline-root": "the root's key is on its way off this machine, and must not ride along in backups",
    "admin.token": "a set-up token is made anew where it is needed",
    "backups": "a backup is not part of the next one",
}
_LARGEST = 256 << 20


def backed_up(data: Path) -> Iterator[tuple[str, bytes, int]]:
    """(path below ``data``, content, permission bits) of each file, in order. Raises BackupRefused.

    Symbolic links, sockets and half-written files (``.name…``) are passed over.
    """
    for path in _walk(data):
        name = path.relative_to(data).as_posix()
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            with open(handle, "rb") as file:
                found = os.fstat(file.fileno())
                if found.st_size > _LARGEST:
                    raise BackupRefused(UNREADABLE, f"{name} is larger than {_LARGEST >> 20} MiB")
                yield name, file.read(), stat.S_IMODE(found.st_mode) & 0o777
        except FileNotFoundError:
            continue  # a key that was removed, or a file that was replaced, while we looked
        except OSError as error:
            raise BackupRefused(UNREADABLE, f"{name}: {error.strerror}") from error


def _walk(directory: Path, *, top: bool = True) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError as error:
        raise BackupRefused(UNREADABLE, f"{directory}: {error.strerror}") from error
    for entry in entries:
        if (top and entry.name in LEFT_BEHIND) or entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), top=False)
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)
