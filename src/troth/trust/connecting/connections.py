"""Letting in: the judge at the moment *connect*, from memory, with each decision durable before the answer.

1. A certificate of ours counts only if the records know its SHA-256; what it says of itself is not believed.
2. One that is held, revoked, expired or not yet valid lets nobody in, whatever policy says; that is recorded as well.
3. Each of its subjects is judged by the policy that governs its profile; the strictest outcome counts.
4. The decisions are in the journal before anybody hears of them.

:func:`judged` is pure and calls nobody: what a RADIUS worker asks at each connection is this and a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from troth.kit.clock import Clock
from troth.trust.connecting.errors import (
    CERTIFICATE_EXPIRED,
    CERTIFICATE_HELD,
    CERTIFICATE_NOT_YET,
    CERTIFICATE_REVOKED,
    CERTIFICATE_SUBJECTLESS,
    CERTIFICATE_UNKNOWN,
)
from troth.trust.connecting.journal import Journal
from troth.trust.connecting.presence import Known, Presence
from troth.trust.decision.certificate_facts import certificate_facts
from troth.trust.decision.decide import Judge
from troth.trust.decision.judge import judge
from troth.trust.decision.obligations import strictest
from troth.trust.decision.question import Given, Question, snapshot
from troth.trust.model import Decision, FeedState, Moment, Obligations, Outcome, Ruling, Snapshot, Subject
from troth.trust.places import Places
from troth.trust.policy.compiled import Policy
from troth.trust.subjects.facts import Observation

_FEEDS_FOR = 2.0


class Asking(msgspec.Struct, frozen=True):
    """Who asks to let somebody in, and the circumstances.

    Attributes:
        actor: who asks, for the ledger: ``application:vpn``.
        request, application, nas: attributes under these roots; see :class:`troth.trust.decision.question.Question`.
        refs: further references for the ledger.
    """

    actor: str
    request: Mapping[str, Given] = msgspec.field(default_factory=dict)
    application: Mapping[str, Given] = msgspec.field(default_factory=dict)
    nas: Mapping[str, Given] = msgspec.field(default_factory=dict)
    refs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Admission:
    """What was decided about letting somebody in.

    Attributes:
        reason: code of the certificate's own fault, or of the deciding decision.
        decisions: one per subject; none for a certificate that nobody knows.
    """

    outcome: Outcome
    reason: str
    obligations: Obligations
    decisions: tuple[Decision, ...] = ()
    subjects: tuple[Subject, ...] = ()

    @property
    def deciding(self) -> Decision | None:
        """The decision that determined the outcome, if policy was asked."""
        return max(self.decisions, key=lambda one: one.outcome, default=None)


def judged(
    subjects: Sequence[Subject],
    profile: str,
    said: Sequence[Observation],
    policy: Policy | None,
    asking: Asking,
    at: datetime,
    *,
    certificate: Mapping[str, Given] | None = None,
    feeds: tuple[FeedState, ...] = (),
    places: Places | None = None,
) -> list[tuple[Decision, Snapshot]]:
    """Each subject judged at the moment *connect*, from what is at hand. Pure but for the decisions' ids."""
    question = Question(
        Moment.CONNECT,
        profile,
        tuple(subjects),
        {},
        asking.request,
        certificate=certificate or {},
        application=asking.application,
        nas=asking.nas,
    )
    made = []
    for subject in subjects:
        taken = snapshot(question, subject, policy, said, at, feeds=feeds, places=places)
        made.append((judge(policy, taken), taken))
    return made


class Connections:
    """The judge for whoever is about to be let in."""

    def __init__(
        self, presence: Presence, judge: Judge, journal: Journal, clock: Clock, places: Places | None = None
    ) -> None:
        self._presence = presence
        self._judge = judge
        self._journal = journal
        self._clock = clock
        self._places = places or Places()
        self._feeds: tuple[float, tuple[FeedState, ...]] = (float("-inf"), ())

    async def _down(self) -> tuple[FeedState, ...]:
        """Feeds that are late, as of two seconds ago at most: they are late by minutes."""
        now = self._clock.monotonic()
        if now - self._feeds[0] >= _FEEDS_FOR:
            self._feeds = (now, await self._judge.feeds_down())
        return self._feeds[1]

    async def by_certificate(self, sha256: bytes, asking: Asking) -> Admission:
        """Whoever shows the certificate with this SHA-256, and was proved to hold its key.

        Raises StoreError where the database is needed and away, and JournalError: then nobody may be let in.
        """
        known = self._presence.at_hand(sha256) or await self._presence.known(sha256)
        if known is None:
            return Admission(Outcome.DENY, CERTIFICATE_UNKNOWN.code, Obligations())
        at = self._clock.now()
        made = judged(
            known.subjects, known.certificate.profile, known.said, known.policy, asking, at,
            certificate=certificate_facts(known.certificate, at), feeds=await self._down(),
            places=self._places,
        )  # fmt: skip
        return await self._recorded(made, known.subjects, asking, _fault(known, at))

    async def by_subject(self, subject: Subject, profile: str, asking: Asking) -> Admission:
        """A subject that the asker has authenticated itself, judged by the policy that governs ``profile``."""
        policy = self._judge.policies.governing(profile)
        said = await self._presence.observed((subject,), policy)
        made = judged(
            (subject,), profile, said, policy, asking, self._clock.now(), feeds=await self._down(),
            places=self._places,
        )  # fmt: skip
        return await self._recorded(made, (subject,), asking, None)

    async def _recorded(
        self,
        made: Sequence[tuple[Decision, Snapshot]],
        subjects: tuple[Subject, ...],
        asking: Asking,
        fault: str | None,
    ) -> Admission:
        if not made:
            return Admission(Outcome.DENY, fault or CERTIFICATE_SUBJECTLESS.code, Obligations())
        await self._journal.record(made, actor=asking.actor, refs=asking.refs)
        decisions = tuple(decision for decision, _ in made)
        ruling = strictest(*(Ruling(one.outcome, one.obligations) for one in decisions))
        if fault is not None:
            return Admission(Outcome.DENY, fault, Obligations(notify=ruling.obligations.notify), decisions, subjects)
        reason = max(decisions, key=lambda one: one.outcome).reason
        return Admission(ruling.outcome, reason, ruling.obligations, decisions, subjects)


def _fault(known: Known, at: datetime) -> str | None:
    """What is wrong with the certificate itself."""
    certificate = known.certificate
    if certificate.status == "revoked":
        return CERTIFICATE_REVOKED.code
    if certificate.status == "held":
        return CERTIFICATE_HELD.code
    if at >= certificate.not_after:
        return CERTIFICATE_EXPIRED.code
    return CERTIFICATE_NOT_YET.code if at < certificate.not_before else None
