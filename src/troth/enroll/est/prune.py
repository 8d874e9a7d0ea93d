"""Old requests go, and what certificates rested on that have run out; a step at a time."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from troth.enroll.est.store import DROP_CERTIFICATE, DROP_REQUEST, EstStore
from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.store.unit import Unit

_STEP = 500


class EstPruner:
    """See the module. ``repeat``: for how long a request is remembered."""

    def __init__(self, database: Database, clock: Clock, *, repeat: timedelta, step: int = _STEP) -> None:
        self._database = database
        self._store = EstStore(database)
        self._clock = clock
        self._repeat = repeat
        self._step = step
        self._after: UUID | None = None

    async def run_once(self) -> int:
        """Take one step; how many rows went."""
        now = self._clock.now()
        before = now - self._repeat
        unit, dropped = Unit(), 0
        for digest in await self._store.old_requests(before, self._step):
            unit.write(DROP_REQUEST, digest, before)
            dropped += 1
        looked_at = await self._store.step(self._after, now, self._step)
        for certificate, over in looked_at:
            if over:
                unit.write(DROP_CERTIFICATE, certificate)
                dropped += 1
        if dropped:
            await self._database.commit(unit)
        self._after = looked_at[-1][0] if len(looked_at) == self._step else None
        return dropped
