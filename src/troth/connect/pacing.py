"""How fast somebody else's system may be asked, kept by whoever asks it: all reads of one tenant share one pace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, TypeAlias

from troth.kit.clock import Clock

Sleep: TypeAlias = Callable[[float], Awaitable[None]]

#: Nobody is believed who asks for a longer pause: a wrong header must not silence a feed for a week.
LONGEST_PAUSE: Final = 900.0
_ABSENT: Final = 30.0
#: Seconds of the shortest wait: what rounding leaves over would else be waited for again and again.
_LEAST: Final = 0.001
#: Numbers above this are moments (seconds since 1970), below it spans.
_EPOCH: Final = 1_000_000_000


class Pace:
    """At most ``per_second`` requests, ``burst`` at once after a pause; and none before a moment that was asked for.

    Callers pass one after the other, in the order in which they came.
    """

    def __init__(self, clock: Clock, *, per_second: float, burst: int = 1, sleep: Sleep = asyncio.sleep) -> None:
        self._clock = clock
        self._every = 1.0 / per_second
        self._slack = (burst - 1) / per_second
        self._sleep = sleep
        self._next = float("-inf")
        self._held = float("-inf")
        self._turn = asyncio.Lock()

    async def take(self) -> None:
        """Wait for one's turn."""
        async with self._turn:
            while (wait := self._wait()) > 0:
                await self._sleep(max(wait, _LEAST))
            self._next = max(self._next, self._clock.monotonic()) + self._every

    def hold(self, seconds: float) -> None:
        """Let nobody pass for that long."""
        self._held = max(self._held, self._clock.monotonic() + min(seconds, LONGEST_PAUSE))

    def _wait(self) -> float:
        return max(self._next - self._slack, self._held) - self._clock.monotonic()


class Paces:
    """The paces of this process by group: connectors of one tenant ask at one pace."""

    def __init__(self, clock: Clock, *, sleep: Sleep = asyncio.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._known: dict[str, Pace] = {}

    def of(self, group: str, *, per_second: float, burst: int = 1) -> Pace:
        """The one pace of ``group``; the first caller's figures count."""
        if group not in self._known:
            self._known[group] = Pace(self._clock, per_second=per_second, burst=burst, sleep=self._sleep)
        return self._known[group]


def asked_pause(headers: Mapping[str, str], now: datetime, names: Sequence[str] = ("retry-after",)) -> timedelta:
    """How long the other system asks us to wait, by the first of ``names`` (lower-case) that can be read.

    Seconds, an HTTP date (RFC 9110, 10.2.3), or seconds since 1970 as several vendors send. Without any: 30 s.
    """
    for name in names:
        seconds = _seconds(headers.get(name, "").strip(), now)
        if seconds is not None:
            return timedelta(seconds=min(max(seconds, 0.0), LONGEST_PAUSE))
    return timedelta(seconds=_ABSENT)


def _seconds(text: str, now: datetime) -> float | None:
    if not text or len(text) > 64:
        return None
    if text.isdecimal():
        number = int(text)
        return float(number) if number < _EPOCH else number - now.timestamp()
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
