"""Enforcement: making what a subject's standing means true of its certificates, in the transaction that changes it.

Everything here runs inside a unit's step, with the subject's row locked. The hold that stands for a standing has one
cause for each subject, ``standing:<subject id>``; why the subject stands there is the set of causes in this room.
A certificate that binds several subjects (a device and its owner) is held for each of them apart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from troth.audit.event import Event
from troth.kit.ids import new_id
from troth.pki import revocation
from troth.pki.revocation import OfSubject
from troth.pki.store import CertificateStore
from troth.store.ahead import kept
from troth.store.jobs import LeasedJob
from troth.store.unit import Apart, Reader, Unit
from troth.trust.enforcement import action_store, exemption_store
from troth.trust.enforcement.action_store import ActionKind, ActionState, StagedAction, Why
from troth.trust.model import Subject
from troth.trust.outbox.planner import Outbox
from troth.trust.signals import signal_store
from troth.trust.signals.causes import Change, HoldCause, with_cause
from troth.trust.signals.errors import SUBJECT_UNKNOWN, SubjectUnknown
from troth.trust.signals.kinds import class_of
from troth.trust.standing import CertificateStatus, Standing, meaning
from troth.trust.standings.assessment import Assessment
from troth.trust.standings.assessor import Assessor
from troth.trust.standings.ground_store import Ground

#: Profiles whose certificates stay good in quarantine, so that a device can heal.
QUARANTINE_PROFILES: Final = frozenset({"quarantine"})

_MOVED: Final = "moved subjects"

#: How many serial numbers a staged action lists; it counts them all.
_LISTED = 20


def hold_cause_of(subject_id: UUID) -> str:
    """The cause under which a subject's standing holds a certificate."""
    return f"standing:{subject_id}"


def subject_unit(subject_id: UUID) -> Unit:
    """A unit that has the subject to itself: locked in the database, alone of its kind in a batch.

    See :func:`alone_with`.
    """
    return alone_with(subject_id, Unit()).guard(
        signal_store.LOCK_SUBJECT,
        subject_id,
        refuse=SubjectUnknown(SUBJECT_UNKNOWN, f"no subject {subject_id}"),
    )


def alone_with(subject_id: UUID, unit: Unit) -> Unit:
    """Keep ``unit`` out of every batch with another change of status, or with a decision about the same subject.

    A batch runs all its steps before any write, so a reservation for this subject (whose decision holds the same key)
    and a hold must not share one: the hold would not see the reserved certificate.
    """
    return unit.exclusively(revocation.STATUS_KEY).exclusively(("subject", subject_id))


async def locked_subject(reader: Reader, subject_id: UUID) -> Subject:
    """The subject as it is now that :func:`subject_unit`'s lock is held."""
    found = await signal_store.find_subject(reader, subject_id)
    if found is None:
        raise SubjectUnknown(SUBJECT_UNKNOWN, f"no subject {subject_id}")
    return found


@dataclass(frozen=True, slots=True)
class Trigger:
    """What brings a change about.

    Attributes:
        actor: as in the ledger: ``feed:edr``, ``admin:alice``, ``system:mender``.
        id: of the signal or order.
        feed, cause: the cause that changed.
        revocation_reason: set when a person orders distrust: then, and only then, certificates are revoked at once.
        accepted_at: when the signal was accepted, if that was before ``at``; the latency of effects counts from it.
    """

    actor: str
    id: UUID
    feed: str
    cause: str
    at: datetime
    revocation_reason: int | None = None
    accepted_at: datetime | None = None


