"""What people order: sessions ended or judged anew, and what automation has staged let go on."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.radius.dynamic.waves import Wave, enqueue
from troth.radius.sessions import order_store, store
from troth.radius.sessions.errors import (
    NOBODY_MEANT,
    ORDER_UNKNOWN,
    SESSION_ENDED,
    SESSION_UNKNOWN,
    SessionRefused,
)
from troth.radius.sessions.model import Session
from troth.radius.sessions.orders import GIVE_UP, ORDERS_CHANNEL, PERSON, Kind, order_for
from troth.radius.sessions.store import Meant
from troth.store.pool import Database
from troth.store.unit import Unit

#: More that are to be judged anew at once are a wave, at a pace: each of them authenticates.
AT_ONCE: Final = 200


class OrderDesk:
    """Orders by hand: no cap applies to them, nor a freeze."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def one(self, session_id: UUID, kind: Kind, *, actor: str, reason: str = "") -> Session:
        """Order it for one session. Raises SessionRefused (unknown, ended)."""
        session = await store.find(self._database, session_id)
        if session is None:
            raise SessionRefused(SESSION_UNKNOWN, f"no session {session_id}")
        if not session.open:
            raise SessionRefused(SESSION_ENDED, f"it ended at {session.ended_at:%Y-%m-%d %H:%M:%S} UTC")
        await self._plan([session], kind, actor, reason)
        return session

    async def several(
        self, meant: Meant, kind: Kind, *, actor: str, reason: str = "", everybody: bool = False
    ) -> tuple[list[Session], bool]:
        """Order it for all that are meant; the first of them, and whether more follow at a pace.

        Raises SessionRefused (``radius.session.nobody_meant``) where nothing narrows it, unless ``everybody``.
        """
        if meant.everybody and not everybody:
            raise SessionRefused(NOBODY_MEANT)
        found = await store.meant(self._database, meant, limit=AT_ONCE + 1)
        paced = Meant(nas=meant.nas, network=meant.network, place=meant.place) == meant
        if len(found) <= AT_ONCE or not paced or kind == "disconnect":
            everyone = found if len(found) <= AT_ONCE else await store.meant(self._database, meant, limit=10_000)
            await self._plan(everyone, kind, actor, reason)
            return everyone, False
        wave = Wave(f"person-{new_id()}", actor, reason, meant.network, meant.place, meant.nas, kind)
        unit = Unit()
        enqueue(unit, wave, at=self._clock.now())
        await self._database.commit(unit)
        return found[:AT_ONCE], True

    async def _plan(self, sessions: list[Session], kind: Kind, actor: str, reason: str) -> None:
        now, unit, act = self._clock.now(), Unit(), new_id()
        for session in sessions:
            order_store.plan(
                unit,
                order_for(session, kind, origin=f"{PERSON}:{act}", actor=actor, automated=False, at=now, reason=reason),
            )
        if sessions:
            refs = tuple(f"session:{one.id}" for one in sessions[:100])
            unit.record(
                Event("session.ordered", actor, refs, {"what": kind, "sessions": len(sessions), "staged": 0,
                      "because": actor, "reason": reason})
            )  # fmt: skip
            await self._database.commit(unit)
            self._database.wake(ORDERS_CHANNEL)

    async def decide(self, order_id: UUID, *, approve: bool, actor: str, reason: str = "") -> None:
        """Let an order that was staged go on, or drop it. Raises SessionRefused (``radius.session.order_unknown``)."""
        now = self._clock.now()
        refusal = SessionRefused(ORDER_UNKNOWN, f"no staged order {order_id}")
        unit = Unit().guard(order_store.STAGED, order_id, refuse=refusal, key=("radius_order", order_id))
        if approve:
            unit.write(order_store.RELEASE, order_id, actor, now, now + GIVE_UP)
        else:
            unit.write(order_store.END, order_id, "dropped", now, "", f"dropped by {actor}: {reason}"[:500])
        verdict = "approved" if approve else "dropped"
        data = {"order_id": str(order_id), "reason": reason}
        unit.record(Event(f"session.order_{verdict}", actor, (), data))
        await self._database.commit(unit)
        if approve:
            self._database.wake(ORDERS_CHANNEL)
