"""Guesses: how many wrong passwords an account and an access server may send. Time is handed in; memory is bounded.

Per process: with N processes somebody has N times as many guesses, of passwords with 119 bits. What is bounded here is
the work (each check takes 64 MiB and some 50 ms), more than the luck.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_KEPT: Final = 10_000
#: So many wrong ones at once, and then one more in so many seconds.
BURST: Final = 5
SECONDS: Final = 12.0


class Guesses:
    """A bucket per key: an account's name, an access server's."""

    def __init__(self, burst: int = BURST, seconds: float = SECONDS) -> None:
        self._burst = burst
        self._seconds = seconds
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def may(self, key: str, now: float) -> bool:
        """Whether another one may be tried."""
        return self._level(key, now) < self._burst

    def wrong(self, key: str, now: float) -> None:
        """One was tried and wrong."""
        self._buckets[key] = (self._level(key, now) + 1.0, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > _KEPT:
            self._buckets.popitem(last=False)

    def _level(self, key: str, now: float) -> float:
        level, at = self._buckets.get(key, (0.0, now))
        return max(0.0, level - (now - at) / self._seconds)