class Enforcer:
    """Applies standings to certificates, and plans what is done elsewhere. Holds no state but the names of the
    quarantine profiles and the rules it has read."""

    def __init__(
        self,
        *,
        quarantine_profiles: Collection[str] = QUARANTINE_PROFILES,
        outbox: Outbox | None = None,
        assessor: Assessor | None = None,
    ) -> None:
        self.quarantine_profiles = frozenset(quarantine_profiles)
        self._outbox = outbox or Outbox()
        self.assessor = assessor or Assessor()

    async def change_cause(
        self,
        reader: Reader,
        unit: Unit,
        subject: Subject,
        causes: Iterable[HoldCause],
        changed: tuple[Change, HoldCause],
        by: Trigger,
        ground: Ground | None = None,
    ) -> Standing:
        """Write a changed cause and all that follows from it; returns the standing afterwards."""
        change, cause = changed
        if change is Change.LATE:
            return subject.standing
        if change in {Change.KEPT, Change.NOT_OPEN}:
            signal_store.set_cause(unit, subject.id, cause)
            return subject.standing
        unit.record(
            Event(
                change.value,
                by.actor,
                (subject.ref, f"signal:{by.id}"),
                {"feed": cause.feed, "cause": cause.key, "level": cause.level.value, "signal_id": str(by.id),
                 "approved_by": cause.approved_by, "shadow": cause.shadow},
            )
        )  # fmt: skip
        return await self.settle(reader, unit, subject, with_cause(causes, cause), by, changed=cause, ground=ground)

    async def settle(
        self,
        reader: Reader,
        unit: Unit,
        subject: Subject,
        causes: Iterable[HoldCause],
        by: Trigger,
        *,
        changed: HoldCause | None = None,
        ground: Ground | None = None,
        job: LeasedJob | None = None,
    ) -> Standing:
        """Bring the subject to the standing that ``causes`` amount to, and its certificates with it.

        ``changed`` is the one of them that has yet to be written. Causes that weigh no more are closed. Within ``job``
        the next look is that job's next run.
        """
        causes = tuple(causes)
        looked = await self.assessor.look(reader, subject.id, causes, by.at, ground)
        outcome = looked.outcome
        standing = outcome.standing
        still = self._write_causes(unit, subject, causes, outcome, changed, by)
        self.assessor.remember(
            unit, subject.id, looked, open_causes=still, moved=standing is not subject.standing, trigger=by.id, job=job
        )
        if outcome.exempt and by.actor.startswith("feed:"):
            exemption_store.use(unit, subject.id, by.at)
            unit.record(
                Event(
                    "exemption.used",
                    by.actor,
                    (subject.ref, f"signal:{by.id}"),
                    {"subject_id": str(subject.id), "name": subject.name, "standing": standing.value,
                     "would_be": max(outcome.hard, outcome.scored).value, "feed": by.feed, "cause": by.cause},
                )
            )  # fmt: skip
        if standing is not subject.standing:
            signal_store.set_standing(unit, subject, standing, at=by.at)
            kept(reader, _MOVED, set[UUID]).add(subject.id)
            unit.record(
                Event(
                    "standing.changed",
                    by.actor,
                    (subject.ref, f"signal:{by.id}"),
                    {
                        "subject_id": str(subject.id),
                        "kind": subject.kind.value,
                        "name": subject.name,
                        "from": subject.standing.value,
                        "to": standing.value,
                        "standing_version": subject.standing_version + 1,
                        "causes": [
                            {"feed": cause.feed, "cause": cause.key, "level": cause.level.value}
                            for cause in causes if cause.weighs
                        ],
                        "score": outcome.score,
                        "keeps": None if outcome.keeps is None else outcome.keeps.value,
                    },
                )
            )  # fmt: skip
            await self._outbox.plan(
                reader, unit, subject, standing, causes,
                actor=by.actor, signal_id=by.id, at=by.at, accepted_at=by.accepted_at,
            )  # fmt: skip
            if standing is not Standing.DISTRUSTED or by.revocation_reason is None:
                self.align(unit, replace(subject, standing=standing), by)
        if standing is Standing.DISTRUSTED:
            await self._distrust(reader, unit, subject, by)
        elif subject.standing is Standing.DISTRUSTED or (looked.ground.state.proposed and not outcome.state.proposed):
            await self._withdraw_revocation(reader, unit, subject, by)
        if outcome.propose is not None and standing is Standing.QUARANTINED:
            await self._propose(reader, unit, replace(subject, standing=standing), outcome, by)
        return standing

    def _write_causes(
        self,
        unit: Unit,
        subject: Subject,
        causes: tuple[HoldCause, ...],
        outcome: Assessment,
        changed: HoldCause | None,
        by: Trigger,
    ) -> int:
        """Write the changed cause, close what weighs no more; returns how many stay open."""
        ended = set(outcome.ended)
        written = False
        for cause in causes:
            over = cause.weighs and (cause.feed, cause.key) in ended
            if over:
                signal_store.set_cause(unit, subject.id, replace(cause, cleared_at=by.at))
                written = written or cause is changed
                unit.record(
                    Event(
                        "cause.ended",
                        by.actor,
                        (subject.ref, f"signal:{cause.signal_id}"),
                        {"feed": cause.feed, "cause": cause.key, "level": cause.level.value, "kind": cause.kind},
                    )
                )
        if changed is not None and not written:
            signal_store.set_cause(unit, subject.id, changed)
        return sum(cause.weighs and (cause.feed, cause.key) not in ended for cause in causes)

    async def _propose(self, reader: Reader, unit: Unit, subject: Subject, outcome: Assessment, by: Trigger) -> None:
        """Put the revocation of a subject that several classes agree about, or that does not heal, before a person."""
        why = Why.QUORUM if outcome.propose == "quorum" else Why.UNHEALED
        classes = sorted({class_of(one.kind) for one in outcome.contributions})
        detail = f"score {outcome.quarantine_score // 10_000} %, by {', '.join(classes)}" if why is Why.QUORUM else ""
        await self.stage(
            reader, unit, subject, ActionKind.REVOKE, why, Standing.DISTRUSTED, Standing.DISTRUSTED,
            by, observed_at=by.at, detail=detail,
        )  # fmt: skip

    def align(self, unit: Unit, subject: Subject, by: Trigger) -> None:
        """Hold and release the subject's certificates as its standing means. Repeating it changes nothing.

        Automation never revokes: where the table says *revoked*, certificates are held until a person has agreed.
        """
        cause = hold_cause_of(subject.id)
        row = meaning(subject.standing)
        ordinary = row.certificate_status(quarantine_profile=False)
        healing = row.certificate_status(quarantine_profile=True)
        if ordinary is CertificateStatus.GOOD:
            revocation.release(unit, OfSubject(subject.id), cause=cause, actor=by.actor, at=by.at)
            return
        # Coming from distrust, the quarantine certificates are held as well; they alone are released.
        spared = self.quarantine_profiles if healing is CertificateStatus.GOOD else ()
        revocation.hold(unit, OfSubject(subject.id), cause=cause, actor=by.actor, at=by.at, sparing=spared)

    async def _distrust(self, reader: Reader, unit: Unit, subject: Subject, by: Trigger) -> None:
        """Revoke on a person's order; on anything less, stage the revocation."""
        if by.revocation_reason is not None:
            revocation.revoke(unit, OfSubject(subject.id), reason=by.revocation_reason, actor=by.actor, at=by.at)
            await self._withdraw_revocation(reader, unit, subject, by)
        elif subject.standing is not Standing.DISTRUSTED:
            await self.stage(
                reader, unit, subject, ActionKind.REVOKE, Why.IRREVERSIBLE, Standing.DISTRUSTED, Standing.DISTRUSTED,
                by, observed_at=by.at,
            )  # fmt: skip

    async def _withdraw_revocation(self, reader: Reader, unit: Unit, subject: Subject, by: Trigger) -> None:
        for action in await action_store.pending_of(reader, subject.id):
            if action.action is ActionKind.REVOKE:
                withdraw(unit, action, by)

    async def stage(
        self,
        reader: Reader,
        unit: Unit,
        subject: Subject,
        action: ActionKind,
        why: Why,
        level: Standing,
        would_be: Standing,
        by: Trigger,
        *,
        observed_at: datetime,
        detail: str = "",
    ) -> StagedAction:
        """Put an action before a person, with what it would hit. ``would_be`` is the standing that it leads to."""
        final = action is ActionKind.REVOKE
        would = await self.would(reader, subject, would_be, at=by.at, final=final)
        staged = StagedAction(
            new_id(), action, subject.id, by.feed, by.cause, level, why, by.id, observed_at, would, by.at,
            detail=detail,
        )  # fmt: skip
        action_store.stage(unit, staged)
        unit.record(
            Event(
                "action.staged",
                by.actor,
                (subject.ref, f"signal:{by.id}"),
                {"action": action.value, "why": why.value, "feed": by.feed, "cause": by.cause, "level": level.value,
                 "signal_id": str(by.id), "would": would, "detail": detail},
            )
        )  # fmt: skip
        return staged

    async def would(
        self, reader: Reader, subject: Subject, standing: Standing, *, at: datetime, final: bool = False
    ) -> dict[str, Any]:
        """What moving the subject to ``standing`` would hit now: certificates whose status changes, by serial number.

        ``final`` counts what a revocation would; otherwise distrust holds, as automation does. Raises Apart if another
        subject that moves in the same transaction has a certificate in common with this one: its new status shows
        only when it is written.
        """
        moved = kept(reader, _MOVED, set[UUID]) - {subject.id}
        if moved and await CertificateStore(reader).share_one(subject.id, moved):
            raise Apart
        hit: list[str] = []
        for certificate in await CertificateStore(reader).of_subject(subject.id, limit=1_000):
            if certificate.state == "burnt" or certificate.not_after < at or certificate.status == "revoked":
                continue
            healing = certificate.profile in self.quarantine_profiles
            status = meaning(standing).certificate_status(quarantine_profile=healing)
            if status is CertificateStatus.REVOKED and not final:
                status = CertificateStatus.HELD
            if status.value != certificate.status:
                hit.append(certificate.serial.hex())
        return {
            "standing": {"from": subject.standing.value, "to": standing.value},
            "certificates": len(hit),
            "serials": hit[:_LISTED],
        }


def withdraw(unit: Unit, action: StagedAction, by: Trigger) -> None:
    """Take back a pending action that has lost its ground."""
    action_store.settle(unit, action.id, ActionState.WITHDRAWN, by=by.actor, at=by.at)
    unit.record(
        Event(
            "action.withdrawn",
            by.actor,
            (f"subject:{action.subject_id}", f"signal:{by.id}"),
            {"action_id": str(action.id), "action": action.action.value, "feed": action.feed, "cause": action.cause},
        )
    )
