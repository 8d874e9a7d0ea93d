"""What every vendor's API is asked through: the bounds that a vendor's module need not think of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from troth.connect.api import Pages, VendorApi, moment, shaped
from troth.connect.connector import each
from troth.connect.errors import ConnectorError, Throttled
from troth.connect.pacing import Pace
from troth.connect.proof import Token
from troth.kit.clock import FakeClock
from troth.kit.http import Answer

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Wire:
    """Answers one after the other; the last for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, bytes]] = []

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        self.asked.append((method, url, body))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Renewing(Token):
    """A token that may be asked for anew."""

    def __init__(self) -> None:
        super().__init__(b"t")
        self.renewals = 0

    def refused(self) -> bool:
        self.renewals += 1
        return True


def api(wire: Wire, proof: Token | None = None) -> tuple[VendorApi, FakeClock]:
    clock = FakeClock(NOW)

    async def sleep(seconds: float) -> None:
        clock.advance(timedelta(seconds=seconds))

    pace = Pace(clock, per_second=100, burst=100, sleep=sleep)
    made = VendorApi(
        wire, clock, base_url="https://api.example/v1/", proof=proof or Token(b"t"), pace=pace, sleep=sleep
    )
    return made, clock


def ok(body: bytes = b"{}", **headers: str) -> Answer:
    return Answer(200, headers, body)


@pytest.mark.parametrize(
    ("path", "query", "url"),
    [
        ("/things", None, "https://api.example/v1/things"),
        ("things", {"a": "b c"}, "https://api.example/v1/things?a=b+c"),
        ("/things?x=1", {"a": "b"}, "https://api.example/v1/things?x=1&a=b"),
        ("https://api.example/v1/next?t=%20", None, "https://api.example/v1/next?t=%20"),
    ],
)
async def test_paths_and_links_lead_below_the_address(path: str, query: Any, url: str) -> None:
    wire = Wire(ok())
    await api(wire)[0].get(path, query)
    assert wire.asked[0][:2] == ("GET", url)


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/", "https://api.example.evil.example/", "http://api.example/v1/", "https://api.example:8443/",
        "https://api.example@evil.example/", "https://[::1]:99999/",
    ],
)  # fmt: skip
async def test_credentials_go_to_no_other_host_whatever_a_link_says(link: str) -> None:
    wire = Wire(ok())
    with pytest.raises(ConnectorError, match=r"connector\.elsewhere"):
        await api(wire)[0].get(link)
    assert wire.asked == []


async def test_a_refused_token_is_renewed_once_and_not_for_ever() -> None:
    proof = Renewing()
    wire = Wire(Answer(401, {}, b""), ok(b'{"a":1}'))
    assert await api(wire, proof)[0].get("/x") == {"a": 1}
    assert proof.renewals == 1
    with pytest.raises(ConnectorError, match=r"connector\.credentials"):
        await api(Wire(Answer(401, {}, b"")), Renewing())[0].get("/x")


async def test_a_missing_scope_is_told_by_its_name() -> None:
    with pytest.raises(ConnectorError) as caught:
        await api(Wire(Answer(403, {}, b"")))[0].get("/x", scope="Alerts: read")
    assert caught.value.code == "connector.scope"
    assert "Alerts: read is missing" in caught.value.detail


async def test_short_pauses_are_made_and_long_ones_end_the_pull() -> None:
    throttled = Answer(429, {"retry-after": "5"}, b"")
    wire = Wire(throttled, throttled, ok())
    made, clock = api(wire)
    await made.get("/x")
    assert clock.now() - NOW >= timedelta(seconds=10)
    with pytest.raises(Throttled):
        await api(Wire(throttled))[0].get("/x")
    with pytest.raises(Throttled):
        await api(Wire(Answer(429, {"retry-after": "60"}, b"")))[0].get("/x")


async def test_a_failure_there_is_tried_three_times() -> None:
    wire = Wire(Answer(500, {}, b""), Answer(502, {}, b""), ok())
    await api(wire)[0].get("/x")
    assert len(wire.asked) == 3
    bad = Wire(Answer(500, {}, b""))
    with pytest.raises(ConnectorError, match=r"connector\.vendor_failed"):
        await api(bad)[0].get("/x")
    assert len(bad.asked) == 3


@pytest.mark.parametrize("body", [b"{", b"<html>", b"\xff", b"[" * 100_000, b"nul"])
async def test_what_is_no_json_is_called_so(body: bytes) -> None:
    with pytest.raises(ConnectorError, match=r"connector\.answer"):
        await api(Wire(ok(body)))[0].get("/x")


async def test_the_other_clock_is_noticed_by_the_way() -> None:
    made, _ = api(Wire(ok(date="Mon, 02 Mar 2026 09:02:00 GMT")))
    await made.post("/x", {"a": 1})
    assert made.seen.skew == timedelta(minutes=2)
    made, _ = api(Wire(ok(date="yesterday")))
    await made.get("/x")
    assert made.seen.skew is None


def test_a_walk_over_pages_ends_and_goes_in_no_circle() -> None:
    pages = Pages(most=3)
    assert [pages.turn(str(number)) for number in range(5)] == [True, True, True, False, False]
    assert pages.full
    assert not Pages().turn(None)
    pages = Pages()
    assert pages.turn("a")
    assert pages.turn("b")
    with pytest.raises(ConnectorError, match=r"connector\.paging"):
        pages.turn("a")


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-03-02", "2026-03-02T09:00:00", None, 7, "0001-01-01T00:00:00+23:59"]
)
def test_a_time_that_orders_nothing_is_refused(text: Any) -> None:
    with pytest.raises(ConnectorError):
        moment(text)
    assert moment("2026-03-02T09:00:00Z") == NOW


class Thing(msgspec.Struct):
    name: str
    size: int = 0


def test_one_item_that_cannot_be_read_neither_stops_the_others_nor_is_lost() -> None:
    def read(item: Any) -> str | None:
        thing = shaped(item, Thing)
        if thing.size > 5:
            raise ValueError("too large")
        return thing.name if thing.size else None

    items = [{"name": "a", "size": 1, "new": {}}, {"name": 7}, {"name": "b", "size": 9}, {"name": "c"}, "nonsense"]
    found, spoilt = each(items, read, name=lambda item: item["name"])
    assert found == ["a"]
    assert [one.message_id for one in spoilt][:2] == ["spoilt:7", "spoilt:b"]
    assert {one.code for one in spoilt} == {"connector.answer"}
    assert spoilt[2].raw == "nonsense"
    assert spoilt[2].message_id.startswith("spoilt:")
