"""The trust table: what this process holds in memory about certificates, and what it may say from it.

Three kinds of knowledge lie here. Everything that is *not good* and has not expired, complete, since a miss must never
read as a yes. Certificates *seen* in the database by a look-up, a bounded number, the least used forgotten first; they
may be remembered because any change of theirs arrives by the stream. And, for a while, the versions at which
certificates were *released*, so that an older event that arrives late cannot bring its hold back.

For each serial number the greater ``status_version`` wins, wherever it came from; so snapshot, stream and look-ups
may overlap and overtake each other. Belongs to one event loop; no method waits.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from troth.audit.event import StreamEvent
from troth.kit.clock import Clock
from troth.status.model import Entry, Found, entry_from_event

#: Serial numbers that are remembered from look-ups.
REMEMBERED = 65_536
#: Two events of one certificate that stand in the log in the wrong order lie seconds apart at most.
_RELEASED_FOR = timedelta(minutes=15)


class StatusTable:
    """See the module. Filled by ``load`` and ``apply``; asked by ``find``, then by ``settle`` with a look-up's row."""

    def __init__(self, clock: Clock, *, remembered: int = REMEMBERED) -> None:
        self._clock = clock
        self._capacity = remembered
        self._entries: dict[bytes, Entry] = {}
        self._expiries: list[tuple[datetime, bytes]] = []
        self._seen: OrderedDict[bytes, Entry] = OrderedDict()
        self._released: OrderedDict[bytes, tuple[int, datetime]] = OrderedDict()

    @property
    def not_good(self) -> int:
        """Serial numbers that are held or revoked and have not expired."""
        return len(self._entries)

    @property
    def seen(self) -> int:
        """Serial numbers remembered from look-ups."""
        return len(self._seen)

    def find(self, serial: bytes) -> Entry | None:
        """What may be answered from memory. None: only the database can tell."""
        entry = self._entries.get(serial)
        if entry is None:
            entry = self._seen.get(serial)
            if entry is not None:
                self._seen.move_to_end(serial)
        return entry

    def load(self, entries: Iterable[Entry]) -> None:
        """Take in rows of a snapshot."""
        for entry in entries:
            self._put(entry)

    def apply(self, events: Iterable[StreamEvent]) -> None:
        """Take in events of the stream; those that are not about a certificate's status pass by."""
        for event in events:
            if event.kind.startswith("certificate.") and "status_version" in event.data:
                self._put(entry_from_event(event.data))
        self._sweep()

    def settle(self, found: Found | None) -> Entry | None:
        """What to answer for the row that a look-up brought. None: ``unknown``.

        An event may have overtaken the look-up; the later status is then known here, and wins.
        """
        if found is None:
            return None
        row = found.entry
        self._put(row)
        present = self.find(row.serial)
        if present is not None and (present.status != "good" or present.version >= row.version):
            return present
        released, _ = self._released.get(row.serial, (row.version, None))
        if released > row.version:
            row = replace(row, status="good", version=released, reason=None)
        if row.status == "good" and found.state != "issued":
            # Reserved, and perhaps never to be signed: nothing says good of what does not exist.
            return None
        self._remember(row)
        return row

    def _put(self, entry: Entry) -> None:
        """Keep ``entry`` unless something as late is known."""
        serial = entry.serial
        for known in (self._entries.get(serial), self._seen.get(serial)):
            if known is not None and known.version >= entry.version:
                return
        if serial in self._released and self._released[serial][0] >= entry.version:
            return
        self._seen.pop(serial, None)
        if entry.status == "good":
            self._entries.pop(serial, None)
            if entry.version > 0:
                self._released[serial] = (entry.version, self._clock.now() + _RELEASED_FOR)
                self._released.move_to_end(serial)
            return
        self._released.pop(serial, None)
        if entry.not_after <= self._clock.now():
            self._entries.pop(serial, None)
            return
        if serial not in self._entries:
            heapq.heappush(self._expiries, (entry.not_after, serial))
        self._entries[serial] = entry

    def _remember(self, entry: Entry) -> None:
        self._seen[entry.serial] = entry
        self._seen.move_to_end(entry.serial)
        if len(self._seen) > self._capacity:
            self._seen.popitem(last=False)

    def _sweep(self) -> None:
        """Forget what has expired (the database still knows it), and releases that are long past."""
        now = self._clock.now()
        while self._expiries and self._expiries[0][0] <= now:
            _, serial = heapq.heappop(self._expiries)
            entry = self._entries.get(serial)
            # The heap has no removal, so a serial number that was released and held again stands in it twice.
            if entry is not None and entry.not_after <= now:
                del self._entries[serial]
        while self._released:
            serial, (_, until) = next(iter(self._released.items()))
            if until > now:
                return
            del self._released[serial]
