"""All conversations of one worker, and which goes when there are too many.

A conversation takes some 80 KiB from its ClientHello on (docs/radius-eap.md has the measure), so their number is
bounded, in all and for each access server. Where a newcomer finds no room, the oldest of those whose first TLS message
is not even complete makes some; one past its ClientHello is never dropped for a newcomer, since work has been spent on
it and it will end by itself within its time. Otherwise the newcomer is not answered, and its access server asks again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from troth.radius.eap.conversation import Conversation

#: Conversations that ended without a word are kept for whoever tells people of them, this many at most.
_LAPSED = 1_000
_SWEEP_SECONDS = 1.0


class Conversations:
    """The open conversations, by their State."""

    def __init__(self, *, most: int, most_per_nas: int, idle_seconds: float, total_seconds: float) -> None:
        """``most``, ``most_per_nas``: conversations. ``idle_seconds`` without a packet, ``total_seconds`` in all."""
        self._most, self._most_per_nas = most, most_per_nas
        self._idle, self._total = idle_seconds, total_seconds
        self._open: dict[bytes, Conversation] = {}
        self._young: dict[bytes, Conversation] = {}
        self._stations: dict[tuple[str, str], bytes] = {}
        self._per_nas: dict[str, int] = {}
        self._lapsed: deque[Conversation] = deque(maxlen=_LAPSED)
        self._swept = 0.0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._open)

    def get(self, state: bytes, now: float) -> Conversation | None:
        """The conversation, unless its time is over."""
        found = self._open.get(state)
        if found is not None and self._late(found, now):
            self._lapse(found)
            return None
        return found

    def add(self, conversation: Conversation, now: float) -> bool:
        """Take a new one in; False where there is no room for it. A station's older one makes way."""
        opening = conversation.opening
        if opening.calling_station_id:
            older = self._open.get(self._stations.get((opening.nas, opening.calling_station_id), b""))
            if older is not None:
                self._lapse(older)
        if not self._room(opening.nas, now):
            return False
        self._open[conversation.state] = conversation
        self._young[conversation.state] = conversation
        self._per_nas[opening.nas] = self._per_nas.get(opening.nas, 0) + 1
        if opening.calling_station_id:
            self._stations[opening.nas, opening.calling_station_id] = conversation.state
        return True

    def grown(self, conversation: Conversation) -> None:
        """Its ClientHello is complete."""
        self._young.pop(conversation.state, None)

    def remove(self, conversation: Conversation) -> None:
        """It has ended."""
        if self._open.pop(conversation.state, None) is None:
            return
        self._young.pop(conversation.state, None)
        opening = conversation.opening
        self._per_nas[opening.nas] -= 1
        if not self._per_nas[opening.nas]:
            del self._per_nas[opening.nas]
        station = (opening.nas, opening.calling_station_id)
        if self._stations.get(station) == conversation.state:
            del self._stations[station]

    def sweep(self, now: float) -> None:
        """Let go of those whose time is over; at most once a second."""
        if abs(now - self._swept) < _SWEEP_SECONDS:
            return
        self._swept = now
        for one in [one for one in self._open.values() if self._late(one, now)]:
            self._lapse(one)

    def lapsed(self) -> Iterator[Conversation]:
        """Those that ended without a word since this was last asked: a device that went away, mostly."""
        while self._lapsed:
            yield self._lapsed.popleft()

    def _late(self, one: Conversation, now: float) -> bool:
        return now - one.touched > self._idle or now - one.started > self._total

    def _lapse(self, one: Conversation) -> None:
        self.remove(one)
        one.drop()
        self._lapsed.append(one)

    def _room(self, nas: str, now: float) -> bool:
        if len(self._open) >= self._most or self._per_nas.get(nas, 0) >= self._most_per_nas:
            self.sweep(now)
        if self._per_nas.get(nas, 0) >= self._most_per_nas and not self._drop_young(nas):
            return False
        return len(self._open) < self._most or self._drop_young(None)

    def _drop_young(self, nas: str | None) -> bool:
        for one in self._young.values():
            if nas is None or one.opening.nas == nas:
                self.dropped += 1
                self._lapse(one)
                return True
        return False
