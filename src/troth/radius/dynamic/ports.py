"""The outbox's ports ``disconnect`` and ``reauthorize``: what a change of standing asks for, session by session.

An effect is about a subject, orders are about its sessions (and those of the devices it owns). They are planned once,
durably, under the effect's id; the effect is done when each of them has ended, and waits without holding up the others
while an access server is slow. What an access server refuses is a dead letter that a person must look at; until then
Session-Timeout bounds the session.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from troth.kit.clock import Clock
from troth.radius.dynamic.sender import Endings
from troth.radius.sessions import order_store, store
from troth.radius.sessions.orders import EFFECT, ORDERS_CHANNEL, Kind, Order, order_for
from troth.radius.sessions.store import Meant
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.outbox.model import Effect, EffectSubject, Outcome

#: How long one try waits for the answers: the usual ones take milliseconds.
WAIT_SECONDS: Final = 0.5
_MOST: Final = 10_000
_LONGEST: Final = timedelta(seconds=60)


class SessionPort:
    """One of the two ports. ``endings``: the sender's of this process, where there is one."""

    def __init__(self, database: Database, clock: Clock, kind: Kind, endings: Endings) -> None:
        self._database = database
        self._clock = clock
        self._kind: Kind = kind
        self._endings = endings

    async def execute(self, effect: Effect, subject: EffectSubject) -> Outcome:
        """See :class:`~troth.trust.outbox.model.EffectPort`."""
        origin = f"{EFFECT}:{effect.id}"
        with self._endings.of(origin) as ended:
            orders = await order_store.of_origin(self._database, origin)
            if not orders:
                if not await self._plan(effect, subject, origin):
                    return Outcome.done("it has no session that goes on")
                orders = await self._waited(origin, ended)
        waiting = [one for one in orders if not one.over]
        if waiting:
            after = min(_LONGEST, timedelta(seconds=5 * effect.attempts))
            return Outcome.pending(f"{len(waiting)} of {len(orders)} sessions: {waiting[0].detail or 'sent'}", after)
        return outcome_of(orders)

    async def _plan(self, effect: Effect, subject: EffectSubject, origin: str) -> int:
        """Orders about every session that goes on, all in one unit, so that there are all or none; how many.

        What is let in afterwards was decided on the new standing, or is compared with it (``folding``).
        """
        unit, now = Unit(), self._clock.now()
        sessions = await store.meant(self._database, Meant(subjects=(subject.id,)), limit=_MOST)
        for session in sessions:
            order = order_for(
                session, self._kind, origin=origin, actor=effect.actor, automated=effect.automated, at=now,
                accepted_at=effect.accepted_at, reason=f"{subject.name} became {effect.notice.after}",
            )  # fmt: skip
            order_store.plan(unit, order)
        if sessions:
            await self._database.commit(unit)
            self._database.wake(ORDERS_CHANNEL)
        return len(sessions)

    async def _waited(self, origin: str, ended: asyncio.Event) -> list[Order]:
        """The orders, when all have ended or it has taken too long."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    ended.clear()
                    orders = await order_store.of_origin(self._database, origin)
                    if all(one.over for one in orders):
                        return orders
                    await ended.wait()
        except TimeoutError:
            return await order_store.of_origin(self._database, origin)


def outcome_of(orders: Sequence[Order]) -> Outcome:
    """What orders that have ended come to together."""
    counted = Counter(one.state for one in orders)
    told = ", ".join(f"{number} {state}" for state, number in sorted(counted.items()))
    bad = next((one for one in orders if one.state in ("refused", "failed")), None)
    if bad is not None:
        return Outcome.refused(f"sessions: {told}; {bad.nas}: {bad.detail}")
    example = f"; {orders[0].nas}: {orders[0].detail}" if orders else ""
    return Outcome.done(f"sessions: {told or 'none'}{example}")
