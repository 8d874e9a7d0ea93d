"""Keeping feeds: applying definitions, handing out secrets once, changing them over, suspending.

A definition file is applied in one unit, so that a mistake in its last line leaves the first line unapplied too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import msgspec

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.sealing import SecretBox
from troth.store.pool import Database
from troth.store.unit import Reader, Unit
from troth.trust.applied import Applied, Raced
from troth.trust.feeds import feed_store
from troth.trust.feeds.caps import Cap
from troth.trust.feeds.feed_store import LOCK_FEED, Sealed
from troth.trust.feeds.model import Feed, FeedDefinition, in_force, is_feed_name, new_webhook_secret, shown, stages
from troth.trust.signals.errors import FEED_UNKNOWN, FeedUnknown

#: How long the former secret stays good when the secret is changed.
OVERLAP: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class AppliedFeed:
    """One feed after applying. ``secret`` is there once, when the feed is created: nobody can show it again."""

    feed: Feed
    change: Applied
    secret: str | None = None


class FeedDesk:
    """The feeds of this installation."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        box: SecretBox,
        *,
        default_cap: Cap | None = None,
        new_rollout: str = "100",
    ) -> None:
        self._database = database
        self._new_rollout = stages(new_rollout, {})
        self._clock = clock
        self._box = box
        self._default_cap = default_cap or Cap()

    async def feeds(self) -> list[Feed]:
        """Every feed, by name."""
        return await feed_store.all_feeds(self._database)

    async def feed(self, name: str) -> Feed:
        """The feed of that name. Raises FeedUnknown."""
        found = await feed_store.find_feed(self._database, name)
        if found is None:
            raise _unknown(name)
        return found

    async def secrets(self, name: str) -> tuple[bytes, ...]:
        """The secrets that a message of this feed may be signed with; none if there is no such feed."""
        sealed = await feed_store.sealed_secrets(self._database.lookups, name) if is_feed_name(name) else None
        if sealed is None:
            return ()
        return tuple(self._box.open(name, one) for one in sealed.in_force(self._clock.now()))

    async def preview(self, definitions: Sequence[FeedDefinition]) -> list[AppliedFeed]:
        """What :meth:`apply` would do; nothing is written."""
        present = {feed.name: feed for feed in await self.feeds()}
        return [self._compare(definition, present.get(definition.name), "") for definition in definitions]

    async def apply(
        self, definitions: Sequence[FeedDefinition], *, actor: str, joined: Unit | None = None
    ) -> list[AppliedFeed]:
        """Bring the feeds into the defined form, all or none. Feeds that are not named stay as they are.

        ``joined`` is committed with it, as in the methods below.
        """
        while True:
            present = {feed.name: feed for feed in await self.feeds()}
            results = [self._compare(definition, present.get(definition.name), actor) for definition in definitions]
            unit = Unit()
            for place, result in enumerate(results):
                if result.change is Applied.CREATED:
                    secret = new_webhook_secret()
                    sealed = self._box.seal(result.feed.name, secret)
                    feed_store.create(unit, result.feed, sealed, refuse=Raced())
                    results[place] = replace(result, secret=shown(secret))
                elif result.change is Applied.CHANGED:
                    name = result.feed.name
                    unit.guard(LOCK_FEED, name, refuse=_unknown(name), key=("feed", name))
                    feed_store.update(unit, result.feed)
                if result.change is not Applied.UNCHANGED:
                    unit.record(_event(result, actor))
            try:
                await self._database.commit(unit if joined is None else unit.absorb(joined))
            except Raced:
                continue
            return results

    def _compare(self, definition: FeedDefinition, present: Feed | None, actor: str) -> AppliedFeed:
        rollout = self._new_rollout if present is None else present.rollout
        wanted = in_force(definition, self._default_cap, at=self._clock.now(), actor=actor, rollout=rollout)
        if present is None:
            return AppliedFeed(wanted, Applied.CREATED)
        wanted = replace(wanted, former_until=present.former_until)
        if present.suspended_by is not None:
            # Who suspended it, a person or the breaker, did so after the file was written: applying it lifts nothing.
            wanted = replace(
                wanted, suspended=True, suspended_by=present.suspended_by, suspended_why=present.suspended_why,
                suspended_at=present.suspended_at,
            )  # fmt: skip
        if replace(wanted, applied_at=present.applied_at, actor=present.actor) == present:
            return AppliedFeed(present, Applied.UNCHANGED)
        return AppliedFeed(wanted, Applied.CHANGED)

    async def change_secret(
        self, name: str, *, actor: str, overlap: timedelta = OVERLAP, joined: Unit | None = None
    ) -> str:
        """A new secret for the feed, returned once. The present one stays good for ``overlap`` (zero: leaked)."""
        at = self._clock.now()
        secret = new_webhook_secret()
        sealed = self._box.seal(name, secret)
        until = at + overlap if overlap > timedelta(0) else None

        async def change(reader: Reader, unit: Unit) -> None:
            present = await feed_store.sealed_secrets(reader, name)
            if present is None:
                raise _unknown(name)
            feed_store.set_secrets(unit, name, Sealed(sealed, None if until is None else present.secret, until))

        unit = Unit()
        unit.guard(LOCK_FEED, name, refuse=_unknown(name), key=("feed", name)).then(change)
        unit.record(
            Event(
                "feed.secret_changed",
                actor,
                (f"feed:{name}",),
                {"feed": name, "former_until": None if until is None else until.isoformat()},
            )
        )
        await self._database.commit(unit if joined is None else unit.absorb(joined))
        return shown(secret)

    async def suspend(self, name: str, *, actor: str, reason: str) -> None:
        """From now on, record the feed's signals and stage what they ask for."""
        await self._suspend(name, True, actor=actor, reason=reason)

    async def resume(self, name: str, *, actor: str, reason: str, joined: Unit | None = None) -> None:
        """Let the feed act again, within its cap. What was staged stays staged."""
        await self._suspend(name, False, actor=actor, reason=reason, joined=joined)

    async def set_rollout(
        self, name: str, rollout: Mapping[str, int], *, actor: str, reason: str, joined: Unit | None = None
    ) -> Feed:
        """How far the feed's words are in force from now on, by kind, class or ``*``. What is only watched by now, and
        would not be any more, comes into force when it is said again or when standings are evaluated anew."""
        feed = await self.feed(name)
        wanted = {**feed.rollout, **rollout}
        unit = Unit().guard(LOCK_FEED, name, refuse=_unknown(name), key=("feed", name))
        feed_store.set_rollout(unit, name, wanted)
        data: dict[str, Json] = {"feed": name, "before": dict(feed.rollout), "after": dict(wanted), "reason": reason}
        unit.record(Event("feed.rollout_changed", actor, (f"feed:{name}",), data))
        await self._database.commit(unit if joined is None else unit.absorb(joined))
        return replace(feed, rollout=wanted)

    async def _suspend(
        self, name: str, suspended: bool, *, actor: str, reason: str, joined: Unit | None = None
    ) -> None:
        unit = Unit()
        unit.guard(LOCK_FEED, name, refuse=_unknown(name), key=("feed", name))
        if suspended:
            feed_store.suspend(unit, name, by=actor, why=reason, at=self._clock.now())
        else:
            feed_store.resume(unit, name)
        kind = "feed.suspended" if suspended else "feed.resumed"
        unit.record(Event(kind, actor, (f"feed:{name}",), {"feed": name, "reason": reason}))
        await self._database.commit(unit if joined is None else unit.absorb(joined))


def _unknown(name: str) -> FeedUnknown:
    return FeedUnknown(FEED_UNKNOWN, f"there is no feed {name[:80]!r}", feed=name[:80])


def _event(result: AppliedFeed, actor: str) -> Event:
    feed = result.feed
    data: dict[str, Json] = {
        "feed": feed.name,
        "change": result.change.value,
        "kinds": list(feed.kinds),
        "scope": msgspec.to_builtins(feed.scope),
        "greatest_effect": feed.greatest_effect.value,
        "may_clear": feed.may_clear,
        "cap_percent": feed.cap.percent,
        "cap_subjects": feed.cap.subjects,
        "cap_window_seconds": int(feed.cap.window.total_seconds()),
        "suspended": feed.suspended,
        "cadence_seconds": None if feed.cadence is None else int(feed.cadence.total_seconds()),
        "rollout": dict(feed.rollout),
        "cap_above": feed.cap_above,
    }
    return Event("feed.applied", actor, (f"feed:{feed.name}",), data)
