"""Putting a restored installation in its place: all of it is made beside, and takes the name in one step."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from troth.assembly import staging, state
from troth.assembly.errors import STATE_DAMAGED, AssemblyError
from troth.assembly.layout import Layout
from troth.assembly.postgres import EmbeddedPostgres
from troth.kit import config as configuration
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.kit.settings import DatabaseSettings
from troth.ops.backup.errors import DATABASE, NOT_EMPTY, UNWRITABLE, BackupRefused, RestoreRefused
from troth.ops.backup.restore import Order, Restored, restore
from troth.pki.keys.files import sync_directory
from troth.store.errors import StoreError
from troth.store.restoring import mark, unmark
from troth.store.snapshot import snapshot

log = get_logger("assembly")


async def restore_into(
    order: Order, data: Path, clock: Clock, *, database_url: str = "", progress: Callable[[str], None]
) -> Restored:
    """Restore ``order`` as the data directory ``data``, which must be empty or not there.

    Args:
        database_url: an empty database to fill; without it the embedded one is made.

    What an earlier one that was cut short has left, beside ``data`` and in the database, is cleared first.

    Raises RestoreRefused, BackupRefused, PostgresError, StoreError; then ``data`` and the database are as they were.
    """
    await asyncio.to_thread(_refuse_what_is_there, data)
    try:
        await staging.clear_left(data, database_url)
        if database_url:
            await _refuse_used(database_url)
        made = await asyncio.to_thread(staging.make, data)
        try:
            if database_url:
                await mark(database_url, made.name)
            made.layout.prepare()
            async with _database(made.layout, database_url, clock) as url:
                restored = await restore(order, made.layout.root, url, clock, progress=progress)
            await asyncio.to_thread(_finish, made.layout, data, restored.origin, bool(database_url))
            if database_url:
                await unmark(database_url)
            return restored
        finally:
            try:
                if made.there:
                    await made.remove(database_url)
            except StoreError as error:
                # What failed is told by its own error; the next restore empties the database first.
                log.warning("restore.not_cleared", left=made.name, error=error.code)
            finally:
                made.let_go()
    except OSError as error:
        raise BackupRefused(UNWRITABLE, f"{data}: {error.strerror or error}") from error


@contextlib.asynccontextmanager
async def _database(layout: Layout, database_url: str, clock: Clock) -> AsyncIterator[str]:
    if database_url:
        yield database_url
        return
    database = EmbeddedPostgres(layout, DatabaseSettings(), clock)
    url = await database.start()
    try:
        yield url
    finally:
        await database.stop()


def _refuse_what_is_there(data: Path) -> None:
    if data.is_symlink() or (data.exists() and (not data.is_dir() or any(data.iterdir()))):
        raise RestoreRefused(NOT_EMPTY, f"{data} is not empty")
    data.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


async def _refuse_used(url: str) -> None:
    async with snapshot(url) as view:
        if await view.tables():
            raise RestoreRefused(NOT_EMPTY, "the database has tables already")


def _finish(layout: Layout, data: Path, origin: str, external: bool) -> None:
    """Give the ledger its name, leave out what belongs to this run, and take the place of ``data``."""
    known = state.read(layout.state_file)
    if known is None:
        raise AssemblyError(STATE_DAMAGED, "the backup holds no state.json")
    state.write(layout.state_file, msgspec.structs.replace(known, ledger_origin=origin))
    if configuration.load(layout.root, {}).database.url and not external:
        raise RestoreRefused(DATABASE, "troth.toml in the backup names a database.url")
    shutil.rmtree(layout.run, ignore_errors=True)
    layout.lock_file.unlink(missing_ok=True)
    # An empty directory gives way to a rename; anything else that has come to stand there does not.
    os.rename(layout.root, data)
    sync_directory(data.parent)
