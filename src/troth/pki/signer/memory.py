"""What was presented for signing, so that nothing is signed twice.

Reservation ids are UUIDv7: they carry the millisecond of their making. So a bounded memory is enough for an unbounded
promise. Whatever is older than the *horizon* is refused, and the horizon is the signer's own start at first, later
the youngest id that had to be forgotten: an id is either remembered or too old. A signer that was restarted therefore
signs no reservation from before, which is what the gate wants: after a crash a serial is burnt, never signed again.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from troth.kit.ids import new_id
from troth.pki.signer.errors import REPLAY, SignerRefused

#: Entries, about 25 MB; at 1,000 certificates a second it reaches back two minutes, beyond any request's life.
CAPACITY = 131_072
#: How far ahead another process's clock reading may be; more would let one id push the horizon into the future.
_AHEAD_MS = 30_000


class Memory:
    """Remembers reservation ids and serial numbers.

    Args:
        capacity: entries of each kind.
        fresh: makes a UUIDv7 of the present moment.
    """

    def __init__(self, capacity: int = CAPACITY, fresh: Callable[[], UUID] = new_id) -> None:
        self._capacity = capacity
        self._fresh = fresh
        self._horizon = fresh()
        self._reservations: dict[UUID, None] = {}
        self._serials: dict[tuple[str, bytes], None] = {}

    def check(self, reservation: UUID, key_id: str, serial: bytes) -> None:
        """Raise SignerRefused unless both are new and the reservation is of the present."""
        if reservation.version != 7 or _milliseconds(reservation) > _milliseconds(self._fresh()) + _AHEAD_MS:
            raise SignerRefused(REPLAY, "a reservation id is a UUIDv7 of the present moment")
        if reservation <= self._horizon:
            raise SignerRefused(REPLAY, "the reservation is older than this signer's memory")
        if reservation in self._reservations:
            raise SignerRefused(REPLAY, "the reservation was presented before")
        if (key_id, serial) in self._serials:
            raise SignerRefused(REPLAY, "the serial number was presented before")

    def remember(self, reservation: UUID, key_id: str, serial: bytes) -> None:
        """Remember both; the oldest entry makes room."""
        self._reservations[reservation] = None
        self._serials[key_id, serial] = None
        if len(self._reservations) > self._capacity:
            forgotten = next(iter(self._reservations))
            del self._reservations[forgotten]
            self._horizon = max(self._horizon, forgotten)
            del self._serials[next(iter(self._serials))]


def _milliseconds(identifier: UUID) -> int:
    return identifier.int >> 80
