"""A lease that has lapsed is waited for, and only then the network's stale policy has the word."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.radius.admission.world import Device, World
from troth.radius.admission.admissions import Admissions
from troth.radius.admission.model import StalePolicy, Verdict
from troth.trust.connecting.journal import Journal


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def admissions(world: World, tmp_path: Path) -> AsyncIterator[Admissions]:
    journal = Journal.open(tmp_path / "journal")
    yield Admissions(world.decider, world.policies, journal, world.clock, hold_back=2.5)
    await journal.close()


async def met(world: World, admissions: Admissions) -> Verdict:
    verdict = await admissions.admit(world.attempt(world.device()))
    assert verdict is not None
    return verdict


def _renewed_with(world: World, device: Device, standing: str) -> None:
    """The lease comes back, and with it the news that the device stands otherwise now."""
    world.lease.renews = 1.0
    current = world.lease.current

    async def renewed(seconds: float) -> bool:
        world.standing(device, standing, 1)
        return await current(seconds)

    world.lease.current = renewed  # type: ignore[method-assign]


async def test_a_lease_that_comes_back_in_time_costs_nobody_a_reject(world: World, admissions: Admissions) -> None:
    world.lease.lapse()
    world.lease.renews = 2.0
    verdict = await met(world, admissions)
    assert (verdict.admitted, verdict.stale) == (True, False)
    assert world.lease.waits == [2.5]
    assert admissions.held_back == {("corp", "renewed"): 1}
    assert verdict.decisions[0][0].at == world.clock.now()  # what is decided on is what was true after the wait


async def test_one_that_does_not_is_answered_by_the_stale_policy_and_counted_apart(
    world: World, admissions: Admissions
) -> None:
    world.lease.lapse()
    verdict = await met(world, admissions)
    assert verdict.reason == "radius.admission.stale"
    assert admissions.held_back == {("corp", "lapsed"): 1}
    assert admissions.counts == {("corp", "deny", "radius.admission.stale"): 1}


async def test_a_hold_that_the_renewed_stream_has_told_counts(world: World, admissions: Admissions) -> None:
    device = world.device()
    world.lease.lapse()
    _renewed_with(world, device, "distrusted")
    verdict = await admissions.admit(world.attempt(device))
    assert verdict is not None
    assert not verdict.admitted


async def test_a_lease_that_lapses_again_is_waited_for_within_the_same_bound(
    world: World, admissions: Admissions
) -> None:
    world.lease.lapse()
    world.lease.renews = 1.0
    current = world.lease.current

    async def briefly(seconds: float) -> bool:
        renewed = await current(seconds)
        world.lease.lapse()
        return renewed

    world.lease.current = briefly  # type: ignore[method-assign]
    assert (await met(world, admissions)).reason == "radius.admission.stale"
    assert world.lease.waits == [2.5, 1.5, 0.5]


async def test_in_a_long_outage_a_network_that_goes_on_makes_nobody_wait(world: World, admissions: Admissions) -> None:
    world.set_network(world.network, stale=StalePolicy.RESTRICT, stale_for=timedelta(minutes=10))
    world.lease.lapse()
    assert (await met(world, admissions)).stale
    assert world.lease.waits == [2.5]
    assert (await met(world, admissions)).stale
    assert world.lease.waits == [2.5]
    assert admissions.marked == {("corp", "stale"): 2}


async def test_what_needs_no_lease_to_be_refused_waits_for_none(world: World, admissions: Admissions) -> None:
    world.lease.lapse()
    verdict = await admissions.admit(world.attempt(world.device(), network=None))
    assert verdict is not None
    assert verdict.reason == "radius.admission.no_network"
    assert world.lease.waits == []


async def test_an_accept_waits_for_a_lease_that_has_lapsed_since_the_decision(
    world: World, admissions: Admissions
) -> None:
    attempt = world.attempt(world.device())
    verdict = await admissions.admit(attempt)
    assert verdict is not None
    world.lease.lapse()
    world.lease.renews = 1.0
    assert not admissions.holds(attempt, verdict)
    assert await admissions.vouched(attempt, verdict)
    assert admissions.held_back == {("corp", "renewed"): 1}


async def test_an_accept_does_not_leave_when_the_renewed_stream_has_told_of_a_hold(
    world: World, admissions: Admissions
) -> None:
    device = world.device()
    attempt = world.attempt(device)
    verdict = await admissions.admit(attempt)
    assert verdict is not None
    world.lease.lapse()
    _renewed_with(world, device, "restricted")
    assert not await admissions.vouched(attempt, verdict)


async def test_without_a_lease_that_comes_back_no_accept_leaves(world: World, admissions: Admissions) -> None:
    attempt = world.attempt(world.device())
    verdict = await admissions.admit(attempt)
    assert verdict is not None
    world.lease.lapse()
    assert not await admissions.vouched(attempt, verdict)
    assert admissions.held_back == {("corp", "lapsed"): 1}
