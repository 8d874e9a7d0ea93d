"""Old orders go: a step at a time, so that the cost of a step does not grow with what is stored.

A step looks at the next few hundred orders by id, drops those that are over, and remembers where it stopped; at the
first order that is too young to be over it begins anew. What an order became is in the certificate and in the ledger.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from troth.enroll.acme.prune_store import DROP_ATTEMPT, DROP_AUTHZS, DROP_FAILING, DROP_ORDER, PruneStore
from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.store.unit import Unit

_STEP = 500


class Pruner:
    """See the module. Several may be at work; they come to the same.

    Args:
        keep: for how long an order stays after it ended, or after its certificate ran out.
    """

    def __init__(self, database: Database, clock: Clock, *, keep: timedelta, step: int = _STEP) -> None:
        self._database = database
        self._store = PruneStore(database)
        self._clock = clock
        self._keep = keep
        self._step = step
        self._after: UUID | None = None

    async def run_once(self) -> int:
        """Take one step; how many orders went."""
        now = self._clock.now()
        before = now - self._keep
        looked_at = await self._store.step(self._after, before, now, self._step)
        unit, dropped = Unit(), 0
        for order, _, over in looked_at:
            if over:
                unit.write(DROP_FAILING, order, before).write(DROP_AUTHZS, order).write(DROP_ORDER, order)
                dropped += 1
        attempts = await self._store.attempts(before, self._step)
        for attempt in attempts:
            unit.write(DROP_ATTEMPT, attempt)
        if dropped or attempts:
            await self._database.commit(unit)
        at_the_end = len(looked_at) < self._step or looked_at[-1][1] > before
        self._after = None if at_the_end else looked_at[-1][0]
        return dropped
