"""How much is under way, and what is dropped first when it is too much.

The order of sacrifice: who is not known at all · new conversations, the newest first · whatever one access server has
beyond its share. A conversation whose TLS handshake has begun has cost its most already, so its packets are read
before any new one's. What is dropped comes again by itself: access servers ask three times and more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Room:
    """Packets that are being worked on beyond the call that brought them: waiting for the disk, or for a proxy.

    Args:
        most: of this process.
        most_per_client: of one access server that has no limit of its own.
    """

    def __init__(self, most: int, most_per_client: int) -> None:
        self._most = most
        self._most_per_client = most_per_client
        self._clients: dict[object, int] = {}
        self.under_way = 0
        self.refused = 0

    def enter(self, client: object, limit: int | None = None) -> bool:
        """Whether there is room for one more of ``client``; whoever enters also leaves."""
        have = self._clients.get(client, 0)
        if self.under_way >= self._most or have >= (limit or self._most_per_client):
            self.refused += 1
            return False
        self.under_way += 1
        self._clients[client] = have + 1
        return True

    def leave(self, client: object) -> None:
        """One less."""
        self.under_way -= 1
        if self._clients[client] <= 1:
            del self._clients[client]
        else:
            self._clients[client] -= 1


class Newcomers(Generic[T]):
    """New conversations in the order of their coming, behind everything that goes on with one.

    Args:
        most: that wait; the newest are dropped beyond it, since those before them have waited longer already.
        at_once: that are begun before the sockets are looked at again.
    """

    def __init__(self, begin: Callable[[T], None], *, most: int = 512, at_once: int = 16) -> None:
        self._begin = begin
        self._most = most
        self._at_once = at_once
        self._waiting: deque[T] = deque()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, one: T) -> None:
        """Take it in, or drop it."""
        if len(self._waiting) >= self._most:
            self.dropped += 1
            return
        self._waiting.append(one)

    def begin(self) -> bool:
        """Begin some; whether there are more."""
        waiting = self._waiting
        for _ in range(min(self._at_once, len(waiting))):
            self._begin(waiting.popleft())
        return bool(waiting)


class Quiet:
    """Says a thing of somebody once in a while, and how often it was not said meanwhile: strangers write no log.

    Args:
        seconds: between two lines about one.
        most: of whom it is remembered; beyond it nothing is said until some are forgotten.
    """

    def __init__(self, seconds: float = 60.0, *, most: int = 1024) -> None:
        self._seconds = seconds
        self._most = most
        self._said: dict[object, tuple[float, int]] = {}

    def may_say(self, whom: object, now: float) -> int | None:
        """How often it was kept back since it was said last, or None: keep it back."""
        at, kept = self._said.get(whom, (float("-inf"), 0))
        if now - at < self._seconds:
            self._said[whom] = at, kept + 1
            return None
        if whom not in self._said and len(self._said) >= self._most:
            self._said = {one: known for one, known in self._said.items() if now - known[0] < self._seconds}
            if len(self._said) >= self._most:
                return None
        self._said[whom] = now, 0
        return kept
