"""What is counted against caps while one transaction lasts: what is stored, and what those before in it have added."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from troth.store.ahead import kept
from troth.store.unit import Reader, Unit
from troth.trust.enforcement import cap_store
from troth.trust.enforcement.cap_store import Count, since, slot_of

_KEPT: Final = "cap tally"


class Tally:
    """Counts by scope, within the cap gate. Each scope is read once.

    Args:
        earliest, latest: the times of those that count in this transaction.
    """

    def __init__(self, earliest: datetime, latest: datetime) -> None:
        self._earliest = earliest
        self._latest = latest
        self._entered = False
        self._slots: dict[str, dict[datetime | None, Count]] = {}

    async def enter(self, reader: Reader) -> None:
        """Wait until nobody else counts; ours until commit."""
        if not self._entered:
            await cap_store.enter(reader)
            self._entered = True

    async def counts(self, reader: Reader, windows: Mapping[str, timedelta], at: datetime) -> dict[str, Count]:
        """What was counted in each scope's window that ends at ``at``."""
        new = {scope: window for scope, window in windows.items() if scope not in self._slots}
        if new:
            self._slots |= {scope: {} for scope in new}
            for scope, slot, count in await cap_store.slots(reader, new, self._earliest, self._latest):
                self._slots[scope][slot] = count
        found = {}
        for scope, window in windows.items():
            first = since(at, window)
            inside = [one for slot, one in self._slots[scope].items() if slot is None or slot > first]
            found[scope] = Count(sum(one.spent for one in inside), sum(one.asked for one in inside))
        return found

    def add(self, unit: Unit, windows: Mapping[str, timedelta], at: datetime, *, spent: int, asked: int) -> None:
        """Count in every scope, now and for those after."""
        for scope, window in windows.items():
            slot = slot_of(at, window)
            cap_store.add(unit, scope, slot, spent=spent, asked=asked)
            before = self._slots[scope].get(slot, Count())
            self._slots[scope][slot] = Count(before.spent + spent, before.asked + asked)


def tally_of(reader: Reader, at: datetime) -> Tally:
    """The tally of those that are run together; who is by itself, at ``at``, has one of its own."""
    return kept(reader, _KEPT, lambda: Tally(at, at))


def keep_tally(reader: Reader, earliest: datetime, latest: datetime) -> None:
    """Have one tally for all that are run together on ``reader``, whose times lie between these."""
    kept(reader, _KEPT, lambda: Tally(earliest, latest))
