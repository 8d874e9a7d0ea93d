"""Everybody evaluated anew: what would change is told before, caps hold, and a run goes on where it was."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.support.signals import Trust
from troth.store.jobs import JobQueue
from troth.trust.enforcement import action_store, reevaluation
from troth.trust.enforcement.reevaluation import REEVALUATE_JOB, Reevaluation
from troth.trust.signals import signal_store
from troth.trust.standing import Standing
from troth.trust.standings.assessor import SETTLE_JOB
from troth.trust.standings.grammar import parse_rules
from troth.trust.standings.service import RulesService

WHOLE = {"percent": 100, "subjects": 1_000_000}


async def apply(trust: Trust, text: str) -> None:
    service = RulesService(trust.database, trust.clock)
    await service.apply(await service.plan(text), actor="admin:alice")


async def work(trust: Trust, anew: Reevaluation) -> int:
    """Do the job, and those that it makes; returns how many there were."""
    queue, turns = JobQueue(trust.database, trust.clock), 0
    while True:
        found = await queue.claim([REEVALUATE_JOB], lease=timedelta(seconds=60))
        if not found:
            return turns
        for job in found:
            await anew.run(job)
            turns += 1


async def last(trust: Trust) -> dict[str, Any]:
    return [data for kind, data in await trust.events() if kind == "standing.reevaluated"][-1]


async def test_milder_rules_release_and_what_they_would_change_is_told_before(trust: Trust) -> None:
    await trust.feed(cap=WHOLE)
    laptops = await trust.subjects(7)
    certificate = await trust.certificate(laptops[0])
    for one in laptops[:5]:
        await trust.take("edr.intrusion", one)
    await trust.take("edr.contained", laptops[5])
    anew = Reevaluation(trust.database, trust.clock, trust.enforcer)
    milder = "standing:\n  weights: {edr.intrusion: 50}\n"
    outlook = await anew.outlook(parse_rules(milder))
    assert outlook.subjects == 6
    # By these rules what is open could at its worst restrict, so that no hysteresis keeps anybody in quarantine.
    assert outlook.moves == {("quarantined", "restricted"): 5}
    assert {one.subject for one in outlook.samples} == {f"device laptop-{n}" for n in range(1, 6)}
    assert await trust.standing(laptops[0]) is Standing.QUARANTINED
    await apply(trust, milder)
    await anew.begin(actor="admin:alice")
    await work(trust, anew)
    assert await trust.status(certificate) == "good"
    assert [await trust.standing(one) for one in laptops] == [Standing.RESTRICTED] * 5 + [
        Standing.QUARANTINED, Standing.TRUSTED,
    ]  # fmt: skip
    assert {name: (await last(trust))[name] for name in ("seen", "moved", "held_back")} == {
        "seen": 6, "moved": 5, "held_back": 0,
    }  # fmt: skip
    assert (await anew.outlook()).moves == {}


async def test_stricter_rules_meet_the_caps_and_the_rest_is_staged(trust: Trust) -> None:
    await trust.feed(cap={"percent": 0, "subjects": 2})
    laptops = await trust.subjects(6)
    for one in laptops:
        assert (await trust.take("edr.alert", one, severity=30)).standing is Standing.TRUSTED
    await apply(trust, "standing:\n  restrict: {up: 20, down: 10}\n")
    anew = Reevaluation(trust.database, trust.clock, trust.enforcer)
    assert (await anew.outlook()).moves == {("trusted", "restricted"): 6}
    await anew.begin(actor="admin:alice")
    await work(trust, anew)
    standings = [await trust.standing(one) for one in laptops]
    assert sorted(standings) == [Standing.TRUSTED] * 4 + [Standing.RESTRICTED] * 2
    staged = await action_store.actions(trust.database)
    assert len(staged) == 4
    assert (await last(trust))["held_back"] == 4
    done = await trust.orders.approve(staged[0].id, person="bob")
    assert done.standing is Standing.RESTRICTED


async def test_what_was_only_watched_comes_into_force_with_the_rollout(trust: Trust) -> None:
    await trust.feed(cap=WHOLE, rollout="shadow")
    laptops = await trust.subjects(4)
    for one in laptops:
        await trust.take("edr.intrusion", one)
    await trust.feeds.set_rollout("edr", {"*": 100}, actor="admin:alice", reason="looked good")
    anew = Reevaluation(trust.database, trust.clock, trust.enforcer)
    assert (await anew.outlook()).moves == {("trusted", "quarantined"): 4}
    await anew.begin(actor="admin:alice")
    await work(trust, anew)
    assert [await trust.standing(one) for one in laptops] == [Standing.QUARANTINED] * 4
    assert (await trust.take("edr.cleared", laptops[0])).standing is Standing.TRUSTED


async def test_a_run_goes_on_where_it_was_and_tells_how_far_it_is(
    trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reevaluation, "_PAGE", 3)
    monkeypatch.setattr(reevaluation, "_SECONDS", -1.0)
    await trust.feed(cap=WHOLE)
    laptops = await trust.subjects(8)
    for one in laptops:
        await trust.take("edr.intrusion", one)
    await apply(trust, "standing:\n  weights: {edr.intrusion: 50}\n")
    anew = Reevaluation(trust.database, trust.clock, trust.enforcer)
    assert await anew.progress() is None
    await anew.begin(actor="admin:alice")
    queue = JobQueue(trust.database, trust.clock)
    (job,) = await queue.claim([REEVALUATE_JOB], lease=timedelta(seconds=60))
    await anew.run(job)
    assert {name: (await anew.progress() or {})[name] for name in ("seen", "moved")} == {"seen": 3, "moved": 3}
    # The first part runs again, as after a crash: nothing is done twice, and the run goes on.
    assert await work(trust, anew) >= 2
    assert (await last(trust))["seen"] == 8
    assert [await trust.standing(one) for one in laptops] == [Standing.RESTRICTED] * 8


async def test_frozen_nobody_is_moved(trust: Trust) -> None:
    await trust.feed(cap=WHOLE)
    (laptop,) = await trust.subjects(1)
    await trust.take("edr.intrusion", laptop)
    await apply(trust, "standing:\n  weights: {edr.intrusion: 0}\n")
    await trust.orders.freeze(person="alice", reason="looking")
    anew = Reevaluation(trust.database, trust.clock, trust.enforcer)
    await anew.begin(actor="admin:alice")
    await work(trust, anew)
    assert await trust.standing(laptop) is Standing.QUARANTINED


async def test_shorter_half_lives_bring_the_next_look_forward(trust: Trust) -> None:
    await trust.feed(cap=WHOLE)
    (laptop,) = await trust.subjects(1)
    await trust.take("edr.alert", laptop, severity=90)
    before = await trust.database.fetchval("SELECT due FROM job WHERE kind = $1", SETTLE_JOB)
    await apply(trust, "standing:\n  half_lives: {'*': 1h}\n")
    anew = Reevaluation(trust.database, trust.clock, trust.enforcer)
    await anew.begin(actor="admin:alice")
    await work(trust, anew)
    assert await trust.database.fetchval("SELECT due FROM job WHERE kind = $1", SETTLE_JOB) < before


async def test_what_was_watched_and_is_over_is_closed_and_a_suspended_feed_moves_nobody(trust: Trust) -> None:
    await trust.feed(cap=WHOLE, rollout="shadow")
    one, two = await trust.subjects(2)
    await trust.take("edr.alert", one, severity=90, expires_at=trust.clock.now() + timedelta(minutes=5))
    await trust.take("edr.alert", two, severity=30)
    trust.clock.advance(timedelta(minutes=10))
    await trust.feeds.set_rollout("edr", {"*": 100}, actor="admin:alice", reason="looked good")
    anew = Reevaluation(trust.database, trust.clock, trust.enforcer)
    await anew.begin(actor="admin:alice")
    await work(trust, anew)
    assert await signal_store.causes_of(trust.database, one) == []
    assert [await trust.standing(each) for each in (one, two)] == [Standing.TRUSTED] * 2
    await apply(trust, "standing:\n  restrict: {up: 20, down: 10}\n")
    await trust.feeds.suspend("edr", actor="admin:alice", reason="noise")
    await anew.begin(actor="admin:alice")
    await work(trust, anew)
    assert await trust.standing(two) is Standing.TRUSTED
    (action,) = await action_store.actions(trust.database)
    assert action.detail == "feed edr is suspended"
