"""Archives on schedule, by one worker at a time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.kit.settings import BackupSettings
from troth.ops.backup.create import Source, create
from troth.ops.backup.keep import drop_old, kept_in
from troth.ops.backup.sealing import Seal
from troth.store.lease import Lease
from troth.store.marks import MARK
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("ops")

#: An archive is begun by whoever holds the lease then; it may take long, and is made twice at worst.
_LEASE_SECONDS = 3600.0
_LOOK_SECONDS = 30.0
#: Under which ``/metrics`` finds how old the newest archive is.
MARK_NAME = "backup"


class BackupDuty:
    """Makes an archive whenever the newest in the directory is older than the schedule says."""

    def __init__(
        self, source: Source, database: Database, clock: Clock, settings: BackupSettings, instance: UUID
    ) -> None:
        self._source = source
        self._database = database
        self._clock = clock
        self._settings = settings
        self._seal = Seal.of(settings.recipients)
        self._lease = Lease(database, clock, "backup", instance, seconds=_LEASE_SECONDS)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set. What fails is told in the log and the ledger, and tried again."""
        while not stop.is_set():
            try:
                if await self._due() and await self._lease.acquire() is not None:
                    try:
                        await self.once()
                    finally:
                        await self._lease.release()
            except TrothError as error:
                log.error("backup.failed", code=error.code, detail=error.detail)
            except Exception:
                # The worker has other duties; a backup that fails must not end them.
                log.exception("backup.failed")
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await stop.wait()
            except TimeoutError:
                pass

    async def _due(self) -> bool:
        kept = await asyncio.to_thread(kept_in, Path(self._settings.directory))
        return not kept or self._clock.now() - kept[0].made_at >= timedelta(seconds=self._settings.every_seconds)

    async def once(self) -> None:
        """One archive, read back; then what is too old goes. Raises TrothError."""
        directory = Path(self._settings.directory)
        made = await create(self._source, directory, self._seal, self._clock)
        dropped = await asyncio.to_thread(drop_old, directory, self._settings.keep)
        event = Event(
            "backup.made",
            "system:backup",
            (),
            {
                "name": made.path.name,
                "bytes": made.size,
                "ledger_size": made.header.ledger_size,
                "certificates": made.header.certificates,
                "dropped": [path.name for path in dropped],
            },
        )
        await self._database.commit(Unit().record(event).write(MARK, MARK_NAME, made.header.created_at))
