"""SIGKILL at each step of the outbox: no effect is lost, none done twice by a target that can tell, none overtakes."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from tests.chaos.killable_effects import WritingTarget, work_and_die
from tests.support.signals import Trust
from troth.kit.sealing import SecretBox
from troth.trust.outbox import store
from troth.trust.outbox.desk import EffectDesk
from troth.trust.outbox.runner import EffectRunner

pytestmark = pytest.mark.chaos

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.chaos.killable_effects"])

#: Where it dies → whether the target may be asked again for what it has done.
POINTS = {
    "before the claim": False,
    "after the claim": False,
    "before the target": False,
    "after the target": True,
    "during the commit": True,
    "after the commit": False,
    "at the end": False,
}

_REACTIONS = """
reactions:
  - when: [trusted, quarantined]
    then: ["webhook:soc"]
  - when: [quarantined]
    then: ["crowdstrike.contain:falcon"]
targets: [{name: soc, kind: webhook, url: "https://soc.example.com/"}]
"""


async def _killed(url: str, log: Path, point: str, at: datetime, subject: UUID | None = None) -> None:
    process = _PROCESSES.Process(target=work_and_die, args=(url, log, point, at, subject))
    process.start()
    await asyncio.to_thread(process.join, 60)
    assert process.exitcode == -signal.SIGKILL
    process.close()


async def _begun(trust: Trust) -> UUID:
    desk = EffectDesk(trust.database, trust.clock, SecretBox(b"e" * 32, purpose="effect"))
    await trust.feed()
    await trust.database.commit(desk.unit(await desk.plan(_REACTIONS), actor="admin:alice"))
    return await trust.subject()


async def _finish(trust: Trust, log: Path) -> None:
    """What another worker does: at once, and when leases have lapsed."""
    target = WritingTarget(log)
    runner = EffectRunner(trust.database, trust.clock, {"crowdstrike": target, "webhook": target})
    await runner.drain()
    trust.clock.advance(timedelta(seconds=61))
    await runner.drain()


@pytest.mark.parametrize("point", sorted(POINTS))
async def test_a_worker_killed_at_any_step_loses_nothing_and_doubles_nothing(
    trust: Trust, database_url: str, tmp_path: Path, point: str
) -> None:
    laptop, log = await _begun(trust), tmp_path / "asked"
    await trust.take("edr.intrusion", laptop)
    await trust.take("edr.suspicious", laptop, cause="other")
    await trust.take("edr.cleared", laptop)
    await trust.take("edr.cleared", laptop, cause="other")
    planned = [one for one in await store.of_subject(trust.database, laptop) if one.state.value == "waiting"]
    assert planned
    await _killed(database_url, log, point, trust.clock.now())
    await _finish(trust, log)
    ended = {one.id: one.state.value for one in await store.of_subject(trust.database, laptop)}
    assert {ended[one.id] for one in planned} == {"done"}
    asked = [line.split() for line in log.read_text().splitlines()]
    times = Counter(line[0] for line in asked)
    assert set(times) == {str(one.id) for one in planned}
    assert max(times.values()) <= (2 if POINTS[point] else 1)
    for target in {one.target for one in planned}:
        versions = [int(version) for _, name, version in asked if name == target]
        assert versions == sorted(versions)


@pytest.mark.parametrize("run", range(4))
async def test_a_signal_whose_taker_is_killed_has_changed_the_standing_and_planned_all_of_it_or_neither(
    trust: Trust, database_url: str, tmp_path: Path, run: int
) -> None:
    laptop, log = await _begun(trust), tmp_path / "asked"
    await _killed(database_url, log, "during the commit", trust.clock.now(), laptop)
    planned = await store.of_subject(trust.database, laptop)
    standing = await trust.standing(laptop)
    assert (standing.value, len(planned)) in {("trusted", 0), ("quarantined", 2)}
    log.touch()
    await _finish(trust, log)
    assert len({line.split()[0] for line in log.read_text().splitlines()}) == len(planned)
