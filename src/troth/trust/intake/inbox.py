"""The inbox: signals are written down before anything is done about them, together with how far their source was read.

:meth:`Inbox.accept` stores a page of signals in one unit, with whatever the caller joins to it (a cursor). From then on
nothing is lost: the worker (:class:`InboxWorker`) takes them to the signal desk, the most severe first, and the row
goes in the very unit of what the signal causes. Killed between the two, it is taken again; killed after, it
is gone. A repetition, in the inbox or acted on long ago, is passed over.

What the desk refuses (a kind that the feed was not granted, a feed that is gone) stays here with the reason, for a
person to see, for 30 days.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

import msgspec

from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.errors import TrothError, trace_of
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.kit.rhythm import Rhythm
from troth.store.bell import BUSY_SECONDS, Bell
from troth.store.errors import StoreError
from troth.store.lease import Lease
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.feeds import feed_store, health_store
from troth.trust.intake import inbox_store, unresolved_store
from troth.trust.intake.desk import Arrived
from troth.trust.intake.inbox_store import SIGNALS_CHANNEL, Waiting
from troth.trust.intake.reported import Reported, Sorted, add_known, resolve_all
from troth.trust.intake.retaking import retake
from troth.trust.intake.taking import Receipt
from troth.trust.signals import signal_store
from troth.trust.signals.codec import decode, encode, urgency
from troth.trust.signals.errors import FEED_UNKNOWN, UNREADABLE, FeedUnknown, SignalError
from troth.trust.signals.model import Signal, alias_value

log = get_logger("trust")

#: Signals in one unit: more are told in several calls, each with its own cursor.
MAX_AT_ONCE: Final = 5_000
KEEP_REFUSED: Final = timedelta(days=30)

#: Who accepts a signal wakes us; this is for one whose process died before it could.
_LOOK: Final = Rhythm("signals.look", 30.0, "worker", statements=2)
_LOOK_AT: Final = 64
_LONGEST_PAUSE: Final = 300
_RETAKEN: Final = 1_000
_MAX_SPOILT: Final = 8_192


@dataclass(frozen=True, slots=True)
class Spoilt:
    """Something that a source said and that cannot be read: it must neither stop the rest nor be lost.

    Attributes:
        message_id: by which a repetition of it is known.
        code: reason code. detail: what is wrong with it.
        raw: what it said, as far as it can be shown.
    """

    message_id: str
    code: str
    detail: str
    raw: Json = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was written down: signals that were handed in, facts, and reports about nobody or several."""

    signals: int
    facts: int
    strangers: int


