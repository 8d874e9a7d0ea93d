"""A lease that is kept beside the work says when it is taken, and says so again when it had lapsed in between."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from troth.kit.clock import FakeClock
from troth.store.lease import Held, Tenure


class _Lease:
    """Gives what the test says next; then ends the loop."""

    name = "duty"
    pause = 0.0

    def __init__(self, clock: FakeClock, given: list[tuple[float, float]]) -> None:
        self._clock = clock
        self._given = given

    async def keep(self) -> Held:
        if not self._given:
            raise asyncio.CancelledError
        passed, seconds = self._given.pop(0)
        self._clock.advance(timedelta(seconds=passed))
        return Held(self.name, 1, self._clock.monotonic() + seconds)


async def test_a_lease_that_lapsed_and_came_back_is_taken_anew_and_one_that_was_renewed_is_not() -> None:
    clock, taken = FakeClock(datetime(2026, 12, 1, tzinfo=UTC)), []
    lease: Any = _Lease(clock, [(0, 3), (1, 3), (5, 3), (1, 3)])
    tenure = Tenure(lease, clock, lambda: taken.append(clock.monotonic()), lambda: None)
    begun = clock.monotonic()
    try:
        await tenure.beat()
    except asyncio.CancelledError:
        pass
    assert [at - begun for at in taken] == [0, 6]
