"""One signal on its way through one transaction: what it is granted, what it changes, what is staged in its place.

Everything here runs inside a unit's step, with the feed and the subject locked, so that what is read is what is
changed: the count against the cap, the causes, the standing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.store.unit import Reader, Unit
from troth.trust import feed_store, signal_store, unresolved_store
from troth.trust.action_store import ActionKind, StagedAction, Why
from troth.trust.alias_store import Resolved
from troth.trust.causes import RESTRICTIVE, Change, HoldCause, cleared, raised, standing_of, with_cause
from troth.trust.enforce import Enforcer, Trigger, withdraw
from troth.trust.model import Subject
from troth.trust.signal_errors import FEED_UNKNOWN, FeedUnknown
from troth.trust.signals import Effect, Signal
from troth.trust.situation_store import Situation, situation
from troth.trust.standing import Standing


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a signal.

    Attributes:
        standing: of the subject afterwards; None if the signal named nobody, or several.
        staged: whether something waits for a person.
        effects: codes of what was done, in order: ``cause.raised``, ``standing.changed``, ``action.staged`` …
        again: the message had been taken before; nothing was done now.
    """

    signal_id: UUID
    subject_id: UUID | None
    standing: Standing | None
    staged: bool
    effects: tuple[str, ...]
    again: bool = False


class TakenBefore(Exception):
    """Another process took the same message first."""


