"""The ledger on a real PostgreSQL: every committed event gets one index, and no tampering goes unnoticed."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from troth.audit.checkpoints import Checkpointer
from troth.audit.errors import LedgerTampered
from troth.audit.event import URGENT_KINDS, Event, StreamEvent
from troth.audit.follower import Follower
from troth.audit.follower_store import begin
from troth.audit.merkle import Frontier
from troth.audit.note import CheckpointText, NoteKey, sign_note
from troth.audit.sequencer import STREAM_CHANNEL, Sequencer
from troth.audit.store import PARTITION_SIZE, LedgerStore
from troth.audit.stream import Batch, Stream, StreamPoint
from troth.audit.verify import export, verify_export, verify_store
from troth.kit.clock import FakeClock, SystemClock
from troth.kit.ids import new_id
from troth.store.errors import LeaseLost, Unavailable
from troth.store.lease import Held
from troth.store.pool import INBOX_CHANNEL, INBOX_PACE, URGENT_CHANNEL, Database
from troth.store.unit import Reader, Unit
from troth.web.live import Live


class LocalNotary:
    """A notary with its key in this process: the signer's own is tested with the signer."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key = NoteKey("ledger.test", public)
        self.frontier = Frontier(0, [])

    async def notary_size(self) -> int:
        return self.frontier.size

    async def extend(self, old_size: int, leaves: list[bytes]) -> str:
        assert old_size == self.frontier.size
        self.frontier.extend(leaves)
        text = CheckpointText(self.key.name, self.frontier.size, self.frontier.root()).encode()
        return sign_note(text, self.key, self._key.sign)


class Log:
    """A database with a sequencer that the test steps by hand."""

    def __init__(self, database: Database, held: Held) -> None:
        self.database = database
        self.store = LedgerStore(database)
        self.sequencer = Sequencer(database, SystemClock(), new_id())
        self.held = held
        self.notary = LocalNotary()
        self.checkpointer = Checkpointer(self.store, self.notary, self.notary.key, SystemClock())

    async def record(self, *numbers: int) -> None:
        await asyncio.gather(
            *(
                self.database.commit(Unit().record(Event("test.happened", "system:test", (f"thing:{n}",), {"n": n})))
                for n in numbers
            )
        )

    async def move(self) -> int:
        return await self.sequencer.move(self.held)

    async def verify(self) -> list[tuple[int | None, str]]:
        return (await verify_store(self.store, self.notary.key)).faults


@pytest.fixture
async def ledger(database: Database) -> Log:
    await database.fetch(
        "INSERT INTO lease (name, holder, epoch, lease_until) VALUES ('sequencer', $1, 1, now() + interval '1 hour')",
        new_id(),
    )
    return Log(database, Held("sequencer", 1, 0))


