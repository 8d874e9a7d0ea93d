"""Following the ledger, without a database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from troth.audit.stream import Stream
from troth.kit.clock import SystemClock


class Empty:
    """A log without events, whose wake-ups the test gives."""

    def __init__(self) -> None:
        self.wake: Callable[[], None] = lambda: None
        self.lookups = self

    async def listen(self, channel: str, callback: Callable[[], None]) -> None:
        self.wake = callback

    def forget(self, channel: str, callback: Callable[[], None]) -> None:
        self.wake = lambda: None

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        return []


async def test_a_follower_that_is_cancelled_ends_even_if_it_is_woken_at_that_very_moment() -> None:
    database, seen = Empty(), asyncio.Event()

    async def follow() -> None:
        async for _ in Stream(database, SystemClock(), poll=lambda: 5.0).follow(0, asyncio.Event()):  # type: ignore[arg-type]
            seen.set()

    following = asyncio.create_task(follow())
    await seen.wait()
    await asyncio.sleep(0)
    database.wake()
    following.cancel()
    done, _ = await asyncio.wait((following,), timeout=120.0)
    assert done
    assert following.cancelled()
