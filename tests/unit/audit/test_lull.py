"""Looking rarely while nothing happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from troth.audit.lull import Lull
from troth.kit import rhythm
from troth.kit.rhythm import Rhythm

QUIET = 3600.0


class Told:
    """A database that tells of the ledger's growth when the test says so."""

    def __init__(self) -> None:
        self.grow: Callable[[], None] = lambda: None

    async def listen(self, _channel: str, callback: Callable[[], None]) -> None:
        self.grow = callback

    def forget(self, _channel: str, _callback: Callable[[], None]) -> None:
        self.grow = lambda: None


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Rhythm:
    monkeypatch.setattr(rhythm, "_ALL", {})
    return Rhythm("quiet", QUIET, "worker")


async def test_work_rests_until_the_ledger_grows_and_keeps_its_pace_then(quiet: Rhythm) -> None:
    database, stop = Told(), asyncio.Event()
    async with Lull(quiet, database, linger=QUIET).noticed(stop) as lull:  # type: ignore[arg-type]
        resting = asyncio.create_task(lull.rest(0.001, stop))
        await asyncio.sleep(0.05)
        assert not resting.done()
        database.grow()
        await resting
        await lull.rest(0.001, stop)  # and again: something has happened of late


async def test_once_nothing_has_happened_for_long_it_rests_again(quiet: Rhythm) -> None:
    database, stop = Told(), asyncio.Event()
    async with Lull(quiet, database, linger=0.001).noticed(stop) as lull:  # type: ignore[arg-type]
        database.grow()
        await asyncio.sleep(0.05)
        resting = asyncio.create_task(lull.rest(0.001, stop))
        await asyncio.sleep(0.05)
        assert not resting.done()
        stop.set()
        await resting  # a stop ends every rest


async def test_what_is_looked_for_still_more_rarely_is_not_looked_for_sooner(quiet: Rhythm) -> None:
    stop = asyncio.Event()
    async with Lull(quiet, Told()).noticed(stop) as lull:  # type: ignore[arg-type]
        resting = asyncio.create_task(lull.rest(QUIET * 2, stop))
        await asyncio.sleep(0.01)
        assert not resting.done()
        stop.set()
        await resting
