"""The trust table: the later status wins, wherever it came from, and a miss is never a yes."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.audit.event import StreamEvent
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id
from troth.pki.events import certificate_event
from troth.pki.model import State, Status
from troth.pki.serial import SerialNumber
from troth.status.model import Entry, Found
from troth.status.table import StatusTable

SERIAL = SerialNumber(bytes.fromhex("40" + "00" * 14 + "01"))


def other(number: int) -> SerialNumber:
    return SerialNumber(b"\x40" + number.to_bytes(15, "big"))


def entry(
    clock: FakeClock,
    status: Status,
    version: int,
    *,
    serial: SerialNumber = SERIAL,
    ends: timedelta = timedelta(days=7),
) -> Entry:
    reason = {"good": None, "held": 6, "revoked": 1}[status]
    return Entry(serial, "issuing", status, version, clock.now(), reason, clock.now() + ends)


def found(what: Entry, state: State = "issued") -> Found:
    return Found(what, state)


def event(what: Entry) -> StreamEvent:
    kind = {"good": "certificate.released", "held": "certificate.held", "revoked": "certificate.revoked"}[what.status]
    made = certificate_event(
        kind,
        actor="test:table",
        certificate_id=new_id(),
        serial=what.serial,
        authority=what.authority,
        status=what.status,
        status_version=what.version,
        status_at=what.at,
        reason=what.reason,
        not_after=what.not_after,
    )
    return StreamEvent(0, new_id(), new_id(), what.at, kind, made.actor, made.subjects, made.data)


@pytest.fixture
def table(clock: FakeClock) -> StatusTable:
    return StatusTable(clock)


def test_an_unknown_serial_must_be_looked_up(table: StatusTable) -> None:
    assert table.find(SERIAL) is None
    assert table.settle(None) is None
    assert table.find(SERIAL) is None


def test_an_event_carries_the_whole_status(table: StatusTable, clock: FakeClock) -> None:
    held = entry(clock, "held", 1)
    table.apply([event(held)])
    assert table.find(SERIAL) == held


def test_a_look_up_that_found_good_is_remembered(table: StatusTable, clock: FakeClock) -> None:
    good = entry(clock, "good", 0)
    assert table.settle(found(good)) == good
    assert table.find(SERIAL) == good
    assert (table.not_good, table.seen) == (0, 1)


@pytest.mark.parametrize("state", ["reserved", "burnt"])
def test_what_was_not_issued_is_neither_good_nor_remembered(table: StatusTable, clock: FakeClock, state: State) -> None:
    assert table.settle(found(entry(clock, "good", 0), state)) is None
    assert table.find(SERIAL) is None
    assert table.seen == 0


def test_a_reserved_serial_that_is_held_is_told_as_held(table: StatusTable, clock: FakeClock) -> None:
    held = entry(clock, "held", 1)
    assert table.settle(found(held, "reserved")) == held


def test_a_hold_that_arrives_during_a_look_up_wins(table: StatusTable, clock: FakeClock) -> None:
    row = found(entry(clock, "good", 0))
    held = entry(clock, "held", 1)
    table.apply([event(held)])
    assert table.settle(row) == held
    assert table.find(SERIAL) == held


def test_a_hold_displaces_what_was_remembered_as_good(table: StatusTable, clock: FakeClock) -> None:
    table.settle(found(entry(clock, "good", 0)))
    held = entry(clock, "held", 1)
    table.apply([event(held)])
    assert table.find(SERIAL) == held
    assert table.seen == 0


def test_a_row_ahead_of_the_stream_is_taken_over(table: StatusTable, clock: FakeClock) -> None:
    held = entry(clock, "held", 1)
    assert table.settle(found(held)) == held
    assert table.not_good == 1
    released = entry(clock, "good", 2)
    assert table.settle(found(released)) == released
    assert table.not_good == 0


def test_a_late_hold_cannot_undo_the_release_that_came_first(table: StatusTable, clock: FakeClock) -> None:
    table.apply([event(entry(clock, "good", 2)), event(entry(clock, "held", 1))])
    assert table.not_good == 0
    # Not even when the look-up's row is older still: the status is good, the row says that it was issued.
    answered = table.settle(found(entry(clock, "held", 1)))
    assert answered is not None
    assert (answered.status, answered.version) == ("good", 2)


def test_a_release_is_not_a_proof_of_issuance(table: StatusTable, clock: FakeClock) -> None:
    table.apply([event(entry(clock, "held", 1)), event(entry(clock, "good", 2))])
    assert table.find(SERIAL) is None
    assert table.settle(found(entry(clock, "good", 2), "reserved")) is None


def test_expired_entries_are_forgotten_and_left_to_the_database(table: StatusTable, clock: FakeClock) -> None:
    table.load([entry(clock, "revoked", 1, ends=timedelta(hours=1)), entry(clock, "revoked", 1, serial=other(2))])
    assert table.not_good == 2
    clock.advance(timedelta(hours=1))
    table.apply([])
    assert table.not_good == 1
    assert table.find(SERIAL) is None
    past = entry(clock, "revoked", 1, ends=timedelta(0))
    assert table.settle(found(past)) == past
    assert table.not_good == 1


def test_the_memory_of_good_ones_is_bounded_and_forgets_the_least_used(clock: FakeClock) -> None:
    table = StatusTable(clock, remembered=3)
    for number in range(3):
        table.settle(found(entry(clock, "good", 0, serial=other(number))))
    table.find(other(0))
    table.settle(found(entry(clock, "good", 0, serial=other(3))))
    assert table.seen == 3
    assert table.find(other(0)) is not None
    assert table.find(other(1)) is None


def test_releases_are_forgotten_after_a_while(table: StatusTable, clock: FakeClock) -> None:
    table.apply([event(entry(clock, "held", 1)), event(entry(clock, "good", 2))])
    clock.advance(timedelta(minutes=16))
    table.apply([])
    assert table._released == {}


def test_events_of_other_kinds_pass_by(table: StatusTable, clock: FakeClock) -> None:
    other_event = StreamEvent(0, new_id(), new_id(), clock.now(), "certificate.renewed", "a", (), {})
    login = StreamEvent(1, new_id(), new_id(), clock.now(), "access.logged_in", "a", (), {"status_version": 1})
    table.apply([other_event, login])
    assert table.not_good == 0


#: One certificate's life: good, then one change after the other; a revocation is the last.
LIFE: list[Status] = ["good", "held", "good", "held", "revoked"]


@given(
    order=st.permutations(range(1, len(LIFE))),
    lookups=st.lists(st.integers(0, len(LIFE) - 1), max_size=4),
    cut=st.integers(0, len(LIFE) - 1),
    data=st.data(),
)
def test_in_whatever_order_they_come_the_greatest_version_is_told(
    order: list[int], lookups: list[int], cut: int, data: st.DataObject
) -> None:
    clock = FakeClock(datetime(2026, 3, 2).astimezone())
    table = StatusTable(clock)
    applied = -1
    queue = data.draw(st.permutations([*(("event", n) for n in order[:cut]), *(("row", n) for n in lookups)]))
    for source, number in queue:
        what = entry(clock, LIFE[number], number)
        if source == "event":
            table.apply([event(what)])
        else:
            table.settle(found(what))
        applied = max(applied, number)
    final = entry(clock, LIFE[-1], len(LIFE) - 1)
    newest = table.settle(found(entry(clock, LIFE[max(applied, 0)], max(applied, 0))))
    assert newest is not None
    assert newest.status == LIFE[max(applied, 0)]
    table.apply([event(final)])
    told = table.find(SERIAL)
    assert told is not None
    assert told.status == "revoked"


def test_every_order_of_two_changes_ends_the_same(clock: FakeClock) -> None:
    changes = [event(entry(clock, "held", 1)), event(entry(clock, "good", 2)), event(entry(clock, "held", 3))]
    for order in itertools.permutations(changes):
        table = StatusTable(clock)
        table.apply(order)
        told = table.find(SERIAL)
        assert told is not None
        assert (told.status, told.version) == ("held", 3)
