"""Folding accounting: the table follows from the set of records, whatever their order, batches and repetitions."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.accounting_month import Plan, Row, expected, month
from troth.kit.ids import new_id
from troth.radius.sessions.batch import Batch
from troth.radius.sessions.model import Admitted, Ages, Boot, Counters, Heard, Port, Session, Told, Where, Withdrawn

BEGINS = datetime(2026, 11, 1, tzinfo=UTC)
_AGES = Ages()
_WHERE = Where("wlc", "wlc/192.0.2.1", "192.0.2.1", "192.0.2.1", "wlc")
_PORT = Port(mac="02-00-00-00-00-01", acct_session_id="A1", called_station_id="AP:corp")


def fold_all(batches: list[list[Heard]]) -> list[Session]:
    """Batch after batch, as the worker does: boots are remembered, sessions read again."""
    known: dict[UUID, Session] = {}
    boots: list[Boot] = []
    for heard in batches:
        batch = Batch(_AGES, known.values(), boots)
        batch.fold(heard)
        boots += [
            Boot(one.where.nas, one.where.box, one.port.called_station_id, one.at)
            for one in heard
            if isinstance(one, Told) and one.status in ("on", "off")
        ]
        known = {one.id: one for one in batch.sessions()}
    return list(known.values())


def rows(sessions: list[Session]) -> list[Row]:
    found = [
        Row(
            *one.key, one.port.mac, one.started_at or one.opened_at, one.ended_at, one.ended_by,
            (one.counters.seconds, one.counters.octets_in, one.counters.octets_out, one.counters.packets_in,
             one.counters.packets_out), one.cause,
        )
        for one in sessions
    ]  # fmt: skip
    return sorted(found, key=lambda row: (row.nas, row.box, row.acct_session_id, row.started_at))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), shuffle=st.integers(0, 2**32), size=st.integers(1, 60))
def test_whatever_the_order_and_the_losses_the_table_is_the_models(seed: int, shuffle: int, size: int) -> None:
    records = month(Plan(boxes=2, sessions=6, days=2.0, reboots=2), seed, BEGINS)
    shuffled = [one.told for one in records]
    random.Random(shuffle).shuffle(shuffled)
    batches: list[list[Heard]] = [list(shuffled[at : at + size]) for at in range(0, len(shuffled), size)]
    assert rows(fold_all(batches)) == expected(records)


def _told(status: str, second: int, *, seconds: int | None = None, **more: object) -> Told:
    at = BEGINS + timedelta(seconds=second)
    began = at if status == "start" else None if seconds is None else at - timedelta(seconds=seconds)
    made = Told(status, _WHERE, at, at, _PORT, Counters(seconds or 0), began)  # type: ignore[arg-type]
    return replace(made, **more)  # type: ignore[arg-type]


def _admitted(class_: bytes, second: int, **more: object) -> Admitted:
    made = Admitted(
        class_, _WHERE, replace(_PORT, acct_session_id=""), BEGINS + timedelta(seconds=second), "corp", "staff",
        "eap-tls", "allow", "policy.allowed", "alice@corp.example", new_id(), "0a", (new_id(),), (0,),
        BEGINS + timedelta(hours=8),
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def test_accounting_finds_its_admission_by_class_in_either_order() -> None:
    accept, start = _admitted(b"k" * 16, 0), _told("start", 2, class_=b"k" * 16)
    for heard in ([accept, start], [start, accept]):
        (session,) = fold_all([[one] for one in heard])
        assert (session.port.acct_session_id, session.network, session.user_name) == (
            "A1",
            "corp",
            "alice@corp.example",
        )
        assert session.until == accept.until
        assert session.started_at == start.at


def test_without_class_the_station_tells_to_which_accept_accounting_belongs() -> None:
    (session,) = fold_all([[_admitted(b"k" * 16, 0)], [_told("start", 30)]])
    assert session.certificate_id is not None
    assert session.port.acct_session_id == "A1"
    late = fold_all([[_admitted(b"k" * 16, 0)], [_told("start", 3600)]])
    assert len(late) == 2


def test_authenticating_anew_keeps_the_session_and_the_latest_verdict() -> None:
    first, again = _admitted(b"a" * 16, 0), _admitted(b"b" * 16, 7200, place="quarantine")
    (session,) = fold_all(
        [[first], [_told("start", 1, class_=b"a" * 16)], [again], [_told("interim", 7300, seconds=7299)]]
    )
    assert (session.place, session.class_, session.started_at) == (
        "quarantine",
        b"b" * 16,
        BEGINS + timedelta(seconds=1),
    )
    (other,) = fold_all([[again], [first]])
    assert other.place == "quarantine"


def test_what_was_withdrawn_ends_only_what_it_had_opened_itself() -> None:
    first, again = _admitted(b"a" * 16, 0), _admitted(b"b" * 16, 7200)
    (gone,) = fold_all([[first, Withdrawn(b"a" * 16, BEGINS + timedelta(seconds=9))]])
    assert (gone.ended_by, gone.ended_at) == ("withdrawn", BEGINS + timedelta(seconds=9))
    (after,) = fold_all([[first], [Withdrawn(b"a" * 16, BEGINS)], [first]])
    assert after.ended_by == "withdrawn", "the journal may bring an admission twice"
    (on,) = fold_all([[first], [again], [Withdrawn(b"b" * 16, BEGINS + timedelta(seconds=7201))]])
    assert on.open
    (told,) = fold_all([[first], [Withdrawn(b"a" * 16, BEGINS)], [_told("start", 60, class_=b"a" * 16)]])
    assert told.open, "its access server knows better"


def test_a_station_that_moves_on_with_its_class_takes_its_admission_along() -> None:
    accept = _admitted(b"k" * 16, 0)
    there = replace(_WHERE, box="wlc-2/192.0.2.2")
    sessions = fold_all([[accept], [_told("start", 1, class_=b"k" * 16)],
                         [_told("start", 600, class_=b"k" * 16, where=there)]])  # fmt: skip
    assert [(one.where.box, one.certificate_id) for one in sessions] == [
        ("wlc/192.0.2.1", accept.certificate_id), ("wlc-2/192.0.2.2", accept.certificate_id),
    ]  # fmt: skip


def test_logging_in_again_after_a_stop_is_another_session_even_within_one_batch() -> None:
    heard: list[Heard] = [
        _admitted(b"a" * 16, 0), _told("start", 1, class_=b"a" * 16), _told("stop", 50, seconds=49),
        _admitted(b"b" * 16, 60),
    ]  # fmt: skip
    for batches in ([heard], [[one] for one in heard]):
        first, second = fold_all(batches)
        assert (first.ended_by, first.class_) == ("stop", b"a" * 16)
        assert (second.open, second.class_) == (True, b"b" * 16)


def test_a_boot_of_one_radio_ends_the_sessions_of_that_radio_alone() -> None:
    other = replace(_PORT, mac="02-00-00-00-00-02", acct_session_id="B1", called_station_id="AP:guest")
    boot = _told("on", 100, port=Port(called_station_id="AP:guest"))
    sessions = fold_all([[_told("start", 1), _told("start", 2, port=other)], [boot]])
    assert {one.port.called_station_id: one.ended_by for one in sessions} == {"AP:corp": "", "AP:guest": "boot"}


def test_a_record_from_after_our_own_end_opens_the_session_again() -> None:
    (session,) = fold_all([[_told("start", 0)]])
    closed = replace(session, closed_at=BEGINS + timedelta(hours=1), closed_by="age",
                     ended_at=BEGINS + timedelta(hours=1), ended_by="age")  # fmt: skip
    before, after = Batch(_AGES, [closed]), Batch(_AGES, [closed])
    before.fold([_told("interim", 1800, seconds=1800)])
    after.fold([_told("interim", 7200, seconds=7200)])
    assert [one.ended_by for one in (*before.sessions(), *after.sessions())] == ["age", ""]


def test_when_a_session_ages_depends_on_what_it_has_promised() -> None:
    (bare,) = fold_all([[_told("start", 0)]])
    (admitted,) = fold_all([[_admitted(b"k" * 16, 0)]])
    (telling,) = fold_all([[_told("start", 0)], [_told("interim", 600, seconds=600)]])
    assert bare.ages_at == BEGINS + timedelta(hours=24)
    assert admitted.ages_at == BEGINS + timedelta(hours=8, minutes=1)
    assert telling.ages_at == BEGINS + timedelta(seconds=600 + 1800 + 60)
