"""When to renew and when to try again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.support.clocks import START
from troth.agent.schedule import DEFAULT_ASK, Lifetime, ask_again, pause, renewal
from troth.agent.state import Window

DAY = timedelta(days=1)
YEAR = Lifetime(START, START + 90 * DAY)

shares = st.floats(0, 1)
_naive = START.replace(tzinfo=None)
moments = st.datetimes(_naive.replace(year=2000), _naive.replace(year=2100), timezones=st.just(UTC))


def test_without_a_suggestion_a_fleet_is_spread_over_a_twentieth_of_the_lifetime() -> None:
    first, _ = renewal(YEAR, None, 1.0, 0.66)
    last, why = renewal(YEAR, None, 0.0, 0.66)

    assert first == START + 90 * DAY * 0.61
    assert last == START + 90 * DAY * 0.66
    assert why == "66% of its lifetime will be over"


def test_a_place_in_the_window_is_taken_by_chance() -> None:
    window = Window(START + 10 * DAY, START + 20 * DAY)
    assert renewal(YEAR, window, 0.25, 0.66) == (START + 12.5 * DAY, "the server suggests it")


def test_a_window_that_ends_before_it_begins_is_none() -> None:
    window = Window(START + 20 * DAY, START + 10 * DAY)
    assert renewal(YEAR, window, 0.5, 0.66) == renewal(YEAR, None, 0.5, 0.66)


def test_a_window_after_the_end_is_not_followed() -> None:
    window = Window(START + 100 * DAY, START + 110 * DAY)
    assert renewal(YEAR, window, 0.5, 0.66) == (START + 90 * DAY * 0.95, "the server's suggestion is too late")


@given(moments, st.timedeltas(timedelta(seconds=-5), timedelta(days=4000)), moments, moments, shares,
       st.floats(0.1, 0.95))  # fmt: skip
def test_whatever_is_suggested_it_is_renewed_before_its_end(
    begins: datetime, length: timedelta, start: datetime, end: datetime, draw: float, renew_at: float
) -> None:
    lifetime = Lifetime(begins, begins + length)
    for window in (None, Window(start, end)):
        chosen, why = renewal(lifetime, window, draw, renew_at)
        assert chosen <= lifetime.after(1)
        assert why


@given(st.integers(1, 10_000), st.timedeltas(timedelta(0), timedelta(days=4000)), shares, st.floats(0, 1e12))
def test_a_pause_is_never_nothing_never_more_than_a_day_and_leaves_ten_tries(
    failures: int, left: timedelta, chance: float, asked: float
) -> None:
    wait = pause(failures, left, chance, 0.0)
    assert timedelta(seconds=1) <= wait <= timedelta(hours=6)
    if left > timedelta(minutes=5):
        assert wait * 10 <= left
    assert wait <= pause(failures, left, chance, asked) <= timedelta(hours=24)


def test_pauses_double_and_a_fleet_does_not_come_back_as_one() -> None:
    waits = [pause(count, 30 * DAY, 1.0, 0.0).total_seconds() for count in range(1, 12)]
    assert waits == [60, 120, 240, 480, 960, 1920, 3840, 7680, 15360, 21600, 21600]
    assert pause(1, 30 * DAY, 0.0, 0.0) == timedelta(seconds=30)
    assert pause(1, timedelta(0), 1.0, 0.0) == timedelta(seconds=30)
    assert pause(99, timedelta(0), 1.0, 0.0) == timedelta(minutes=15)


def test_the_server_is_asked_again_when_it_said_so_within_bounds() -> None:
    assert ask_again(0.0) == DEFAULT_ASK
    assert ask_again(1.0) == timedelta(minutes=1)
    assert ask_again(7200.0) == timedelta(hours=2)
    assert ask_again(1e300) == DAY
