"""Ends what nobody has told the end of: a session whose access server is silent, or whose Session-Timeout is over."""

from __future__ import annotations

from datetime import datetime, timedelta

from troth.kit.clock import Clock
from troth.radius.sessions import inbox_store, order_store, store
from troth.radius.sessions.model import Ages, Session
from troth.radius.sessions.partition_store import Partitions
from troth.store.pool import Database
from troth.store.unit import Unit

_PAGE = 1_000


class Ageing:
    """See the module. Several may run at once; what is over is over for each."""

    def __init__(self, database: Database, clock: Clock, ages: Ages, *, keep: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._ages = ages
        self._keep = keep
        self._partitions = Partitions(database)

    async def run_once(self) -> int:
        """Look at sessions whose time has come; how many have ended by it. Raises StoreError."""
        now, ended = self._clock.now(), 0
        while page := await store.aged(self._database, now, _PAGE):
            unit, closed = Unit(), 0
            for one in page:
                due = self._ages.of(one)
                if due > now:
                    unit.write(store.AGES_LATER, one.id, one.opened_at, due)
                else:
                    store.close(unit, one, at=_ended_at(one, now), by="age")
                    closed += 1
            inbox_store.count(unit, {"ended.age": closed})
            await self._database.commit(unit)
            ended += closed
            if len(page) < _PAGE:
                break
        return ended

    async def forget(self) -> None:
        """Forget sessions and orders that ended long ago. Raises StoreError."""
        before = self._clock.now() - self._keep
        await self._partitions.ensure(self._clock.now())
        await self._partitions.prune(before)
        await order_store.prune(self._database, before=before)


def _ended_at(session: Session, now: datetime) -> datetime:
    """When it was over, as far as can be said: at its Session-Timeout, else when it was heard of last."""
    if session.until is not None and session.until <= now and not session.interims:
        return session.until
    return min(session.heard_at, now)
