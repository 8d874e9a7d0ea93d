"""One process asks, and all of the machine know: how far the log is, who lives, and who may vouch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from troth.audit.event import Event
from troth.audit.pulse import BEAT, Pulse
from troth.audit.sequencer import LEASE_NAME, STREAM_CHANNEL, Sequencer
from troth.audit.store import LedgerStore
from troth.audit.stream import LEASE_POLL, LEASE_SECONDS, Batch, StreamPoint
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id
from troth.store.lease import Held, Instance, Lease, Leases
from troth.store.pool import INBOX_CHANNEL, Database
from troth.store.unit import Unit


class Machine:
    """Processes of one machine, whose clock the test moves."""

    def __init__(self, database: Database, clock: FakeClock, page: Path) -> None:
        self.database, self.clock, self.page = database, clock, page
        self.store = LedgerStore(database)
        self.sequencer = Sequencer(database, clock, new_id())
        self.lease = Lease(database, clock, LEASE_NAME, new_id())
        self.pulses: list[Pulse] = []

    def process(self, role: str) -> tuple[Pulse, StreamPoint]:
        instance = Instance(self.database, self.clock, role)
        pulse = Pulse(self.database, self.clock, instance, self.page)
        self.pulses.append(pulse)
        return pulse, StreamPoint(self.store, self.clock, instance.id, role, pulse=pulse)

    async def applied(self, point: StreamPoint, index: int) -> None:
        await point.applied(Batch((), index, self.clock.monotonic(), True))

    async def grow(self) -> None:
        await self.database.commit(Unit().record(Event("test.done", "test", ())))
        await self.sequencer.move(await self.held())

    async def held(self) -> Held:
        held = await self.lease.acquire()
        assert held is not None
        return held

    async def pass_(self, seconds: float) -> None:
        """The time passes, and every process that asks nobody says that it lives."""
        self.clock.advance(timedelta(seconds=seconds))
        for pulse in self.pulses:
            pulse._seen()


@pytest.fixture
def machine(database: Database, clock: FakeClock, tmp_path: Path) -> Machine:
    return Machine(database, clock, tmp_path / "pulse")


async def test_who_asks_renews_the_lease_of_all_who_have_applied_everything(machine: Machine) -> None:
    asking, one = machine.process("status")
    _, other = machine.process("radius")
    _, behind = machine.process("radius")
    await machine.grow()
    await machine.grow()
    for point, index in ((one, 2), (other, 2), (behind, 1)):
        await machine.applied(point, index)
        assert point.live
    for _ in range(4):
        await machine.pass_(BEAT.seconds)
        await asking.look()
    assert (one.live, other.live) == (True, True)
    assert not behind.live
    assert other.poll() > LEASE_SECONDS  # what comes is told of
    assert behind.poll() == LEASE_POLL
    await machine.pass_(LEASE_SECONDS)
    assert not other.live, "nobody has asked for a second"


async def test_when_the_one_that_asked_is_gone_the_next_asks(machine: Machine) -> None:
    asking, _ = machine.process("status")
    next_, point = machine.process("radius")
    await machine.applied(point, 0)
    await machine.pass_(BEAT.seconds)
    await asking.look()
    asked = next_._memory.asked_at()
    await next_.look()
    assert next_._memory.asked_at() == asked, "what was asked a moment ago is not asked again"
    await machine.pass_(BEAT.seconds)
    await next_.look()
    assert next_._memory.asked_at() > asked
    assert point.live


async def test_a_process_that_was_not_seen_is_neither_vouched_for_nor_alive(machine: Machine) -> None:
    asking, _ = machine.process("status")
    silent, point = machine.process("radius")
    await machine.applied(point, 0)
    machine.clock.advance(timedelta(seconds=LEASE_SECONDS + 2))
    await asking.look()
    assert not point.live
    answer = asking._memory.answer()
    assert answer is not None
    assert silent._number not in answer.instances | answer.points


async def test_nobody_vouches_while_events_wait_for_their_index(machine: Machine) -> None:
    asking, point = machine.process("status")
    await machine.applied(point, 0)
    await machine.database.commit(Unit().record(Event("test.done", "test", ())))
    for _ in range(4):
        await machine.pass_(BEAT.seconds)
        await asking.look()
    assert not point.live
    await machine.sequencer.move(await machine.held())
    await machine.applied(point, 1)
    await machine.pass_(BEAT.seconds)
    await asking.look()
    await machine.pass_(LEASE_SECONDS / 2)
    assert point.live


async def test_what_nobody_said_is_made_up_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    asking, _ = machine.process("worker")
    heard: list[str] = []
    monkeypatch.setattr(machine.database, "wake", lambda _channel, **_more: None)
    monkeypatch.setattr(machine.database, "heard", heard.append)

    async def beat() -> list[str]:
        heard.clear()
        await machine.pass_(1.1)
        await asking.look()
        return list(heard)

    await beat()
    await machine.database.commit(Unit().record(Event("test.done", "test", ())))
    assert await beat() == []  # it may be on its way
    assert await beat() == [INBOX_CHANNEL]
    await machine.sequencer.move(await machine.held())
    assert await beat() == [STREAM_CHANNEL]
    assert await beat() == []


async def test_all_leases_of_a_process_are_renewed_by_one_statement(
    database: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, asked = new_id(), list[str]()
    fetch: Callable[..., object] = database.fetch

    async def counted(sql: str, *values: object) -> object:
        asked.append(sql)
        return await fetch(sql, *values)  # type: ignore[misc]

    one, other = Lease(database, clock, "one", holder), Lease(database, clock, "other", holder, seconds=6.0)
    many = Leases(database, clock, holder)
    assert await one.keep() is not None
    assert await other.keep() is not None
    assert len(await many.keep(["a", "b"])) == 2
    monkeypatch.setattr(database, "fetch", counted)
    clock.advance(timedelta(seconds=one.pause))
    before = await other.keep()
    assert [await one.keep() is not None, len(await many.keep(["a", "b"]))] == [True, 2]
    assert len(asked) == 1
    assert before is not None
    assert before.until == clock.monotonic() + 6.0
    await one.release()
    assert await Lease(database, clock, "one", new_id()).acquire() is not None
    clock.advance(timedelta(seconds=one.pause))
    assert await other.keep() is not None
    assert await one.keep() is None, "what was let go is not taken again beside the others"


async def test_a_lease_that_had_lapsed_and_is_had_again_is_told_of_again(
    database: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("troth.store.lease.KEEP.seconds", 0.01)
    lease, taken, lost = Lease(database, clock, "one", new_id()), asyncio.Event(), asyncio.Event()
    async with lease.kept(taken.set, lost.set) as tenure:
        await taken.wait()
        taken.clear()
        clock.advance(timedelta(seconds=3600))
        assert tenure.held is None
        await taken.wait()
        assert tenure.held is not None
