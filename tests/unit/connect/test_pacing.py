"""How fast another system is asked, and how long it is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.connect.pacing import LONGEST_PAUSE, Pace, Paces, asked_pause
from troth.kit.clock import FakeClock

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def sleeper(clock: FakeClock) -> Callable[[float], Awaitable[None]]:
    async def sleep(seconds: float) -> None:
        clock.advance(timedelta(seconds=seconds))

    return sleep


def pace(per_second: float, burst: int = 1) -> tuple[Pace, FakeClock]:
    clock = FakeClock(NOW)
    return Pace(clock, per_second=per_second, burst=burst, sleep=sleeper(clock)), clock


@pytest.mark.parametrize(("burst", "seconds"), [(1, 9.0), (5, 5.0), (10, 0.0)])
async def test_ten_requests_at_one_a_second_take_what_the_burst_leaves(burst: int, seconds: float) -> None:
    made, clock = pace(1, burst)
    for _ in range(10):
        await made.take()
    assert (clock.now() - NOW).total_seconds() == pytest.approx(seconds)


async def test_after_a_rest_the_burst_is_whole_again_and_no_larger() -> None:
    made, clock = pace(1, 3)
    for _ in range(3):
        await made.take()
    clock.advance(timedelta(hours=1))
    began = clock.now()
    for _ in range(4):
        await made.take()
    assert (clock.now() - began).total_seconds() == pytest.approx(1.0)


async def test_nobody_passes_while_it_is_held() -> None:
    made, clock = pace(100, 100)
    made.hold(30)
    made.hold(5)
    await asyncio.gather(made.take(), made.take())
    assert (clock.now() - NOW).total_seconds() == pytest.approx(30)


async def test_a_group_has_one_pace() -> None:
    clock = FakeClock(NOW)
    paces = Paces(clock, sleep=sleeper(clock))
    assert paces.of("a", per_second=1) is paces.of("a", per_second=50)
    assert paces.of("a", per_second=1) is not paces.of("b", per_second=1)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "Mon, 02 Mar 2026 09:00:20 GMT"}, 20),
        ({"x-limit": str(int(NOW.timestamp()) + 9)}, 9),
        ({"x-limit": "4", "retry-after": "99"}, 4),
        ({"retry-after": "soon"}, 30),
        ({}, 30),
        ({"retry-after": "Mon, 02 Mar 2020 09:00:20 GMT"}, 0),
        ({"retry-after": "999999"}, LONGEST_PAUSE),
        ({"x-limit": "9" * 60}, LONGEST_PAUSE),
    ],
)
def test_a_pause_is_read_as_it_is_asked_for_and_never_too_long(headers: dict[str, str], seconds: float) -> None:
    assert asked_pause(headers, NOW, ("x-limit", "retry-after")) == timedelta(seconds=seconds)


@given(st.text(max_size=80))
def test_whatever_a_header_says_the_pause_is_bounded(text: str) -> None:
    assert timedelta(0) <= asked_pause({"retry-after": text}, NOW) <= timedelta(seconds=LONGEST_PAUSE)
