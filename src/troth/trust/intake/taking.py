"""One signal on its way through one transaction: what it is granted, what it changes, what is staged in its place.

Everything here runs inside a unit's step, with the feed and the subject locked, so that what is read is what is
changed: the count against the cap, the causes, the standing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.log import get_logger
from troth.store.unit import Reader, Unit
from troth.trust.enforcement import shadow_store
from troth.trust.enforcement.action_store import ActionKind, StagedAction, Why
from troth.trust.enforcement.cap_store import groups_of
from troth.trust.enforcement.capping import Capping
from troth.trust.enforcement.enforce import Enforcer, Trigger, withdraw
from troth.trust.enforcement.situation_store import Situation, situation
from troth.trust.feeds import feed_store
from troth.trust.feeds.model import Feed
from troth.trust.intake import unresolved_store
from troth.trust.model import Subject
from troth.trust.signals import signal_store
from troth.trust.signals.alias_store import Resolved
from troth.trust.signals.causes import RESTRICTIVE, Change, HoldCause, cleared, raised, with_cause
from troth.trust.signals.errors import FEED_UNKNOWN, FeedUnknown
from troth.trust.signals.model import Effect, Signal
from troth.trust.standing import Standing
from troth.trust.standings.assessment import State, inputs
from troth.trust.standings.assessor import Looked
from troth.trust.standings.scoring import alone

log = get_logger("trust")

#: Who suspends a feed that asks for far too much.
SUSPENDER: Final = "system:breaker"


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
    """One signal on its way through one transaction."""

    def __init__(
        self,
        signal: Signal,
        id: UUID,
        at: datetime,
        resolved: Resolved,
        enforcer: Enforcer,
        capping: Capping,
        accepted_at: datetime | None = None,
    ) -> None:
        self._signal = signal
        self._id = id
        self._at = at
        self._found = resolved.ids
        self._weak = resolved.weak
        self._enforcer = enforcer
        self._capping = capping
        self._by = Trigger(f"feed:{signal.feed}", id, signal.feed, signal.cause, at, accepted_at=accepted_at)
        self._level = signal.level
        self._effects: list[str] = []
        #: Why the feed is suspended, if it is by this signal.
        self.suspends: str | None = None
        self._subject: Subject | None = None
        self._standing: Standing | None = None

    def receipt(self) -> Receipt:
        """What came of it; to be asked after the commit."""
        subject_id = None if self._subject is None else self._subject.id
        return Receipt(self._id, subject_id, self._standing, self._staged, tuple(self._effects))

    @property
    def _staged(self) -> bool:
        return "action.staged" in self._effects

    @property
    def at(self) -> datetime:
        """When it is taken."""
        return self._at

    @property
    def asks(self) -> tuple[str, UUID, str, str, datetime] | None:
        """What its situation is asked for with; None if it names nobody, or several."""
        signal = self._signal
        return (
            (signal.feed, self._found[0], signal.message_id, signal.cause, self._at) if len(self._found) == 1 else None
        )

    async def admit(self, reader: Reader) -> tuple[Feed, Situation | None]:
        """Whether it may be weighed, and against what. Adds nothing. Raises TakenBefore, NotGranted, FeedUnknown."""
        signal = self._signal
        found: Situation | None = None
        if (asks := self.asks) is not None:
            found = await situation(reader, *asks)
            taken = found is not None and found.taken
        else:
            taken = await signal_store.find_taken(reader, signal.feed, signal.message_id) is not None
        if taken:
            raise TakenBefore
        feed = found.feed if found is not None else await feed_store.find_feed(reader, signal.feed)
        if feed is None:
            raise FeedUnknown(FEED_UNKNOWN, f"there is no feed {signal.feed!r}", feed=signal.feed)
        feed.grant(signal, None if found is None else found.subject)
        return feed, found

    async def weigh(self, reader: Reader, unit: Unit, feed: Feed, found: Situation | None) -> None:
        """Add to ``unit`` what the signal changes, or has staged. ``feed``: as those before in the transaction left it.

        It may be run again if the transaction is.
        """
        self._effects, self.suspends = [], None
        signal = self._signal
        self._subject = None if found is None else found.subject
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
        signal, subject, causes = self._signal, found.subject, found.causes
        shadow = not found.feed.enforces(signal.kind.name, subject.id)
        new = HoldCause(
            signal.feed, signal.cause, self._level, signal.observed_at, self._at, self._id,
            kind=signal.kind.name, severity=signal.severity, confidence=signal.confidence,
            peak=signal.severity * signal.confidence, effective_at=min(signal.observed_at, self._at),
            expires_at=signal.expires_at, shadow=shadow,
        )  # fmt: skip
        changed = raised(causes, new)
        if changed[0] is not Change.LATE:
            self._take_back(unit, ActionKind.CLEAR, found.waiting)
        if changed[1].shadow:
            await self._watch(reader, unit, found, changed)
        elif await self._asks_for_more(reader, found, changed):
            why, detail = (stopped, "") if stopped is not None else await self._room(reader, unit, found)
            if why is None:
                await self._apply(reader, unit, found, changed)
            else:
                await self._hold_back(reader, unit, found, changed, why, detail)
        else:
            await self._apply(reader, unit, found, changed)

    async def _asks_for_more(self, reader: Reader, found: Situation, changed: tuple[Change, HoldCause]) -> bool:
        """Whether the word makes the standing stricter, or would by itself keep the subject from full trust."""
        change, cause = changed
        if change not in {*RESTRICTIVE, Change.RENEWED}:
            return False
        after = await self._look(reader, found, changed)
        if after.outcome.standing > found.subject.standing:
            return True
        (weighed,) = inputs((cause,), State(), self._at).causes
        return change in RESTRICTIVE and alone(weighed, self._at, after.rules) > Standing.TRUSTED

    async def _look(self, reader: Reader, found: Situation, changed: tuple[Change, HoldCause]) -> Looked:
        """Where the subject would stand."""
        causes = with_cause(found.causes, changed[1])
        return await self._enforcer.assessor.look(reader, found.subject.id, causes, self._at, found.ground)

    async def _watch(self, reader: Reader, unit: Unit, found: Situation, changed: tuple[Change, HoldCause]) -> None:
        """A word that is not in force here yet: what it would do is written down, and nothing is done."""
        change, cause = changed
        subject = found.subject
        self._standing = subject.standing
        if change is not Change.LATE:
            self._effects.append("signal.watched")
            would = await self._look(reader, found, (change, replace(cause, shadow=False)))
            if would.outcome.standing > subject.standing:
                shadow_store.add(
                    unit, self._signal.feed, self._signal.kind.name, subject.id, self._id, self._at, subject.standing,
                    would.outcome.standing,
                )  # fmt: skip
            signal_store.set_cause(unit, subject.id, cause)
        self._effects.append(change.value)

    async def _room(self, reader: Reader, unit: Unit, found: Situation) -> tuple[Why | None, str]:
        """Whether a cap leaves room for this subject; suspends the feed that asks for far too much."""
        feed = found.feed
        rules = await self._enforcer.assessor.rules(reader, found.ground.rules_version)
        room = await self._capping.ask(
            reader, unit, feed, self._signal.kind.name, found.subject.id,
            groups_of(found.subject.groups, found.site), rules.caps, self._at,
        )  # fmt: skip
        if room.suspend is None:
            return (None, "") if room.capped is None else (Why.CAP, room.capped)
        feed_store.suspend(unit, feed.name, by=SUSPENDER, why=room.suspend, at=self._at)
        data: dict[str, Json] = {"feed": feed.name, "reason": room.suspend, "signal_id": str(self._id)}
        unit.record(Event("feed.suspended", SUSPENDER, (f"feed:{feed.name}",), data))
        log.error("feed.suspended", feed=feed.name, reason=room.suspend)
        self._effects.append("feed.suspended")
        self.suspends = room.suspend
        return Why.FEED_SUSPENDED, room.suspend

    async def _hold_back(
        self,
        reader: Reader,
        unit: Unit,
        found: Situation,
        changed: tuple[Change, HoldCause],
        why: Why,
        detail: str,
    ) -> None:
        """Stage what the word asks for; where the feed's cap says so, the subject is restricted meanwhile."""
        asked = [one.level for one in found.waiting if one.action is ActionKind.RAISE]
        level = max([self._level, *asked])
        would = await self._look(reader, found, (changed[0], replace(changed[1], level=level)))
        meanwhile = why is Why.CAP and found.feed.cap_above == "restrict" and level > Standing.RESTRICTED
        if meanwhile:
            await self._apply(reader, unit, found, (changed[0], replace(changed[1], level=Standing.RESTRICTED)))
        await self._stage(
            reader, unit, found.subject, ActionKind.RAISE, why, level, would.outcome.standing, detail=detail,
            keep=meanwhile,
        )  # fmt: skip

    async def _clear(self, reader: Reader, unit: Unit, found: Situation, stopped: Why | None) -> None:
        signal, causes = self._signal, found.causes
        changed = cleared(
            causes, signal.feed, signal.cause, observed_at=signal.observed_at, at=self._at, signal_id=self._id
        )
        if changed[0] is not Change.LATE:
            self._take_back(unit, ActionKind.RAISE, found.waiting)
        if changed[0] is Change.CLEARED and stopped is not None and not changed[1].shadow:
            would_be = (await self._look(reader, found, changed)).outcome.standing
            await self._stage(reader, unit, found.subject, ActionKind.CLEAR, stopped, Standing.TRUSTED, would_be)
            return
        await self._apply(reader, unit, found, changed)

    async def _apply(self, reader: Reader, unit: Unit, found: Situation, changed: tuple[Change, HoldCause]) -> None:
        self._effects.append(changed[0].value)
        before = found.subject.standing
        self._standing = await self._enforcer.change_cause(
            reader, unit, found.subject, found.causes, changed, self._by, found.ground
        )
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
        *,
        detail: str = "",
        keep: bool = False,
    ) -> None:
        if not keep:
            self._standing = subject.standing
        self._effects.append("action.staged")
        await self._enforcer.stage(
            reader, unit, subject, action, why, level, would_be, self._by, observed_at=self._signal.observed_at,
            detail=detail,
        )  # fmt: skip

    def _take_back(self, unit: Unit, action: ActionKind, waiting: list[StagedAction]) -> None:
        """A newer word withdraws what an older one had staged."""
        for one in waiting:
            if one.action is action and one.observed_at <= self._signal.observed_at:
                withdraw(unit, one, self._by)
                self._effects.append("action.withdrawn")

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
