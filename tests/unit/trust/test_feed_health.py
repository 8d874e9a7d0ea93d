"""A feed's health is a function of when it was heard and of now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.trust.feeds.health import Health, frozen, health, present_silence
from troth.trust.feeds.health_store import Heard, Silence

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("seconds", "state", "since"),
    [
        (0, Health.FRESH, 0),
        (59, Health.FRESH, 0),
        (60, Health.LATE, 60),
        (119, Health.LATE, 60),
        (120, Health.STALE, 120),
        (599, Health.STALE, 120),
        (600, Health.DEAD, 600),
        (10**6, Health.DEAD, 600),
    ],
)
def test_a_silent_feed_is_late_after_its_cadence_stale_after_twice_and_dead_after_ten_times(
    seconds: int, state: Health, since: int
) -> None:
    now = T0 + timedelta(seconds=seconds)
    assert health(MINUTE, T0, now) == (state, T0 + timedelta(seconds=since))


def test_a_feed_without_a_cadence_is_never_missed() -> None:
    assert health(None, T0, T0 + timedelta(days=900))[0] is Health.UNWATCHED
    assert present_silence(Heard("a", None, T0, True, "fresh"), T0 + timedelta(days=900)) is None


def test_the_present_silence_began_when_the_feed_became_stale_whenever_one_looks() -> None:
    heard = Heard("edr", MINUTE, T0, True, "fresh")
    assert present_silence(heard, T0 + MINUTE) is None
    for later in (2, 3, 500):
        assert present_silence(heard, T0 + later * MINUTE) == Silence("edr", T0 + 2 * MINUTE, None)


_minutes = st.integers(0, 1_000).map(lambda n: T0 + n * MINUTE)


@st.composite
def _silences(draw: st.DrawFn) -> list[Silence]:
    marks = sorted(draw(st.lists(_minutes, max_size=8, unique=True)))
    found = [Silence("edr", since, until) for since, until in zip(marks[::2], marks[1::2], strict=False)]
    if len(marks) % 2:
        found.append(Silence("edr", marks[-1], None))
    return found


@given(_silences(), _minutes, _minutes)
def test_frozen_time_is_what_a_count_of_minutes_says(silences: list[Silence], start: datetime, end: datetime) -> None:
    counted, minute = 0, start
    while minute < end:
        counted += any(one.since <= minute and (one.until is None or minute < one.until) for one in silences)
        minute += MINUTE
    assert frozen(silences, start, end) == counted * MINUTE


@given(_silences(), _minutes, _minutes, _minutes)
def test_frozen_time_adds_up_so_that_nothing_grows_younger(
    silences: list[Silence], one: datetime, two: datetime, three: datetime
) -> None:
    start, middle, end = sorted((one, two, three))
    assert frozen(silences, start, end) == frozen(silences, start, middle) + frozen(silences, middle, end)
    assert timedelta(0) <= frozen(silences, start, end) <= end - start