class Inbox:
    """Accepts what feeds say. Safe to share."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def accept(
        self,
        feed: str,
        signals: Sequence[Signal],
        *,
        reports: Sequence[Reported] = (),
        spoilt: Sequence[Spoilt] = (),
        joined: Unit | None = None,
        heard: bool = True,
    ) -> Accepted:
        """Make all of it durable, together with ``joined``; acting on it follows within a second.

        ``heard``: that the feed has spoken (to be false for what Troth itself says again). Raises FeedUnknown, and
        ValueError for more than 5,000 signals or one of another feed; and what a guard of ``joined`` refuses.
        """
        if len(signals) > MAX_AT_ONCE or any(signal.feed != feed for signal in signals):
            raise ValueError(f"at most {MAX_AT_ONCE} signals, all of the feed {feed!r}")
        known = await feed_store.find_feed(self._database, feed)
        if known is None:
            raise FeedUnknown(FEED_UNKNOWN, f"there is no feed {feed[:80]!r}", feed=feed[:80])
        at, unit = self._clock.now(), Unit() if joined is None else joined
        for signal in signals:
            body = encode(signal)
            # No text of PostgreSQL's holds a NUL: one such signal must not keep its whole page from being stored.
            bad = UNREADABLE.code if "\\u0000" in body or "\0" in signal.message_id else None
            inbox_store.add(
                unit, id=new_id(), feed=feed, message_id=_storable(signal.message_id), body=_storable(body),
                severity=urgency(signal), at=at, refused=bad, detail="it holds a NUL" if bad else None,
            )  # fmt: skip
        for one in spoilt:
            inbox_store.add(
                unit, id=new_id(), feed=feed, message_id=_storable(one.message_id[:200]), body=_raw(one.raw),
                severity=0, at=at, refused=one.code, detail=_storable(one.detail[:300]),
            )  # fmt: skip
        found = await resolve_all(self._database.lookups, reports)
        subjects = await signal_store.find_subjects(self._database, [one.subject_id for one in found.known])
        facts = add_known(unit, known, found.known, subjects, at=at)
        for report, several in found.strangers:
            unresolved_store.add_stranger(unit, feed, report.whom, several=several, at=at)
        retaken = await self._known_now(unit, found, at)
        if heard:
            health_store.add_heard(unit, feed, at)
        if unit.writes:
            await self._database.commit(unit)
        if signals or retaken:
            self._database.wake(SIGNALS_CHANNEL)
        return Accepted(len(signals), facts, len(found.strangers))

    async def _known_now(self, unit: Unit, found: Sorted, at: datetime) -> int:
        """Take signals again whose names the reports have just explained: an alert may come before the inventory."""
        names = [(system, alias_value(system, value)) for one in found.known for system, value in one.report.aliases
                 if "\0" not in value]  # fmt: skip
        explained = await unresolved_store.of_names(self._database, names, limit=_RETAKEN)
        for one in explained:
            retake(unit, one, by="system:inbox", at=at)
        return len(explained)

    async def forget(self) -> None:
        """Drop refusals that nobody will look at any more."""
        await inbox_store.forget_refused(self._database, self._clock.now() - KEEP_REFUSED)


class Desk(Protocol):
    """Acts on signals."""

    async def take_all(self, arrived: Sequence[Arrived]) -> Sequence[Receipt | BaseException]:
        """Act on signals in their order: what became of each, or why it was not taken."""
        ...


class InboxWorker:
    """Takes what was accepted to the desk. One at a time in the whole installation, by lease; a second does no harm."""

    def __init__(self, database: Database, clock: Clock, holder: UUID, desk: Desk) -> None:
        self._database = database
        self._clock = clock
        self._desk = desk
        self._lease = Lease(database, clock, "inbox", holder)
        self._bell = Bell(_LOOK, database, SIGNALS_CHANNEL)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set. A database that is away is waited for."""
        async with self._bell.heeding(stop), self._lease.kept(self._bell.ring) as tenure:
            while not stop.is_set():
                self._bell.hush()
                try:
                    if tenure.held is None:
                        await self._bell.wait()
                    elif not await self.run_once():
                        await self._bell.wait_until(await inbox_store.next_due(self._database), self._clock)
                except StoreError as error:
                    log.warning("inbox.interrupted", error=str(error))
                    await self._bell.wait(BUSY_SECONDS)

    async def run_once(self) -> int:
        """Act on up to 64 signals, the most severe first; returns how many were looked at."""
        waiting = await inbox_store.due(self._database, self._clock.now(), _LOOK_AT)
        unit = Unit()
        readable: list[Waiting] = []
        arrived: list[Arrived] = []
        for one in waiting:
            try:
                arrived.append(Arrived(decode(one.body), inbox_store.drop(Unit(), one.id), one.accepted_at))
                readable.append(one)
            except (SignalError, ValueError) as error:
                self._settle(unit, one, error)
        for one, outcome in zip(readable, await self._desk.take_all(arrived), strict=True):
            self._settle(unit, one, outcome)
        if unit.writes:
            await self._database.commit(unit)
        return len(waiting)

    def _settle(self, unit: Unit, one: Waiting, outcome: Receipt | BaseException) -> None:
        """Add what is to be done with the row of a signal that was not taken now."""
        if isinstance(outcome, Receipt):
            if outcome.again:
                inbox_store.drop(unit, one.id)
        elif isinstance(outcome, SignalError | ValueError):
            code = outcome.code if isinstance(outcome, TrothError) else UNREADABLE.code
            detail = outcome.detail if isinstance(outcome, TrothError) else str(outcome)
            log.warning("signal.refused", feed=one.feed, message_id=one.message_id[:80], code=code)
            inbox_store.refuse(unit, one.id, code, _storable(detail))
        else:
            if not isinstance(outcome, TrothError):
                # One signal that nobody foresaw must not keep the others waiting; it is tried again, and stays visible.
                log.error("signal.failed", feed=one.feed, message_id=one.message_id[:80], exc_info=trace_of(outcome))
            # Whether it was committed is not always known; what was taken is not taken again.
            pause = min(2.0 ** min(one.attempts, 10), _LONGEST_PAUSE)
            inbox_store.postpone(unit, one.id, self._clock.now() + timedelta(seconds=pause), _storable(str(outcome)))


def _raw(raw: Json) -> str:
    """What cannot be read, as JSON, cut where it is longer than anybody would look at."""
    try:
        text = msgspec.json.encode(raw).decode()
    except (TypeError, ValueError):
        text = '""'
    if len(text) > _MAX_SPOILT:
        text = msgspec.json.encode(text[:_MAX_SPOILT]).decode()
    return _storable(text)


def _storable(text: str) -> str:
    """``text``, raw or as JSON, without the one character that PostgreSQL takes nowhere."""
    return text.replace("\\u0000", "\\ufffd").replace("\0", "\N{REPLACEMENT CHARACTER}")
