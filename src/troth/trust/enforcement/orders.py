"""A person's orders: hold and release, settle what was staged, stop and resume enforcement.

A person is a feed of one cause, ``person:<name>``: two people may hold the same device, and each takes back only the
own word. Orders are under no cap; who may give which is the business of ``access``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.pki import revocation
from troth.pki.revocation import OfSubject
from troth.store.pool import Database
from troth.store.unit import Reader, Unit
from troth.trust.enforcement import action_store
from troth.trust.enforcement.action_store import LOCK_PENDING, ActionKind, ActionState, StagedAction
from troth.trust.enforcement.enforce import Enforcer, Trigger, locked_subject, subject_unit
from troth.trust.feeds import feed_store
from troth.trust.feeds.feed_store import LOCK_SWITCH, Switch
from troth.trust.model import Subject
from troth.trust.signals import signal_store
from troth.trust.signals.causes import Change, HoldCause, cleared, raised
from troth.trust.signals.errors import (
    ACTION_SETTLED,
    ACTION_UNKNOWN,
    CAUSE_NOT_OPEN,
    SUBJECT_PROTECTED,
    ActionSettled,
    ActionUnknown,
    CauseNotOpen,
    SubjectProtected,
)
from troth.trust.signals.kinds import KINDS
from troth.trust.signals.signal_store import TakenSignal
from troth.trust.standing import Standing

#: RFC 5280, 5.3.1: privilegeWithdrawn.
PRIVILEGE_WITHDRAWN: Final = 9

_ORDER: Final = "order"


@dataclass(frozen=True, slots=True)
class Ordered:
    """What an order came to. ``open_causes`` are those that still weigh, other people's and feeds' included."""

    id: UUID
    subject_id: UUID
    before: Standing
    standing: Standing
    open_causes: tuple[HoldCause, ...]


def person_feed(person: str) -> str:
    """The feed name of a person's own causes."""
    return f"person:{person}"


