"""The clock interlock: no signing while the clocks disagree.

A node whose clock is wrong issues certificates that are not yet or no longer valid; a database whose clock is wrong
gives leases away; and a clock behind the newest ledger event would write history out of order. So before a signature
the node's clock is held against the database's, and both against the newest event. The comparison is cached for a
second of monotonic time and made again by whoever asks next: when it cannot be made, signing stops (fails closed).
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from troth.kit.clock import Clock
from troth.pki.clock_store import clocks
from troth.pki.errors import CLOCK_SKEW, ClockRefused
from troth.store.unit import Reader

MAX_SKEW = timedelta(seconds=30)
CACHE_SECONDS = 1.0


class ClockGuard:
    """An :class:`troth.pki.ports.Interlock` over one database."""

    def __init__(self, reader: Reader, clock: Clock, *, max_skew: timedelta = MAX_SKEW) -> None:
        self._reader = reader
        self._clock = clock
        self._max_skew = max_skew
        self._checked_at: float | None = None
        self._refusal: ClockRefused | None = None
        self._busy = asyncio.Lock()

    def _fresh(self) -> bool:
        return self._checked_at is not None and self._clock.monotonic() - self._checked_at <= CACHE_SECONDS

    async def ensure(self) -> None:
        """Return if signing is safe by a comparison at most a second old. Raises ClockRefused, StoreError."""
        if not self._fresh():
            async with self._busy:
                if not self._fresh():
                    await self._compare()
        if self._refusal is not None:
            raise self._refusal

    async def _compare(self) -> None:
        asked, before = self._clock.monotonic(), self._clock.now()
        self._checked_at = None
        database_now, newest = await clocks(self._reader)
        after = self._clock.now()
        # The answer was made somewhere between asking and hearing: only the distance to that span is skew.
        skew = max(before - database_now, database_now - after, timedelta(0))
        self._refusal = _judge(skew, min(after, database_now), newest, self._max_skew)
        self._checked_at = asked


def _judge(skew: timedelta, earlier: datetime, newest: datetime | None, most: timedelta) -> ClockRefused | None:
    if skew > most:
        return ClockRefused(
            CLOCK_SKEW,
            f"the node's clock and the database's are {skew.total_seconds():.0f} s apart",
            skew_seconds=int(skew.total_seconds()),
        )
    if newest is not None and newest - earlier > most:
        behind = (newest - earlier).total_seconds()
        return ClockRefused(
            CLOCK_SKEW, f"a clock is {behind:.0f} s behind the newest ledger event", behind_seconds=int(behind)
        )
    return None
