"""Where a restore makes everything before it takes its name: locked while somebody is at it, cleared when nobody is.

A restore that is killed leaves its staging directory, with secrets in it, and the database server that filled it. The
next restore into the same place finds the directory unlocked, ends that server and removes all of it. The lock is on
the directory itself, so it goes along when the directory gets its name.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from troth.assembly.layout import Layout
from troth.assembly.postgres import survivors
from troth.kit.log import get_logger
from troth.store.restoring import marked, unmark, wipe

log = get_logger("assembly")


@dataclass(frozen=True, slots=True)
class Staging:
    """A staging directory that this process holds the lock of."""

    layout: Layout
    descriptor: int

    @property
    def name(self) -> str:
        """Under which it stands beside what it will become, and in an external database's mark."""
        return self.layout.root.name

    @property
    def there(self) -> bool:
        """Whether it has not taken its place yet."""
        return self.layout.root.exists()

    async def remove(self, database_url: str) -> None:
        """Take back everything: tables in an external database, the server of an embedded one, and the files.

        Raises StoreError when the database does not answer: then the directory stays, without what was in it, so that
        the next restore knows whose tables they are.
        """
        await survivors.clear(self.layout.database)
        shutil.rmtree(self.layout.run, ignore_errors=True)
        for inside in self.layout.root.iterdir():
            if inside.is_dir() and not inside.is_symlink():
                await asyncio.to_thread(shutil.rmtree, inside, ignore_errors=True)
            else:
                inside.unlink(missing_ok=True)
        if database_url and await marked(database_url) == self.name:
            await wipe(database_url)
            await unmark(database_url)
        shutil.rmtree(self.layout.root, ignore_errors=True)

    def let_go(self) -> None:
        """Give the lock up."""
        os.close(self.descriptor)


def make(data: Path) -> Staging:
    """A new one for ``data``, beside it. Raises OSError."""
    root = data.with_name(f"{_prefix(data)}{secrets.token_hex(4)}")
    root.mkdir(mode=0o700)
    made = _lock(root)
    if made is None:
        raise BlockingIOError(errno.EAGAIN, "another restore is clearing up here", str(root))
    return made


async def clear_left(data: Path, database_url: str) -> None:
    """Remove what restores into ``data`` that were cut short have left. Raises OSError, StoreError, PostgresError."""
    for root in await asyncio.to_thread(lambda: list(_left(data))):
        found = _lock(root)
        if found is None:
            continue  # somebody is at it
        try:
            log.warning("restore.cleared", left=root.name)
            await found.remove(database_url)
        finally:
            found.let_go()


def _prefix(data: Path) -> str:
    return f".{data.name}.restoring-"


def _left(data: Path) -> Iterator[Path]:
    for one in sorted(data.parent.iterdir()):
        if one.name.startswith(_prefix(data)) and one.is_dir() and not one.is_symlink():
            yield one


def _lock(root: Path) -> Staging | None:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return Staging(Layout.at(root), descriptor)
