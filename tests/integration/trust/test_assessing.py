"""Standings on a real database: words that are weighed, time that heals, and a record that repeats bit for bit."""

from __future__ import annotations

import random
from datetime import timedelta
from uuid import UUID

import pytest

from tests.support.signals import Trust
from troth.store.jobs import JobQueue
from troth.trust.enforcement import action_store
from troth.trust.enforcement.action_store import ActionKind, Why
from troth.trust.enforcement.mending import Mended, Mender
from troth.trust.enforcement.settling import Settler
from troth.trust.errors import Retryable, RulesError
from troth.trust.signals import signal_store
from troth.trust.signals.kinds import KINDS, Effect
from troth.trust.standing import Standing
from troth.trust.standings import ground_store
from troth.trust.standings.assessment import encode
from troth.trust.standings.assessor import SETTLE_JOB
from troth.trust.standings.scoring import assess
from troth.trust.standings.service import RulesCache, RulesService

HOUR = timedelta(hours=1)


async def pass_time(trust: Trust, span: timedelta) -> int:
    """Let ``span`` pass, with every job done when it is due. Returns how many there were."""
    queue, settler = JobQueue(trust.database, trust.clock), Settler(trust.database, trust.clock, trust.enforcer)
    end, done = trust.clock.now() + span, 0
    while True:
        due = await trust.database.fetchval("SELECT min(due) FROM job WHERE kind = $1", SETTLE_JOB)
        if due is None or due > end:
            trust.clock.advance(end - trust.clock.now())
            return done
        trust.clock.advance(max(due - trust.clock.now(), timedelta(0)))
        for job in await queue.claim([SETTLE_JOB], lease=timedelta(seconds=30)):
            await settler.run(job)
            done += 1


