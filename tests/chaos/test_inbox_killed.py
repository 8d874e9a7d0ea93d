"""SIGKILL at each step from another system's answer to the standing: no signal is lost, none is acted on twice."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import signal
from datetime import datetime
from uuid import UUID

import pytest

from tests.chaos.killable_inbox import PAGE, counting, pull_once, work_and_die
from tests.support.signals import Trust
from tests.support.vendors.harness import EGRESS
from troth.connect import connector_store
from troth.connect.definition import parse_connectors
from troth.connect.desk import ConnectorDesk
from troth.connect.vendors import Workshop
from troth.kit.ids import new_id
from troth.kit.sealing import SecretBox
from troth.trust.intake import inbox_store
from troth.trust.intake.inbox import InboxWorker
from troth.trust.standing import Standing

pytestmark = pytest.mark.chaos

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.chaos.killable_inbox"])

_DEVICES = 4 * PAGE


async def _killed(url: str, what: str, point: str, at: datetime) -> None:
    process = _PROCESSES.Process(target=work_and_die, args=(url, what, point, at))
    process.start()
    await asyncio.to_thread(process.join, 60)
    assert process.exitcode == -signal.SIGKILL
    process.close()


@pytest.fixture
async def devices(trust: Trust) -> list[UUID]:
    """A connector with its secret, and the devices that its events are about."""
    await trust.feed(cap={"percent": 100, "subjects": 1_000})
    workshop = Workshop(trust.clock, EGRESS, vendors={"counting": counting()})
    desk = ConnectorDesk(trust.database, trust.clock, SecretBox(b"c" * 32, purpose="connector"), workshop)
    made = {"name": "it", "vendor": "counting", "feed": "edr", "base_url": "https://x.example"}
    await desk.apply(parse_connectors(json.dumps({"connectors": [made]})), actor="admin:alice")
    await desk.set_secret("it", "token", b"t", actor="admin:alice")
    return await trust.subjects(_DEVICES, prefix="device")


async def _place(trust: Trust) -> int:
    (state,) = await connector_store.reads(trust.database, "it") or (None,)
    return state.cursor["place"] if state is not None and isinstance(state.cursor, dict) else 0


async def _acted(trust: Trust) -> None:
    worker = InboxWorker(trust.database, trust.clock, new_id(), trust.desk)
    while await worker.run_once():
        pass


async def _once_each(trust: Trust, devices: list[UUID], number: int) -> None:
    """The first ``number`` events were acted on, each once, and nothing else was."""
    standings = [await trust.standing(one) for one in devices]
    assert standings == [Standing.QUARANTINED] * number + [Standing.TRUSTED] * (len(devices) - number)
    kinds = [kind for kind, _ in await trust.events()]
    assert kinds.count("signal.accepted") == kinds.count("standing.changed") == number
    assert await inbox_store.due(trust.database, trust.clock.now(), 100) == []


@pytest.mark.parametrize("point", ["before the page", "after the page", "during the commit", "after the commit"])
async def test_a_puller_killed_at_any_step_loses_no_event_and_brings_none_twice(
    trust: Trust, database_url: str, devices: list[UUID], point: str
) -> None:
    for _ in range(2):
        await _killed(database_url, "pull", point, trust.clock.now())
    stored = await trust.database.fetchval("SELECT count(*) FROM signal_inbox")
    assert stored == await _place(trust)
    assert await _place(trust) in {"during the commit": (0, PAGE, 2 * PAGE), "after the commit": (2 * PAGE,)}.get(
        point, (0,)
    )
    await pull_once(trust.database, trust.clock)
    await _acted(trust)
    await _once_each(trust, devices, await _place(trust))


@pytest.mark.parametrize("point", ["during the commit", "after the commit"])
async def test_a_worker_killed_at_any_step_acts_on_each_signal_once(
    trust: Trust, database_url: str, devices: list[UUID], point: str
) -> None:
    for _ in range(3):
        await pull_once(trust.database, trust.clock)
    for _ in range(3):
        await _killed(database_url, "act", point, trust.clock.now())
    await _acted(trust)
    await _once_each(trust, devices, 3 * PAGE)
