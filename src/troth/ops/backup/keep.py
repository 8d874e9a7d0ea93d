"""Archives in a directory: which there are, which are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from troth.ops.backup.archive import SUFFIX
from troth.ops.backup.errors import UNREADABLE, BackupRefused

_NAME = f"troth-%Y%m%dT%H%M%SZ{SUFFIX}"


@dataclass(frozen=True, slots=True)
class Kept:
    """One archive, known by its name; what is in it needs a key."""

    path: Path
    made_at: datetime
    size: int


def kept_in(directory: Path) -> list[Kept]:
    """The archives in ``directory`` that bear a default name, newest first. Raises BackupRefused."""
    found = []
    try:
        for path in directory.iterdir():
            made = _time(path.name)
            if made is not None and path.is_file():
                found.append(Kept(path, made, path.stat().st_size))
    except OSError as error:
        raise BackupRefused(UNREADABLE, f"{directory}: {error.strerror}") from error
    return sorted(found, key=lambda one: one.made_at, reverse=True)


def drop_old(directory: Path, keep: int) -> list[Path]:
    """Remove all but the ``keep`` newest; never the last one. Returns what was removed."""
    dropped = []
    for one in kept_in(directory)[max(keep, 1) :]:
        one.path.unlink(missing_ok=True)
        dropped.append(one.path)
    return dropped


def _time(name: str) -> datetime | None:
    try:
        return datetime.strptime(name, _NAME).replace(tzinfo=UTC)
    except ValueError:
        return None
