"""Look-ups share queries, and nobody's trouble is another's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from troth.pki.serial import SerialNumber
from troth.status.errors import StatusUnavailable
from troth.status.lookups import Lookups
from troth.status.model import Entry, Found
from troth.store.errors import UNAVAILABLE, StoreError, Unavailable

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def row(serial: bytes) -> Found:
    return Found(Entry(SerialNumber(serial), "issuing", "good", 0, NOW, None, NOW), "issued")


class SlowRows:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[bytes]] = []
        self.gate = asyncio.Event()
        self.failure: Exception | None = None

    async def by_serials(self, serials: Sequence[bytes]) -> dict[bytes, Found]:
        self.asked.append(list(serials))
        await self.gate.wait()
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        return {serial: row(serial) for serial in serials if serial != b"?"}


@pytest.fixture
def rows() -> SlowRows:
    return SlowRows()


@pytest.fixture
def lookups(rows: SlowRows) -> Lookups:
    return Lookups(rows)  # type: ignore[arg-type]


async def test_all_that_gather_during_a_query_share_the_next(rows: SlowRows, lookups: Lookups) -> None:
    first = asyncio.create_task(lookups.find(b"a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rest = [asyncio.create_task(lookups.find(serial)) for serial in (b"b", b"c", b"c", b"?")]
    await asyncio.sleep(0)
    rows.gate.set()
    found = await asyncio.gather(first, *rest)
    assert found == [row(b"a"), row(b"b"), row(b"c"), row(b"c"), None]
    assert rows.asked == [[b"a"], [b"b", b"c", b"?"]]


async def test_who_asks_while_a_query_runs_is_not_given_its_older_row(rows: SlowRows, lookups: Lookups) -> None:
    first = asyncio.create_task(lookups.find(b"a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = asyncio.create_task(lookups.find(b"a"))
    await asyncio.sleep(0)
    rows.gate.set()
    await asyncio.gather(first, second)
    assert rows.asked == [[b"a"], [b"a"]]


async def test_a_client_that_goes_away_leaves_the_others_their_answer(rows: SlowRows, lookups: Lookups) -> None:
    gone, stays = asyncio.create_task(lookups.find(b"a")), asyncio.create_task(lookups.find(b"a"))
    await asyncio.sleep(0)
    gone.cancel()
    rows.gate.set()
    assert await stays == row(b"a")


async def test_a_database_that_is_away_is_told_to_all_and_the_next_query_goes_out(
    rows: SlowRows, lookups: Lookups
) -> None:
    rows.failure = Unavailable(UNAVAILABLE)
    rows.gate.set()
    outcomes = await asyncio.gather(*(lookups.find(bytes((n,))) for n in range(3)), return_exceptions=True)
    assert all(isinstance(outcome, StoreError) for outcome in outcomes)
    assert await lookups.find(b"a") == row(b"a")


async def test_too_many_waiting_are_turned_away(rows: SlowRows, lookups: Lookups) -> None:
    tasks = [asyncio.create_task(lookups.find(n.to_bytes(4, "big"))) for n in range(5000)]
    await asyncio.sleep(0.01)
    tasks += [asyncio.create_task(lookups.find(n.to_bytes(4, "big"))) for n in range(5000, 5500)]
    await asyncio.sleep(0)
    with pytest.raises(StatusUnavailable):
        await lookups.find(b"one too many")
    rows.gate.set()
    assert all(isinstance(outcome, Found) for outcome in await asyncio.gather(*tasks))
    assert {len(asked) for asked in rows.asked} == {500}


async def test_closing_ends_those_who_wait(rows: SlowRows, lookups: Lookups) -> None:
    tasks = [asyncio.create_task(lookups.find(n.to_bytes(4, "big"))) for n in range(600)]
    await asyncio.sleep(0.01)
    await lookups.close()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
