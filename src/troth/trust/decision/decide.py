"""Asking the judge: gather what is known now, decide purely, and bind the verdict to what it permits.

1. Who the subjects are is the door's word (:class:`troth.trust.subjects.whom.Subjects`); what is known of them
   comes from the fact sources, at once and within a budget.
2. Each subject is judged alone, from a snapshot that is stored with the decision.
3. Of several subjects the worst outcome wins: a certificate for a healthy and a quarantined server is refused or
   restricted as the quarantined one demands.
4. :meth:`Verdict.bind` puts decisions, events and the guard on each standing into the write unit of the act. If a
   standing changes between the decision and the commit, the unit is refused (``trust.standing.changed``) and the door
   asks again: nothing is issued on a standing that is no longer true.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from uuid import UUID

import msgspec

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.store.unit import Unit
from troth.trust.decision.judge import judge
from troth.trust.decision.obligations import strictest
from troth.trust.decision.question import Question, snapshot
from troth.trust.errors import STANDING_CHANGED, SUBJECT_NONE, StandingChanged, TrustError
from troth.trust.model import (
    Decision,
    FeedState,
    Obligations,
    Outcome,
    Ruling,
    Snapshot,
    Subject,
    encode,
)
from troth.trust.outbox.decisions import tell
from troth.trust.places import Places
from troth.trust.policy.cache import PolicyCache
from troth.trust.policy.store import ADD_DECISION, decision_row
from troth.trust.subjects.facts import FactSource, FeedHealth, Observation, gather
from troth.trust.subjects.store import STANDING_UNCHANGED
from troth.trust.subjects.whom import add_fresh
from troth.trust.vocabulary import FACT_ROOTS, GATHERED_ROOTS

#: Seconds that all fact sources together may take.
BUDGET = 1.0
#: Seconds that they may take for a page of subjects, where nobody waits for one answer.
BULK_BUDGET = 30.0


class Verdict(msgspec.Struct, frozen=True):
    """What was decided for the whole request.

    Attributes:
        obligations: of all decisions together: the shortest lifetime, the strictest one's profile, all to notify.
        decisions: one per subject, in the order of the question.
        deciding: the decision that determined the outcome.
    """

    outcome: Outcome
    obligations: Obligations
    decisions: tuple[Decision, ...]
    deciding: Decision
    subjects: tuple[Subject, ...]
    snapshots: tuple[Snapshot, ...]

    @property
    def permits(self) -> bool:
        """Whether anything may be issued or let in at all; what exactly, ``obligations`` say."""
        return self.outcome is not Outcome.DENY

    @property
    def profile(self) -> str:
        """The profile to issue: the one asked for, or the one that the decision puts in its place."""
        return self.obligations.profile or self.deciding.asked

    @property
    def facts(self) -> dict[str, Json]:
        """What was seen of the first subject, by path: what a certificate may say of it."""
        return {seen.path: seen.value for seen in self.snapshots[0].values}

    @property
    def judged(self) -> tuple[Subject, ...]:
        """Everyone whose standing the verdict rests on, each once: the subjects, and the owners of devices."""
        if len(self.subjects) == 1 and self.subjects[0].keeper is None:
            return self.subjects
        keepers = (subject.keeper for subject in self.subjects)
        everyone = (*self.subjects, *(keeper for keeper in keepers if keeper is not None))
        return tuple({subject.id: subject for subject in everyone}.values())

    @property
    def bindings(self) -> tuple[tuple[UUID, str], ...]:
        """(subject id, role) of all whose standing must reach the certificate: exactly those who were judged."""
        own = {subject.id for subject in self.subjects}
        return tuple((one.id, "subject" if one.id in own else "owner") for one in self.judged)

    def bind(self, unit: Unit, *, actor: str, refs: Sequence[str] = ()) -> Unit:
        """Add to ``unit``: fresh subjects, the decisions with their events, and the guard on each standing.

        ``refs``: further references for the ledger (``order:<id>``). A refusal (``deny``) is bound as well, to a unit
        that records it. The commit raises Retryable when a standing or a subject changed meanwhile.
        """
        at = self.deciding.at
        add_fresh(unit, self.subjects, actor=actor, at=at)
        for subject in self.judged:
            if not subject.fresh:
                changed = StandingChanged(STANDING_CHANGED, f"the standing of {subject.name} changed meanwhile")
                # The key keeps this unit out of the batch in which the standing changes: that unit must see
                # this one's certificate committed, or it would not hold it.
                unit.guard(
                    STANDING_UNCHANGED, subject.id, subject.standing_version, refuse=changed, key=subject_key(subject)
                )
        for decision, made_from in zip(self.decisions, self.snapshots, strict=True):
            record = encode(decision)
            unit.write(ADD_DECISION, *decision_row(decision, made_from, record))
            unit.record(decision_event(decision, actor, refs, record))
            tell(unit, decision)
        return unit


def subject_key(subject: Subject) -> tuple[str, UUID]:
    """The key of units that judge a subject or change its standing: two such units never share a batch."""
    return ("subject", subject.id)


def decision_event(
    decision: Decision, actor: str, refs: Sequence[str], record: bytes | None = None, *, journal: str = ""
) -> Event:
    """The ledger's event about ``decision``. ``record``: it encoded, where that is at hand.

    ``journal``: where it lay before it came here, and under which number.
    """
    subject = decision.subject
    return Event(
        "decision.made",
        actor,
        (f"subject:{subject.id}", f"decision:{decision.id}", *refs),
        {
            "decision_id": str(decision.id),
            "subject_id": str(subject.id),
            "subject": f"{subject.kind.value}:{subject.name}",
            "standing": subject.standing.value,
            "standing_version": subject.standing_version,
            "moment": decision.moment.value,
            "profile": decision.asked,
            "outcome": decision.outcome.value,
            "reason": decision.reason,
            "policy": decision.policy,
            "policy_version": decision.policy_version,
            "policy_sha256": decision.policy_sha256,
            "rule": decision.rule,
            "conditions": {one.name: one.result.value for one in decision.conditions},
            "record_sha256": hashlib.sha256(record or encode(decision)).hexdigest(),
            **({"journal": journal} if journal else {}),
        },
    )


class Judge:
    """The one who is asked at each of the four moments."""

    def __init__(
        self,
        policies: PolicyCache,
        sources: Sequence[FactSource],
        clock: Clock,
        *,
        feeds: FeedHealth | None = None,
        places: Places | None = None,
        budget: float = BUDGET,
    ) -> None:
        self.policies = policies
        self._sources = tuple(sources)
        self._clock = clock
        self._feeds = feeds
        self._places = places or Places()
        self._budget = budget

    async def decide(self, question: Question) -> Verdict:
        """Gather and decide; nothing is written until the verdict is bound to a unit and that is committed.

        Raises TrustError (``trust.subject.none``) for a question about nobody.
        """
        if not question.subjects:
            raise TrustError(SUBJECT_NONE)
        policy = self.policies.governing(question.profile)
        paths = policy.wants(*GATHERED_ROOTS) if policy is not None else frozenset()
        paths |= {path for path in question.wants if path.partition(".")[0] in FACT_ROOTS}
        whom = {one.id: one for subject in question.subjects for one in (subject, subject.owner) if one is not None}
        observations, failures = await gather(self._sources, tuple(whom.values()), paths, budget=self._budget)
        feeds = tuple(await self._feeds.down()) if self._feeds is not None and paths else ()
        at = self._clock.now()
        snapshots = tuple(
            snapshot(question, subject, policy, observations, at, feeds=feeds, failures=failures, places=self._places)
            for subject in question.subjects
        )
        return combine(question.subjects, snapshots, tuple(judge(policy, one) for one in snapshots))

    async def observations(self, subjects: Sequence[Subject], paths: frozenset[str]) -> list[Observation]:
        """What all sources say of many subjects at once. A source that fails contributes nothing."""
        found, _ = await self.gathered(subjects, paths)
        return found

    async def gathered(
        self, subjects: Sequence[Subject], paths: frozenset[str]
    ) -> tuple[list[Observation], tuple[tuple[str, str], ...]]:
        """The same, with (source, what failed) of those that contributed nothing."""
        return await gather(self._sources, subjects, paths, budget=BULK_BUDGET)

    async def feeds_down(self) -> tuple[FeedState, ...]:
        """Every feed that does not report as it should."""
        return tuple(await self._feeds.down()) if self._feeds is not None else ()

    async def facts(self, question: Question) -> dict[str, Json]:
        """What is known now of the question's first subject, as far as ``wants`` asks, by path."""
        subject, at = question.subjects[0], self._clock.now()
        whom = tuple(one for one in (subject, subject.owner) if one is not None)
        paths = frozenset(path for path in question.wants if path.partition(".")[0] in FACT_ROOTS)
        observations, _ = await gather(self._sources, whom, paths, budget=self._budget)
        seen = snapshot(question, subject, None, observations, at)
        return {one.path: one.value for one in seen.values}


def combine(subjects: tuple[Subject, ...], snapshots: tuple[Snapshot, ...], decisions: tuple[Decision, ...]) -> Verdict:
    """One verdict from the decisions about several subjects: the worst outcome wins."""
    deciding = max(decisions, key=lambda decision: decision.outcome)
    ruling = strictest(*(Ruling(one.outcome, one.obligations) for one in decisions))
    return Verdict(ruling.outcome, ruling.obligations, decisions, deciding, subjects, snapshots)
