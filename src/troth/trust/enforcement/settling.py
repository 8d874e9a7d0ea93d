"""Looking again when time alone changes where a subject stands: an event has faded, a dwell time is over.

Every assessment says when the next such moment is, and has a job made for it in its own transaction.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.store import jobs
from troth.store.jobs import Job, LeasedJob
from troth.store.pool import Database
from troth.store.unit import Reader, Unit
from troth.trust.enforcement import cap_store, settling_store, shadow_store
from troth.trust.enforcement.enforce import Enforcer, Trigger, locked_subject, subject_unit
from troth.trust.feeds import feed_store
from troth.trust.signals import signal_store
from troth.trust.standings.assessor import SETTLE_JOB

ACTOR: Final = "system:standing"

#: While enforcement is frozen, time heals nobody either; we look again after this.
_FROZEN: Final = timedelta(seconds=60)
#: A job this late has been lost, or given up.
_OVERDUE: Final = timedelta(minutes=5)
#: No cap's window is longer.
_CAPS: Final = timedelta(days=32)
_SHADOW: Final = timedelta(days=90)


class Settler:
    """Runs the job ``standing.settle``; idempotent."""

    def __init__(self, database: Database, clock: Clock, enforcer: Enforcer) -> None:
        self._database = database
        self._clock = clock
        self._enforcer = enforcer

    async def run(self, job: LeasedJob) -> None:
        """Look at the job's subject again, and again when that is next due."""
        subject_id = UUID(job.key)
        at = self._clock.now()
        by = Trigger(ACTOR, new_id(), "system", "time", at)

        async def step(reader: Reader, unit: Unit) -> None:
            if (await feed_store.switch(reader)).frozen:
                jobs.postpone(unit, job, at + _FROZEN)
                return
            subject = await locked_subject(reader, subject_id)
            causes = await signal_store.causes_of(reader, subject_id)
            await self._enforcer.settle(reader, unit, subject, causes, by, job=job)

        await self._database.commit(subject_unit(subject_id).then(step))

    async def sweep(self) -> int:
        """Have those looked at whose job was lost; forget what no cap reaches back to. Returns how many were late."""
        at = self._clock.now()
        late = await settling_store.overdue(self._database, at - _OVERDUE)
        unit = Unit()
        for subject_id in late:
            jobs.enqueue(unit, Job(SETTLE_JOB, str(subject_id), at))
        if late:
            await self._database.commit(unit)
        await cap_store.forget(self._database, at - _CAPS)
        await shadow_store.forget(self._database, at - _SHADOW)
        return len(late)
