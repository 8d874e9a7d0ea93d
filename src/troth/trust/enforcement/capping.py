"""Whether one more subject may be restricted: the feed's own cap, its hard cap and breaker, and the caps across feeds.

Correlated badness is more often a broken sensor than an attack on everybody at once. Below its cap a feed acts. Above
it (or above the cap of a kind, a group, a site, or of everyone) what it asks for is staged. A feed that goes on asking,
up to the hard cap or for ``breaker.percent`` of a scope for one reason, is suspended. Whoever gives a feed a cap of all
subjects believes it: neither hard cap nor breaker, nor the caps of a kind and of everyone, bind below the feed's own.

Each subject counts once in a window for each feed, asked for or done. Runs in a unit's step, with the feed locked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from troth.store.unit import Reader, Unit
from troth.trust.enforcement import cap_store
from troth.trust.enforcement.cap_store import Count, Mark
from troth.trust.enforcement.tally import tally_of
from troth.trust.feeds.caps import Cap
from troth.trust.feeds.model import Feed, ScopeDefinition
from troth.trust.standings.rules import CapRules

_REMEMBER: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Room:
    """What a feed was told.

    Attributes:
        capped: the cap that leaves no room, in words; None if there is room.
        suspend: why the feed is to be suspended, in words; None if it is not.
    """

    capped: str | None = None
    suspend: str | None = None


class Populations:
    """How many subjects there are in a scope, counted once a minute in each process."""

    def __init__(self) -> None:
        self._known: dict[object, tuple[int, datetime]] = {}

    async def of_feed(self, reader: Reader, scope: ScopeDefinition, at: datetime) -> int:
        """In a feed's scope."""
        key = (scope.subjects, scope.groups)
        found = self._fresh(key, at)
        return found if found is not None else self._keep(key, await cap_store.population(reader, scope), at)

    async def of_group(self, reader: Reader, group: str, at: datetime) -> int:
        """In a group, at a site, or (``*``) at all."""
        found = self._fresh(group, at)
        return found if found is not None else self._keep(group, await cap_store.population_of(reader, group), at)

    def _fresh(self, key: object, at: datetime) -> int | None:
        known = self._known.get(key)
        return known[0] if known is not None and abs(at - known[1]) < _REMEMBER else None

    def _keep(self, key: object, number: int, at: datetime) -> int:
        if len(self._known) > 1_000:
            self._known.clear()
        self._known[key] = number, at
        return number


class Capping:
    """Counts against caps. Holds nothing but populations."""

    def __init__(self) -> None:
        self.populations = Populations()

    async def ask(
        self,
        reader: Reader,
        unit: Unit,
        feed: Feed,
        kind: str,
        subject_id: UUID,
        groups: list[str],
        rules: CapRules,
        at: datetime,
    ) -> Room:
        """Ask for room for one subject, and count it."""
        tally = tally_of(reader, at)
        await tally.enter(reader)
        mark = await cap_store.mark(reader, feed.name, subject_id)
        windows = _windows(feed, kind, groups, rules)
        counts = await tally.counts(reader, windows, at)
        first = at - feed.cap.window
        asks = mark.asked_at is None or mark.asked_at <= first
        spends = mark.spent_at is None or mark.spent_at <= first
        # Whom the feed has restricted in this window already costs nothing more.
        capped = await self._capped(reader, feed, kind, groups, rules, counts, at) if spends else None
        suspend = None
        if capped is not None:
            suspend = await self._too_many(reader, feed, kind, groups, rules, counts, at, int(asks))
        done = capped is None and spends
        if asks or done:
            tally.add(unit, windows, at, spent=int(done), asked=int(asks))
            cap_store.put_mark(
                unit, feed.name, subject_id, Mark(at if asks else mark.asked_at, at if done else mark.spent_at)
            )
        return Room(capped, suspend)

    async def _capped(
        self,
        reader: Reader,
        feed: Feed,
        kind: str,
        groups: list[str],
        rules: CapRules,
        counts: dict[str, Count],
        at: datetime,
    ) -> str | None:
        """The first cap that leaves no room."""

        async def of_feed() -> int:
            return await self.populations.of_feed(reader, feed.scope, at)

        scopes: list[tuple[str, Cap, Callable[[], Awaitable[int]], str]] = [
            (f"feed:{feed.name}", feed.cap, of_feed, f"the cap of feed {feed.name}"),
            (f"kind:{kind}", rules.kind, of_feed, f"the cap of kind {kind}"),
            *(
                (f"group:{group}", rules.group, self._counting(reader, group, at), f"the cap of {_called(group)}")
                for group in groups
            ),
            ("everyone", rules.everyone, self._counting(reader, "*", at), "the cap of everyone together"),
        ]
        for scope, cap, population, words in scopes:
            spent = counts.get(scope, Count()).spent
            if spent < cap.binds_below() or spent < cap.allowed(await population()):
                continue
            # One feed that may restrict more than all of a kind, or all subjects, has been given that much.
            if not scope.startswith(("kind:", "everyone")) or spent >= feed.cap.allowed(await of_feed()):
                return words
        return None

    def _counting(self, reader: Reader, group: str, at: datetime) -> _Counting:
        return _Counting(self.populations, reader, group, at)

    async def _too_many(
        self,
        reader: Reader,
        feed: Feed,
        kind: str,
        groups: list[str],
        rules: CapRules,
        counts: dict[str, Count],
        at: datetime,
        more: int,
    ) -> str | None:
        """Why the feed should be suspended."""
        population = await self.populations.of_feed(reader, feed.scope, at)
        own = feed.cap.allowed(population)
        asked = counts.get(f"feed:{feed.name}", Count()).asked + more
        if asked > max(own, rules.hard.allowed(population)):
            return f"it asked to restrict {asked} subjects in {_span(feed.cap.window)}, above its hard cap"
        scopes = [(f"feed:{feed.name}|{kind}", "its scope", population)]
        for group in groups:
            scope = f"group:{group}|{feed.name}|{kind}"
            if counts.get(scope, Count()).asked + more > own:
                scopes.append((scope, _called(group), await self.populations.of_group(reader, group, at)))
        for scope, words, size in scopes:
            asked = counts.get(scope, Count()).asked + more
            if asked > own and size >= rules.breaker.population and asked * 100 >= rules.breaker.percent * size:
                return f"it asked to restrict {asked} of {size} subjects of {words} for one reason, {kind}"
        return None


@dataclass(frozen=True, slots=True)
class _Counting:
    """Counts a population when it is needed."""

    populations: Populations
    reader: Reader
    group: str
    at: datetime

    async def __call__(self) -> int:
        return await self.populations.of_group(self.reader, self.group, self.at)


def _windows(feed: Feed, kind: str, groups: list[str], rules: CapRules) -> dict[str, timedelta]:
    """Every scope that a subject counts in, with its window."""
    own = feed.cap.window
    return {
        f"feed:{feed.name}": own,
        f"feed:{feed.name}|{kind}": own,
        f"kind:{kind}": rules.kind.window,
        "everyone": rules.everyone.window,
        **{f"group:{group}": rules.group.window for group in groups},
        **{f"group:{group}|{feed.name}|{kind}": own for group in groups},
    }


def _called(group: str) -> str:
    return f"site {group.removeprefix('site:')}" if group.startswith("site:") else f"group {group}"


def _span(window: timedelta) -> str:
    seconds = int(window.total_seconds())
    return f"{seconds // 60} minutes" if seconds % 60 == 0 else f"{seconds} seconds"
