"""Standings evaluated anew, for everybody: after another standing document, or when more of a feed is in force.

Pages of subjects are read and assessed purely; only those that come to stand elsewhere are locked and changed, one by
one. Whoever would stand worse meets the caps of the feed that weighs most: where they leave no room, that feed's causes
are only watched, and what they ask for is staged. A run goes on after a crash where it was.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.store import jobs
from troth.store.jobs import Job, LeasedJob
from troth.store.pool import Database
from troth.store.unit import Reader, Unit
from troth.trust.enforcement import reevaluation_store
from troth.trust.enforcement.action_store import ActionKind, Why
from troth.trust.enforcement.cap_store import groups_of
from troth.trust.enforcement.capping import Capping
from troth.trust.enforcement.enforce import Enforcer, Trigger, alone_with, locked_subject, subject_unit
from troth.trust.enforcement.reevaluation_store import Standing as Stood
from troth.trust.enforcement.situation_store import LOCK_SITUATION
from troth.trust.feeds import feed_store
from troth.trust.feeds.model import Feed
from troth.trust.model import Subject
from troth.trust.signals import signal_store
from troth.trust.signals.causes import HoldCause, with_cause
from troth.trust.signals.errors import SUBJECT_UNKNOWN, SubjectUnknown
from troth.trust.standings.assessment import Assessment
from troth.trust.standings.assessor import SETTLE_JOB, Looked
from troth.trust.standings.rules import StandingRules

REEVALUATE_JOB: Final = "standing.reevaluate"
ACTOR: Final = "system:standing"

_PAGE: Final = 500
_SECONDS: Final = 5.0
_FIRST: Final = UUID(int=0)
_SAMPLES: Final = 50


@dataclass(frozen=True, slots=True)
class Moved:
    """A subject that would come to stand elsewhere."""

    id: UUID
    subject: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a new evaluation would change: numbers by (from, to), and some of the subjects."""

    subjects: int
    moves: Mapping[tuple[str, str], int]
    samples: tuple[Moved, ...]


