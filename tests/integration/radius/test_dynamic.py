"""Sessions that end or move while they go on: from what causes it to the packet, and what its answer means."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from tests.integration.radius.conftest import Joins
from tests.support.das import ACK, SILENCE, Das, Fleet, listening
from tests.support.signals import Trust
from troth.kit.ids import new_id
from troth.kit.sealing import SecretBox
from troth.radius.dynamic.desk import OrderDesk
from troth.radius.dynamic.errors import DynamicError
from troth.radius.dynamic.model import Request
from troth.radius.dynamic.sender import Sender
from troth.radius.dynamic.udp import UdpTransport
from troth.radius.sessions import order_store, store
from troth.radius.sessions.errors import SessionRefused
from troth.radius.sessions.model import Session
from troth.radius.sessions.store import Meant
from troth.radius.wire.packet import Code
from troth.radius.wire.signing import encode_reply
from troth.trust.outbox import store as outbox
from troth.trust.outbox.desk import EffectDesk
from troth.trust.outbox.document_store import DocumentStore
from troth.trust.outbox.runner import EffectRunner

_REACTIONS = """
reactions:
  - when: [distrusted]
    then: [disconnect]
  - when: [trusted, restricted, quarantined]
    then: [reauthorize]
"""


@pytest.fixture(autouse=True)
async def reactions(trust: Trust) -> None:
    await trust.feed(cap={"percent": 100, "subjects": 1_000})
    desk = EffectDesk(trust.database, trust.clock, SecretBox(b"e" * 32, purpose="effect"))
    await trust.database.commit(desk.unit(await desk.plan(_REACTIONS), actor="admin:alice"))


async def _states(trust: Trust, subject: UUID) -> list[tuple[str, str]]:
    return [(one.port, one.state.value) for one in reversed(await outbox.of_subject(trust.database, subject))]


async def _do(sender: Sender, runner: EffectRunner) -> None:
    """The outbox and the sender, side by side, until nothing is left that is due."""
    effects = asyncio.create_task(runner.drain())
    while not effects.done():
        await sender.drain()
        await asyncio.sleep(0.01)
    await effects
    await sender.drain()
    await sender.sweep()
    await runner.drain()


async def _session(trust: Trust, session: Session) -> Session:
    found = await store.find(trust.database, session.id)
    assert found is not None
    return found


async def test_a_quarantined_device_is_cut_off_with_exactly_what_the_vendor_takes(
    trust: Trust, joins: Joins, das: Das, sender: Sender, runner: EffectRunner
) -> None:
    laptop = await trust.subject()
    session, other = await joins(laptop), await joins(await trust.subject("laptop-2"))
    await trust.take("edr.intrusion", laptop)
    trust.clock.advance(timedelta(milliseconds=300))
    await _do(sender, runner)
    assert das.named() == [
        (Code.DISCONNECT_REQUEST, {4: bytes([192, 0, 2, 1]), 31: b"02-00-00-00-00-01", 44: b"S1"}),
    ]  # fmt: skip
    (stamp,) = das.requests[0].all(55)
    assert int.from_bytes(stamp, "big") == int(trust.clock.now().timestamp())
    assert (await _session(trust, session)).ended_by == "disconnect"
    assert (await _session(trust, other)).open
    assert await _states(trust, laptop) == [("reauthorize", "done")]
    (measured,) = [one for one in await DocumentStore(trust.database).latencies() if one.port == "reauthorize"]
    assert (measured.number, measured.milliseconds) == (1, 300)


async def test_the_owners_devices_are_meant_too(
    trust: Trust, joins: Joins, das: Das, sender: Sender, runner: EffectRunner
) -> None:
    owner, laptop = await trust.subject("alice", kind="user"), await trust.subject()
    await trust.database.fetchval("UPDATE subject SET owner_id = $1 WHERE id = $2", owner, laptop)
    session = await joins(laptop)
    await trust.take("idp.user_disabled", owner)
    await _do(sender, runner)
    assert (await _session(trust, session)).ended_by == "disconnect"


@pytest.mark.parametrize(
    ("cause", "effect", "ended_by"),
    [(503, "done", "gone"), (201, "done", "disconnect"), (402, "dead", ""), (403, "dead", ""), (501, "dead", "")],
)
async def test_what_a_nak_means(
    trust: Trust, joins: Joins, das: Das, sender: Sender, runner: EffectRunner, cause: int, effect: str, ended_by: str
) -> None:
    laptop = await trust.subject()
    session = await joins(laptop)
    das.answers = [cause]
    await trust.take("edr.intrusion", laptop)
    await _do(sender, runner)
    assert await _states(trust, laptop) == [("reauthorize", effect)]
    assert (await _session(trust, session)).ended_by == ended_by
    if effect == "dead":
        (order,) = await order_store.of_session(trust.database, session.id)
        assert str(cause) in order.detail
        assert "Session-Timeout ends it at" in order.detail


async def test_the_ladder_is_climbed_until_a_rung_holds(
    trust: Trust, joins: Joins, das: Das, sender: Sender, runner: EffectRunner
) -> None:
    das.vendor = "cisco-ios-xe"
    laptop = await trust.subject()
    session = await joins(laptop)
    das.answers = [405, ACK]
    await trust.take("edr.intrusion", laptop)
    await _do(sender, runner)
    assert [code for code, _ in das.named()] == [Code.COA_REQUEST, Code.DISCONNECT_REQUEST]
    assert all(packet.first(55) is None for packet in das.requests)
    assert (await _session(trust, session)).ended_by == "disconnect"


async def test_who_is_let_go_again_authenticates_anew_and_keeps_the_session(
    trust: Trust, joins: Joins, das: Das, sender: Sender, runner: EffectRunner
) -> None:
    das.vendor = "cisco-ios-xe"
    laptop = await trust.subject()
    session = await joins(laptop)
    await trust.take("edr.intrusion", laptop)
    await _do(sender, runner)
    await trust.take("edr.cleared", laptop)
    await _do(sender, runner)
    assert [code for code, _ in das.named()] == [Code.COA_REQUEST, Code.COA_REQUEST]
    assert (await _session(trust, session)).open
    assert await _states(trust, laptop) == [("reauthorize", "done"), ("reauthorize", "done")]


async def test_a_silent_access_server_holds_up_nobody_else_and_is_asked_again_later(
    trust: Trust, joins: Joins, das: Das, fleet: Fleet, sender: Sender, runner: EffectRunner
) -> None:
    async with listening(Das("dead", judge=lambda _packet: SILENCE)) as dead:
        fleet.servers.append(dead)
        gone, laptop = await trust.subject("gone"), await trust.subject()
        session, other = await joins(gone, nas="dead"), await joins(laptop)
        await trust.take("edr.intrusion", gone)
        await trust.take("edr.intrusion", laptop)
        await _do(sender, runner)
        assert (await _session(trust, other)).ended_by == "disconnect"
        assert await _states(trust, gone) == [("reauthorize", "waiting")]
        (order,) = await order_store.of_session(trust.database, session.id)
        assert (order.state, order.due > trust.clock.now()) == ("waiting", True)
        # Sent twice, octet for octet the same, under one identifier.
        assert (len(dead.requests), dead.repeated) == (1, 1)
        dead.judge = None
        trust.clock.advance(timedelta(seconds=20))
        await _do(sender, runner)
        assert await _states(trust, gone) == [("reauthorize", "done")]
        assert (await _session(trust, session)).ended_by == "disconnect"


async def test_what_is_never_answered_is_given_up_after_a_day(
    trust: Trust, joins: Joins, das: Das, fleet: Fleet, sender: Sender
) -> None:
    session = await joins(await trust.subject())
    das.judge = lambda _packet: SILENCE
    fleet.udp = UdpTransport(trust.clock, first=0.005, tries=1)
    await OrderDesk(trust.database, trust.clock).one(session.id, "disconnect", actor="admin:alice")
    for _ in range(200):
        await sender.drain()
        (order,) = await order_store.of_session(trust.database, session.id)
        if order.over:
            break
        trust.clock.advance(order.due - trust.clock.now())
    assert (order.state, order.attempts < 120) == ("failed", True)
    assert len(das.requests) == order.attempts
    await fleet.udp.close()


async def test_what_has_been_superseded_is_not_sent_any_more(
    trust: Trust, joins: Joins, das: Das, sender: Sender, runner: EffectRunner
) -> None:
    laptop = await trust.subject()
    session = await joins(laptop)
    das.judge = lambda _packet: SILENCE
    await trust.take("edr.intrusion", laptop)
    await _do(sender, runner)
    sent = len(das.requests)
    await trust.take("edr.cleared", laptop)
    trust.clock.advance(timedelta(seconds=70))
    await runner.drain()
    trust.clock.advance(timedelta(minutes=1))
    das.judge = None
    await _do(sender, runner)
    await _do(sender, runner)
    assert [one.state for one in await order_store.of_session(trust.database, session.id)] == ["done", "dropped"]
    assert len(das.requests) == sent + 1


async def test_an_answer_is_believed_only_from_who_knows_the_secret(trust: Trust, das: Das) -> None:
    das.judge = lambda _packet: SILENCE
    udp = UdpTransport(trust.clock, first=0.2, tries=1)
    request = Request(Code.DISCONNECT_REQUEST, [(31, b"02")], "127.0.0.1", das.port)
    sending = asyncio.create_task(udp.send(das.equipment, request))
    while not das.requests:
        await asyncio.sleep(0.005)
    (packet,) = das.requests
    (channel,) = udp._channels.values()
    for forged in (
        encode_reply(packet, Code.DISCONNECT_ACK, [], b"another secret"),
        encode_reply(packet, Code.DISCONNECT_ACK, [], das.secret, message_authenticator=False),
        b"\x29",
    ):
        channel.datagram_received(forged, None)
    assert not sending.done()
    channel.datagram_received(encode_reply(packet, Code.DISCONNECT_ACK, [], das.secret), None)
    assert (await sending).code == Code.DISCONNECT_ACK
    with pytest.raises(DynamicError, match=r"radius\.dynamic\.silent"):
        await udp.send(das.equipment, request)
    await udp.close()


async def test_one_device_is_spoken_to_by_one_at_a_time_and_an_access_server_by_few(
    trust: Trust, joins: Joins, das: Das, sender: Sender
) -> None:
    das.delay = 0.02
    desk = OrderDesk(trust.database, trust.clock)
    session = await joins(await trust.subject())
    for _ in range(3):
        await desk.one(session.id, "reauthorize", actor="admin:alice")
    das.vendor = "cisco-ios-xe"
    await sender.drain()
    assert (len(das.requests), das.most_waiting) == (3, 1)
    subject = await trust.subject("many")
    for _ in range(40):
        await joins(subject)
    await desk.several(Meant(subjects=(subject,)), "disconnect", actor="admin:alice")
    await sender.drain()
    assert len(das.requests) == 43
    assert 4 < das.most_waiting <= 16
    assert await store.open_count(trust.database) == 1


async def test_another_sender_takes_over_at_once_what_one_has_left(
    trust: Trust, joins: Joins, das: Das, fleet: Fleet, sender: Sender
) -> None:
    das.judge = lambda _packet: SILENCE
    session = await joins(await trust.subject())
    await OrderDesk(trust.database, trust.clock).one(session.id, "disconnect", actor="admin:alice")
    dying = asyncio.create_task(sender.drain())
    while not das.requests:
        await asyncio.sleep(0.005)
    for task in (dying, *sender._running):
        task.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    das.judge = None
    other = Sender(trust.database, trust.clock, new_id(), fleet)
    await other.drain()  # the first one's lease stands
    assert (await _session(trust, session)).open
    await trust.database.fetchval("UPDATE lease SET lease_until = now() - interval '1 second'")
    await other.drain()
    assert (await _session(trust, session)).ended_by == "disconnect"
    assert len(das.requests) == 2


async def test_a_freeze_stops_automation_and_no_person(
    trust: Trust, joins: Joins, das: Das, sender: Sender, runner: EffectRunner
) -> None:
    laptop, other = await trust.subject(), await trust.subject("laptop-2")
    await joins(laptop)
    session = await joins(other)
    await trust.take("edr.intrusion", laptop)
    await trust.orders.freeze(person="alice", reason="a drill")
    await runner.drain()
    await OrderDesk(trust.database, trust.clock).one(session.id, "disconnect", actor="admin:alice")
    await sender.drain()
    assert [packet.first(44) for packet in das.requests] == [b"S2"]


async def test_orders_by_hand_name_somebody_and_something_that_goes_on(
    trust: Trust, joins: Joins, sender: Sender
) -> None:
    desk = OrderDesk(trust.database, trust.clock)
    session = await joins(await trust.subject())
    with pytest.raises(SessionRefused, match=r"nobody_meant"):
        await desk.several(Meant(), "disconnect", actor="admin:alice")
    with pytest.raises(SessionRefused, match=r"radius\.session\.unknown"):
        await desk.one(new_id(), "disconnect", actor="admin:alice")
    done, paced = await desk.several(Meant(), "disconnect", actor="admin:alice", everybody=True)
    assert ([one.id for one in done], paced) == ([session.id], False)
    await sender.drain()
    with pytest.raises(SessionRefused, match=r"radius\.session\.ended"):
        await desk.one(session.id, "disconnect", actor="admin:alice")
    kinds = [kind for kind, _ in await trust.events() if kind.startswith("session.")]
    assert kinds == ["session.ordered", "session.disconnect_done"]


async def test_an_access_server_that_takes_nothing_is_left_to_the_session_timeout(
    trust: Trust, joins: Joins, das: Das, fleet: Fleet, sender: Sender
) -> None:
    from dataclasses import replace as replaced

    session = await joins(await trust.subject(), nas="deaf")
    fleet.more["deaf"] = replaced(das.equipment, name="deaf", enabled=False)
    await OrderDesk(trust.database, trust.clock).one(session.id, "disconnect", actor="admin:alice")
    await sender.drain()
    (order,) = await order_store.of_session(trust.database, session.id)
    assert (order.state, das.requests) == ("refused", [])
    assert "Session-Timeout ends it at" in order.detail