async def test_an_alert_quarantines_fades_and_releases_by_itself(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    receipt = await trust.take("edr.alert", laptop, severity=90, cause="alert-1")
    assert (receipt.standing, await trust.status(certificate)) == (Standing.QUARANTINED, "held")
    await pass_time(trust, 24 * HOUR)
    assert await trust.standing(laptop) is Standing.QUARANTINED
    await pass_time(trust, 2 * HOUR)
    assert await trust.standing(laptop) is Standing.RESTRICTED
    assert await trust.status(certificate) == "good"
    await pass_time(trust, 24 * HOUR)
    assert await trust.standing(laptop) is Standing.TRUSTED
    # What weighs nothing any more is closed, and leaves no job behind.
    await pass_time(trust, timedelta(days=30))
    assert await signal_store.causes_of(trust.database, laptop) == []
    assert await trust.database.fetchval("SELECT count(*) FROM job WHERE kind = $1", SETTLE_JOB) == 0
    assert "cause.ended" in await trust.kinds()
    assert await Mender(trust.database, trust.clock, trust.enforcer).run_once() == Mended()


async def test_words_of_two_classes_add_up_and_one_clear_takes_its_own_back(trust: Trust) -> None:
    await trust.feed()
    await trust.feed("idp")
    laptop = await trust.subject()
    assert (await trust.take("edr.alert", laptop, severity=60)).standing is Standing.RESTRICTED
    receipt = await trust.take("idp.risk_event", laptop, feed="idp")
    assert (receipt.standing, receipt.effects) == (Standing.QUARANTINED, ("cause.raised", "standing.changed"))
    assert (await trust.take("edr.alert_closed", laptop)).standing is Standing.RESTRICTED
    assert (await trust.take("idp.risk_event_dismissed", laptop, feed="idp")).standing is Standing.TRUSTED


async def test_a_level_is_superseded_by_a_newer_word_of_its_kind_and_kept_for_the_dwell_time(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    await trust.take("mdm.threat_detected", laptop, severity=80)
    receipt = await trust.take("mdm.threat_detected", laptop, severity=10)
    assert (receipt.effects, receipt.standing) == (("cause.renewed",), Standing.QUARANTINED)
    late = await trust.take("mdm.threat_detected", laptop, severity=90, observed_at=trust.ago(60))
    assert late.effects == ("signal.late",)
    await pass_time(trust, timedelta(minutes=31))
    assert await trust.standing(laptop) is Standing.TRUSTED


async def test_a_word_that_is_over_when_it_comes_does_nothing(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    receipt = await trust.take("edr.intrusion", laptop, expires_at=trust.ago(5))
    assert receipt.standing is Standing.TRUSTED
    assert await signal_store.causes_of(trust.database, laptop) == []


async def test_frozen_time_heals_nobody(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    await trust.take("edr.alert", laptop, severity=90)
    await trust.orders.freeze(person="alice", reason="looking")
    due = await trust.database.fetchval("SELECT due FROM job WHERE kind = $1", SETTLE_JOB)
    trust.clock.advance(due - trust.clock.now() + timedelta(seconds=1))
    queue, settler = JobQueue(trust.database, trust.clock), Settler(trust.database, trust.clock, trust.enforcer)
    (job,) = await queue.claim([SETTLE_JOB], lease=timedelta(seconds=30))
    await settler.run(job)
    assert await trust.standing(laptop) is Standing.QUARANTINED
    await trust.orders.unfreeze(person="alice", reason="looked")
    await pass_time(trust, timedelta(minutes=2))
    assert await trust.standing(laptop) is Standing.RESTRICTED


async def test_a_lost_job_is_made_anew(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    await trust.take("edr.alert", laptop, severity=90)
    await trust.database.fetchval("DELETE FROM job")
    settler = Settler(trust.database, trust.clock, trust.enforcer)
    assert await settler.sweep() == 0
    trust.clock.advance(timedelta(days=3))
    assert await settler.sweep() == 1
    await pass_time(trust, timedelta(seconds=1))
    assert await trust.standing(laptop) is Standing.TRUSTED


async def test_a_revocation_is_proposed_where_classes_agree_and_taken_back_when_they_do_not(trust: Trust) -> None:
    await trust.feed()
    await trust.feed("mdm")
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    await trust.take("edr.intrusion", laptop)
    await trust.take("mdm.threat_detected", laptop, feed="mdm")
    (action,) = await action_store.actions(trust.database)
    assert (action.action, action.why) == (ActionKind.REVOKE, Why.QUORUM)
    assert "edr, mdm" in action.detail
    assert await trust.status(certificate) == "held"
    await trust.take("edr.cleared", laptop)
    await trust.take("mdm.threat_cleared", laptop, feed="mdm")
    assert await action_store.actions(trust.database) == []
    assert await trust.status(certificate) == "good"


async def test_a_revocation_is_proposed_after_two_weeks_without_healing(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    await pass_time(trust, timedelta(days=13))
    assert await action_store.actions(trust.database) == []
    await pass_time(trust, timedelta(days=2))
    (action,) = await action_store.actions(trust.database)
    assert (action.action, action.why) == (ActionKind.REVOKE, Why.UNHEALED)
    assert await trust.standing(laptop) is Standing.QUARANTINED


@pytest.mark.parametrize("seed", [1, 2])
async def test_replaying_the_record_of_a_random_history_gives_the_same_bytes(trust: Trust, seed: int) -> None:
    rng = random.Random(seed)
    feeds = ["edr", "mdm", "idp"]
    for feed in feeds:
        await trust.feed(feed, cap={"percent": 100, "subjects": 100})
    subjects = await trust.subjects(4)
    kinds = sorted(name for name in KINDS)
    rules = RulesService(trust.database, trust.clock)
    for turn in range(45):
        if turn == 22:
            plan = await rules.plan("standing:\n  weights: {'*': 80}\n  half_lives: {'*': 3h}\n")
            await rules.apply(plan, actor="admin:alice")
        await trust.take(
            rng.choice(kinds), rng.choice(subjects), feed=rng.choice(feeds), severity=rng.randint(0, 100),
            confidence=rng.randint(0, 100), cause=rng.choice([None, "a", "b"]),
            expires_at=rng.choice([None, trust.clock.now() + timedelta(hours=rng.randint(1, 40))]),
        )  # fmt: skip
        if rng.random() < 0.4:
            await pass_time(trust, timedelta(minutes=rng.randint(1, 900)))
    found = await ground_store.assessments(trust.database, limit=1_000)
    assert len(found) > 10
    cache = RulesCache()
    newest: dict[UUID, Standing] = {}
    for one in found:
        replayed = assess(one.inputs, await cache.of(trust.database, one.rules_version))
        assert encode(replayed) == one.outcome_bytes
        newest.setdefault(one.subject_id, replayed.standing)
    # And the newest record of each subject is where it stands.
    for subject, standing in newest.items():
        assert await trust.standing(subject) is standing
    assert {one.rules_version for one in found} == {0, 1}
    assert await Mender(trust.database, trust.clock, trust.enforcer).run_once() == Mended()


async def test_only_one_of_two_who_apply_at_once_gets_the_version(trust: Trust) -> None:
    rules = RulesService(trust.database, trust.clock)
    first, second = await rules.plan("standing: {}\n"), await rules.plan("standing:\n  feeds: {edr: 50}\n")
    assert (first.rules.version, second.rules.version) == (1, 1)
    await rules.apply(first, actor="admin:alice")
    with pytest.raises(Retryable):
        await rules.apply(second, actor="admin:bob")
    again = await rules.plan("standing: {}\n")
    assert not again.changes
    assert "-standing: {}" in (await rules.plan("standing:\n  feeds: {edr: 50}\n")).diff
    assert [one.version for one in await rules.history()] == [1]
    with pytest.raises(RulesError):
        await rules.plan("standing: {restrict: {up: 90}}\n")


async def test_every_kind_may_be_sent_and_cleared_again(trust: Trust) -> None:
    await trust.feed(cap={"percent": 100, "subjects": 100})
    for name, kind in KINDS.items():
        if kind.effect is Effect.RAISE:
            laptop = await trust.subject(f"laptop-{name}")
            await trust.take(name, laptop)
            receipt = await trust.take(name, laptop, effect=Effect.CLEAR)
            assert receipt.standing is Standing.TRUSTED, name


async def test_policies_see_the_score_and_nothing_of_what_is_only_watched(trust: Trust) -> None:
    from troth.trust.signals.facts import SignalFacts
    from troth.trust.subjects.store import SubjectStore

    await trust.feed()
    await trust.feed("new", rollout="shadow")
    laptop = await trust.subject()
    facts = SignalFacts(trust.database, trust.clock)
    paths = frozenset({"signals.open", "signals.score"})

    async def seen() -> dict[str, object]:
        subjects = await SubjectStore(trust.database).by_ids([laptop])
        return {one.path: one.value for one in await facts.gather(subjects, paths)}

    await trust.take("edr.intrusion", laptop, feed="new")
    assert await seen() == {"signals.open": [], "signals.score": 0}
    await trust.take("edr.suspicious", laptop)
    assert await seen() == {"signals.open": ["edr.suspicious"], "signals.score": 40}
