"""SIGKILL at each step of folding and sending: no session is lost or doubled, each ends, nothing is sent for ever."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.chaos.killable_sessions import let_in_and_die, work_and_die
from tests.support.admissions import heard
from tests.support.das import Das, Fleet, listening
from tests.support.signals import Trust
from troth.kit.ids import new_id
from troth.kit.sealing import SecretBox
from troth.radius.admission.conversations import NOTE as CONVERSATION
from troth.radius.admission.keeping import take
from troth.radius.admission.model import PlaceChoice, Verdict
from troth.radius.dynamic.ports import SessionPort
from troth.radius.dynamic.sender import Sender
from troth.radius.dynamic.udp import UdpTransport
from troth.radius.sessions import inbox, inbox_store, order_store, store
from troth.radius.sessions.folding import Folder
from troth.radius.sessions.model import Admitted, Ages, Port, Where
from troth.radius.sessions.store import Meant
from troth.trust.connecting.journal_drain import Drain
from troth.trust.model import Kind, Outcome, Subject
from troth.trust.outbox import store as outbox
from troth.trust.outbox.desk import EffectDesk
from troth.trust.outbox.runner import EffectRunner

pytestmark = pytest.mark.chaos

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.chaos.killable_sessions"])

#: Commits of the child: the fold, the plan of the orders, the end of the order, the end of the effect.
_POINTS = [f"commit {turn} {when}" for turn in (1, 2, 3, 4) for when in ("before", "during", "after")]
_POINTS += ["before the packet", "after the packet", "at the end"]
_REACTIONS = "reactions:\n  - {when: [quarantined], then: [disconnect]}\n"


async def _killed(url: str, port: int, point: str, at: datetime) -> None:
    process = _PROCESSES.Process(target=work_and_die, args=(url, port, point, at))
    process.start()
    await asyncio.to_thread(process.join, 60)
    assert process.exitcode == -signal.SIGKILL
    process.close()


@pytest.mark.parametrize("point", _POINTS)
async def test_a_worker_killed_at_any_step_loses_nothing_and_sends_nothing_for_ever(
    trust: Trust, database_url: str, point: str
) -> None:
    await trust.feed()
    desk = EffectDesk(trust.database, trust.clock, SecretBox(b"e" * 32, purpose="effect"))
    await trust.database.commit(desk.unit(await desk.plan(_REACTIONS), actor="admin:alice"))
    laptop, clock = await trust.subject(), trust.clock
    port = Port(mac="02-00-00-00-00-01", calling_station_id="02-00-00-00-00-01", acct_session_id="A1")
    one = Admitted(b"k" * 16, Where("nas", "nas", "127.0.0.1", "192.0.2.1", "nas"), port, clock.now(), "corp", "staff",
                   "eap-tls", "allow", "policy.allowed", subject_ids=(laptop,), versions=(1,))  # fmt: skip
    await heard(trust.database, clock, [one])
    await trust.take("edr.intrusion", laptop)
    async with listening(Das()) as das:
        await _killed(database_url, das.port, point, clock.now())
        await trust.database.fetchval("UPDATE lease SET lease_until = now() - interval '1 second'")
        # Another worker: at once, and when the leases of what was claimed have lapsed.
        folder, udp = Folder(trust.database, clock, new_id(), Ages()), UdpTransport(clock, first=0.2, tries=2)
        sender = Sender(trust.database, clock, new_id(), Fleet(das, udp=udp))
        ports = {"disconnect": SessionPort(trust.database, clock, "disconnect", sender.endings)}
        runner = EffectRunner(trust.database, clock, ports)
        for _ in range(3):
            await folder.drain()
            effects = asyncio.create_task(runner.drain())
            while not effects.done():
                await sender.drain()
                await asyncio.sleep(0.01)
            await sender.sweep()
            clock.advance(timedelta(seconds=61))
        (session,) = await store.meant(trust.database, Meant(open=False))
        assert session.ended_by in ("disconnect", "gone")
        assert await inbox_store.waiting(trust.database) == (0, None)
        (effect,) = await outbox.of_subject(trust.database, laptop)
        assert effect.state.value == "done"
        orders = await order_store.of_session(trust.database, session.id)
        assert all(order.over for order in orders)
        assert 1 <= len(das.requests) <= 2
        sent = len(das.requests)
        clock.advance(timedelta(hours=1))
        await sender.drain()
        assert len(das.requests) == sent
        await udp.close()


async def test_a_worker_killed_as_its_accept_leaves_has_left_the_whole_session(trust: Trust, tmp_path: Path) -> None:
    await trust.feed()
    laptop, certificate = await trust.subject(), new_id()
    decided_on = Subject(laptop, Kind.DEVICE, "laptop-1", "mdm")
    await trust.take("edr.intrusion", laptop)
    verdict = Verdict(
        Outcome.ALLOW, "policy.allowed", place=PlaceChoice("staff"), session_time=timedelta(hours=1),
        user_name="alice@corp.example", class_=b"k" * 16, subjects=(decided_on,), certificate_id=certificate,
        serial="0a",
    )  # fmt: skip
    process = _PROCESSES.Process(target=let_in_and_die, args=(tmp_path, verdict))
    process.start()
    await asyncio.to_thread(process.join, 60)
    assert process.exitcode == -signal.SIGKILL
    process.close()
    takers = {CONVERSATION: take, inbox.NOTE: inbox.taker(trust.clock)}
    drain = Drain(trust.database, tmp_path / "journal", trust.clock, takers=takers)
    assert await drain.once() == 2
    await Folder(trust.database, trust.clock, new_id(), Ages()).drain()
    (session,) = await store.meant(trust.database, Meant())
    assert (session.port.mac, session.where.address, session.network, session.place, session.user_name) == (
        "02-00-00-00-00-07", "127.0.0.1", "corp", "staff", "alice@corp.example",
    )  # fmt: skip
    assert (session.subject_ids, session.certificate_id, session.serial) == ((laptop,), certificate, "0a")
    assert session.until is not None
    # What was decided on is known too: the intrusion has overtaken it.
    (order,) = await order_store.of_session(trust.database, session.id)
    assert (order.kind, order.state) == ("reauthorize", "waiting")
