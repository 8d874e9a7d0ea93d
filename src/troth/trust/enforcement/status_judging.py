"""The moment *status*: what a policy says of certificates that are out, made true by holds.

OCSP and CRLs cannot ask a policy at each answer, so it is asked about the live certificates of the profiles it
governs, where it has rules for ``status``: about those of a subject when something changes that is known of it
(``status_following``), and about all of them once a minute, since time alone changes what a rule says. ``quarantine``
and ``deny`` hold the certificate, for the cause ``policy:NAME``; ``allow`` and ``restrict`` clear that cause, and no
other. A certificate that no rule matches stays as it is: its standing speaks for it. Held back, and told: more new
holds than the guard lets pass, in a round together with what was held since the round before. A freeze stops it, and
protected subjects are left alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.pki import revocation
from troth.pki.revocation import OfCertificate
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.decision.certificate_facts import certificate_facts
from troth.trust.decision.decide import Judge, decision_event
from troth.trust.decision.judge import judge
from troth.trust.decision.question import Question, snapshot
from troth.trust.enforcement.status_store import CAUSE, Live, held_by_policies, live
from troth.trust.feeds import feed_store
from troth.trust.model import Decision, FeedState, Moment, Outcome, Snapshot, Subject
from troth.trust.policy.compiled import Policy
from troth.trust.policy.store import ADD_DECISION, decision_row
from troth.trust.subjects.facts import Observation
from troth.trust.subjects.store import SubjectStore
from troth.trust.vocabulary import GATHERED_ROOTS

log = get_logger("trust")

ACTOR = "system:policy"
PAGE = 250
#: How often it is told that a policy is held back.
_TOLD = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Round:
    """What one round did."""

    judged: int = 0
    held: int = 0
    released: int = 0
    held_back: tuple[str, ...] = ()

    def __add__(self, other: Round) -> Round:
        return Round(
            self.judged + other.judged,
            self.held + other.held,
            self.released + other.released,
            tuple(dict.fromkeys(self.held_back + other.held_back)),
        )


@dataclass(frozen=True, slots=True)
class _Change:
    """One certificate whose hold would be another."""

    certificate: UUID
    hold: bool
    decision: Decision
    snapshot: Snapshot


class StatusJudge:
    """Run by the worker; a second one does no harm.

    Args:
        percent, subjects: how many of the certificates judged may be newly held from one whole round to the end of the
            next; the larger counts.
    """

    def __init__(self, database: Database, judge: Judge, clock: Clock, *, percent: int, subjects: int) -> None:
        self._database = database
        self._judge = judge
        self._clock = clock
        self._subjects = SubjectStore(database)
        self._percent = percent
        self._least = subjects
        self._told: dict[str, datetime] = {}
        self._turn = asyncio.Lock()
        #: By policy: certificates of the last whole round, and how many were newly held since.
        self._judged: dict[str, int] = {}
        self._since: Counter[str] = Counter()

    @property
    def asked(self) -> dict[str, Policy]:
        """Policies in force with rules for this moment, by name."""
        return {one.name: one for one in self._judge.policies.policies.values() if one.rules_at(Moment.STATUS)}

    async def refresh(self) -> None:
        """Read which policies are in force."""
        await self._judge.policies.refresh()

    async def run_once(self) -> Round:
        """Judge all certificates, hold, release."""
        async with self._turn:
            done = await self._round(None)
            return replace(done, released=done.released + await self._let_go()) if done is not None else Round()

    async def run_of(self, subjects: Collection[UUID]) -> Round:
        """The same for the certificates that have to do with ``subjects``: something else is known of them now."""
        async with self._turn:
            return (await self._round(sorted(subjects)) if subjects else None) or Round()

    async def _round(self, of: Sequence[UUID] | None) -> Round | None:
        """Judge; None: frozen."""
        if (await feed_store.switch(self._database)).frozen:
            return None
        asked = self.asked
        feeds = await self._judge.feeds_down() if asked else ()
        judged = held = released = 0
        back: list[str] = []
        for policy in asked.values():
            count, changes = await self._review(policy, feeds, of)
            judged += count
            if of is None:
                self._judged[policy.name] = count
            new = [one for one in changes if one.hold]
            if new and len(new) + self._since[policy.name] > self._room(policy):
                # Of a few subjects it is not told: the next round sees them all.
                if of is None:
                    await self._hold_back(policy, len(new), count)
                back.append(policy.name)
                changes = [one for one in changes if not one.hold]
            for one in changes:
                await self._apply(policy, one)
                self._since[policy.name] += one.hold
                held += one.hold
                released += not one.hold
        if of is None:
            self._since.clear()
        return Round(judged, held, released, tuple(back))

    def _room(self, policy: Policy) -> int:
        return max(self._least, self._judged.get(policy.name, 0) * self._percent // 100)

    async def _review(
        self, policy: Policy, feeds: tuple[FeedState, ...], of: Sequence[UUID] | None
    ) -> tuple[int, list[_Change]]:
        count, changes, after = 0, list[_Change](), None
        paths = policy.wants(*GATHERED_ROOTS)
        while True:
            at = self._clock.now()
            page = await live(self._database, policy.profiles, policy.name, at, after=after, limit=PAGE, of=of)
            known = {one.id: one for one in await self._subjects.by_ids([one for row in page for one in row.subjects])}
            whom = {one.id: one for subject in known.values() for one in (subject, subject.owner) if one is not None}
            said: dict[UUID, list[Observation]] = {}
            for one in await self._judge.observations(tuple(whom.values()), paths):
                said.setdefault(one.subject_id, []).append(one)
            for row in page:
                subjects = tuple(known[one] for one in row.subjects if one in known)
                change = self._one(policy, row, subjects, said, feeds, at)
                count += 1
                if change is not None:
                    changes.append(change)
            if len(page) < PAGE:
                return count, changes
            after = page[-1].certificate.id
            await asyncio.sleep(0)

    def _one(
        self,
        policy: Policy,
        row: Live,
        subjects: tuple[Subject, ...],
        said: Mapping[UUID, list[Observation]],
        feeds: tuple[FeedState, ...],
        at: datetime,
    ) -> _Change | None:
        """The change that the strictest ruling about its subjects asks for."""
        certificate = certificate_facts(row.certificate, at)
        question = Question(Moment.STATUS, row.certificate.profile, subjects, {}, {}, certificate=certificate)
        made = []
        for subject in subjects:
            whom = [one.id for one in (subject, subject.owner) if one is not None]
            known = [one for identifier in whom for one in said.get(identifier, ())]
            taken = snapshot(question, subject, policy, known, at, feeds=feeds)
            made.append((judge(policy, taken), taken))
        ruled = [one for one in made if one[0].rule is not None]
        if not ruled or any(one.protected for one in subjects):
            return None
        decision, taken = max(ruled, key=lambda one: one[0].ruled)
        # The rule's own word: what the standing makes of it, the standing does.
        wanted = decision.ruled > Outcome.RESTRICT
        return None if wanted is row.ours else _Change(row.certificate.id, wanted, decision, taken)

    async def _apply(self, policy: Policy, change: _Change) -> None:
        at, cause = change.decision.at, f"{CAUSE}{policy.name}"
        unit = Unit().write(ADD_DECISION, *decision_row(change.decision, change.snapshot))
        unit.record(decision_event(change.decision, ACTOR, (f"certificate:{change.certificate}",)))
        act = revocation.hold if change.hold else revocation.release
        await self._database.commit(act(unit, OfCertificate(change.certificate), cause=cause, actor=ACTOR, at=at))

    async def _hold_back(self, policy: Policy, wanted: int, judged: int) -> None:
        now = self._clock.now()
        log.warning("policy.status_held_back", policy=policy.name, holds=wanted, judged=judged)
        if now - self._told.get(policy.name, now - _TOLD) < _TOLD:
            return
        self._told[policy.name] = now
        data: dict[str, Json] = {"policy": policy.name, "version": policy.version, "holds": wanted, "judged": judged}
        await self._database.commit(
            Unit().record(Event("policy.status_held_back", ACTOR, (f"policy:{policy.name}",), data))
        )

    async def _let_go(self) -> int:
        """Clear the causes of policies that have no rules for status any more."""
        asked = self.asked
        left = [one for one in await held_by_policies(self._database, PAGE) if one[1] not in asked]
        for certificate, name in left:
            unit = revocation.release(
                Unit(), OfCertificate(certificate), cause=f"{CAUSE}{name}", actor=ACTOR, at=self._clock.now()
            )
            await self._database.commit(unit)
        return len(left)
