"""One process asks, and all of the machine know: how far the log is, who lives, and who may vouch."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from troth.audit.event import Event
from troth.audit.pulse import BEAT, Pulse
from troth.audit.pulse_memory import ALIVE, VOUCHED
from troth.audit.sequencer import LEASE_NAME, STREAM_CHANNEL, Sequencer
from troth.audit.store import LedgerStore
from troth.audit.stream import LEASE_POLL, LEASE_SECONDS, Batch, StreamPoint
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id
from troth.store.errors import UNAVAILABLE, Unavailable
from troth.store.lease import ATTENDED_SECONDS, Held, Instance, Lease, Leases
from troth.store.pool import INBOX_CHANNEL, Database
from troth.store.unit import Unit


def asked_at(pulse: Pulse) -> float:
    answer = pulse._memory.answer()
    assert answer is not None
    return answer.asked_at


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
    assert (other.spared, other.poll() > LEASE_POLL) == (True, True)  # what comes is told of
    assert (behind.spared, behind.poll()) == (False, LEASE_POLL)
    await machine.pass_(LEASE_SECONDS)
    assert not other.live, "nobody has asked for a second"
    assert (other.spared, other.poll()) == (False, LEASE_POLL), "so it asks for itself"
    await machine.applied(other, 2)
    assert other.live
    assert (other.spared, other.poll()) == (False, LEASE_POLL), "and goes on, until others do"


async def test_when_the_one_that_asked_is_gone_the_next_asks(machine: Machine) -> None:
    asking, _ = machine.process("status")
    next_, point = machine.process("radius")
    await machine.applied(point, 0)
    await machine.pass_(BEAT.seconds)
    await asking.look()
    asked = asked_at(next_)
    await next_.look()
    assert asked_at(next_) == asked, "what was asked a moment ago is not asked again"
    await machine.pass_(BEAT.seconds)
    await next_.look()
    assert asked_at(next_) > asked
    assert point.live


async def test_a_process_that_was_not_seen_is_neither_vouched_for_nor_alive(machine: Machine) -> None:
    asking, _ = machine.process("status")
    silent, point = machine.process("radius")
    await machine.applied(point, 0)
    machine.clock.advance(timedelta(seconds=LEASE_SECONDS + 2))
    await asking.look()
    assert not point.live
    assert silent._number is not None
    assert [silent._memory.granted(what, silent._number, silent._instance.id) for what in (VOUCHED, ALIVE)] == [
        float("-inf"), float("-inf"),
    ]  # fmt: skip


async def test_one_that_was_suspended_until_its_slot_was_anothers_is_vouched_for_by_nothing_of_that_ones(
    machine: Machine,
) -> None:
    asking, status = machine.process("status")
    suspended, old = machine.process("radius")
    for point in (status, old):
        await machine.applied(point, 0)
    machine.pulses.remove(suspended)
    for _ in range(25):
        await machine.pass_(BEAT.seconds)
        await asking.look()
    await machine.grow()
    heir, new = machine.process("radius")
    assert heir._number == suspended._number
    await machine.applied(new, 1)
    await machine.pass_(BEAT.seconds)
    await asking.look()
    assert new.spared
    # It wakes up, and does not know yet what has happened.
    assert (old.live, old.spared) == (False, False)
    suspended._seen()
    assert suspended._number != heir._number
    heir._seen()
    await machine.pass_(BEAT.seconds)
    await asking.look()
    assert (old.live, old.spared, new.live, new.spared) == (False, False, True, True)
    await machine.applied(old, 1)
    assert old.live


async def test_two_that_take_one_slot_at_once_have_one_each_after_a_look(machine: Machine) -> None:
    one, _ = machine.process("radius")
    other, _ = machine.process("radius")
    other._number = one._number
    for pulse in (other, one, other):
        pulse._seen()
    assert one._number != other._number


async def test_while_the_database_is_away_no_lease_outlasts_its_second_and_few_ask(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking, point = machine.process("status")
    other, _ = machine.process("radius")
    await machine.applied(point, 0)
    await machine.pass_(BEAT.seconds)
    await asking.look()
    tried: list[Pulse] = []

    async def away(pulse: Pulse) -> None:
        tried.append(pulse)
        raise Unavailable(UNAVAILABLE, "away")

    for pulse in machine.pulses:
        monkeypatch.setattr(pulse, "_ask", lambda _before, pulse=pulse: away(pulse))
    for _ in range(22):
        await machine.pass_(0.05)
        await asking.look()
        await other.look()
    assert not point.live
    assert 0 < len(tried) <= 4


async def test_one_whose_page_cannot_be_had_asks_for_itself(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr("os.posix_fallocate", full)
    alone, point = machine.process("radius")
    monkeypatch.undo()
    other, _ = machine.process("status")
    await machine.applied(point, 0)
    await machine.pass_(LEASE_SECONDS)
    await other.look()
    assert not point.live
    await alone.look()
    assert point.live


async def test_where_nobody_tells_of_what_comes_a_point_looks_often_until_it_is_told_again(machine: Machine) -> None:
    asking, point = machine.process("status")
    rung: list[None] = []
    await machine.applied(point, 0)
    await machine.database.listen(STREAM_CHANNEL, lambda: rung.append(None))
    for _ in range(2):
        await machine.pass_(BEAT.seconds)
        await asking.look()
    assert point.spared
    rung.clear()
    machine.database.wake = lambda _channel, **_more: None  # type: ignore[method-assign]
    await machine.grow()
    await machine.pass_(BEAT.seconds)
    await asking.look()
    assert rung
    await machine.applied(point, 1)
    await machine.pass_(BEAT.seconds)
    await asking.look()
    assert (point.live, point.spared) == (True, False)
    asking._hear()
    assert point.spared


async def test_who_waits_for_the_lease_hears_of_it_when_others_have_asked(machine: Machine) -> None:
    asking, _ = machine.process("status")
    own, point = machine.process("radius")
    await machine.applied(point, 0)
    await machine.pass_(LEASE_SECONDS)
    waiting = asyncio.create_task(point.current(60))
    await asyncio.sleep(0)
    await asking.look()
    await own.look()
    assert await waiting


async def test_nobody_vouches_while_events_wait_for_their_index(machine: Machine) -> None:
    asking, point = machine.process("status")
    await machine.applied(point, 0)
    await machine.database.commit(Unit().record(Event("test.done", "test", ())))
    for _ in range(4):
        await machine.pass_(BEAT.seconds)
        await asking.look()
    assert (point.spared, point.poll()) == (False, LEASE_POLL)
    for _ in range(2):
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


async def test_a_lease_whose_work_does_not_look_at_it_is_let_go_until_it_does(
    database: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("troth.store.lease.KEEP.seconds", 0.01)
    lease, taken, lost = Lease(database, clock, "one", new_id(), seconds=600), asyncio.Event(), asyncio.Event()
    other = Lease(database, clock, "one", new_id(), seconds=600)
    async with lease.kept(taken.set, lost.set) as tenure:
        await taken.wait()
        assert await other.acquire() is None
        lost.clear()
        clock.advance(timedelta(seconds=ATTENDED_SECONDS))
        await lost.wait()
        assert await other.acquire() is not None, "another process has the duty"
        await other.release()
        taken.clear()
        assert tenure.held is None
        await taken.wait()
        assert tenure.held is not None