class Reevaluation:
    """Looks at everybody, and has everybody looked at."""

    def __init__(self, database: Database, clock: Clock, enforcer: Enforcer) -> None:
        self._database = database
        self._clock = clock
        self._enforcer = enforcer
        self._capping = Capping()

    async def outlook(self, rules: StandingRules | None = None) -> Outlook:
        """What would change, by ``rules`` or by those in force; nothing is written."""
        seen, moves, samples = 0, Counter[tuple[str, str]](), list[Moved]()
        feeds = {feed.name: feed for feed in await feed_store.all_feeds(self._database)}
        async for page in self._pages(_FIRST, rules, feeds):
            for one, looked in page:
                seen += 1
                before, after = one.subject.standing, looked.outcome.standing
                if before is not after:
                    moves[before.value, after.value] += 1
                    if len(samples) < _SAMPLES:
                        name = f"{one.subject.kind.value} {one.subject.name}"
                        samples.append(Moved(one.subject.id, name, before.value, after.value))
            await asyncio.sleep(0)
        return Outlook(seen, dict(moves), tuple(samples))

    async def begin(self, *, actor: str) -> None:
        """Have everybody looked at. Two runs at once do no harm: what has moved does not move again."""
        await self._database.commit(self.unit(actor=actor))

    def unit(self, *, actor: str) -> Unit:
        """The write unit that has everybody looked at: for what makes it necessary."""
        run = str(new_id())
        unit = jobs.enqueue(Unit(), Job(REEVALUATE_JOB, run, self._clock.now(), {"run": run, "after": str(_FIRST)}))
        return unit.record(Event("standing.reevaluation_begun", actor, ("standing:rules",), {"run": run}))

    async def progress(self) -> Mapping[str, Any] | None:
        """How far the present run is: ``seen``, ``moved``, ``held_back``; None if there is none."""
        return await reevaluation_store.progress(self._database, REEVALUATE_JOB)

    async def run(self, job: LeasedJob) -> None:
        """Some pages of a run, and a job for the next ones."""
        done: dict[str, Any] = {"seen": 0, "moved": 0, "held_back": 0, "turn": 0} | dict(job.payload)
        began, after, more = self._clock.monotonic(), UUID(done["after"]), False
        feeds = {feed.name: feed for feed in await feed_store.all_feeds(self._database)}
        soon = Unit()
        async for page in self._pages(after, None, feeds):
            for one, looked in page:
                done["seen"] += 1
                after = one.subject.id
                if looked.changed or looked.outcome.standing is not one.subject.standing or one.watched(feeds):
                    held = await self._settle(one, looked, feeds)
                    done["moved"] += 1
                    done["held_back"] += held
                elif _sooner(looked.outcome, one):
                    jobs.enqueue(soon, Job(SETTLE_JOB, str(one.subject.id), looked.outcome.next_at or looked.given.at))
            await asyncio.sleep(0)
            if self._clock.monotonic() - began > _SECONDS:
                more = True
                break
        unit = jobs.finish(soon, job)
        if more:
            told = done | {"after": str(after), "turn": done["turn"] + 1}
            key = f"{done['run']}:{told['turn']}"
            jobs.enqueue(unit, Job(REEVALUATE_JOB, key, self._clock.now(), told))
        else:
            data: dict[str, Json] = {name: done[name] for name in ("run", "seen", "moved", "held_back")}
            unit.record(Event("standing.reevaluated", ACTOR, ("standing:rules",), data))
        await self._database.commit(unit)

    async def _pages(
        self, after: UUID, rules: StandingRules | None, feeds: Mapping[str, Feed]
    ) -> AsyncIterator[list[tuple[Stood, Looked]]]:
        """Everybody who has causes or does not stand trusted, page by page, each with a new look."""
        assessor = self._enforcer.assessor
        while True:
            page = await reevaluation_store.page(self._database, after, self._clock.now(), _PAGE)
            if not page:
                return
            silences = await assessor.silences(self._database, [cause for one in page for cause in one.causes],
                                               self._clock.now())  # fmt: skip
            found = []
            for one in page:
                used = rules or await assessor.rules(self._database, one.ground.rules_version)
                causes = [one.in_force(cause, feeds) for cause in one.causes]
                found.append((one, assessor.weigh(causes, self._clock.now(), one.ground, used, silences)))
            yield found
            after = page[-1].subject.id
            if len(page) < _PAGE:
                return

    async def _settle(self, one: Stood, before: Looked, feeds: Mapping[str, Feed]) -> bool:
        """Bring one subject to where it stands now; whether a cap held something back."""
        subject_id = one.subject.id
        by = Trigger(ACTOR, new_id(), "system", "reevaluation", self._clock.now())
        held: list[bool] = []
        feed = _heaviest(before.outcome)
        worse = before.outcome.standing > one.subject.standing

        async def step(reader: Reader, unit: Unit) -> None:
            held.clear()
            if (await feed_store.switch(reader)).frozen:
                return
            subject = await locked_subject(reader, subject_id)
            stored = await signal_store.causes_of(reader, subject_id)
            causes = [_let_in(cause, feeds, subject_id) for cause in stored]
            now = await self._enforcer.assessor.look(reader, subject_id, causes, by.at)
            if now.outcome.standing > subject.standing and feed is not None and feed in feeds:
                capped = await self._capped(reader, unit, feeds[feed], subject, now, by)
                if capped is not None:
                    held.append(True)
                    causes = await self._held_back(reader, unit, subject_id, causes, now, by, capped)
                    now = await self._enforcer.assessor.look(reader, subject_id, causes, by.at)
            for old, after in zip(stored, causes, strict=True):
                # What is over is closed with the rest; a row is written once.
                if old.shadow != after.shadow and (after.feed, after.key) not in now.outcome.ended:
                    signal_store.set_cause(unit, subject_id, after)
            await self._enforcer.settle(reader, unit, subject, causes, by)

        if worse and feed is not None and feed in feeds:
            unknown = SubjectUnknown(SUBJECT_UNKNOWN, f"no subject {subject_id}")
            unit = Unit().exclusively(("feed", feed))
            unit = alone_with(subject_id, unit).guard(LOCK_SITUATION, feed, subject_id, refuse=unknown)
        else:
            unit = subject_unit(subject_id)
        await self._database.commit(unit.then(step))
        return bool(held)

    async def _capped(
        self, reader: Reader, unit: Unit, feed: Feed, subject: Subject, looked: Looked, by: Trigger
    ) -> str | None:
        """The cap that leaves no room for this subject to stand worse on account of ``feed``."""
        if feed.suspended:
            return f"feed {feed.name} is suspended"
        kind = next((each.kind for each in looked.outcome.contributions if each.feed == feed.name), "")
        groups = groups_of(subject.groups, await reevaluation_store.site(reader, subject.id))
        caps = looked.rules.caps
        return (await self._capping.ask(reader, unit, feed, kind, subject.id, groups, caps, by.at)).capped

    async def _held_back(
        self,
        reader: Reader,
        unit: Unit,
        subject_id: UUID,
        causes: list[HoldCause],
        looked: Looked,
        by: Trigger,
        detail: str,
    ) -> list[HoldCause]:
        """Watch the heaviest causes only, until the subject stands no worse than before; each is staged."""
        subject = await locked_subject(reader, subject_id)
        order = sorted(looked.outcome.contributions, key=lambda one: one.value, reverse=True)
        for one in order:
            cause = next(each for each in causes if (each.feed, each.key) == (one.feed, one.key))
            causes = sorted(with_cause(causes, replace(cause, shadow=True)), key=_place(causes))
            trigger = replace(by, feed=cause.feed, cause=cause.key, id=cause.signal_id)
            await self._enforcer.stage(
                reader, unit, subject, ActionKind.RAISE, Why.CAP, cause.level, looked.outcome.standing, trigger,
                observed_at=cause.observed_at, detail=detail,
            )  # fmt: skip
            now = await self._enforcer.assessor.look(reader, subject_id, causes, by.at)
            if now.outcome.standing <= subject.standing:
                break
        return causes


def _place(causes: list[HoldCause]) -> Any:
    """Keep the order in which they were read."""
    order = {(cause.feed, cause.key): place for place, cause in enumerate(causes)}
    return lambda cause: order[cause.feed, cause.key]


def _let_in(cause: HoldCause, feeds: Mapping[str, Feed], subject_id: UUID) -> HoldCause:
    """A cause that was only watched and would be in force if it were said now."""
    feed = feeds.get(cause.feed)
    if not cause.shadow or feed is None or feed.suspended or not feed.enforces(cause.kind, subject_id):
        return cause
    return replace(cause, shadow=False)


def _heaviest(outcome: Assessment) -> str | None:
    """The feed whose word weighs most."""
    found = max(outcome.contributions, key=lambda one: one.value, default=None)
    return None if found is None else found.feed


def _sooner(outcome: Assessment, one: Stood) -> bool:
    """Whether the next look is due earlier than was thought."""
    return outcome.next_at is not None and (one.next_at is None or outcome.next_at < one.next_at)
