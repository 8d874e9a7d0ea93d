"""When the status list is fetched, and what is made of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from tests.unit.enroll.attest.conftest import NOW
from troth.enroll.attest.errors import AttestationRefused
from troth.enroll.attest.fetching import StatusFetcher
from troth.enroll.attest.service import Attestations
from troth.kit.clock import FakeClock
from troth.kit.http import Answer, HttpClient

URL = "https://maker.example/status"


class Kept:
    """What stands where the database's side would."""

    def __init__(self) -> None:
        self.store = self
        self.lists: list[tuple[bytes, datetime]] = []

    async def status_head(self, _kind: str) -> tuple[bytes, datetime, str] | None:
        return (b"", self.lists[-1][1], URL) if self.lists else None

    async def put_statuses(self, body: bytes, *, source: str, actor: str, fetched_at: datetime) -> int:
        assert (source, actor) == (URL, "system:worker")
        self.lists.append((body, fetched_at))
        return 0


class Answering:
    def __init__(self, status: int) -> None:
        self.status = status
        self.asked: list[tuple[str, str, Mapping[str, str]]] = []

    async def request(self, method: str, url: str, *, headers: Mapping[str, str]) -> Answer:
        self.asked.append((method, url, headers))
        return Answer(self.status, {}, b'{"entries":{}}')


async def test_it_is_due_when_there_is_none_and_when_it_is_old() -> None:
    kept, clock, client = Kept(), FakeClock(NOW), Answering(200)
    fetcher = StatusFetcher(cast(Attestations, kept), clock, URL, timedelta(hours=6))
    assert await fetcher.due()
    await fetcher.fetch(cast(HttpClient, client))
    assert client.asked == [("GET", URL, {"cache-control": "no-cache"})]
    assert kept.lists == [(b'{"entries":{}}', NOW)]
    assert not await fetcher.due()
    clock.advance(timedelta(hours=6))
    assert await fetcher.due()


@pytest.mark.parametrize("status", [204, 304, 403, 500])
async def test_an_answer_without_a_list_leaves_the_old_one(status: int) -> None:
    kept: Any = Kept()
    fetcher = StatusFetcher(kept, FakeClock(NOW), URL, timedelta(hours=6))
    with pytest.raises(AttestationRefused):
        await fetcher.fetch(cast(HttpClient, Answering(status)))
    assert kept.lists == []
