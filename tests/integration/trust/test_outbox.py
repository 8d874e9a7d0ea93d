"""The outbox on a real database: planned with the standing, done in order, at least once, never behind one's back."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from tests.support.effects import RecordingPort
from tests.support.signals import Trust
from troth.kit.ids import new_id
from troth.kit.sealing import SecretBox
from troth.trust.outbox import store
from troth.trust.outbox.breaker import OPENS_AT
from troth.trust.outbox.desk import EffectDesk
from troth.trust.outbox.errors import EffectNotOpen, EffectUnknown, ReactionsChanged
from troth.trust.outbox.model import Effect, EffectState, Outcome
from troth.trust.outbox.runner import EffectRunner
from troth.trust.standing import Standing

_CONTAIN = """
reactions:
  - when: [quarantined, distrusted]
    then: ["crowdstrike.contain:falcon"]
    undo: true
  - when: [trusted, restricted, quarantined, distrusted]
    then: ["webhook:soc"]
targets:
  - {name: soc, kind: webhook, url: "https://soc.example.com/troth"}
"""


@pytest.fixture
def desk(trust: Trust) -> EffectDesk:
    return EffectDesk(trust.database, trust.clock, SecretBox(b"e" * 32, purpose="effect"))


@pytest.fixture
async def reactions(desk: EffectDesk, trust: Trust) -> None:
    await trust.feed(cap={"percent": 100, "subjects": 1_000})
    await trust.database.commit(desk.unit(await desk.plan(_CONTAIN), actor="admin:alice"))


def _runner(trust: Trust, **ports: RecordingPort) -> EffectRunner:
    return EffectRunner(trust.database, trust.clock, ports)


async def _effects(trust: Trust, subject: UUID) -> list[Effect]:
    return list(reversed(await store.of_subject(trust.database, subject)))


async def _states(trust: Trust, subject: UUID) -> list[tuple[str, str]]:
    return [(one.port, one.state.value) for one in await _effects(trust, subject)]


async def test_a_change_of_standing_plans_its_effects_in_the_same_commit(trust: Trust, reactions: None) -> None:
    laptop = await trust.subject()
    accepted = trust.clock.now() + timedelta(seconds=1)
    receipt = await trust.take("edr.intrusion", laptop)
    contain, told = await _effects(trust, laptop)
    assert (contain.port, contain.target, contain.undo) == (
        "crowdstrike.contain", "falcon", "crowdstrike.lift_containment",
    )  # fmt: skip
    assert contain.signal_id == receipt.signal_id
    assert contain.automated
    assert contain.accepted_at == accepted
    assert (told.notice.before, told.notice.after, told.notice.version) == ("trusted", "quarantined", 1)
    assert told.notice.causes == ({"feed": "edr", "cause": "edr", "level": "quarantined"},)
    assert told.notice.tell == ("device-compliance-change", "session-revoked")
    ((_, data),) = [one for one in await trust.events() if one[0] == "effects.planned"]
    assert [one["port"] for one in data["effects"]] == ["crowdstrike.contain", "webhook"]


async def test_a_signal_that_is_refused_or_changes_nothing_plans_nothing(trust: Trust, reactions: None) -> None:
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    planned = len(await _effects(trust, laptop))
    await trust.take("edr.intrusion", laptop)
    guarded = await trust.subject("dc-1", protected=True)
    await trust.take("edr.intrusion", guarded)
    assert len(await _effects(trust, laptop)) == planned
    assert await _effects(trust, guarded) == []


async def test_what_was_planned_is_done_and_told_with_its_latency(trust: Trust, reactions: None) -> None:
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    falcon, soc = RecordingPort(), RecordingPort()
    trust.clock.advance(timedelta(milliseconds=300))
    await _runner(trust, crowdstrike=falcon, webhook=soc).drain()
    assert await _states(trust, laptop) == [("crowdstrike.contain", "done"), ("webhook", "done")]
    assert all(one.latency == timedelta(milliseconds=300) for one in await _effects(trust, laptop))
    told = [data for kind, data in await trust.events() if kind == "effect.done"]
    assert {(one["port"], one["latency_ms"]) for one in told} == {("crowdstrike.contain", 300), ("webhook", 300)}


async def test_the_clear_lifts_what_was_contained_and_nothing_else(trust: Trust, reactions: None) -> None:
    laptop = await trust.subject()
    falcon = RecordingPort()
    runner = _runner(trust, crowdstrike=falcon, webhook=RecordingPort())
    await trust.take("edr.intrusion", laptop)
    await runner.drain()
    await trust.take("edr.cleared", laptop)
    await runner.drain()
    assert falcon.ports == ["crowdstrike.contain", "crowdstrike.lift_containment"]
    # Contained and cleared before anything was sent: the target never hears of it.
    await trust.take("edr.intrusion", laptop)
    await trust.take("edr.cleared", laptop)
    await runner.drain()
    assert falcon.ports == ["crowdstrike.contain", "crowdstrike.lift_containment"]
    assert (await _states(trust, laptop))[-3:] == [
        ("crowdstrike.contain", "superseded"), ("webhook", "done"), ("webhook", "done"),
    ]  # fmt: skip


async def test_effects_of_a_subject_keep_their_order_at_a_target(trust: Trust, reactions: None) -> None:
    laptop, other = await trust.subject(), await trust.subject("laptop-2")
    soc = RecordingPort(gate=asyncio.Event())
    runner = _runner(trust, crowdstrike=RecordingPort(), webhook=soc)
    await trust.take("edr.intrusion", laptop)
    await trust.take("edr.cleared", laptop)
    await trust.take("edr.intrusion", other)
    drained = asyncio.create_task(runner.drain())
    await soc.begun.wait()
    while len(soc.asked) < 2:
        await asyncio.sleep(0.01)
    # One of each subject; the second of the first subject waits for its first.
    assert sorted((one.subject, one.version) for one in soc.asked) == [("laptop-1", 1), ("laptop-2", 1)]
    assert soc.gate is not None
    soc.gate.set()
    await drained
    assert [one.version for one in soc.asked if one.subject == "laptop-1"] == [1, 2]


async def test_a_target_that_is_down_keeps_no_other_waiting(trust: Trust, reactions: None) -> None:
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    falcon, soc = RecordingPort(answers=[Outcome.retry("503")]), RecordingPort()
    runner = _runner(trust, crowdstrike=falcon, webhook=soc)
    await runner.drain()
    assert await _states(trust, laptop) == [("crowdstrike.contain", "waiting"), ("webhook", "done")]
    await runner.drain()
    assert len(falcon.asked) == 1
    trust.clock.advance(timedelta(seconds=3))
    await runner.drain()
    assert await _states(trust, laptop) == [("crowdstrike.contain", "done"), ("webhook", "done")]
    assert falcon.repeated == [falcon.asked[0].id]


async def test_a_try_that_raises_is_made_again(trust: Trust, reactions: None) -> None:
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    falcon = RecordingPort(answers=[RuntimeError("surprise")])
    runner = _runner(trust, crowdstrike=falcon, webhook=RecordingPort())
    await runner.drain()
    (contain, _) = await _effects(trust, laptop)
    assert (contain.state, contain.detail) == (EffectState.WAITING, "failed inside: RuntimeError")
    trust.clock.advance(timedelta(seconds=3))
    await runner.drain()
    assert (await _effects(trust, laptop))[0].state is EffectState.DONE


async def test_nothing_is_tried_twice_at_once_by_two_workers(trust: Trust, reactions: None) -> None:
    for number in range(20):
        await trust.take("edr.intrusion", await trust.subject(f"host-{number}"))
    falcon, soc = RecordingPort(), RecordingPort()
    runners = [_runner(trust, crowdstrike=falcon, webhook=soc) for _ in range(3)]
    while len(soc.asked) < 20:
        await asyncio.gather(*(runner.drain() for runner in runners))
        trust.clock.advance(timedelta(seconds=1))
    assert falcon.repeated == soc.repeated == []
    assert len(soc.asked) == 20


async def test_what_a_killed_worker_had_in_hand_is_done_by_another(trust: Trust, reactions: None) -> None:
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    stuck = RecordingPort(gate=asyncio.Event())
    task = asyncio.create_task(_runner(trust, crowdstrike=stuck, webhook=RecordingPort()).drain())
    await stuck.begun.wait()
    await trust.take("edr.cleared", laptop)
    falcon = RecordingPort()
    runner = _runner(trust, crowdstrike=falcon, webhook=RecordingPort())
    await runner.drain()
    # The containment is under way elsewhere, as far as anyone knows: its lifting must not overtake it.
    assert falcon.asked == []
    trust.clock.advance(timedelta(seconds=61))
    await runner.drain()
    assert falcon.ports == ["crowdstrike.contain", "crowdstrike.lift_containment"]
    assert falcon.asked[0].id == stuck.asked[0].id
    # The first worker wakes at last: its word comes too late.
    assert stuck.gate is not None
    stuck.gate.set()
    await task
    assert [state for _, state in await _states(trust, laptop)].count("done") == 4


async def test_a_refusal_is_a_dead_letter_until_a_person_has_it_tried_again(
    trust: Trust, reactions: None, desk: EffectDesk
) -> None:
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    falcon = RecordingPort(answers=[Outcome.refused("403: scope missing")])
    runner = _runner(trust, crowdstrike=falcon, webhook=RecordingPort())
    await runner.drain()
    (contain, _) = await _effects(trust, laptop)
    assert (contain.state, contain.detail) == (EffectState.DEAD, "403: scope missing")
    assert "effect.dead" in [kind for kind, _ in await trust.events()]
    trust.clock.advance(timedelta(hours=2))
    await runner.drain()
    assert len(falcon.asked) == 1
    await desk.retry(contain.id, actor="admin:alice")
    await runner.drain()
    assert (await desk.effect(contain.id)).state is EffectState.DONE
    with pytest.raises(EffectNotOpen):
        await desk.retry(contain.id, actor="admin:alice")
    with pytest.raises(EffectNotOpen):
        await desk.drop(contain.id, actor="admin:alice", reason="late")
    with pytest.raises(EffectUnknown):
        await desk.drop(new_id(), actor="admin:alice", reason="none")


async def test_a_dead_letter_that_the_standing_asks_for_no_more_is_not_sent(
    trust: Trust, reactions: None, desk: EffectDesk
) -> None:
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    falcon = RecordingPort(answers=[Outcome.refused("no"), Outcome.refused("no")])
    runner = _runner(trust, crowdstrike=falcon, webhook=RecordingPort())
    await runner.drain()
    (contain, _) = await _effects(trust, laptop)
    await trust.take("edr.cleared", laptop)
    await runner.drain()
    with pytest.raises(EffectNotOpen, match="trusted now"):
        await desk.retry(contain.id, actor="admin:alice")
    lift = next(one for one in await _effects(trust, laptop) if one.port == "crowdstrike.lift_containment")
    assert lift.state is EffectState.DEAD
    await trust.take("edr.intrusion", laptop)
    with pytest.raises(EffectNotOpen, match="quarantined now"):
        await desk.retry(lift.id, actor="admin:alice")


async def test_what_fails_for_a_day_is_dead_and_lets_the_next_one_pass(trust: Trust, reactions: None) -> None:
    laptop = await trust.subject()
    soc = RecordingPort(answers=[Outcome.retry("500")] * 200)
    runner = _runner(trust, crowdstrike=RecordingPort(), webhook=soc)
    await trust.take("edr.intrusion", laptop)
    await trust.take("edr.cleared", laptop)
    while len([one for one in await _effects(trust, laptop) if one.state is EffectState.DEAD]) < 1:
        trust.clock.advance(timedelta(minutes=20))
        await runner.drain()
    dead = next(one for one in await _effects(trust, laptop) if one.state is EffectState.DEAD)
    assert dead.notice.version == 1
    assert dead.latency is not None
    assert timedelta(hours=24) <= dead.latency < timedelta(hours=25)
    soc.answers.clear()
    trust.clock.advance(timedelta(minutes=20))
    await runner.drain()
    assert soc.asked[-1].version == 2


async def test_a_port_that_nothing_here_does_is_told_and_not_forgotten(
    trust: Trust, reactions: None, desk: EffectDesk
) -> None:
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    await _runner(trust, webhook=RecordingPort()).drain()
    (contain, _) = await _effects(trust, laptop)
    assert contain.state is EffectState.UNAVAILABLE
    assert "crowdstrike.contain" in contain.detail
    await desk.retry(contain.id, actor="admin:alice")
    falcon = RecordingPort()
    await _runner(trust, crowdstrike=falcon).drain()
    assert falcon.ports == ["crowdstrike.contain"]


async def test_a_freeze_stops_what_automation_planned_and_not_a_persons_order(trust: Trust, reactions: None) -> None:
    laptop, other = await trust.subject(), await trust.subject("laptop-2")
    falcon = RecordingPort()
    runner = _runner(trust, crowdstrike=falcon, webhook=RecordingPort())
    await trust.take("edr.intrusion", laptop)
    await trust.orders.freeze(person="alice", reason="drill")
    await trust.orders.hold_by_person(other, person="alice", reason="lost")
    await runner.drain()
    assert [one.subject for one in falcon.asked] == ["laptop-2"]
    assert await _states(trust, laptop) == [("crowdstrike.contain", "waiting"), ("webhook", "waiting")]
    await trust.orders.unfreeze(person="alice", reason="over")
    await runner.drain()
    assert await _states(trust, laptop) == [("crowdstrike.contain", "done"), ("webhook", "done")]


async def test_a_subject_protected_meanwhile_is_left_alone(trust: Trust, reactions: None) -> None:
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    await trust.database.fetchval("UPDATE subject SET protected = true WHERE id = $1", laptop)
    falcon = RecordingPort()
    await _runner(trust, crowdstrike=falcon, webhook=RecordingPort()).drain()
    assert falcon.asked == []
    assert (await _effects(trust, laptop))[0].state is EffectState.DEAD


async def test_a_failing_containment_is_not_tried_on_once_the_subject_is_trusted(trust: Trust, reactions: None) -> None:
    laptop = await trust.subject()
    falcon = RecordingPort(gate=asyncio.Event(), answers=[Outcome.retry("502")])
    runner = _runner(trust, crowdstrike=falcon, webhook=RecordingPort())
    await trust.take("edr.intrusion", laptop)
    task = asyncio.create_task(runner.drain())
    await falcon.begun.wait()
    await trust.take("edr.cleared", laptop)
    assert falcon.gate is not None
    falcon.gate.set()
    await task
    # It may have been done all the same, so its lifting is sent.
    assert falcon.ports == ["crowdstrike.contain", "crowdstrike.lift_containment"]
    assert (await _effects(trust, laptop))[0].state is EffectState.SUPERSEDED


async def test_a_failing_target_is_asked_ever_more_rarely_and_then_by_one_alone(
    trust: Trust, reactions: None, desk: EffectDesk
) -> None:
    for number in range(OPENS_AT + 7):
        await trust.take("edr.intrusion", await trust.subject(f"host-{number}"))
    falcon = RecordingPort(answers=[Outcome.retry("503")] * 100)
    runner = _runner(trust, crowdstrike=falcon, webhook=RecordingPort())
    while (await desk.documents.targets()) == [] or (await desk.documents.targets())[0].open_until is None:
        await runner.drain()
        trust.clock.advance(timedelta(seconds=1))
    asked = len(falcon.asked)
    await runner.drain()
    assert len(falcon.asked) == asked
    # A restart does not forget it.
    await _runner(trust, crowdstrike=falcon, webhook=RecordingPort()).drain()
    assert len(falcon.asked) == asked
    trust.clock.advance(timedelta(minutes=11))
    falcon.most_at_once = 0
    falcon.answers.clear()
    await runner.drain()
    assert len(falcon.asked) > asked
    (state,) = await desk.documents.targets()
    assert (state.failures, state.open_until) == (0, None)


async def test_a_person_drops_what_waits(trust: Trust, reactions: None, desk: EffectDesk) -> None:
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    (contain, _) = await _effects(trust, laptop)
    await desk.drop(contain.id, actor="admin:alice", reason="contained by hand")
    falcon = RecordingPort()
    await _runner(trust, crowdstrike=falcon, webhook=RecordingPort()).drain()
    assert falcon.asked == []
    assert (await desk.effect(contain.id)).detail == "dropped: contained by hand"


async def test_reactions_are_versioned_and_only_one_applies_the_next(trust: Trust, desk: EffectDesk) -> None:
    first, second = await desk.plan(_CONTAIN), await desk.plan(_CONTAIN + "\n")
    assert (first.reactions.version, second.reactions.version) == (1, 1)
    assert "+  - when: [quarantined, distrusted]" in first.diff
    await trust.database.commit(desk.unit(first, actor="admin:alice"))
    with pytest.raises(ReactionsChanged):
        await trust.database.commit(desk.unit(second, actor="admin:bob"))
    again = await desk.plan(_CONTAIN)
    assert (again.changes, again.diff) == (False, "")
    # From the next change on: the document counts as it is at that moment.
    laptop = await trust.subject()
    await trust.feed()
    await trust.take("edr.intrusion", laptop)
    await trust.database.commit(desk.unit(await desk.plan("reactions: []"), actor="admin:alice"))
    await trust.take("edr.cleared", laptop)
    assert [port for port, _ in await _states(trust, laptop)] == ["crowdstrike.contain", "webhook"]
    assert await trust.standing(laptop) is Standing.TRUSTED


async def test_the_latency_histogram_only_grows(trust: Trust, reactions: None, desk: EffectDesk) -> None:
    runner = _runner(trust, crowdstrike=RecordingPort(), webhook=RecordingPort())
    for seconds in (0.04, 0.4, 7_200):
        laptop = await trust.subject(f"host-{seconds}")
        await trust.take("edr.intrusion", laptop)
        trust.clock.advance(timedelta(seconds=seconds))
        await runner.drain()
    found = [(one.bound, one.number) for one in await desk.documents.latencies() if one.port == "webhook"]
    assert found == [(-1, 1), (50, 1), (500, 1)]
    await store.prune(trust.database, before=trust.clock.now() + timedelta(days=1))
    assert [(one.bound, one.number) for one in await desk.documents.latencies() if one.port == "webhook"] == found
    # What may have to be taken back is not forgotten.
    assert {one.port for one in await store.listed(trust.database)} == {"crowdstrike.contain"}


async def test_what_is_under_way_elsewhere_counts_against_nobody_and_is_asked_again_in_time(
    trust: Trust, reactions: None
) -> None:
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    pause = timedelta(seconds=30)
    soc = RecordingPort(answers=[Outcome.pending("1 of 2", pause)] * (OPENS_AT + 1))
    runner = _runner(trust, crowdstrike=RecordingPort(), webhook=soc)
    for tries in range(1, OPENS_AT + 2):
        await runner.drain()
        assert len(soc.asked) == tries
        (waiting,) = [one for one in await _effects(trust, laptop) if one.port == "webhook"]
        assert (waiting.state, waiting.due, waiting.detail) == (
            EffectState.WAITING, trust.clock.now() + pause, "1 of 2",
        )  # fmt: skip
        trust.clock.advance(pause)
    await runner.drain()
    assert (await _states(trust, laptop))[-1] == ("webhook", "done")
