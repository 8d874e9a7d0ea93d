"""Gathering around the pure decision: sources, time budgets, several subjects."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.trust.policies import client_device, rules, taken, tls_server
from troth.kit.clock import FakeClock
from troth.kit.errors import INTERNAL, TrothError
from troth.kit.ids import new_id
from troth.trust.decision.decide import Judge
from troth.trust.decision.explain import explain
from troth.trust.decision.judge import judge
from troth.trust.decision.question import Question
from troth.trust.model import FeedState, Kind, Moment, Outcome, Subject
from troth.trust.policy.compiled import Policy
from troth.trust.standing import Standing
from troth.trust.subjects.facts import Observation

START_AGE = timedelta(minutes=5)


class Policies:
    """The two shipped policies, in force."""

    def governing(self, profile: str) -> Policy | None:
        return {"client-device": client_device(), "tls-server": tls_server()}.get(profile)


class Source:
    """A source that says what it is told to, late or never."""

    def __init__(self, name: str, *said: Observation, delay: float = 0, error: Exception | None = None) -> None:
        self.name = name
        self.said = said
        self.delay = delay
        self.error = error
        self.asked: list[frozenset[str]] = []

    async def gather(self, subjects: Sequence[Subject], paths: frozenset[str]) -> Sequence[Observation]:
        self.asked.append(paths)
        await asyncio.sleep(self.delay)
        if self.error is not None:
            raise self.error
        return self.said


class Late:
    """One feed that is down."""

    def __init__(self, *down: FeedState) -> None:
        self._down = down

    async def down(self) -> Sequence[FeedState]:
        return self._down


def judge_with(clock: FakeClock, *sources: Source, feeds: Late | None = None, budget: float = 1) -> Judge:
    return Judge(Policies(), sources, clock, feeds=feeds, budget=budget)  # type: ignore[arg-type]


def laptop(clock: FakeClock, *, standing: Standing = Standing.TRUSTED) -> Subject:
    owner = Subject(
        new_id(), Kind.USER, "alice", "directory", attributes={"enabled": True}, confirmed_at=clock.now() - START_AGE
    )
    return Subject(
        new_id(), Kind.DEVICE, "laptop-1", "directory", standing, owner=owner, confirmed_at=clock.now() - START_AGE
    )


def healthy(subject: Subject, clock: FakeClock, *, source: str = "mdm", score: int = 10) -> tuple[Observation, ...]:
    at = clock.now() - START_AGE
    return (
        Observation(subject.id, "posture.compliant", True, source, at),
        Observation(subject.id, "risk.score", score, source, at),
    )


def question(*subjects: Subject, profile: str = "client-device", **evidence: list[str]) -> Question:
    names = [subject.name for subject in subjects]
    return Question(Moment.ISSUE, profile, subjects, evidence, {"names": names, "lifetime": timedelta(hours=1)})


async def test_a_device_is_judged_by_its_facts_and_its_owner(clock: FakeClock) -> None:
    subject = laptop(clock)
    verdict = await judge_with(clock, Source("database", *healthy(subject, clock))).decide(question(subject))
    assert verdict.outcome is Outcome.ALLOW
    [owner] = [one for one in verdict.decisions[0].conditions if one.name == "owner_enabled"]
    assert (owner.seen[0].path, owner.seen[0].source) == ("user.enabled", "directory")


async def test_a_source_is_asked_only_for_what_the_policy_reads(clock: FakeClock) -> None:
    subject, source = laptop(clock), Source("database")
    await judge_with(clock, source).decide(question(subject))
    assert source.asked == [frozenset({"posture.compliant", "risk.score", "user.enabled"})]
    await judge_with(clock, source).decide(question(subject, profile="tls-server"))
    assert len(source.asked) == 1


async def test_a_source_that_is_late_leaves_its_facts_unknown_and_is_named(clock: FakeClock) -> None:
    subject = laptop(clock)
    slow = Source("mdm", *healthy(subject, clock), delay=5)
    verdict = await judge_with(clock, slow, budget=0.02).decide(question(subject))
    assert verdict.outcome is Outcome.RESTRICT
    assert verdict.decisions[0].failures == (("mdm", "did not answer within 20 ms"),)


async def test_a_source_that_fails_does_not_take_the_others_with_it(clock: FakeClock) -> None:
    subject = laptop(clock)
    sources = (
        Source("edr", error=RuntimeError("secret detail")),
        Source("idp", error=TrothError(INTERNAL)),
        Source("database", *healthy(subject, clock)),
    )
    verdict = await judge_with(clock, *sources).decide(question(subject))
    assert verdict.outcome is Outcome.ALLOW
    assert verdict.decisions[0].failures == (("edr", "failed"), ("idp", "internal.error"))


async def test_of_two_sources_the_newer_observation_counts(clock: FakeClock) -> None:
    subject = laptop(clock)
    older = Observation(subject.id, "risk.score", 90, "edr", clock.now() - timedelta(hours=2))
    source = Source("database", older, *healthy(subject, clock))
    assert (await judge_with(clock, source).decide(question(subject))).outcome is Outcome.ALLOW
    newer = Observation(subject.id, "risk.score", 90, "edr", clock.now())
    source = Source("database", newer, *healthy(subject, clock))
    assert (await judge_with(clock, source).decide(question(subject))).outcome is Outcome.QUARANTINE


async def test_the_posture_of_another_subject_says_nothing(clock: FakeClock) -> None:
    subject, other = laptop(clock), laptop(clock)
    assert subject.owner is not None
    source = Source(
        "database",
        *healthy(other, clock),
        Observation(subject.owner.id, "posture.compliant", True, "mdm", clock.now()),
    )
    verdict = await judge_with(clock, source).decide(question(subject))
    assert verdict.decisions[0].conditions[1].causes[0].kind == "missing"


async def test_of_several_subjects_the_worst_outcome_wins_and_each_is_recorded(clock: FakeClock) -> None:
    good, bad = laptop(clock), laptop(clock, standing=Standing.QUARANTINED)
    source = Source("database", *healthy(good, clock), *healthy(bad, clock))
    verdict = await judge_with(clock, source).decide(question(good, bad))
    assert [one.outcome for one in verdict.decisions] == [Outcome.ALLOW, Outcome.QUARANTINE]
    assert (verdict.outcome, verdict.profile) == (Outcome.QUARANTINE, "quarantine")
    assert verdict.deciding is verdict.decisions[1]
    assert verdict.obligations.lifetime == timedelta(hours=4)


async def test_the_shortest_lifetime_of_all_subjects_counts(clock: FakeClock) -> None:
    good, limited = laptop(clock), laptop(clock, standing=Standing.RESTRICTED)
    source = Source("database", *healthy(good, clock), *healthy(limited, clock))
    verdict = await judge_with(clock, source).decide(question(limited, good))
    assert (verdict.outcome, verdict.obligations.lifetime) == (Outcome.RESTRICT, timedelta(hours=24))
    assert verdict.permits


async def test_a_device_stands_no_better_than_the_person_who_works_with_it(clock: FakeClock) -> None:
    subject = laptop(clock)
    assert subject.owner is not None
    held = replace(subject, owner=replace(subject.owner, standing=Standing.QUARANTINED))
    verdict = await judge_with(clock, Source("database", *healthy(held, clock))).decide(question(held))
    assert (verdict.outcome, verdict.deciding.reason) == (Outcome.QUARANTINE, "policy.standing")
    assert verdict.bindings == ((held.id, "subject"), (subject.owner.id, "owner"))
    assert "Its owner alice stood quarantined" in explain(verdict.deciding).text()


async def test_the_owner_of_a_workload_only_answers_for_it(clock: FakeClock) -> None:
    alice = Subject(new_id(), Kind.USER, "alice", "directory", Standing.DISTRUSTED)
    shop = Subject(new_id(), Kind.WORKLOAD, "shop.example", "directory", owner=alice)
    verdict = await judge_with(clock).decide(question(shop, profile="tls-server", controlled_names=["shop.example"]))
    assert verdict.outcome is Outcome.ALLOW
    assert verdict.bindings == ((shop.id, "subject"),)


async def test_a_profile_nobody_governs_is_denied(clock: FakeClock) -> None:
    verdict = await judge_with(clock).decide(question(laptop(clock), profile="nobody"))
    assert (verdict.outcome, verdict.permits, verdict.deciding.reason) == (Outcome.DENY, False, "policy.no_policy")


async def test_a_feed_that_is_down_reaches_the_decision(clock: FakeClock) -> None:
    subject = laptop(clock)
    source = Source("database", *healthy(subject, clock))
    clock.advance(timedelta(hours=3))
    down = FeedState("mdm", "stale", clock.now() - timedelta(hours=2))
    verdict = await judge_with(clock, source, feeds=Late(down)).decide(question(subject))
    assert (verdict.outcome, verdict.deciding.reason) == (Outcome.ALLOW, "policy.feed_down")


async def test_the_stored_snapshot_is_all_that_the_decision_needs(clock: FakeClock) -> None:
    subject = laptop(clock)
    verdict = await judge_with(clock, Source("database", *healthy(subject, clock))).decide(question(subject))
    assert judge(client_device(), verdict.snapshots[0]) == verdict.decisions[0]


async def test_the_caller_cannot_speak_for_the_door(clock: FakeClock) -> None:
    subject = laptop(clock)
    asked = Question(
        Moment.ISSUE, "tls-server", (subject,), {}, {"names": ["a.example"], "controlled_names": ["a.example"]}
    )
    assert (await judge_with(clock).decide(asked)).outcome is Outcome.DENY


@pytest.mark.parametrize(("assurance", "outcome"), [("attested", Outcome.ALLOW), ("unproven", Outcome.DENY)])
def test_a_policy_may_ask_how_well_the_key_is_known_to_be_in_its_place(assurance: str, outcome: Outcome) -> None:
    policy = rules(
        """
  - rule: hardware
    require:
      asked: evidence.key_assurance == "attested"
      recorded: certificate.key_assurance == "attested"
    then: allow
    else: deny
    unknown: deny"""
    )
    values = {"evidence.key_assurance": assurance, "certificate.key_assurance": assurance}
    assert judge(policy, taken(values)).outcome is outcome
    assert judge(policy, taken({})).outcome is Outcome.DENY
