"""Windows of renewal: where they lie, that they are spread, and what pulls them into the past."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.enroll.acme.incident_store import Incident, Selector
from troth.enroll.acme.incidents import turns_of
from troth.enroll.acme.renewal import usual_window, window_of
from troth.enroll.acme.renewal_store import Renewable

START = datetime(2026, 1, 1, tzinfo=UTC)
serials = st.binary(min_size=1, max_size=20)


def one(life: timedelta = timedelta(days=90), **more: object) -> Renewable:
    fields = {"revoked": False, "status_at": START, "due_at": None} | more
    return Renewable(uuid4(), "issuing", b"\x07", (), START, START + life, **fields)  # type: ignore[arg-type]


@given(serials, st.integers(60, 3 * 365 * 86_400))
def test_every_window_lies_within_the_life_and_leaves_time_to_renew(serial: bytes, seconds: int) -> None:
    end = START + timedelta(seconds=seconds)
    first, last = usual_window(serial, START, end)
    assert START < first < last < end
    life = end - START
    assert end - last >= life * 0.28 - timedelta(seconds=3)
    assert first - START >= life * 0.45 - timedelta(seconds=3)


def test_a_fleet_is_spread_evenly() -> None:
    end = START + timedelta(days=90)
    begun = sorted(usual_window(n.to_bytes(8, "big"), START, end)[0] for n in range(2000))
    width = begun[-1] - begun[0]
    assert width > timedelta(days=3)
    thirds = [sum(1 for at in begun if (at - begun[0]) / width * 3 // 1 == part) for part in range(3)]
    assert all(550 < many < 790 for many in thirds)


@pytest.mark.parametrize(("life", "least", "most"), [(timedelta(days=90), 19440, 23760), (timedelta(hours=4), 648, 792),
                                                     (timedelta(minutes=5), 60, 66)])  # fmt: skip
def test_clients_of_short_certificates_are_asked_back_sooner_and_never_together(
    life: timedelta, least: int, most: int
) -> None:
    told = {window_of(one(life), START).retry_after for _ in range(200)}
    assert all(least <= seconds <= most for seconds in told)
    assert len(told) > 3


def test_a_revoked_certificate_is_to_be_renewed_at_once() -> None:
    at = START + timedelta(days=3)
    told = window_of(one(revoked=True, status_at=at), at)
    assert told.start < told.end < at
    assert 60 <= told.retry_after <= 3960


def test_before_its_turn_the_window_is_as_ever_and_the_client_comes_back_for_its_turn() -> None:
    due = START + timedelta(minutes=10)
    told = window_of(one(due_at=due, explanation_url="https://a/why"), START)
    assert (told.start, told.end) == usual_window(b"\x07", START, START + timedelta(days=90))
    assert (told.retry_after, told.explanation_url) == (601, "https://a/why")
    later = window_of(one(due_at=due), due)
    assert later.start < later.end < due
    again = window_of(one(due_at=due), due + timedelta(days=1))
    assert (again.start, again.end) == (later.start, later.end)


def test_certificates_of_a_drained_authority_have_turns_evenly_until_the_day_that_is_set() -> None:
    until = START + timedelta(days=10)
    turns = []
    for number in range(400):
        drained = replace(one(drained_from=START, renew_by=until), serial=number.to_bytes(8, "big"))
        assert window_of(drained, START).start > until  # not yet: as ever
        assert window_of(drained, until - timedelta(days=1)).end < until - timedelta(days=1)
        turns.append(sum(window_of(drained, START + timedelta(days=n)).end > until for n in range(10)))
    assert [sum(turn == days for turn in turns) > 20 for days in range(1, 10)] == [True] * 9


def test_a_turn_that_comes_after_the_usual_window_changes_nothing() -> None:
    due = START + timedelta(days=80)
    assert window_of(one(due_at=due), due + timedelta(days=1)).start < due - timedelta(days=10)


@given(st.integers(1, 5000), st.integers(0, 10_000), st.integers(0, 600))
def test_no_minute_has_more_turns_than_asked_for(per_minute: int, before: int, count: int) -> None:
    incident = Incident(uuid4(), "{}", "", "", per_minute, "spreading", None, before, "", START, None)
    turns = turns_of(incident, count)
    assert turns == sorted(turns)
    for first, behind in zip(turns, turns[per_minute:], strict=False):
        assert behind - first >= timedelta(seconds=59.99)


words, times = st.none() | st.text(min_size=1, max_size=5), st.none() | st.datetimes(timezones=st.just(UTC))


@given(st.builds(Selector, words, words, words, times, times, st.lists(serials, max_size=3).map(tuple)))
def test_a_selector_is_read_as_it_was_written(selector: Selector) -> None:
    assert Selector.read(selector.text()) == selector
