"""Time, handed in. No module of Troth but this one reads the machine's clock (an AST check holds that)."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """What a room may ask about time."""

    def now(self) -> datetime:
        """The present as an aware UTC datetime with microseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards; only differences mean anything. Leases are measured with it."""
        ...


class SystemClock:
    """The machine's own clock."""

    #: Asked several times for each packet, so nothing of ours stands between.
    monotonic = staticmethod(time.monotonic)

    def now(self) -> datetime:
        return datetime.now(UTC)


class FakeClock:
    """A clock that stands still until it is told to move: for tests, replays and simulations.

    >>> clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    >>> clock.advance(timedelta(minutes=5))
    """

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, by: timedelta) -> None:
        """Move both hands by ``by``, which must not be negative."""
        if by < timedelta(0):
            raise ValueError("a fake clock does not run backwards; use set_wall to model a clock step")
        self._now += by
        self._monotonic += by.total_seconds()

    def set_wall(self, to: datetime) -> None:
        """Step the wall clock alone, as a bad NTP server would."""
        self._now = to


@lru_cache(maxsize=256)
def ledger_time(moment: datetime) -> str:
    """``moment`` as the ledger writes times: UTC, ISO 8601, with microseconds. One is written in several events."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def to_seconds(moment: datetime) -> datetime:
    """``moment`` without its fraction of a second: X.509 times carry none (RFC 5280, 4.1.2.5)."""
    return moment.replace(microsecond=0)
