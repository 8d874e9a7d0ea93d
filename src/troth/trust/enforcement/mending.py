"""Mending: once a minute, what contradicts the standing of its subjects is put right, and said aloud.

Every change is made in one transaction, so there should be nothing to do. What is found came in by another way: an
owner was bound to a certificate after the hold, a backup was restored, a row was edited by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.store.pool import Database
from troth.store.unit import Reader, Unit
from troth.trust.enforcement import mending_store
from troth.trust.enforcement.enforce import Enforcer, Trigger, locked_subject, subject_unit
from troth.trust.feeds import feed_store
from troth.trust.signals import signal_store

ACTOR: Final = "system:mender"

log = get_logger("trust")


@dataclass(frozen=True, slots=True)
class Mended:
    """What one round did.

    Attributes:
        subjects: those whose standing or certificates were put right.
        incoherent: certificates whose status contradicts their own causes. Nobody can tell which of the two is
            right, so they are reported and left.
        frozen: enforcement is stopped, so contradictions were left as they are.
        more: there was more than one round's worth.
    """

    subjects: tuple[UUID, ...] = ()
    incoherent: tuple[UUID, ...] = ()
    frozen: bool = False
    more: bool = False


class Mender:
    """Run by the worker, one at a time (a second one does no harm)."""

    def __init__(self, database: Database, clock: Clock, enforcer: Enforcer, *, limit: int = 500) -> None:
        self._database = database
        self._clock = clock
        self._enforcer = enforcer
        self._limit = limit

    async def run_once(self) -> Mended:
        """Find and mend. Idempotent."""
        at = self._clock.now()
        profiles = self._enforcer.quarantine_profiles
        astray = await mending_store.subjects_astray(
            self._database, at=at, quarantine_profiles=profiles, limit=self._limit
        )
        incoherent = await mending_store.incoherent_certificates(self._database, at=at, limit=self._limit)
        for certificate_id in incoherent:
            log.error("certificate.incoherent", certificate_id=str(certificate_id))
        if (await feed_store.switch(self._database)).frozen:
            return Mended((), tuple(incoherent), frozen=True, more=bool(astray))
        for subject_id in astray:
            await self._mend(subject_id)
        return Mended(tuple(astray), tuple(incoherent), more=len(astray) == self._limit)

    async def _mend(self, subject_id: UUID) -> None:
        by = Trigger(ACTOR, new_id(), "system", "mending", self._clock.now())

        async def step(reader: Reader, unit: Unit) -> None:
            subject = await locked_subject(reader, subject_id)
            causes = await signal_store.causes_of(reader, subject_id)
            looked = await self._enforcer.assessor.look(reader, subject_id, causes, by.at)
            standing = looked.outcome.standing
            unit.record(
                Event(
                    "standing.mended",
                    by.actor,
                    (subject.ref,),
                    {
                        "subject_id": str(subject.id),
                        "name": subject.name,
                        "from": subject.standing.value,
                        "to": standing.value,
                    },
                )
            )
            if standing is subject.standing:
                self._enforcer.align(unit, subject, by)
            await self._enforcer.settle(reader, unit, subject, causes, by, ground=looked.ground)

        await self._database.commit(subject_unit(subject_id).then(step))
        log.warning("standing.mended", subject_id=str(subject_id))