async def signed_log(ledger: Log, events: int) -> Log:
    """``ledger`` with ``events`` events, signed at half and at the end."""
    await ledger.record(*range(events // 2))
    await ledger.move()
    await ledger.checkpointer.catch_up()
    await ledger.record(*range(events // 2, events))
    await ledger.move()
    await ledger.checkpointer.catch_up()
    return ledger


async def test_indexes_are_gapless_and_every_event_has_one(ledger: Log) -> None:
    await ledger.record(*range(40))
    await ledger.move()
    await ledger.record(*range(40, 100))
    await ledger.move()
    events = await ledger.store.read(0, 1000)
    assert [event.index for event in events] == list(range(100))
    assert sorted(event.data["n"] for event in events) == list(range(100))
    assert (await ledger.store.head()).size == 100
    assert [event.data["n"] for event in await ledger.store.about("thing:73", 10)] == [73]


async def test_what_was_moved_together_about_one_object_is_found_event_by_event(ledger: Log) -> None:
    about = [Event("test.happened", "system:test", ("thing:a", "thing:a"), {"n": n}) for n in range(6)]
    for one, other in zip(about[::2], about[1::2], strict=True):
        await ledger.database.commit(Unit().record(one).record(other))
        await ledger.record(100)
        await ledger.move()
    found = await ledger.store.about("thing:a", 10)
    assert [event.data["n"] for event in found] == [5, 4, 3, 2, 1, 0]
    seen = [event.data["n"] for event in await ledger.store.about("thing:a", 3)]
    before = found[2].index
    while page := await ledger.store.about("thing:a", 2, before=before):
        seen += [event.data["n"] for event in page]
        before = page[-1].index
    assert seen == [5, 4, 3, 2, 1, 0]


async def test_an_event_of_a_unit_that_was_dropped_never_existed(ledger: Log) -> None:
    unit = Unit().record(Event("test.happened", "system:test"))

    async def refuse(*_: object) -> None:
        raise ValueError("dropped")

    with pytest.raises(ValueError, match="dropped"):
        await ledger.database.commit(unit.then(refuse))
    assert await ledger.move() == 0


async def test_a_sequencer_whose_lease_was_taken_over_writes_nothing(ledger: Log) -> None:
    await ledger.record(1)
    await ledger.database.fetch("UPDATE lease SET epoch = 2 WHERE name = 'sequencer'")
    with pytest.raises(LeaseLost):
        await ledger.move()
    assert (await ledger.store.head()).size == 0
    ledger.held = Held("sequencer", 2, 0)
    assert await ledger.move() == 1


async def test_a_move_that_fails_where_a_partition_begins_is_made_up_for(ledger: Log) -> None:
    size = PARTITION_SIZE - 2
    nodes = [bytes(32)] * size.bit_count()
    await ledger.database.fetch("UPDATE ledger_head SET size = $1, frontier = $2", size, nodes)
    await ledger.database.fetch("ALTER TABLE ledger_head ADD CONSTRAINT stuck CHECK (size <= 4999998)")
    await ledger.record(*range(5))
    with pytest.raises(Unavailable):
        await ledger.move()
    await ledger.database.fetch("ALTER TABLE ledger_head DROP CONSTRAINT stuck")
    assert await ledger.move() == 5
    assert [event.index for event in await ledger.store.read(size, 10)] == list(range(size, size + 5))


async def test_a_checkpoint_whose_answer_was_lost_is_asked_for_again(ledger: Log) -> None:
    await ledger.record(*range(3))
    await ledger.move()
    leaves = [leaf for _, leaf in await ledger.store.leaves(0, 10)]
    await ledger.notary.extend(0, leaves)
    signed = await ledger.checkpointer.catch_up()
    assert signed is not None
    assert signed.size == 3
    report = await verify_store(ledger.store, ledger.notary.key)
    assert (report.faults, report.signed) == ([], 3)
    assert await ledger.checkpointer.catch_up() is None


async def test_an_untouched_ledger_verifies_also_from_its_export(ledger: Log, tmp_path: Path) -> None:
    await signed_log(ledger, 30)
    report = await verify_store(ledger.store, ledger.notary.key)
    assert (report.faults, report.events, report.signed) == ([], 30, 30)
    out = io.StringIO()
    assert await export(ledger.store, ledger.notary.key, out) == 30
    path = tmp_path / "ledger.jsonl"
    path.write_text(out.getvalue())
    assert verify_export(path, key=ledger.notary.key).proved
    lines = out.getvalue().splitlines()
    for damaged in (
        [*lines[:5], *lines[6:]],  # one deleted
        [*lines[:5], lines[6], lines[5], *lines[7:]],  # two swapped
        [*lines[:5], lines[5].replace('\\"n\\":', '\\"n\\":1'), *lines[6:]],  # one changed
        lines[:-1],  # the end cut off
    ):
        path.write_text("\n".join(damaged) + "\n")
        assert not verify_export(path, key=ledger.notary.key).proved


TAMPERING = {
    "payload changed": """UPDATE ledger_event SET payload = convert_to(replace(convert_from(payload, 'UTF8'),
        '"n":7', '"n":8'), 'UTF8') WHERE convert_from(payload, 'UTF8') LIKE '%"n":7}%'""",
    "kind changed": "UPDATE ledger_event SET kind = 'test.other' WHERE idx = 4",
    "time changed": "UPDATE ledger_event SET recorded_at = recorded_at + interval '1 s' WHERE idx = 4",
    "payload and leaf changed": """UPDATE ledger_event SET payload = '{}', salt = '',
        leaf = sha256('\\x00'::bytea || sha256('{}'::bytea)) WHERE idx = 5""",
    "row deleted": "DELETE FROM ledger_event WHERE idx = 11",
    "row deleted and the rest moved up": """WITH d AS (DELETE FROM ledger_event WHERE idx = 29 RETURNING *)
        UPDATE ledger_event e SET id = d.id, recorded_at = d.recorded_at, payload = d.payload, salt = d.salt,
            leaf = d.leaf FROM d WHERE e.idx = 10""",
    "end cut off": "DELETE FROM ledger_event WHERE idx >= 28",
    "two rows swapped": """UPDATE ledger_event a SET id = b.id, recorded_at = b.recorded_at, payload = b.payload,
        salt = b.salt, leaf = b.leaf FROM ledger_event b
        WHERE (a.idx = 2 AND b.idx = 3) OR (a.idx = 3 AND b.idx = 2)""",
}


@pytest.mark.parametrize("how", TAMPERING)
async def test_tampering_is_found(ledger: Log, how: str) -> None:
    await signed_log(ledger, 30)
    await ledger.database.fetch(TAMPERING[how])
    assert await ledger.verify()


async def test_an_erased_payload_leaves_a_tree_that_verifies(ledger: Log) -> None:
    await signed_log(ledger, 10)
    await ledger.database.fetch("UPDATE ledger_event SET payload = NULL, salt = NULL WHERE idx = 3")
    report = await verify_store(ledger.store, ledger.notary.key)
    assert (report.faults, report.erased) == ([], 1)


async def test_the_notary_is_not_moved_by_a_log_that_lost_its_end(ledger: Log) -> None:
    await signed_log(ledger, 10)
    await ledger.database.fetch("DELETE FROM ledger_event WHERE idx >= 8")
    await ledger.database.fetch("UPDATE ledger_head SET size = 8")
    with pytest.raises(LedgerTampered):
        await ledger.checkpointer.catch_up()


async def test_followers_see_each_event_once_and_in_order(ledger: Log) -> None:
    stop = asyncio.Event()
    seen: list[int] = []

    async def follow() -> None:
        async for batch in Stream(ledger.database, SystemClock(), poll=lambda: 0.05).follow(0, stop):
            seen.extend(event.index for event in batch.events)

    follower = asyncio.create_task(follow())
    for start in range(0, 60, 20):
        await ledger.record(*range(start, start + 20))
        await ledger.move()
    async with asyncio.timeout(120):
        while len(seen) < 60:
            await asyncio.sleep(0.01)
    stop.set()
    await follower
    assert seen == list(range(60))


async def test_a_follower_of_some_rooms_or_kinds_passes_every_index_and_is_shown_only_those(ledger: Log) -> None:
    await ledger.record(1, 2)
    await ledger.database.commit(Unit().record(Event("other.happened", "system:test", (), {})))
    await ledger.move()
    await ledger.database.commit(Unit().record(Event("other.ended", "system:test", (), {})))
    await ledger.move()
    every = {"test.happened", "other.happened", "other.ended"}
    asked: list[tuple[frozenset[str] | None, set[str]]] = [
        (frozenset({"other"}), {"other.happened", "other.ended"}),
        (frozenset({"other.ended"}), {"other.ended"}),
        (frozenset({"other.ended", "test"}), every - {"other.happened"}),
        (frozenset(), set()),
        (None, every),
    ]
    for rooms, kinds in asked:
        stop = asyncio.Event()
        async for batch in Stream(ledger.database, SystemClock()).follow(0, stop, lambda wanted=rooms: wanted):
            stop.set()
            assert batch.next == 4
            assert batch.rooms == rooms
            assert {event.kind for event in batch.events} == kinds


async def test_a_page_that_opens_while_events_are_read_blindly_misses_none(ledger: Log) -> None:
    live = Live(Stream(ledger.database, SystemClock(), poll=lambda: 0.02), ledger.store)
    await live.start()
    try:
        with live.subscribe() as late:
            # As if nobody had looked yet when the next batch is read.
            live._wanted = frozenset  # type: ignore[assignment, method-assign]
            await ledger.record(1)
            await ledger.move()
            assert [event.data["n"] for event in await late.take(5.0)] == [1]
        assert live.position == 1
    finally:
        await live.stop()


async def test_a_change_is_effective_once_every_live_point_has_applied_it(ledger: Log) -> None:
    clock = SystemClock()
    quick = StreamPoint(ledger.store, clock, new_id(), "status-1", lease_seconds=60)
    slow = StreamPoint(ledger.store, clock, new_id(), "status-2", lease_seconds=60)
    await quick.applied(Batch((), 8, clock.monotonic(), complete=True))
    await slow.applied(Batch((), 5, clock.monotonic(), complete=True))
    assert not await ledger.store.is_effective(7)
    await ledger.database.fetch("UPDATE stream_point SET lease_until = now() - interval '1 s' WHERE name = 'status-2'")
    assert await ledger.store.is_effective(7)
    assert quick.live


async def test_nobody_vouches_while_events_wait_for_a_sequencer_that_is_not_there(ledger: Log) -> None:
    clock = FakeClock(datetime(2026, 6, 1, tzinfo=UTC))
    point = StreamPoint(ledger.store, clock, new_id(), "status-1")

    async def polled(index: int) -> bool:
        clock.advance(timedelta(seconds=0.4))
        await point.applied(Batch((), index, clock.monotonic(), complete=True))
        return point.live

    assert [await polled(0) for _ in range(5)] == [True] * 5
    await ledger.record(1)
    alive = [await polled(0) for _ in range(8)]
    assert alive[0], "an event may wait for a moment"
    assert not alive[-1], "but not for longer than the lease"
    assert alive == sorted(alive, reverse=True), "and the lease comes back only with the sequencer"
    await ledger.move()
    assert await polled(1)


async def test_who_waits_for_a_lease_is_told_when_it_is_renewed(ledger: Log) -> None:
    clock = FakeClock(datetime(2026, 6, 1, tzinfo=UTC))
    point = StreamPoint(ledger.store, clock, new_id(), "status-1")
    assert point.until == float("-inf")
    assert not await point.current(0.01)

    waiting = [asyncio.create_task(point.current(600)) for _ in range(2)]
    await asyncio.sleep(0)
    asked = clock.monotonic()
    await point.applied(Batch((), 0, asked, complete=True))
    assert await asyncio.gather(*waiting) == [True, True]
    assert point.until == asked + 1.0

    clock.advance(timedelta(seconds=1.1))
    assert not await point.current(0.01), "what renewed it once does not renew it again"
    await point.leave()
    assert point.until == float("-inf")


async def test_a_log_that_is_busy_but_moves_on_keeps_its_points_alive(ledger: Log) -> None:
    clock = FakeClock(datetime(2026, 6, 1, tzinfo=UTC))
    point = StreamPoint(ledger.store, clock, new_id(), "status-1")
    for index in range(1, 12):
        await ledger.record(2 * index)
        await ledger.move()
        await ledger.record(2 * index + 1)  # there is always one waiting when the point looks
        clock.advance(timedelta(seconds=0.4))
        await point.applied(Batch((), index, clock.monotonic(), complete=True))
        assert point.live


async def test_the_running_sequencer_takes_the_duty_and_hands_it_on(database: Database) -> None:
    clock = SystemClock()
    for number in range(2):
        stop = asyncio.Event()
        running = asyncio.create_task(Sequencer(database, clock, new_id()).run(stop))
        await database.commit(Unit().record(Event("test.happened", "system:test", (), {"n": number})))
        async with asyncio.timeout(120):
            while (await LedgerStore(database).head()).size <= number:
                await asyncio.sleep(0.01)
        stop.set()
        await running


async def test_what_changes_a_status_wakes_at_once_and_what_is_issued_in_its_pace(
    ledger: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[tuple[str, float]] = []
    monkeypatch.setattr(ledger.database, "wake", lambda channel, *, pace=0.0: woken.append((channel, pace)))

    async def commit(unit: Unit) -> list[tuple[str, float]]:
        woken.clear()
        await ledger.database.commit(unit)
        assert await ledger.move() == 1
        return list(woken)

    async def hold(_: Reader, unit: Unit) -> None:
        unit.record(Event("certificate.held", "system:test"))

    inbox, stream = await commit(Unit().record(Event("certificate.issued", "system:test")))
    assert inbox == (INBOX_CHANNEL, INBOX_PACE)
    assert stream[0] == STREAM_CHANNEL
    assert stream[1] > 0
    for unit in (*(Unit().record(Event(kind, "system:test")) for kind in sorted(URGENT_KINDS)), Unit().then(hold)):
        assert await commit(unit) == [(URGENT_CHANNEL, 0.0), (STREAM_CHANNEL, 0.0)]


async def test_the_running_sequencer_interrupts_its_pace_for_what_is_urgent(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("troth.audit.sequencer._PACE_SECONDS", 3600.0)
    running = asyncio.create_task(Sequencer(database, SystemClock(), new_id()).run(asyncio.Event()))
    store = LedgerStore(database)
    async with asyncio.timeout(120):
        for size, kind in enumerate(("certificate.held", "certificate.revoked", "certificate.released"), start=1):
            await database.commit(Unit().record(Event(kind, "system:test")))
            while (await store.head()).size < size:
                await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_lazy_follower_writes_down_what_concerned_somebody_and_the_rest_after_a_time(ledger: Log) -> None:
    clock, told = FakeClock(SystemClock().now()), list[int]()

    async def take(unit: Unit, events: Sequence[StreamEvent]) -> None:
        for event in events:
            if event.data["n"] == 3:
                told.append(event.index)
                unit.record(Event("other.happened", "system:test", (), {}))

    follower = Follower(ledger.database, clock, "test", frozenset({"test.happened"}), take, lazily=True)
    await begin(ledger.database, "test", 0)
    place, seen = 0, list[int]()
    for n, seconds in ((1, 0), (2, 1), (3, 1), (4, 1), (5, 20)):
        await ledger.record(n)
        await ledger.move()
        clock.advance(timedelta(seconds=seconds))
        events, following = await ledger.store.read_on(place, 100)
        place = await follower.taken(Batch(tuple(events), following, clock.monotonic(), True), place)
        seen.append(await ledger.database.fetchval("SELECT next FROM stream_follower WHERE name = 'test'"))
    # The first is written since nothing was for long; the third concerns somebody, and the last comes late.
    assert [now > before for before, now in pairwise((0, *seen))] == [True, False, True, False, True]
    assert len(told) == 1
