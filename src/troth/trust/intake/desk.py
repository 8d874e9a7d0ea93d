"""The signal desk: one signal in, everything it causes, one transaction, and only then an answer.

1. Whom it names is looked up; nobody or several is kept and alarmed about, never guessed.
2. In one unit, with feed and subject locked (``taking``): what the feed is granted, whether the word is late, caps and
   freeze, the cause, the standing, the holds on certificates, the ledger events. Units that wait for each other, be it
   for the feed, the caps or the status of certificates, are taken in one transaction (``together``), as one after the
   other would be.
3. A message that was taken before stops there, and gets the answer it got then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.pki.revocation import STATUS_KEY
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.enforcement.capping import Capping
from troth.trust.enforcement.enforce import Enforcer
from troth.trust.enforcement.situation_store import LOCK_FEED_AND_SWITCH
from troth.trust.intake.taking import Receipt, TakenBefore, Taking
from troth.trust.intake.together import take_together
from troth.trust.signals import alias_store, signal_store
from troth.trust.signals.alias_store import Resolved
from troth.trust.signals.errors import (
    FEED_UNKNOWN,
    MESSAGE_REUSED,
    SUBJECT_UNKNOWN,
    FeedUnknown,
    MessageReused,
    SubjectUnknown,
)
from troth.trust.signals.model import Signal
from troth.trust.signals.signal_store import LOCK_SUBJECT

#: Signals share these locks with each other, and with nobody else.
_COMPANY: Final = "signals"


@dataclass(frozen=True, slots=True)
class Arrived:
    """A signal that was accepted at that time, and what is to be committed with it."""

    signal: Signal
    joined: Unit
    accepted_at: datetime | None = None


class SignalDesk:
    """Takes signals in. Safe to share; every call is one unit."""

    def __init__(self, database: Database, clock: Clock, enforcer: Enforcer) -> None:
        self._database = database
        self._clock = clock
        self._enforcer = enforcer
        self._capping = Capping()

    async def take(self, signal: Signal, *, joined: Unit | None = None, accepted_at: datetime | None = None) -> Receipt:
        """Act on ``signal``. What is returned is durable, and the same for every repetition of the message.

        ``joined`` is committed with it, unless the message had been taken before. ``accepted_at``: when it was made
        durable, if that was before now.

        Raises FeedUnknown, NotGranted (nothing is kept of a signal that its feed may not send), MessageReused.
        """
        resolved = await alias_store.resolve(self._database.lookups, signal.whom)
        return await self._take(Arrived(signal, joined or Unit(), accepted_at), resolved)

    async def take_all(self, arrived: Sequence[Arrived]) -> Sequence[Receipt | BaseException]:
        """Act on all of them, handed on in their order; what became of each, or why it was not taken."""
        lookups = self._database.lookups
        resolved = await asyncio.gather(
            *(alias_store.resolve(lookups, one.signal.whom) for one in arrived), return_exceptions=True
        )
        return await asyncio.gather(*map(self._take, arrived, resolved), return_exceptions=True)

    async def _take(self, arrived: Arrived, resolved: Resolved | BaseException) -> Receipt:
        if isinstance(resolved, BaseException):
            raise resolved
        signal = arrived.signal
        unit = Unit().shares(("feed", signal.feed), _COMPANY).exclusively(("signal", signal.feed, signal.message_id))
        unit.absorb(arrived.joined)
        unknown = FeedUnknown(FEED_UNKNOWN, f"there is no feed {signal.feed!r}", feed=signal.feed)
        unit.guard(LOCK_FEED_AND_SWITCH, signal.feed, refuse=unknown)
        if len(resolved.ids) == 1:
            (subject_id,) = resolved.ids
            gone = SubjectUnknown(SUBJECT_UNKNOWN, f"no subject {subject_id}")
            unit.exclusively(("subject", subject_id)).shares(STATUS_KEY, _COMPANY)
            unit.guard(LOCK_SUBJECT, subject_id, refuse=gone)
        at = self._clock.now()
        task = Taking(signal, new_id(), at, resolved, self._enforcer, self._capping, arrived.accepted_at)
        unit.then_together(take_together, task)
        try:
            await self._database.commit(unit)
        except TakenBefore:
            before = await self._taken_before(signal)
            if before is None:
                raise
            return before
        return task.receipt()

    async def _taken_before(self, signal: Signal) -> Receipt | None:
        taken = await signal_store.find_taken(self._database, signal.feed, signal.message_id)
        if taken is None:
            return None
        if taken.digest != signal.digest:
            raise MessageReused(MESSAGE_REUSED, f"message {signal.message_id} was taken with another body")
        return Receipt(taken.id, taken.subject_id, taken.standing, taken.staged, taken.effects, again=True)
