"""Receivers that mean ill, and grants that shrink: nothing of ours breaks, and nothing goes where it may not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.integration.connect.ssf.transmitter.conftest import ACTOR, Wire
from troth.connect.ssf.transmitter import polling, store
from troth.connect.ssf.transmitter.access import ReceiverAccess
from troth.kit.http import Answer
from troth.kit.lane import Request
from troth.kit.sealing import SecretBox

ALICE: dict[str, Any] = {"attributes": {"email": "alice@example.com"}}


class Recorded:
    """A client that answers so, and keeps what it was told to send."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, str | None]] = []

    async def request(self, method: str, url: str, *, headers: dict[str, str], body: bytes = b"") -> Answer:
        self.sent.append((url, headers.get("authorization")))
        return self.answers.pop(0)


async def stream_of(wire: Wire) -> store.OutStream:
    (found,) = await store.streams(wire.trust.database)
    return found


async def test_a_header_is_not_sent_to_another_address_than_it_was_handed_over_for(wire: Wire) -> None:
    alice = await wire.trust.subject("alice", kind="user")
    await wire.grant(push_url="https://one.example.com/ssf")
    await wire.receivers.set_header("vpn", "Bearer of-one", actor=ACTOR)
    await wire.grant(push_url="https://one.example.com/ssf", audience=["https://other.example.com"])
    await wire.tell(alice, "trusted", "restricted", **ALICE)
    wire.pusher._http = http = Recorded(Answer(202, {}, b""), Answer(202, {}, b""))
    assert await wire.pusher.push(await stream_of(wire)) == 1
    await wire.grant(push_url="https://two.example.com/ssf")
    await wire.tell(alice, "restricted", "trusted", **ALICE)
    await wire.pusher.push(await stream_of(wire))
    assert http.sent == [("https://one.example.com/ssf", "Bearer of-one"), ("https://two.example.com/ssf", None)]


async def test_a_receiver_whose_address_is_taken_away_is_told_no_more(wire: Wire) -> None:
    alice = await wire.trust.subject("alice", kind="user")
    await wire.grant(push_url="https://one.example.com/ssf")
    await wire.tell(alice, "trusted", "restricted", **ALICE)
    await wire.grant()
    assert await store.streams(wire.trust.database) == []
    assert await wire.waiting() == []


async def test_a_stream_is_not_pushed_to_a_host_that_is_granted_no_more(wire: Wire) -> None:
    alice = await wire.trust.subject("alice", kind="user")
    await wire.grant()
    await wire.connected(delivery="push")
    await wire.tell(alice, "trusted", "restricted", **ALICE)
    await wire.grant(push_hosts=["elsewhere.example.com"])
    wire.pusher._http = http = Recorded()
    assert await wire.pusher.push(await stream_of(wire)) == 0
    assert http.sent == []
    assert (await stream_of(wire)).error == "its receiver may no longer have pushed there"


async def test_what_a_receiver_says_of_a_token_is_kept_however_it_is_made(wire: Wire) -> None:
    """PostgreSQL takes no NUL: the refusal could not be written, and the token was sent for ever."""
    alice = await wire.trust.subject("alice", kind="user")
    await wire.grant()
    await wire.connected(delivery="push")
    await wire.tell(alice, "trusted", "restricted", **ALICE)
    told = len(await wire.waiting())
    said = Answer(400, {}, b'{"err": "invalid\\u0000", "description": "\\u001b[31m\\u0000"}')
    wire.pusher._http = Recorded(*[said] * told)
    assert await wire.pusher.push(await stream_of(wire)) == told
    row = await wire.trust.database.fetchrow("SELECT refused FROM ssf_out_token")
    assert row is not None
    assert row["refused"] == "invalid :  [31m "


async def test_what_goes_wrong_with_one_stream_holds_up_no_other(wire: Wire) -> None:
    """A header that cannot be opened any more: its stream is tried later, the rest go on."""
    alice = await wire.trust.subject("alice", kind="user")
    await wire.grant()
    await wire.connected(delivery="push")
    await wire.tell(alice, "trusted", "restricted", **ALICE)
    assert await wire.pusher._tried(replace(await stream_of(wire), header=b"broken")) == 0
    assert (await stream_of(wire)).failures == 1


@pytest.mark.parametrize("query", ["stream_id=%00", "stream_id=a%00b", "&".join(f"a{n}=1" for n in range(9))])
async def test_a_query_that_is_none_is_refused(wire: Wire, query: str) -> None:
    await wire.grant()
    headers = {"authorization": f"Bearer {await wire.token()}"}
    for answer in (
        await wire.http.post(f"/ssf/poll?{query}", json={}, headers=headers),
        await wire.http.get(f"/ssf/stream?{query}", headers=headers),
        await wire.http.get(f"/ssf/status?{query}", headers=headers),
    ):
        assert answer.status_code in (400, 404), answer.text


async def test_a_receiver_holds_a_few_polls_and_no_more(wire: Wire) -> None:
    await wire.grant()
    headers = {"authorization": f"Bearer {await wire.token()}"}
    made = (await wire.http.post("/ssf/stream", json={}, headers=headers)).json()["stream_id"]
    database, clock = wire.trust.database, wire.trust.clock
    access = ReceiverAccess(database, clock, SecretBox(b"a" * 32, purpose="access"))
    door = polling.PollDoor(database, clock, access, wait=3_600, stop=asyncio.Event())
    asked = Request("POST", "/ssf/poll", b"/ssf/poll", f"stream_id={made}".encode(), (), headers, b"{}")
    waiting = [asyncio.create_task(door.poll(asked)) for _ in range(polling.MOST_WAITING)]
    while door._waiting[made] < polling.MOST_WAITING:
        await asyncio.sleep(0)
    assert (await door.poll(asked)).body == b'{"sets":{}}'
    assert not any(one.done() for one in waiting)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert not door._waiting


async def test_what_is_taken_out_is_short(wire: Wire) -> None:
    await wire.grant()
    headers = {"authorization": f"Bearer {await wire.token()}"}
    made = (await wire.http.post("/ssf/stream", json={}, headers=headers)).json()
    body = {"stream_id": made["stream_id"], "subject": {"format": "opaque", "id": "a", "note": "x" * 4_000}}
    assert (await wire.http.post("/ssf/subjects:remove", json=body, headers=headers)).status_code == 400
