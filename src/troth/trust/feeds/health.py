"""Whether a feed speaks as often as it should, and what its silence means: nothing.

A feed has a *cadence*: how often it is heard from when all is well (a poll that succeeds, a verified message). Silent
for longer than that it is late, for twice as long stale, for ten times as long dead. Silence changes no standing: while
a feed is stale nothing of what it said grows older or lapses (:func:`frozen`), nothing of it is cleared, policies are
told that the feed is down (``feed_down:``). When it speaks again, what it says meets its caps as ever.

Everything here is a function of when the feed was last heard and of now; the watch (:class:`FeedWatch`) only says aloud
what has become true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.feeds import health_store
from troth.trust.feeds.health_store import Heard, Silence
from troth.trust.model import FeedState

log = get_logger("trust")

ACTOR: Final = "system:watch"
STALE_AFTER: Final = 2
DEAD_AFTER: Final = 10
#: The judge asks at every decision; how old an answer may be.
_KEPT_SECONDS: Final = 1.0


class Health(Enum):
    """How long a feed has been silent, in words."""

    FRESH = "fresh"
    LATE = "late"
    STALE = "stale"
    DEAD = "dead"
    #: It has no cadence, so that its silence says nothing.
    UNWATCHED = "unwatched"

    @property
    def silent(self) -> bool:
        """Whether what it said stands still until it speaks again."""
        return self in {Health.STALE, Health.DEAD}


_AFTER: Final[Mapping[Health, int]] = {Health.DEAD: DEAD_AFTER, Health.STALE: STALE_AFTER, Health.LATE: 1}


def health(cadence: timedelta | None, heard_at: datetime, now: datetime) -> tuple[Health, datetime]:
    """How the feed is, and since when: the very moment, whenever it is looked at."""
    if cadence is None:
        return Health.UNWATCHED, heard_at
    for state, times in _AFTER.items():
        since = heard_at + cadence * times
        if now >= since:
            return state, since
    return Health.FRESH, heard_at


def frozen(silences: Sequence[Silence], start: datetime, end: datetime) -> timedelta:
    """How much of the time from ``start`` to ``end`` its feed was silent for: it counts as if it had not passed.

    ``silences`` do not overlap; one without an end lasts still.
    """
    total = timedelta(0)
    for one in silences:
        begins, ends = max(one.since, start), end if one.until is None else min(one.until, end)
        if ends > begins:
            total += ends - begins
    return total


def present_silence(heard: Heard, now: datetime) -> Silence | None:
    """The silence that the feed is in, if it is in one."""
    state, _ = health(heard.cadence, heard.heard_at, now)
    if not state.silent or heard.cadence is None:
        return None
    return Silence(heard.feed, heard.heard_at + heard.cadence * STALE_AFTER, None)


@dataclass(frozen=True, slots=True)
class Watched:
    """A feed with its health as it is now."""

    heard: Heard
    health: Health
    since: datetime


class FeedHealthBook:
    """Tells the judge which feeds are down (:class:`troth.trust.subjects.facts.FeedHealth`), and us how they are."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._known: Sequence[FeedState] = ()
        self._asked = float("-inf")

    async def down(self) -> Sequence[FeedState]:
        """Every feed that is late, stale or dead. At most a second old; the database is not asked more often."""
        now = self._clock.monotonic()
        if now - self._asked >= _KEPT_SECONDS:
            found = await self.all()
            self._known = tuple(
                FeedState(one.heard.feed, one.health.value, one.since)
                for one in found
                if one.health not in {Health.FRESH, Health.UNWATCHED}
            )
            self._asked = now
        return self._known

    async def all(self) -> Sequence[Watched]:
        """Every feed, by name."""
        now = self._clock.now()
        return [
            Watched(one, *health(one.cadence, one.heard_at, now)) for one in await health_store.heard(self._database)
        ]

    async def silences(self, feeds: Sequence[str], since: datetime) -> Mapping[str, Sequence[Silence]]:
        """Silences of each of ``feeds`` that were not over at ``since``, the present one included."""
        return await health_store.silences(self._database, feeds, since=since, now=self._clock.now())


class FeedWatch:
    """Says aloud, once, when a feed falls silent and when it speaks again: an event in the ledger, a line in the log.

    Run by the worker; two of them say it once.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        #: Whether there is a feed whose silence would say something.
        self.watching = True

    async def run_once(self) -> int:
        """Look at every feed; returns how many have changed."""
        now, changed = self._clock.now(), 0
        found = await health_store.heard(self._database)
        self.watching = any(one.cadence is not None for one in found)
        for one in found:
            state, since = health(one.cadence, one.heard_at, now)
            state = Health.FRESH if state is Health.UNWATCHED else state
            if state.value == one.said:
                continue
            unit = Unit()
            health_store.say(unit, one, state.value, since, refuse=_Said())
            unit.record(
                Event(
                    f"feed.{_EVENTS[state]}",
                    ACTOR,
                    (f"feed:{one.feed}",),
                    {"feed": one.feed, "from": one.said, "to": state.value, "since": since.isoformat(),
                     "heard_at": one.heard_at.isoformat(),
                     "cadence_seconds": None if one.cadence is None else int(one.cadence.total_seconds())},
                )
            )  # fmt: skip
            try:
                await self._database.commit(unit)
            except _Said:
                continue
            changed += 1
            log.warning("feed.health", feed=one.feed, was=one.said, now=state.value)
        return changed


_EVENTS: Final = {Health.FRESH: "heard", Health.LATE: "late", Health.STALE: "stale", Health.DEAD: "dead"}


class _Said(Exception):
    """Another worker said it first."""
