"""Poll delivery (RFC 8936): fetched, durable, acknowledged, in that order, whatever breaks in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integration.connect.ssf.conftest import Room
from tests.support.ssf import CAEP, RISC
from tests.support.vendors.ssf_transmitter import Fault
from troth.connect.ssf.errors import SsfError, TransmitterFailed
from troth.connect.ssf.poller import Poller
from troth.connect.ssf.receiver import Receiver
from troth.connect.ssf.remote import read_poll
from troth.kit.errors import TrothError
from troth.kit.ids import new_id
from troth.store.unit import Unit
from troth.trust.signals.model import Signal
from troth.trust.standing import Standing

DISABLED = {RISC + "account-disabled": {}}
REVOKED: dict[str, Any] = {CAEP + "session-revoked": {}}


@pytest.fixture
async def polled(room: Room) -> Room:
    await room.connected()
    return room


async def test_what_is_polled_is_acted_on_and_acknowledged_once(polled: Room) -> None:
    alice = await polled.user()
    jti = polled.fake.send(polled.remote_id, DISABLED)
    assert await polled.poll() == 1
    assert polled.fake.acknowledged == [jti]
    await polled.act()
    assert await polled.trust.standing(alice) is Standing.QUARANTINED
    first, second = (one[3] for one in polled.fake.requests if one[1].startswith("/poll"))
    assert "ack" not in first
    assert second["ack"] == [jti]
    assert polled.fake.breaches == []


async def test_a_page_that_is_not_the_last_is_followed_by_the_next(polled: Room) -> None:
    await polled.user()
    sent = {polled.fake.send(polled.remote_id, REVOKED) for _ in range(230)}
    assert await polled.poll() == 230
    assert set(polled.fake.acknowledged) == sent
    assert [one[3]["maxEvents"] for one in polled.fake.requests if one[1].startswith("/poll")] == [100, 100, 100, 100]


async def test_nothing_is_acknowledged_that_is_not_durable(polled: Room) -> None:
    """The inbox dies before its commit, then after it; the token comes again and is acted on once."""
    await polled.user()
    jti = polled.fake.send(polled.remote_id, DISABLED)

    class Killed(Exception):
        pass

    from troth.trust.intake.inbox import Inbox

    real = Inbox(polled.trust.database, polled.trust.clock)

    class Dying:
        def __init__(self, *, after: bool) -> None:
            self.after = after

        async def accept(self, feed: str, signals: Sequence[Signal], *, joined: Unit | None = None) -> object:
            if self.after:
                await real.accept(feed, signals, joined=joined)
            raise Killed

    for after in (False, True):
        receiver = Receiver(
            polled.trust.database, polled.trust.clock, Dying(after=after), polled.receiver._keys
        )  # fmt: skip
        poller = Poller(polled.trust.database, polled.trust.clock, new_id(), polled.manager, receiver)
        with pytest.raises(Killed):
            await poller.poll_once(await polled.stream(), wait=False)
        assert polled.fake.acknowledged == []
    assert await polled.poll() == 1
    assert polled.fake.acknowledged == [jti]
    await polled.act()
    assert len(await polled.signals()) == 1


async def test_a_token_that_is_no_good_is_told_as_an_error_and_does_not_stop_the_others(polled: Room) -> None:
    await polled.user()
    fake, remote = polled.fake, polled.remote_id
    bad = fake.send(remote, REVOKED, iss="https://evil.example")
    fake.queue(remote, "rubbish", "not a token")
    fake.queue(remote, "another-name", fake.sign(REVOKED, jti="j-1"))
    good = fake.send(remote, REVOKED)
    assert await polled.poll() == 4
    assert fake.acknowledged == [good]
    assert {jti: said["err"] for jti, said in fake.errors.items()} == {
        bad: "invalid_issuer", "rubbish": "invalid_request", "another-name": "invalid_request",
    }  # fmt: skip
    assert all(said["description"] for said in fake.errors.values())


async def test_what_failed_on_our_side_is_neither_acknowledged_nor_an_error(polled: Room) -> None:
    jti = polled.fake.send(polled.remote_id, REVOKED)
    polled.fake.fail("/jwks", Fault(500))
    with pytest.raises(TransmitterFailed):
        await polled.poll()
    assert (polled.fake.acknowledged, polled.fake.errors) == ([], {})
    polled.advance(seconds=61)
    assert await polled.poll() == 1
    assert polled.fake.acknowledged == [jti]


async def test_an_acknowledgement_that_got_lost_is_repeated(polled: Room) -> None:
    jti = polled.fake.send(polled.remote_id, REVOKED)
    stream = await polled.stream()
    assert await polled.poller.poll_once(stream, wait=False) == 1
    polled.fake.fail("/poll", Fault(500))
    with pytest.raises(SsfError):
        await polled.poller.poll_once(stream, wait=False)
    assert polled.fake.acknowledged == []
    await polled.poll()
    assert polled.fake.acknowledged == [jti]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429), Fault(500, b"oops"), Fault(200, b"<html>"), Fault(200, b'{"sets":[]}'),
        Fault(200, b'{"sets":{"a":1}}'), Fault(cut=True), Fault(302, headers={"location": "https://evil.example/"}),
    ],
)  # fmt: skip
async def test_a_poll_that_fails_changes_nothing_and_the_next_goes_on(polled: Room, fault: Fault) -> None:
    jti = polled.fake.send(polled.remote_id, REVOKED)
    polled.fake.fail("/poll", fault)
    with pytest.raises(TrothError):
        await polled.poll()
    assert await polled.poll() == 1
    assert polled.fake.acknowledged == [jti]


async def test_a_long_poll_that_brings_nothing_is_no_failure(polled: Room) -> None:
    polled.fake.long_poll_seconds = 30.0
    assert await polled.poller.poll_once(await polled.stream(), wait=True) == 0
    assert (await polled.stream()).error == ""


async def test_a_verification_that_is_asked_for_while_a_poll_waits_is_known(polled: Room) -> None:
    polled.fake.long_poll_seconds = 20.0
    polling = asyncio.create_task(polled.poller.poll_once(await polled.stream(), wait=True))
    async with asyncio.timeout(120):
        while not polled.fake.count("POST", "/poll"):
            await asyncio.sleep(0.01)
    await polled.manager.verify("idp")
    assert await polling == 1
    assert (await polled.stream()).verified_at == polled.trust.clock.now()


async def test_a_stream_that_its_transmitter_pauses_is_still_asked_and_hears_when_it_goes_on(polled: Room) -> None:
    polled.fake.set_status(polled.remote_id, "paused", "Internal error")
    held = polled.fake.send(polled.remote_id, REVOKED)
    assert await polled.poll() == 1
    assert (await polled.stream()).status == "paused"
    polled.fake.set_status(polled.remote_id, "enabled")
    assert await polled.poll() == 2
    assert (await polled.stream()).status == "enabled"
    assert held in polled.fake.acknowledged


async def test_a_worker_polls_every_stream_by_itself_and_says_goodbye(polled: Room) -> None:
    polled.fake.long_poll_seconds = 0.05
    stop = asyncio.Event()
    running = asyncio.create_task(polled.poller.run(stop))
    try:
        jtis = [polled.fake.send(polled.remote_id, REVOKED) for _ in range(3)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(90):
                while not set(jtis) <= set(polled.fake.acknowledged):
                    await asyncio.sleep(0.02)
        assert set(polled.fake.acknowledged) == set(jtis), (polled.fake.errors, polled.fake.requests[-5:])
    finally:
        stop.set()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    # Stopped between an acknowledgement and its answer, it says the same once more; nothing else may be amiss.
    again = [one for one in polled.fake.breaches if any(f"acknowledged {jti}" in one for jti in jtis)]
    assert polled.fake.breaches == again


async def test_before_it_ends_it_acknowledges_without_asking_for_more(polled: Room) -> None:
    jti = polled.fake.send(polled.remote_id, REVOKED)
    await polled.poller.poll_once(await polled.stream(), wait=False)
    stop = asyncio.Event()
    stop.set()
    await polled.poller.run(stop)
    assert polled.fake.acknowledged == [jti]
    last = [one[3] for one in polled.fake.requests if one[1].startswith("/poll")][-1]
    assert (last["maxEvents"], last["returnImmediately"]) == (0, True)


@given(st.binary(max_size=200) | st.sampled_from([b'{"sets":{"a":"b"},"moreAvailable":true}', b"{}", b'{"sets":null}']))
def test_any_answer_to_a_poll_is_read_or_refused(data: bytes) -> None:
    try:
        found = read_poll(data)
    except TransmitterFailed:
        return
    assert all(isinstance(one, str) for one in found.sets.values())
