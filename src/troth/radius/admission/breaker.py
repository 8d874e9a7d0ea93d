"""The admission breaker: when too many who were let in before would newly be refused for one reason, people are called.

A feed that reports a whole campus as not compliant, a policy with a slip in it, an attribute that nobody reports any
more: each would close the network within the hour. So for every reason it is counted how many devices that were let in
before are now refused for it, among all that were let in before and ask again within the window. Above the network's
share the breaker opens for that reason, for a bounded time: whoever was let in before is then met as ``feed_down:`` of
the policy says (its ruling; or, where it takes the last word for a while, as at last, but no better than *restrict*),
marked, and counted apart.

It never makes a hard denial milder: a certificate that is revoked or held, a chain that does not hold, a standing. The
*standing* of a subject is laid over what it gives, as over everything.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass

from troth.kit.clock import Clock
from troth.radius.admission.model import Network, Verdict
from troth.trust.model import Outcome

#: Devices whose last outcome is remembered.
_REMEMBERED = 200_000


@dataclass(frozen=True, slots=True)
class Opened:
    """The breaker has opened: what people are told.

    Attributes:
        refused, asked: devices that would newly be refused for ``reason``, of those that were let in before.
        until: monotonic seconds.
    """

    network: str
    reason: str
    refused: int
    asked: int
    until: float


class _Window:
    """Attempts of the last minutes, counted by device: asking again and again counts once."""

    __slots__ = ("_attempts", "asked", "refused")

    def __init__(self) -> None:
        self._attempts: deque[tuple[float, bytes, str | None]] = deque()
        self.asked: Counter[bytes] = Counter()
        self.refused: dict[str, Counter[bytes]] = {}

    def add(self, now: float, device: bytes, reason: str | None, seconds: float) -> None:
        self._attempts.append((now, device, reason))
        self.asked[device] += 1
        if reason is not None:
            self.refused.setdefault(reason, Counter())[device] += 1
        while now - self._attempts[0][0] > seconds:
            _, gone, why = self._attempts.popleft()
            _less(self.asked, gone)
            if why is not None:
                _less(self.refused[why], gone)
                if not self.refused[why]:
                    del self.refused[why]


def _less(counter: Counter[bytes], device: bytes) -> None:
    counter[device] -= 1
    if not counter[device]:
        del counter[device]


class Breaker:
    """The breaker of one process. Belongs to one event loop; no method waits."""

    def __init__(self, clock: Clock, *, remembered: int = _REMEMBERED) -> None:
        self._clock = clock
        self._capacity = remembered
        #: (network, device) → its last outcome.
        self._last: OrderedDict[tuple[str, bytes], Outcome] = OrderedDict()
        self._windows: dict[str, _Window] = {}
        #: Since when those that were let in last are refused.
        self._refused: dict[tuple[str, bytes], float] = {}
        self._open: dict[tuple[str, str], Opened] = {}
        #: What was closed by a person stays closed until then, however many are refused.
        self._muted: dict[tuple[str, str], float] = {}

    def last(self, network: str, device: bytes) -> Outcome | None:
        """How the device was met last."""
        return self._last.get((network, device))

    def weigh(self, network: Network, device: bytes, verdict: Verdict) -> Opened | None:
        """Count an attempt. Returns what has just opened."""
        rule = network.breaker
        if rule is None:
            return None
        now, key, seconds = self._clock.monotonic(), (network.name, device), rule.window.total_seconds()
        before = self._last.get(key)
        newly = None
        if before is not None and before < Outcome.QUARANTINE:
            refused = verdict.outcome >= Outcome.QUARANTINE and not verdict.hard
            newly = verdict.reason if refused else None
            self._windows.setdefault(network.name, _Window()).add(now, device, newly, seconds)
        alone = newly is not None and self.opened(network.name, newly) is None
        if alone and now - self._refused.setdefault(key, now) > seconds:
            # For a whole window: that is this device's own fault, and no outage excuses it later.
            newly = None
        if newly is None:
            self._refused.pop(key, None)
            self._last[key] = verdict.outcome
            self._last.move_to_end(key)
            if len(self._last) > self._capacity:
                gone, _ = self._last.popitem(last=False)
                self._refused.pop(gone, None)
            return None
        reason = (network.name, newly)
        if self.opened(network.name, newly) is not None or self._muted.get(reason, 0.0) > now:
            return None
        window = self._windows[network.name]
        hit, asked = len(window.refused[newly]), len(window.asked)
        if hit < rule.least or hit * 100 < asked * rule.share:
            return None
        made = Opened(network.name, newly, hit, asked, now + rule.holds.total_seconds())
        self._open[reason] = made
        return made

    def opened(self, network: str, reason: str) -> Opened | None:
        """Whether it is open for that reason now."""
        found = self._open.get((network, reason))
        if found is not None and self._clock.monotonic() >= found.until:
            del self._open[network, reason]
            return None
        return found

    def excuses(self, network: Network, device: bytes, verdict: Verdict) -> Outcome | None:
        """How the device was met before, if the breaker is open for the reason of this refusal; None: it stands."""
        if verdict.hard or verdict.outcome < Outcome.QUARANTINE or self.opened(network.name, verdict.reason) is None:
            return None
        before = self.last(network.name, device)
        return before if before is not None and before < Outcome.QUARANTINE else None

    def close(self, network: str, seconds: float) -> None:
        """A person has looked: the refusals are right. Nothing opens for ``seconds``."""
        until = self._clock.monotonic() + seconds
        for key in [one for one in self._open if one[0] == network]:
            del self._open[key]
            self._muted[key] = until

    @property
    def open(self) -> list[Opened]:
        """What is open now."""
        now = self._clock.monotonic()
        return [one for one in self._open.values() if one.until > now]
