"""Break glass: for a bounded time, automation does not hold a subject. Two persons agree; every use is an alarm.

An exemption lifts what is weighed and the hard rules but for proof that the key is in other hands, and for a person's
own order. It ends by itself, and whatever still stands against the subject is in force again that very second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.store.pool import Database
from troth.store.unit import Reader, Unit
from troth.trust.enforcement import cap_store, exemption_store
from troth.trust.enforcement.enforce import Enforcer, Trigger, locked_subject, subject_unit
from troth.trust.enforcement.exemption_store import Exemption
from troth.trust.model import Subject
from troth.trust.signals import signal_store
from troth.trust.signals.errors import EXEMPTION_INVALID, EXEMPTION_UNKNOWN, ExemptionRefused
from troth.trust.standing import Standing
from troth.trust.standings import ground_store

LONGEST: Final = timedelta(hours=24)
#: Of all subjects one in so many may be exempt at a time, but always so many: 0.5 %, or 10.
ONE_IN: Final = 200
AT_LEAST: Final = 10
_MAX_REASON: Final = 500

log = get_logger("trust")


@dataclass(frozen=True, slots=True)
class Prospect:
    """What an exemption would do now: where the subject stands, and where it would."""

    subject: Subject
    would_be: Standing
    lasts: timedelta


class Exemptions:
    """Grants, ends and lists exemptions."""

    def __init__(self, database: Database, clock: Clock, enforcer: Enforcer) -> None:
        self._database = database
        self._clock = clock
        self._enforcer = enforcer

    async def prospect(self, subject_id: UUID, *, reason: str, hours: int) -> Prospect:
        """What granting it would do. Raises ExemptionRefused, SubjectUnknown."""
        lasts = timedelta(hours=hours)
        if not timedelta(0) < lasts <= LONGEST:
            raise ExemptionRefused(EXEMPTION_INVALID, "an exemption lasts 1 to 24 hours")
        if not 0 < len(reason.strip()) <= _MAX_REASON:
            raise ExemptionRefused(EXEMPTION_INVALID, f"a reason of 1 to {_MAX_REASON} characters is needed")
        subject = await locked_subject(self._database, subject_id)
        at = self._clock.now()
        await self._room(at)
        causes = await signal_store.causes_of(self._database, subject_id)
        ground = await ground_store.ground(self._database, subject_id, at)
        looked = await self._enforcer.assessor.look(
            self._database, subject_id, causes, at, replace(ground, exempt_until=at + lasts)
        )
        return Prospect(subject, looked.outcome.standing, lasts)

    async def _room(self, at: datetime) -> None:
        """Raise ExemptionRefused if so many are exempt that it were no exception any more."""
        most = max(AT_LEAST, await cap_store.population_of(self._database, "*") // ONE_IN)
        exempt = {one.subject_id for one in await exemption_store.in_force(self._database, at)}
        if len(exempt) >= most:
            raise ExemptionRefused(EXEMPTION_INVALID, f"{len(exempt)} subjects are exempt already, and {most} may be")

    async def grant(
        self,
        subject_id: UUID,
        *,
        reason: str,
        hours: int,
        proposed_by: str,
        approved_by: Sequence[str],
        joined: Unit | None = None,
    ) -> Exemption:
        """Exempt the subject from now on. ``joined`` is committed with it. Raises ExemptionRefused, SubjectUnknown."""
        prospect = await self.prospect(subject_id, reason=reason, hours=hours)
        at = self._clock.now()
        made = Exemption(new_id(), subject_id, reason.strip(), at, at + prospect.lasts, proposed_by, tuple(approved_by))
        by = Trigger(proposed_by, made.id, "system", "exemption", at)

        async def step(reader: Reader, unit: Unit) -> None:
            exemption_store.add(unit, made)
            await self._settle(reader, unit, subject_id, by, made.ends_at)

        unit = subject_unit(subject_id).then(step)
        data: dict[str, Json] = {"exemption": str(made.id), "subject_id": str(subject_id), "reason": made.reason,
                "ends_at": made.ends_at.isoformat(), "approved_by": list(approved_by)}  # fmt: skip
        unit.record(Event("exemption.granted", proposed_by, (f"subject:{subject_id}",), data))
        await self._database.commit(unit if joined is None else unit.absorb(joined))
        log.warning("exemption.granted", subject_id=str(subject_id), ends_at=made.ends_at.isoformat())
        return made

    async def end(self, exemption_id: UUID, *, actor: str) -> Exemption:
        """End one before its time. Raises ExemptionRefused if it is over."""
        found = await exemption_store.exemption(self._database, exemption_id)
        at = self._clock.now()
        if found is None or not found.in_force(at):
            raise ExemptionRefused(EXEMPTION_UNKNOWN, f"no exemption {exemption_id} is in force")
        by = Trigger(actor, exemption_id, "system", "exemption", at)

        async def step(reader: Reader, unit: Unit) -> None:
            exemption_store.end(unit, exemption_id, at, actor)
            others = [
                one.ends_at
                for one in await exemption_store.in_force(reader, at)
                if one.subject_id == found.subject_id and one.id != exemption_id
            ]
            await self._settle(reader, unit, found.subject_id, by, max(others, default=None))

        unit = subject_unit(found.subject_id).then(step)
        data: dict[str, Json] = {
            "exemption": str(exemption_id),
            "subject_id": str(found.subject_id),
            "used": found.used,
        }
        unit.record(Event("exemption.ended", actor, (f"subject:{found.subject_id}",), data))
        await self._database.commit(unit)
        return replace(found, ended_at=at, ended_by=actor)

    async def listed(self, *, in_force: bool) -> list[Exemption]:
        """Those in force, or the last hundred."""
        if in_force:
            return await exemption_store.in_force(self._database, self._clock.now())
        return await exemption_store.recent(self._database)

    async def _settle(
        self, reader: Reader, unit: Unit, subject_id: UUID, by: Trigger, exempt_until: datetime | None
    ) -> None:
        subject = await locked_subject(reader, subject_id)
        causes = await signal_store.causes_of(reader, subject_id)
        ground = await ground_store.ground(reader, subject_id, by.at)
        ground = replace(ground, exempt_until=exempt_until)
        await self._enforcer.settle(reader, unit, subject, causes, by, ground=ground)
