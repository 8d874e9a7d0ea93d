from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from troth.kit.clock import FakeClock, SystemClock, to_seconds

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_system_time_is_aware_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_system_monotonic_never_runs_backwards() -> None:
    clock = SystemClock()
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)


def test_a_fake_clock_stands_still() -> None:
    clock = FakeClock(START)
    assert clock.now() == clock.now() == START
    assert clock.monotonic() == clock.monotonic()


def test_advancing_moves_both_hands() -> None:
    clock = FakeClock(START)
    before = clock.monotonic()
    clock.advance(timedelta(seconds=90, milliseconds=500))
    assert clock.now() == START + timedelta(seconds=90.5)
    assert clock.monotonic() - before == pytest.approx(90.5)


def test_a_fake_clock_refuses_to_run_backwards() -> None:
    clock = FakeClock(START)
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(timedelta(microseconds=-1))
    assert clock.now() == START


def test_stepping_the_wall_leaves_the_monotonic_hand() -> None:
    clock = FakeClock(START)
    before = clock.monotonic()
    clock.set_wall(START - timedelta(hours=1))
    assert clock.now() == START - timedelta(hours=1)
    assert clock.monotonic() == before


def test_to_seconds_cuts_and_does_not_round() -> None:
    assert to_seconds(START.replace(microsecond=999_999)) == START
