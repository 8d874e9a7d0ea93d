"""How many requests one access server may have at once and in a second; few where it does not answer."""

from __future__ import annotations

from dataclasses import dataclass

from troth.radius.dynamic.model import Equipment


@dataclass(slots=True)
class Gate:
    """One access server. Mass quarantine must not melt a controller, and a dead one must not hold up the others.

    Attributes:
        running: requests that wait for its answer.
        failures: rounds in a row without an answer; then one alone is tried.
    """

    at_once: int = 16
    per_second: float = 100.0
    running: int = 0
    failures: int = 0
    _tokens: float = 1.0
    _counted: float | None = None

    def limit(self, equipment: Equipment) -> None:
        """Take over what its definition says."""
        self.at_once, self.per_second = equipment.at_once, equipment.per_second

    def room(self, monotonic: float) -> int:
        """How many may be begun now."""
        if self._counted is None:
            self._tokens = self._burst
        else:
            self._tokens = min(self._burst, self._tokens + (monotonic - self._counted) * self.per_second)
        self._counted = monotonic
        most = 1 if self.failures >= 3 else self.at_once
        return max(0, min(most - self.running, int(self._tokens)))

    @property
    def _burst(self) -> float:
        """A second's worth, and no less than what it may have at once."""
        return max(1.0, self.per_second, float(self.at_once))

    def begin(self) -> None:
        """One is begun."""
        self.running += 1
        self._tokens -= 1

    def end(self) -> None:
        """One has ended, however."""
        self.running -= 1

    def answered(self) -> None:
        """It answers."""
        self.failures = 0

    def silent(self) -> None:
        """It did not."""
        self.failures += 1
