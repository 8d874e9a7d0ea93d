"""Events about many at once: everybody in a tenant, a group, a unit. None of them fans out by itself.

Each waits for a person. Acting on it says the same of every subject in the feed's scope, one signal each through the
inbox: grants, caps and freeze hold as for any others, so that what goes beyond the cap is staged one by one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from troth.audit.event import Event
from troth.connect.ssf import event_store
from troth.connect.ssf.errors import WIDE_SETTLED, WIDE_UNKNOWN, SsfError
from troth.connect.ssf.event_store import LOCK_WIDE, WideEvent
from troth.connect.ssf.receiver import Inbox
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.enforcement import cap_store
from troth.trust.feeds import feed_store
from troth.trust.feeds.model import Feed, ScopeDefinition
from troth.trust.signals.errors import FEED_UNKNOWN, FeedUnknown
from troth.trust.signals.model import Method, Signal, Verified, Whom, signal

_PAGE: Final = 500
#: Class of signal → kind of subject that it is about.
_ABOUT: Final = {"idp": "user", "edr": "device", "mdm": "device"}


@dataclass(frozen=True, slots=True)
class Reach:
    """What acting on an event would hit: so many subjects of those kinds."""

    event: WideEvent
    kinds: tuple[str, ...]
    groups: tuple[str, ...]
    subjects: int


class WideDesk:
    """Events that wait for a person."""

    def __init__(self, database: Database, clock: Clock, inbox: Inbox) -> None:
        self._database = database
        self._clock = clock
        self._inbox = inbox

    async def waiting(self) -> Sequence[WideEvent]:
        """What waits, the oldest first."""
        return await event_store.waiting(self._database)

    async def reach(self, id: UUID) -> Reach:
        """What acting on it would hit. Raises SsfError, FeedUnknown."""
        event, feed = await self._open(id)
        kinds = _kinds(event, feed)
        subjects = 0
        if kinds:
            scope = ScopeDefinition(kinds, feed.scope.groups)  # type: ignore[arg-type]
            subjects = await cap_store.population(self._database, scope)
        return Reach(event, kinds, feed.scope.groups, subjects)

    async def act(self, id: UUID, *, actor: str, joined: Unit | None = None) -> int:
        """Say it of everybody in the feed's scope; of how many. Raises SsfError, FeedUnknown.

        Killed on the way, it waits still; acted on again, those who were told before are passed over.
        """
        event, feed = await self._open(id)
        kinds, after, told = _kinds(event, feed), UUID(int=0), 0
        while kinds:
            page = await event_store.in_scope(self._database, kinds, feed.scope.groups, after=after, limit=_PAGE)
            if not page:
                break
            await self._inbox.accept(event.feed, [one for subject in page for one in self._signals(event, subject)])
            told, after = told + len(page), page[-1]
        await self._settle(event, "acted", actor, joined, subjects=told)
        return told

    async def dismiss(self, id: UUID, *, actor: str) -> None:
        """Drop it. Raises SsfError."""
        event = await self._find(id)
        await self._settle(event, "dismissed", actor, None)

    async def _settle(self, event: WideEvent, state: str, actor: str, joined: Unit | None, **data: Json) -> None:
        unit = Unit() if joined is None else joined
        settled = SsfError(WIDE_SETTLED, f"the event {event.id}")
        unit.guard(LOCK_WIDE, event.id, refuse=settled, key=("ssf_wide", event.id))
        event_store.settle(unit, event.id, state, actor=actor, at=self._clock.now())
        known: dict[str, Json] = {"id": str(event.id), "stream": event.stream, "subject": event.subject[:300]}
        references = (f"ssf_stream:{event.stream}", f"feed:{event.feed}")
        unit.record(Event(f"ssf.wide_{state}", actor, references, known | data))
        await self._database.commit(unit)

    def _signals(self, event: WideEvent, subject: UUID) -> list[Signal]:
        return [
            signal(
                feed=event.feed,
                message_id=f"ssf-wide:{event.id}:{subject}:{kind}",
                digest=hashlib.sha256(event.id.bytes + subject.bytes).digest(),
                kind=kind,
                whom=Whom(id=subject),
                observed_at=event.observed_at,
                now=self._clock.now(),
                evidence=f"said of {event.subject}"[:1_000],
                severity=severity,
                verified=Verified(Method.JWS),
                fields=dict(event.fields),
            )
            for kind, severity in event.signals
        ]

    async def _find(self, id: UUID) -> WideEvent:
        found = await event_store.find_wide(self._database, id)
        if found is None:
            raise SsfError(WIDE_UNKNOWN, f"no event {id}")
        if found.state != "waiting":
            raise SsfError(WIDE_SETTLED, f"{found.state} by {found.settled_by}")
        return found

    async def _open(self, id: UUID) -> tuple[WideEvent, Feed]:
        event = await self._find(id)
        feed = await feed_store.find_feed(self._database, event.feed)
        if feed is None:
            raise FeedUnknown(FEED_UNKNOWN, f"there is no feed {event.feed!r}", feed=event.feed)
        return event, feed


def _kinds(event: WideEvent, feed: Feed) -> tuple[str, ...]:
    """Kinds of subject that the event can be about and the feed may speak of."""
    about = {_ABOUT.get(kind.partition(".")[0], "user") for kind, _ in event.signals}
    return tuple(sorted(about & set(feed.scope.subjects)))
