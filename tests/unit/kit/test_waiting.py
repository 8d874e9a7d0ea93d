"""Waiting for an event or for a time."""

from __future__ import annotations

import asyncio

from troth.kit.waiting import until_set


async def test_it_ends_with_the_event_or_with_the_time() -> None:
    event = asyncio.Event()
    await until_set(event, 0.001)
    assert not event.is_set()
    waiting = asyncio.create_task(until_set(event, 3_600.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    event.set()
    await waiting
