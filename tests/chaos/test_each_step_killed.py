"""A process of a running Troth is killed at each step of an issuance; the client asks again, and all is well.

Every step is killed with an order of its own; the orders finish while the next steps die. What the database knew at
the moment of death is looked at then, and the promises are held against everything at the end.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from tests.chaos.applicant import Applicant
from tests.chaos.ruin import Ruin, nothing_is_broken, persist

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200), pytest.mark.xdist_group("chaos-processes")]

#: Step → states that the order's certificate may be in when somebody has died there. None: there is no row.
STEPS: dict[str, set[str | None]] = {
    "web.ordered": {None},
    "web.settled": {None},
    "web.answered": {None},
    "web.decided": {None},
    "web.reserving": {None, "reserved"},
    "web.reserved": {"reserved"},
    "web.linted": {"reserved"},
    "web.asking": {"reserved"},
    "web.verified": {"reserved"},
    "web.storing": {"reserved", "issued"},
    "web.stored": {"issued"},
    "web.finalized": {"issued"},
    # From here on the web process lives, and burns by itself what it got no signature for, or could not store.
    "signer.asked": {"reserved", "burnt"},
    "signer.remembering": {"reserved", "burnt"},
    "signer.signed": {"reserved", "burnt"},
    "web.linted signer": {"reserved", "burnt"},
    # A server process of the database notices its postmaster's death when it is idle again: a commit under way may end.
    "web.told database": {"reserved", "burnt", "issued"},
    "worker.validated": {None},
    "worker.settling": {None},
    "worker.settled": {None},
}
#: Steps that are taken only after somebody has died at another: whoever validates directly leaves nothing to a job.
AFTER = {"worker.settling": "worker.validated", "worker.settled": "worker.validated"}
#: Duties that are not of one order, with what must happen for them to be done: the death of a web process, or nothing.
DUTIES = {
    "worker.moving": None,
    "worker.moved": None,
    "worker.witnessed": None,
    "signer.witnessing": None,
    "signer.witnessed": None,
    "worker.burning": "web.verified",
    "worker.burnt": "web.verified",
}
_STATE = """
SELECT c.state FROM acme_order o LEFT JOIN certificate c ON c.request_id = 'acme:' || o.id || ':' || o.attempt
WHERE o.identifiers->0->>1 = $1"""


@dataclass
class Story:
    """What happened at each step.

    Attributes:
        found: the state of the certificate at the moment of death.
        failed: what went wrong: nobody died, or the order did not end.
    """

    found: dict[str, str | None] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)
    applicants: dict[str, Applicant] = field(default_factory=dict)


async def play(ruin: Ruin) -> Story:
    """Kill at every step, then wait for every client."""
    story = Story()
    running: dict[str, asyncio.Task[None]] = {}
    async with ruin.account() as client:
        for step in (*STEPS, *DUTIES):
            name = f"{step.replace('.', '-').replace(' ', '-')}.kill.test"
            applicant = story.applicants[step] = Applicant(name, client, ruin.web_root)
            try:
                points = await _arm(ruin, step, name)
                running[step] = asyncio.create_task(persist(applicant))
                for point in points:
                    await ruin.fired(point)
                async with ruin.database() as database:
                    story.found[step] = await database.fetchval(_STATE, name)
            except AssertionError as error:
                story.failed[step] = error
        for step, task in running.items():
            try:
                await task
            except Exception as error:  # noqa: BLE001 -- it is raised by the step's own test
                story.failed.setdefault(step, error)
    return story


async def _arm(ruin: Ruin, step: str, name: str) -> list[str]:
    """Open the trapdoors of ``step``; the points at which somebody will have died, in order."""
    point, _, victim = step.partition(" ")
    if step in STEPS:
        ruin.arm(point, name, victim=await ruin.pid(victim) if victim else None)
        before = AFTER.get(step)
        if before is None:
            return [point]
        ruin.arm(before, name)
        return [before, point]
    ruin.arm(point)
    cause = DUTIES[step]
    if cause is None:
        return [point]
    ruin.arm(cause, name)
    return [cause, point]


@pytest.fixture(scope="module")
def story(ruin: Ruin) -> Story:
    return asyncio.run(play(ruin))


@pytest.mark.parametrize("step", STEPS)
def test_an_order_ends_in_one_certificate_though_somebody_is_killed_at(story: Story, step: str) -> None:
    if step in story.failed:
        raise story.failed[step]
    assert story.found[step] in STEPS[step]


@pytest.mark.parametrize("step", DUTIES)
def test_a_duty_is_taken_up_again_though_somebody_is_killed_at(story: Story, step: str) -> None:
    if step in story.failed:
        raise story.failed[step]


async def test_nothing_is_broken_after_all_of_it(ruin: Ruin, story: Story) -> None:
    await nothing_is_broken(ruin, story.applicants.values())
