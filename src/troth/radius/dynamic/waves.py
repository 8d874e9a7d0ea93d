"""Having many judged anew, at a pace: after another policy or network, or by a person's order. A job, page by page.

It goes on after a crash where it was: an order of a wave is planned once for each session.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.radius.sessions import order_store, store
from troth.radius.sessions.orders import ORDERS_CHANNEL, WAVE, Kind, order_for
from troth.radius.sessions.store import Meant
from troth.store import jobs
from troth.store.jobs import Job, LeasedJob
from troth.store.pool import Database
from troth.store.unit import Unit

WAVE_JOB: Final = "radius.wave"
_PAGE: Final = 200
_ACTOR: Final = "system:radius"


class Wave(Struct, frozen=True):
    """Who is judged anew (or disconnected), why, and by whose word.

    Attributes:
        id: unique; with it an order is planned once for each session.
        profiles, spared: a policy's, see :class:`~troth.radius.sessions.store.Meant`.
        after: sessions up to this id have had their turn.
    """

    id: str
    actor: str
    reason: str
    network: str = ""
    place: str = ""
    nas: str = ""
    kind: Kind = "reauthorize"
    automated: bool = False
    profiles: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()
    after: UUID = UUID(int=0)
    seen: int = 0

    @property
    def meant(self) -> Meant:
        """Which sessions."""
        return Meant(
            network=self.network, place=self.place, nas=self.nas, profiles=self.profiles, spared=self.spared
        )  # fmt: skip


def enqueue(unit: Unit, wave: Wave, *, at: datetime) -> None:
    """Have it begun."""
    jobs.enqueue(unit, _job(wave, at))
    unit.record(
        Event("session.wave_begun", wave.actor, (), {"wave": wave.id, "what": wave.kind, "reason": wave.reason,
              "network": wave.network, "place": wave.place, "access_server": wave.nas})
    )  # fmt: skip


class Waves:
    """Does the jobs. ``per_minute``: sessions."""

    def __init__(self, database: Database, clock: Clock, *, per_minute: int) -> None:
        self._database = database
        self._clock = clock
        self._per_minute = per_minute

    async def run(self, job: LeasedJob) -> None:
        """One page, and a job for the next when its turn has come."""
        wave = msgspec.convert(dict(job.payload), Wave)
        now = self._clock.now()
        page = await store.meant(self._database, wave.meant, after=wave.after, limit=_PAGE)
        unit = jobs.finish(Unit(), job)
        for number, session in enumerate(page):
            due = now + timedelta(minutes=number / self._per_minute)
            order_store.plan(
                unit,
                order_for(session, wave.kind, origin=f"{WAVE}:{wave.id}", actor=wave.actor, automated=wave.automated,
                          at=now, due=due, reason=wave.reason),
            )  # fmt: skip
        if len(page) == _PAGE:
            following = msgspec.structs.replace(wave, after=page[-1].id, seen=wave.seen + len(page))
            jobs.enqueue(unit, _job(following, now + timedelta(minutes=_PAGE / self._per_minute)))
        else:
            data: dict[str, Json] = {"wave": wave.id, "sessions": wave.seen + len(page), "reason": wave.reason}
            unit.record(Event("session.wave_ended", _ACTOR, (), data))
        await self._database.commit(unit)
        if page:
            self._database.wake(ORDERS_CHANNEL)


def _job(wave: Wave, due: datetime) -> Job:
    payload: dict[str, Any] = msgspec.to_builtins(wave)
    return Job(WAVE_JOB, f"{wave.id}:{wave.seen}", due, payload)
