"""A drain that does not wait for a journal's file to end."""

from __future__ import annotations

from typing import Any

from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.trust.connecting.journal import Journal
from troth.trust.connecting.journal_drain import Drain


class PromptDrain(Drain):
    """Has ``journal``'s file end, and carries over what there is below its root."""

    def __init__(self, database: Database, journal: Journal, clock: Clock, **more: Any) -> None:
        super().__init__(database, journal.directory.parent, clock, **more)
        self._journal = journal

    async def once(self) -> int:
        """How many entries there were."""
        await self._journal.end()
        return await super().once()
