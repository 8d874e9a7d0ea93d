"""How long the record of signals and standings is kept beside the ledger, which keeps its own.

Each assessment is stored with all that it was made from, so that it can be repeated bit for bit; that is much to keep
for ever. A subject's last one always stays: it is why the subject stands where it does.
"""

from __future__ import annotations

from datetime import timedelta

from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.trust.intake import unresolved_store
from troth.trust.standings import ground_store

#: Rows that go at once, so that nobody waits long for the tables.
_AT_ONCE = 5_000


class Retention:
    """Forgets what is older than ``keep``; None keeps everything."""

    def __init__(self, database: Database, clock: Clock, keep: timedelta | None) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep

    async def run_once(self) -> int:
        """Forget all that is due; how many rows went. Safe beside others who do the same."""
        if self._keep is None:
            return 0
        before, gone = self._clock.now() - self._keep, 0
        for forget in (ground_store.forget_records, unresolved_store.forget_settled):
            while (number := await forget(self._database, before, _AT_ONCE)) > 0:
                gone += number
        return gone