class Orders:
    """What people may tell enforcement to do. ``person`` is a principal's name throughout."""

    def __init__(self, database: Database, clock: Clock, enforcer: Enforcer) -> None:
        self._database = database
        self._clock = clock
        self._enforcer = enforcer

    async def hold_by_person(self, subject_id: UUID, *, person: str, reason: str) -> Ordered:
        """Quarantine the subject until the same person releases it."""
        return await self.set_standing(subject_id, Standing.QUARANTINED, person=person, reason=reason)

    async def release_by_person(self, subject_id: UUID, *, person: str, reason: str) -> Ordered:
        """Take back this person's own order. Raises CauseNotOpen if there is none; other causes stay."""
        return await self.set_standing(subject_id, Standing.TRUSTED, person=person, reason=reason)

    async def set_standing(
        self,
        subject_id: UUID,
        standing: Standing,
        *,
        person: str,
        reason: str,
        revocation_reason: int = PRIVILEGE_WITHDRAWN,
    ) -> Ordered:
        """This person's word on the subject: at least ``standing``, in place of the person's former word.

        *Trusted* takes the word back. *Distrusted* revokes the subject's certificates, which is final.
        Raises SubjectUnknown, SubjectProtected, CauseNotOpen.
        """
        at = self._clock.now()
        feed = person_feed(person)
        hard = revocation_reason if standing is Standing.DISTRUSTED else None
        by = Trigger(f"admin:{person}", new_id(), feed, _ORDER, at, hard)

        async def step(reader: Reader, unit: Unit, subject: Subject, causes: list[HoldCause]) -> Standing:
            if standing is Standing.TRUSTED:
                changed = cleared(causes, feed, _ORDER, observed_at=at, at=at, signal_id=by.id)
                if changed[0] is not Change.CLEARED:
                    raise CauseNotOpen(CAUSE_NOT_OPEN, f"{person} holds nothing against this subject")
            elif subject.protected:
                raise SubjectProtected(SUBJECT_PROTECTED, f"{subject.kind.value} {subject.name} is protected")
            else:
                changed = Change.RAISED, HoldCause(feed, _ORDER, standing, at, at, by.id)
            unit.record(
                Event(
                    "standing.ordered",
                    by.actor,
                    (subject.ref, f"signal:{by.id}"),
                    {"subject_id": str(subject.id), "standing": standing.value, "reason": reason},
                )
            )
            return await self._enforcer.change_cause(reader, unit, subject, causes, changed, by)

        return await self._order(subject_id, by, step)

    async def would(self, subject_id: UUID, standing: Standing) -> dict[str, object]:
        """What ordering ``standing`` would hit; nothing is written."""
        subject = await locked_subject(self._database, subject_id)
        final = standing is Standing.DISTRUSTED
        return await self._enforcer.would(self._database, subject, standing, at=self._clock.now(), final=final)

    async def _order(
        self,
        subject_id: UUID,
        by: Trigger,
        step: Callable[[Reader, Unit, Subject, list[HoldCause]], Awaitable[Standing]],
        unit: Unit | None = None,
    ) -> Ordered:
        outcome: list[tuple[Standing, Standing]] = []

        async def run(reader: Reader, inner: Unit) -> None:
            subject = await locked_subject(reader, subject_id)
            causes = await signal_store.causes_of(reader, subject_id, by.feed, by.cause)
            outcome.append((subject.standing, await step(reader, inner, subject, causes)))

        whole = subject_unit(subject_id)
        if unit is not None:
            whole.absorb(unit)
        await self._database.commit(whole.then(run))
        before, standing = outcome[-1]
        left = tuple(await signal_store.causes_of(self._database, subject_id))
        return Ordered(by.id, subject_id, before, standing, left)

    # --- what was staged ---------------------------------------------------------------------------------------------

    async def approve(self, action_id: UUID, *, person: str, note: str = "", joined: Unit | None = None) -> Ordered:
        """Do what was staged, on this person's responsibility: no cap applies, nor a freeze.

        ``joined`` is committed with it. Raises ActionUnknown, ActionSettled, SubjectProtected.
        """
        action = await self._action(action_id)
        at = self._clock.now()
        signal = await signal_store.signal_of(self._database, action.signal_id)
        kind = None if signal is None else KINDS.get(signal.kind)
        reason = PRIVILEGE_WITHDRAWN if kind is None else kind.revocation_reason
        by = Trigger(f"admin:{person}", action.signal_id, action.feed, action.cause, at)

        async def step(reader: Reader, unit: Unit, subject: Subject, causes: list[HoldCause]) -> Standing:
            _settle(unit, action, ActionState.APPROVED, by, note)
            if subject.protected and action.action is not ActionKind.CLEAR:
                raise SubjectProtected(SUBJECT_PROTECTED, f"{subject.kind.value} {subject.name} is protected")
            if action.action is ActionKind.REVOKE:
                revocation.revoke(unit, OfSubject(subject.id), reason=reason, actor=by.actor, at=at)
                return subject.standing
            if action.action is ActionKind.RAISE:
                changed = raised(causes, _approved(action, signal, person, at))
            else:
                changed = cleared(
                    causes, action.feed, action.cause, observed_at=action.observed_at, at=at,
                    signal_id=action.signal_id,
                )  # fmt: skip
            return await self._enforcer.change_cause(reader, unit, subject, causes, changed, by)

        pending = _pending(action)
        return await self._order(action.subject_id, by, step, pending if joined is None else pending.absorb(joined))

    async def reject(self, action_id: UUID, *, person: str, note: str = "") -> None:
        """Drop what was staged. Raises ActionUnknown, ActionSettled."""
        action = await self._action(action_id)
        unit = _pending(action)
        by = Trigger(f"admin:{person}", action.signal_id, action.feed, action.cause, self._clock.now())
        _settle(unit, action, ActionState.REJECTED, by, note)
        await self._database.commit(unit)

    async def _action(self, action_id: UUID) -> StagedAction:
        action = await action_store.find_action(self._database, action_id)
        if action is None:
            raise ActionUnknown(ACTION_UNKNOWN, f"there is no staged action {action_id}")
        return action

    # --- the switch --------------------------------------------------------------------------------------------------

    async def freeze(self, *, person: str, reason: str) -> None:
        """Stop automatic enforcement: signals are recorded and what they ask for is staged. Holds stay as they are."""
        await self._switch(True, person, reason)

    async def unfreeze(self, *, person: str, reason: str, joined: Unit | None = None) -> None:
        """Let automatic enforcement go on. What was staged stays staged. ``joined`` is committed with it."""
        await self._switch(False, person, reason, joined)

    async def switch(self) -> Switch:
        """Whether enforcement is stopped, by whom and why."""
        return await feed_store.switch(self._database)

    async def _switch(self, frozen: bool, person: str, reason: str, joined: Unit | None = None) -> None:
        actor = f"admin:{person}"
        unit = Unit().guard(LOCK_SWITCH, True, refuse=RuntimeError("no enforcement switch"), key=LOCK_SWITCH.name)
        feed_store.set_switch(unit, frozen=frozen, reason=reason, actor=actor, at=self._clock.now())
        kind = "enforcement.frozen" if frozen else "enforcement.unfrozen"
        unit.record(Event(kind, actor, (), {"reason": reason}))
        await self._database.commit(unit if joined is None else unit.absorb(joined))


def _approved(action: StagedAction, signal: TakenSignal | None, person: str, at: datetime) -> HoldCause:
    """The cause that an approved action raises: it weighs what its signal says."""
    cause = HoldCause(
        action.feed, action.cause, action.level, action.observed_at, at, action.signal_id, approved_by=person
    )
    if signal is None:
        return cause
    return replace(
        cause, kind=signal.kind, severity=signal.severity, confidence=signal.confidence,
        peak=signal.severity * signal.confidence, effective_at=min(signal.observed_at, at),
        expires_at=signal.expires_at,
    )  # fmt: skip


def _pending(action: StagedAction) -> Unit:
    settled = ActionSettled(ACTION_SETTLED, f"staged action {action.id} is settled already")
    return Unit().guard(LOCK_PENDING, action.id, refuse=settled, key=("action", action.id))


def _settle(unit: Unit, action: StagedAction, state: ActionState, by: Trigger, note: str) -> None:
    action_store.settle(unit, action.id, state, by=by.actor, at=by.at, note=note)
    unit.record(
        Event(
            f"action.{state.value}",
            by.actor,
            (f"subject:{action.subject_id}", f"signal:{action.signal_id}"),
            {"action_id": str(action.id), "action": action.action.value, "feed": action.feed, "cause": action.cause,
             "level": action.level.value, "note": note},
        )
    )  # fmt: skip
