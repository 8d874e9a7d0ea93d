"""How much of a target may be asked now: its rate, how many at once, and a circuit breaker. Pure but for the clock.

In the memory of one worker. What the breaker knows is written down as well, so that a restart does not forget it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

#: Failures in a row that open the breaker.
OPENS_AT: Final = 5
_FIRST_PAUSE: Final = timedelta(seconds=15)
_LONGEST_PAUSE: Final = timedelta(minutes=10)

#: At once at one target: enough to hide its latency, too few to be its outage.
AT_ONCE: Final = 16


@dataclass(slots=True)
class Turnstile:
    """One target.

    Attributes:
        per_minute: effects begun in a minute at most; a second's worth may be begun at once.
        failures: tries in a row that came to nothing.
        open_until: not asked before; then one try alone shows whether it is back.
    """

    per_minute: int = 6_000
    failures: int = 0
    open_until: datetime | None = None
    running: int = 0
    _tokens: float = -1.0
    _counted: float = 0.0

    @property
    def _burst(self) -> float:
        return max(1.0, self.per_minute / 60)

    def room(self, now: datetime, monotonic: float) -> int:
        """How many may be begun now."""
        self._refill(monotonic)
        if self.open_until is not None:
            return int(now >= self.open_until and self.running == 0)
        return max(0, min(AT_ONCE - self.running, int(self._tokens)))

    def begin(self, number: int) -> None:
        """``number`` of them are begun."""
        self.running += number
        self._tokens -= number

    def succeeded(self) -> bool:
        """One has answered. Returns whether that is news."""
        self.running -= 1
        news = self.failures > 0
        self.failures, self.open_until = 0, None
        return news

    def failed(self, now: datetime) -> None:
        """One has come to nothing."""
        self.running -= 1
        self.failures += 1
        if self.failures >= OPENS_AT:
            doublings = min(self.failures - OPENS_AT, 10)
            self.open_until = now + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**doublings)

    def ended(self) -> None:
        """One ended in a way that says nothing of the target."""
        self.running -= 1

    def _refill(self, monotonic: float) -> None:
        if self._tokens < 0 and self._counted == 0.0:
            self._tokens = self._burst
        else:
            self._tokens = min(self._burst, self._tokens + (monotonic - self._counted) * self.per_minute / 60)
        self._counted = monotonic
