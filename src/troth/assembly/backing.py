"""What the worker does for recovery: ships the ledger, makes archives on schedule; and what a backup is wired to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from troth.assembly import state
from troth.assembly.context import RoleContext
from troth.assembly.errors import NOT_PREPARED, AssemblyError
from troth.assembly.layout import Layout
from troth.assembly.postgres import EmbeddedPostgres, survivors
from troth.assembly.postgres.server import url as embedded_url
from troth.kit.clock import Clock
from troth.kit.settings import BackupSettings, Config
from troth.ops.backup.create import Source
from troth.ops.backup.schedule import MARK_NAME as BACKED_UP
from troth.ops.backup.schedule import BackupDuty
from troth.ops.backup.sealing import Seal
from troth.ops.backup.shipped import SHIPPED, stops
from troth.ops.backup.shipping import Shipper, ShippingDuty
from troth.ops.backup.target import DirectoryTarget
from troth.pki.keys.files import ensure_secret
from troth.store.lease import Instance
from troth.store.marks import UNMARK, read_marks
from troth.store.pool import Database
from troth.store.unit import Unit


@dataclass
class Backing:
    """The duties, and what bounds checkpoints (None: nothing)."""

    duties: list[Coroutine[Any, Any, None]] = field(default_factory=list)
    ceiling: Callable[[], Awaitable[int]] | None = None


def backup_duties(context: RoleContext, database: Database, instance: Instance) -> Backing:
    """What ``[backup]`` asks for. Raises BackupRefused when it asks for tiles or archives that nobody could open."""
    settings, backing = context.config.backup, Backing()
    source = Source(data=context.layout.root, database_url=context.database_url, origin=context.state.ledger_origin)
    if settings.tiles:
        shipper = Shipper(
            context.database_url,
            DirectoryTarget(Path(settings.tiles)),
            Seal.of(settings.recipients),
            context.clock,
            origin=context.state.ledger_origin,
            secret=ensure_secret(context.layout.role_secret("shipping")),
        )
        duty = ShippingDuty(shipper, database, context.clock, instance.id)
        backing.duties.append(duty.run(context.stop))
        backing.ceiling = duty.ceiling
    if settings.directory:
        archives = BackupDuty(source, database, context.clock, settings, instance.id)
        backing.duties.append(archives.run(context.stop))
    backing.duties.append(_unmark(database, settings))
    return backing


async def _unmark(database: Database, settings: BackupSettings) -> None:
    """What is configured no longer must not be missed for ever."""
    dropped = [(name,) for name, wanted in ((BACKED_UP, settings.directory), (SHIPPED, settings.tiles)) if not wanted]
    if not settings.tiles:
        dropped += stops(await read_marks(database))
    if dropped:
        await database.commit(Unit().write_all(UNMARK, dropped))


def source_of(layout: Layout, database_url: str) -> Source:
    """What a backup of ``layout`` reads. Raises AssemblyError before the first start."""
    known = state.read(layout.state_file)
    if known is None:
        raise AssemblyError(NOT_PREPARED, f"{layout.state_file} does not exist")
    return Source(data=layout.root, database_url=database_url, origin=known.ledger_origin)


@contextlib.asynccontextmanager
async def database_running(layout: Layout, config: Config, clock: Clock) -> AsyncIterator[str]:
    """The URL of the installation's database, which is started for the block if it does not run."""
    if config.database.url:
        yield config.database.url
    elif await asyncio.to_thread(survivors.postmaster, layout.database) is not None:
        yield embedded_url(layout)
    else:
        database = EmbeddedPostgres(layout, config.database, clock)
        url = await database.start()
        try:
            yield url
        finally:
            await database.stop()
