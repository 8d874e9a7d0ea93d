from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.radius.admission.world import POLICY, Device, World
from troth.radius.admission.admissions import Admissions
from troth.radius.admission.breaker import Opened
from troth.radius.admission.model import BreakerRule, Verdict
from troth.trust.connecting.journal import Journal
from troth.trust.model import Outcome
from troth.trust.subjects.facts import Observation


@pytest.fixture
def world() -> World:
    made = World()
    made.set_network(made.network, breaker=BreakerRule(share=20, least=5, holds=timedelta(hours=2)))
    return made


@pytest.fixture
def opened() -> list[Opened]:
    return []


@pytest.fixture
def admissions(world: World, tmp_path: Path, opened: list[Opened]) -> Admissions:
    journal = Journal.open(tmp_path / "journal")
    return Admissions(world.decider, world.policies, journal, world.clock, on_open=opened.append)


async def met(world: World, admissions: Admissions, device: Device) -> Verdict:
    verdict = await admissions.admit(world.attempt(device))
    assert verdict is not None
    return verdict


def turn(world: World, device: Device, *, compliant: bool) -> None:
    """Its manager says otherwise now."""
    at = world.clock.now()
    said = (Observation(device.subject.id, "posture.compliant", compliant, "mdm", at),)
    world.put(replace(device, said=said))


async def test_a_feed_that_turns_on_everybody_is_not_believed_at_once_and_people_are_called(
    world: World, admissions: Admissions, opened: list[Opened]
) -> None:
    devices = [world.device(f"d{number}") for number in range(20)]
    for one in devices:
        assert (await met(world, admissions, one)).outcome is Outcome.ALLOW
    outcomes = []
    for one in devices:
        turn(world, one, compliant=False)
        verdict = await met(world, admissions, one)
        outcomes.append(verdict.outcome)
    # The first few are quarantined; from a fifth of all on, the last word is taken, in the place of the restricted.
    assert outcomes[:4] == [Outcome.QUARANTINE] * 4
    assert set(outcomes[6:]) == {Outcome.RESTRICT}
    assert [(one.network, one.reason) for one in opened] == [("corp", "policy.condition_false")]
    last = await met(world, admissions, devices[-1])
    assert (last.excused, last.place.name, last.session_time) == (
        "policy.condition_false", "limited", world.network.shortest,
    )  # fmt: skip
    assert admissions.marked["corp", "excused"] > 0


async def test_it_is_bounded_in_time_and_then_the_refusals_stand(
    world: World, admissions: Admissions, opened: list[Opened]
) -> None:
    devices = [world.device(f"d{number}") for number in range(10)]
    for one in devices:
        await met(world, admissions, one)
    for one in devices:
        turn(world, one, compliant=False)
        await met(world, admissions, one)
    assert (await met(world, admissions, devices[-1])).outcome is Outcome.RESTRICT
    world.clock.advance(timedelta(hours=3))
    admissions.breaker.close("corp", 86_400)
    turn(world, devices[-1], compliant=False)
    assert (await met(world, admissions, devices[-1])).outcome is Outcome.QUARANTINE


async def test_a_person_who_has_looked_has_the_refusals_stand(
    world: World, admissions: Admissions, opened: list[Opened]
) -> None:
    devices = [world.device(f"d{number}") for number in range(10)]
    for one in devices:
        await met(world, admissions, one)
    for one in devices:
        turn(world, one, compliant=False)
        await met(world, admissions, one)
    admissions.breaker.close("corp", 86_400)
    for one in devices:
        assert (await met(world, admissions, one)).outcome is Outcome.QUARANTINE
    assert len(opened) == 1


async def test_a_hard_denial_never_gets_milder(world: World, admissions: Admissions, opened: list[Opened]) -> None:
    devices = [world.device(f"d{number}") for number in range(20)]
    for one in devices:
        await met(world, admissions, one)
    for number, one in enumerate(devices):
        if number % 2:
            world.standing(one, "distrusted", 1)
        else:
            world.status(one, "revoked", "revoked", 1)
    for one in devices:
        assert (await met(world, admissions, one)).outcome is Outcome.DENY
    assert opened == []


async def test_while_it_is_open_a_standing_still_counts(world: World, admissions: Admissions) -> None:
    devices = [world.device(f"d{number}") for number in range(10)]
    for one in devices:
        await met(world, admissions, one)
    for one in devices:
        turn(world, one, compliant=False)
        await met(world, admissions, one)
    world.standing(devices[-1], "quarantined", 1)
    assert (await met(world, admissions, devices[-1])).outcome is Outcome.QUARANTINE
    world.standing(devices[-1], "distrusted", 2)
    assert (await met(world, admissions, devices[-1])).outcome is Outcome.DENY


async def test_devices_that_were_never_let_in_open_nothing(
    world: World, admissions: Admissions, opened: list[Opened]
) -> None:
    for number in range(20):
        assert (await met(world, admissions, world.device(f"d{number}", compliant=False))).outcome is Outcome.QUARANTINE
    assert opened == []


async def test_what_the_policy_rules_for_a_feed_that_is_down_is_given(world: World, admissions: Admissions) -> None:
    world.policies.set(POLICY.replace("rules:", "feed_down: {default: quarantine}\nrules:", 1))
    devices = [world.device(f"d{number}") for number in range(10)]
    for one in devices:
        await met(world, admissions, one)
    for one in devices:
        turn(world, one, compliant=False)
        assert (await met(world, admissions, one)).outcome is Outcome.QUARANTINE


async def test_a_device_that_is_refused_by_itself_for_long_is_not_excused_by_an_outage_that_comes_later(
    world: World, admissions: Admissions
) -> None:
    alone, *others = [world.device(f"d{number}") for number in range(10)]
    for one in (alone, *others):
        await met(world, admissions, one)
    turn(world, alone, compliant=False)
    assert (await met(world, admissions, alone)).outcome is Outcome.QUARANTINE
    world.clock.advance(timedelta(minutes=11))
    turn(world, alone, compliant=False)
    assert (await met(world, admissions, alone)).outcome is Outcome.QUARANTINE
    for one in others:
        turn(world, one, compliant=True)
        await met(world, admissions, one)
    for one in others:
        turn(world, one, compliant=False)
        await met(world, admissions, one)
    assert (await met(world, admissions, others[-1])).outcome is Outcome.RESTRICT
    assert (await met(world, admissions, alone)).outcome is Outcome.QUARANTINE