class Taking:
    """One signal on its way through one transaction. ``run`` may be run again if the transaction is."""

    def __init__(self, signal: Signal, id: UUID, at: datetime, resolved: Resolved, enforcer: Enforcer) -> None:
        self._signal = signal
        self._id = id
        self._at = at
        self._found = resolved.ids
        self._weak = resolved.weak
        self._enforcer = enforcer
        self._by = Trigger(f"feed:{signal.feed}", id, signal.feed, signal.cause, at)
        self._level = signal.level
        self._effects: list[str] = []
        self._subject: Subject | None = None
        self._standing: Standing | None = None

    def receipt(self) -> Receipt:
        """What came of it; to be asked after the commit."""
        subject_id = None if self._subject is None else self._subject.id
        return Receipt(self._id, subject_id, self._standing, self._staged, tuple(self._effects))

    @property
    def _staged(self) -> bool:
        return "action.staged" in self._effects

    async def run(self, reader: Reader, unit: Unit) -> None:
        """The unit's step. Raises TakenBefore, NotGranted, FeedUnknown."""
        self._effects = []
        signal = self._signal
        found: Situation | None = None
        if len(self._found) == 1:
            found = await situation(
                reader, signal.feed, self._found[0], message_id=signal.message_id, cause=signal.cause, at=self._at
            )
            taken = found is not None and found.taken
        else:
            taken = await signal_store.find_taken(reader, signal.feed, signal.message_id) is not None
        if taken:
            raise TakenBefore
        feed = found.feed if found is not None else await feed_store.find_feed(reader, signal.feed)
        if feed is None:
            raise FeedUnknown(FEED_UNKNOWN, f"there is no feed {signal.feed!r}", feed=signal.feed)
        self._subject = None if found is None else found.subject
        feed.grant(signal, self._subject)
        self._level = min(signal.level, feed.greatest_effect)
        if self._level is not signal.level:
            self._effects.append("level.limited")
        if found is None:
            self._unresolved(unit)
        elif found.subject.protected and signal.effect is Effect.RAISE:
            self._alarm(unit, found.subject)
        elif self._weak and signal.effect is Effect.CLEAR:
            self._unproved(unit, found.subject)
        else:
            stopped = Why.FROZEN if found.frozen else Why.FEED_SUSPENDED if feed.suspended else None
            weigh = self._raise if signal.effect is Effect.RAISE else self._clear
            await weigh(reader, unit, found, stopped)
        self._accept(unit)

    def _accept(self, unit: Unit) -> None:
        signal_store.take(
            unit,
            self._signal,
            id=self._id,
            level=self._level,
            subject_id=None if self._subject is None else self._subject.id,
            at=self._at,
            standing=self._standing,
            staged=self._staged,
            effects=self._effects,
            weak=self._weak,
            refuse=TakenBefore(),
        )
        self._record(
            unit,
            "signal.accepted",
            kind=self._signal.kind.name,
            effect=self._signal.effect.value,
            level=self._level.value,
            cause=self._signal.cause,
            message_id=self._signal.message_id,
            observed_at=self._signal.observed_at.isoformat(),
            evidence=self._signal.evidence,
            effects=list(self._effects),
        )

    def _unresolved(self, unit: Unit) -> None:
        self._standing = None
        self._effects.append("subject.ambiguous" if self._found else "subject.unknown")
        unresolved_store.keep(unit, self._id, self._signal, several=bool(self._found), at=self._at)
        self._record(unit, "signal.unresolved", whom=str(self._signal.whom), kind=self._signal.kind.name)

    def _unproved(self, unit: Unit, subject: Subject) -> None:
        """A clear about whom a host name or an unattested serial number names: anybody can wear either."""
        self._standing = subject.standing
        self._effects.append("clear.unproved")
        self._record(unit, "signal.unproved", whom=str(self._signal.whom), kind=self._signal.kind.name)

    def _alarm(self, unit: Unit, subject: Subject) -> None:
        self._standing = subject.standing
        self._effects.append("subject.alarm")
        self._record(
            unit,
            "subject.alarm",
            kind=self._signal.kind.name,
            level=self._level.value,
            cause=self._signal.cause,
            name=subject.name,
        )

    async def _raise(self, reader: Reader, unit: Unit, found: Situation, stopped: Why | None) -> None:
        signal, causes = self._signal, found.causes
        new = HoldCause(signal.feed, signal.cause, self._level, signal.observed_at, self._at, self._id)
        changed = raised(causes, new)
        if changed[0] is not Change.LATE:
            self._take_back(unit, ActionKind.CLEAR, found.waiting)
        if changed[0] in RESTRICTIVE:
            why = stopped or await self._above_cap(reader, found)
            if why is not None:
                asked = [one.level for one in found.waiting if one.action is ActionKind.RAISE]
                level = max([self._level, *asked])
                would_be = standing_of(with_cause(causes, replace(changed[1], level=level)))
                await self._stage(reader, unit, found.subject, ActionKind.RAISE, why, level, would_be)
                return
        await self._apply(reader, unit, found, changed)

    async def _clear(self, reader: Reader, unit: Unit, found: Situation, stopped: Why | None) -> None:
        signal, causes = self._signal, found.causes
        changed = cleared(
            causes, signal.feed, signal.cause, observed_at=signal.observed_at, at=self._at, signal_id=self._id
        )
        if changed[0] is not Change.LATE:
            self._take_back(unit, ActionKind.RAISE, found.waiting)
        if changed[0] is Change.CLEARED and stopped is not None:
            would_be = standing_of(with_cause(causes, changed[1]))
            await self._stage(reader, unit, found.subject, ActionKind.CLEAR, stopped, Standing.TRUSTED, would_be)
            return
        await self._apply(reader, unit, found, changed)

    async def _apply(self, reader: Reader, unit: Unit, found: Situation, changed: tuple[Change, HoldCause]) -> None:
        self._effects.append(changed[0].value)
        before = found.subject.standing
        self._standing = await self._enforcer.change_cause(reader, unit, found.subject, found.causes, changed, self._by)
        if self._standing is not before:
            self._effects.append("standing.changed")
            if self._standing is Standing.DISTRUSTED:
                self._effects.append("action.staged")

    async def _stage(
        self,
        reader: Reader,
        unit: Unit,
        subject: Subject,
        action: ActionKind,
        why: Why,
        level: Standing,
        would_be: Standing,
    ) -> None:
        self._standing = subject.standing
        self._effects.append("action.staged")
        await self._enforcer.stage(
            reader, unit, subject, action, why, level, would_be, self._by, observed_at=self._signal.observed_at
        )

    def _take_back(self, unit: Unit, action: ActionKind, waiting: list[StagedAction]) -> None:
        """A newer word withdraws what an older one had staged."""
        for one in waiting:
            if one.action is action and one.observed_at <= self._signal.observed_at:
                withdraw(unit, one, self._by)
                self._effects.append("action.withdrawn")

    async def _above_cap(self, reader: Reader, found: Situation) -> Why | None:
        """CAP if the feed has no room for one more subject in its window."""
        cap = found.feed.cap
        if found.spent < cap.binds_below():
            return None
        if found.spent < cap.allowed(await signal_store.population(reader, found.feed.scope)):
            return None
        return Why.CAP

    def _record(self, unit: Unit, event: str, **data: Json) -> None:
        references = [f"feed:{self._signal.feed}", f"signal:{self._id}"]
        if self._subject is not None:
            references.insert(0, self._subject.ref)
        unit.record(
            Event(
                event,
                self._by.actor,
                tuple(references),
                {"signal_id": str(self._id), "feed": self._signal.feed} | data,
            )
        )
