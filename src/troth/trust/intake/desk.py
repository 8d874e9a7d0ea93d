"""The signal desk: one signal in, everything it causes, one transaction, and only then an answer.

1. Whom it names is looked up; nobody or several is kept and alarmed about, never guessed.
2. In one unit, with feed and subject locked (``taking``): what the feed is granted, whether the word is late, caps and
   freeze, the cause, the standing, the holds on certificates, the ledger events.
3. A message that was taken before stops there, and gets the answer it got then.
"""

from __future__ import annotations

from datetime import datetime

from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.enforcement.capping import Capping
from troth.trust.enforcement.enforce import Enforcer, alone_with
from troth.trust.enforcement.situation_store import LOCK_SITUATION
from troth.trust.feeds.feed_store import LOCK_FEED
from troth.trust.intake.taking import Receipt, TakenBefore, Taking
from troth.trust.signals import alias_store, signal_store
from troth.trust.signals.errors import FEED_UNKNOWN, MESSAGE_REUSED, FeedUnknown, MessageReused
from troth.trust.signals.model import Signal


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
        resolved = await alias_store.resolve(self._database, signal.whom)
        found = resolved.ids
        unit = Unit().exclusively(("feed", signal.feed))
        if joined is not None:
            unit.absorb(joined)
        unknown = FeedUnknown(FEED_UNKNOWN, f"there is no feed {signal.feed!r}", feed=signal.feed)
        if len(found) == 1:
            alone_with(found[0], unit).guard(LOCK_SITUATION, signal.feed, found[0], refuse=unknown)
        else:
            unit.guard(LOCK_FEED, signal.feed, refuse=unknown)
        task = Taking(signal, new_id(), self._clock.now(), resolved, self._enforcer, self._capping, accepted_at)
        unit.then(task.run)
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
