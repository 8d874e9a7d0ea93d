"""Which server of a pool is asked, and what is thought of each. No input or output; time is handed in.

A server is *alive* until a request to it got no answer in its window; then it is *silent*: asked by probes alone
(Status-Server, RFC 5997; RFC 3539 section 3.4), and by requests only when no other is alive. A believed reply makes it
alive again; a server that knows no Status-Server is tried with a request once it has rested. Probes are spread, so that
many processes do not probe in step.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

#: Conversations whose server is remembered, and for how long: longer than any EAP conversation lasts.
_KEPT, _SECONDS = 50_000, 120.0
#: Answers in a row after which a silent server counts as alive: one may have been luck (RFC 3539 section 3.4.1).
PROBES_TO_LIVE: Final = 2


@dataclass(slots=True)
class Standing:
    """What is known of one server.

    Attributes:
        key: its address.
        silent_since: None while it is alive.
        answered_at, asked: monotonic seconds of its last believed answer; requests under way.
    """

    key: str
    probes: bool
    silent_since: float | None = None
    answered_at: float = float("-inf")
    probe_at: float = float("inf")
    good: int = 0
    asked: int = 0
    sent: int = 0
    timeouts: int = 0
    refused: int = 0

    @property
    def alive(self) -> bool:
        """Whether requests are sent there first."""
        return self.silent_since is None


@dataclass(slots=True)
class Health:
    """The servers of one pool, in their order."""

    servers: Sequence[Standing]
    spread: bool
    dead_seconds: float
    jitter: Callable[[], float] = random.random  # when to probe is no secret
    _bound: OrderedDict[bytes, tuple[int, float]] = field(default_factory=OrderedDict)

    def answered(self, at: int, now: float, *, probe: bool = False) -> None:
        """Server ``at`` gave an answer that was believed."""
        one = self.servers[at]
        one.answered_at = now
        if one.silent_since is None:
            return
        one.good += 1
        if not probe or one.good >= PROBES_TO_LIVE:
            one.silent_since, one.probe_at, one.good = None, float("inf"), 0
        else:
            one.probe_at = now + min(1.0, self.dead_seconds)

    def silent(self, at: int, now: float) -> None:
        """Server ``at`` gave none in its window."""
        one = self.servers[at]
        one.timeouts += 1
        one.good = 0
        if one.silent_since is None:
            one.silent_since = now
        # Between three quarters and five quarters of the pause.
        one.probe_at = now + self.dead_seconds * (0.75 + self.jitter() / 2)

    def due(self, now: float) -> list[int]:
        """Silent servers that are to be probed now. One without Status-Server is taken for alive instead."""
        found = []
        for at, one in enumerate(self.servers):
            if one.silent_since is None or now < one.probe_at:
                continue
            if one.probes:
                one.probe_at = now + self.dead_seconds
                found.append(at)
            else:
                one.silent_since, one.probe_at = None, float("inf")
        return found

    def bind(self, state: bytes, at: int, now: float) -> None:
        """The conversation that goes on under ``state`` is server ``at``'s."""
        self._bound[state] = (at, now)
        self._bound.move_to_end(state)
        if len(self._bound) > _KEPT:
            self._bound.popitem(last=False)

    def bound(self, state: bytes, now: float) -> int | None:
        """Whose conversation goes on under ``state``; None: nobody's that is known here."""
        found = self._bound.get(state)
        if found is None or now - found[1] > _SECONDS:
            return None
        return found[0]

    def order(self, affinity: bytes) -> list[int]:
        """Servers to ask for a new conversation, the best first: the living, then the silent, longest silent last.

        ``affinity``: of the device; where conversations are spread, each device keeps to one server for as long as that
        one lives (rendezvous hashing), so that it can resume its TLS sessions there.
        """
        living = [at for at, one in enumerate(self.servers) if one.alive]
        if self.spread:
            living.sort(key=lambda at: blake2b(affinity + self.servers[at].key.encode(), digest_size=8).digest())
        rest = [at for at, one in enumerate(self.servers) if not one.alive]
        rest.sort(key=lambda at: -(self.servers[at].silent_since or 0.0))
        return living + rest
