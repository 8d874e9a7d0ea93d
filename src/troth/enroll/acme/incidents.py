"""Incidents: an operator has certificates renewed early, a bounded number of them a minute.

A weak key, a leaked authority, a rollover: thousands of certificates are to be replaced before their time. To say so to
all clients at once would have all of them come back at once. So each certificate is given a *turn* (``due_at``), evenly
apart, at most ``per_minute`` of them; from then on its renewal window lies in the past, and until then its client is
told to ask again when its turn comes (``renewal``). Nothing is revoked.

The turns are given by a job, page after page, in units that resume where the last one ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from cryptography import x509

from troth.audit.event import Event
from troth.enroll.acme.errors import INCIDENT_EMPTY, INCIDENT_ENDED, INCIDENT_ROOM, INCIDENT_UNKNOWN, INCIDENT_VALUE
from troth.enroll.acme.incident_store import (
    ADD_INCIDENT,
    ADD_ITEM,
    ADVANCE,
    END,
    NOT_ENDED,
    ROOM_LEFT,
    SPREADING,
    Candidate,
    Incident,
    IncidentStore,
    Progress,
    Selector,
)
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.ids import new_id
from troth.pki.keycheck import check_key
from troth.store.jobs import JOBS_CHANNEL, Job, LeasedJob, enqueue, finish, postpone
from troth.store.pool import Database
from troth.store.unit import Unit

SPREAD_JOB = "acme.renew_early"
_PAGE = 500


class IncidentRefused(TrothError):
    """The incident cannot be started, or is no more."""


class Incidents:
    """See the module.

    Args:
        most: certificates that all incidents together may have renewed in a minute.
    """

    def __init__(self, database: Database, clock: Clock, *, most: int, page: int = _PAGE) -> None:
        self._database = database
        self._clock = clock
        self._store = IncidentStore(database)
        self.most = most
        self._page = page

    async def count(self, selector: Selector, most: int = 100_000) -> int:
        """How many certificates the selector means now, counted up to ``most``. Raises IncidentRefused."""
        if selector.empty:
            raise IncidentRefused(INCIDENT_EMPTY)
        found, after = 0, None
        while found < most:
            page = await self._store.candidates(selector, after, self._clock.now(), self._page)
            found += len(_meant(page, selector))
            if len(page) < self._page:
                break
            after = page[-1].id
        return min(found, most)

    async def start(
        self,
        selector: Selector,
        *,
        per_minute: int,
        note: str,
        actor: str,
        explanation_url: str = "",
        joined: Unit | None = None,
    ) -> UUID:
        """Have what the selector means renewed early; ``joined`` is committed with it. Raises IncidentRefused."""
        if selector.empty:
            raise IncidentRefused(INCIDENT_EMPTY)
        if not 1 <= per_minute <= self.most:
            raise IncidentRefused(INCIDENT_VALUE, f"per_minute lies between 1 and {self.most}")
        if explanation_url and not (explanation_url.startswith("https://") and explanation_url.isprintable()):
            raise IncidentRefused(INCIDENT_VALUE, "the explanation is an https URL")
        incident_id, now = new_id(), self._clock.now()
        room = IncidentRefused(INCIDENT_ROOM, f"all together may renew {self.most} certificates a minute")
        unit = Unit().guard(ROOM_LEFT, self.most - per_minute, refuse=room, key="renewal_incident")
        unit.write(ADD_INCIDENT, incident_id, selector.text(), note[:500], explanation_url, per_minute, actor, now)
        enqueue(unit, Job(SPREAD_JOB, str(incident_id), now))
        data: dict[str, Json] = {"selector": selector.text(), "per_minute": per_minute, "note": note[:500]}
        unit.record(Event("renewal.incident_started", actor, (f"incident:{incident_id}",), data))
        await self._database.commit(unit if joined is None else unit.absorb(joined))
        self._database.wake(JOBS_CHANNEL)
        return incident_id

    async def end(self, incident_id: UUID, *, actor: str, note: str) -> None:
        """Windows are as they were again for whatever was not renewed. Raises IncidentRefused."""
        await self.get(incident_id)
        unit = Unit().guard(NOT_ENDED, incident_id, refuse=IncidentRefused(INCIDENT_ENDED), key=incident_id)
        unit.write(END, incident_id, self._clock.now())
        unit.record(Event("renewal.incident_ended", actor, (f"incident:{incident_id}",), {"note": note[:500]}))
        await self._database.commit(unit)

    async def get(self, incident_id: UUID) -> Incident:
        """One incident. Raises IncidentRefused."""
        found = await self._store.incident(incident_id)
        if found is None:
            raise IncidentRefused(INCIDENT_UNKNOWN, f"there is no incident {incident_id}")
        return found

    async def latest(self) -> list[Incident]:
        """The latest first."""
        return await self._store.incidents()

    async def progress(self, incident_id: UUID) -> Progress:
        """How far one has come."""
        return await self._store.progress(incident_id, self._clock.now())

    async def run(self, job: LeasedJob) -> None:
        """Give the next page of certificates their turns; the last page ends the job."""
        incident = await self._store.incident(UUID(job.key))
        if incident is None or incident.state != "spreading":
            await self._database.commit(finish(Unit(), job))
            return
        now, selector = self._clock.now(), Selector.read(incident.selector)
        page = await self._store.candidates(selector, incident.looked_at, now, self._page)
        meant, last = _meant(page, selector), len(page) < self._page
        gone = IncidentRefused(INCIDENT_ENDED)
        unit = Unit().guard(SPREADING, incident.id, incident.looked_at, refuse=gone, key=incident.id)
        turns = turns_of(incident, len(meant))
        unit.write_all(ADD_ITEM, [(one.id, incident.id, due) for one, due in zip(meant, turns, strict=True)])
        looked_at = page[-1].id if page else incident.looked_at
        unit.write(ADVANCE, incident.id, looked_at, len(meant), "running" if last else "spreading")
        (finish(unit, job) if last else postpone(unit, job, now))
        try:
            await self._database.commit(unit)
        except IncidentRefused:
            await self._database.commit(finish(Unit(), job))


def turns_of(incident: Incident, count: int) -> list[datetime]:
    """Turns of the next ``count`` certificates: behind those that were given, evenly, ``per_minute`` to a minute."""
    return [incident.started_at + timedelta(minutes=(incident.total + n) / incident.per_minute) for n in range(count)]


def _meant(page: Sequence[Candidate], selector: Selector) -> list[Candidate]:
    if selector.key_algorithm is None:
        return list(page)
    return [one for one in page if _algorithm(one.der) == selector.key_algorithm]


def _algorithm(der: bytes) -> str:
    return str(check_key(x509.load_der_x509_certificate(der).public_key()).kind)  # type: ignore[arg-type]
