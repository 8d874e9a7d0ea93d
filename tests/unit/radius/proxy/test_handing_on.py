"""Requests that are handed on to servers over loopback: answers, fail-over, loops, and what strangers may not say."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.support.radius import nas
from troth.kit.clock import SystemClock
from troth.radius.nas.model import Nas
from troth.radius.places.errors import PLACE_UNKNOWN, PlaceUnknown
from troth.radius.proxy import definition as definitions
from troth.radius.proxy.definition import ServerDefinition
from troth.radius.proxy.service import Outcome, Proxies
from troth.radius.proxy.upstream import UdpUpstream, Upstream
from troth.radius.wire.hiding import hide_password, mppe_keys, reveal_password, reveal_salted
from troth.radius.wire.packet import (
    EAP_MESSAGE,
    PROXY_STATE,
    STATE,
    USER_NAME,
    USER_PASSWORD,
    Attribute,
    Code,
    Packet,
    decode,
)
from troth.radius.wire.signing import Protection, encode_reply, encode_request, message_authenticator_ok, verify_reply

US = b"between us and their server"
AP = Protection(b"between us and the access point")
MSK = bytes(range(64))
TAG = b"our-tag!"


class Elsewhere(asyncio.DatagramProtocol):
    """Somebody's RADIUS server. ``say``: what it answers; None: nothing."""

    def __init__(self, say: Callable[[Packet], tuple[int, list[Attribute]] | None], secret: bytes = US) -> None:
        self.say = say
        self.secret = secret
        self.heard: list[Packet] = []
        self.signed = True
        self.transport: Any = None
        self.address = ""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.address = "{}:{}".format(*transport.get_extra_info("sockname"))

    def datagram_received(self, data: bytes, addr: Any) -> None:
        packet = decode(data)
        self.heard.append(packet)
        assert message_authenticator_ok(packet, US), "every request of ours is signed"
        said = self.say(packet)
        if said is not None:
            code, attributes = said
            reply = encode_reply(packet, code, attributes, self.secret, message_authenticator=self.signed)
            self.transport.sendto(reply, addr)


def accepting(*attributes: Attribute) -> Callable[[Packet], tuple[int, list[Attribute]]]:
    return lambda packet: (
        Code.ACCESS_ACCEPT,
        [*attributes, *(mppe_keys(MSK, US, packet.authenticator) if packet.code == Code.ACCESS_REQUEST else [])],
    )


def nothing(_: Packet) -> None:
    return None


@asynccontextmanager
async def servers(*all_: Elsewhere) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    for one in all_:
        await loop.create_datagram_endpoint(lambda one=one: one, local_addr=("127.0.0.1", 0))  # type: ignore[misc]
    try:
        yield
    finally:
        for one in all_:
            one.transport.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def proxying(*addresses: str, first_seconds: float = 0.2, **fields: Any) -> AsyncIterator[Proxies]:
    """One pool, ``there``."""
    lines = "\n".join(f"      - address: {one}" for one in addresses)
    (parsed,) = definitions.parse_proxies(f"proxies:\n  - name: there\n    servers:\n{lines}\n")
    pool = msgspec.structs.replace(parsed, window_seconds=1, **fields)

    def connect(_: str, server: ServerDefinition, refused: Callable[[str], None]) -> Upstream:
        return UdpUpstream(
            server.host, server.port, US, first_seconds=first_seconds, refused=refused,
            require_message_authenticator=server.require_message_authenticator,
        )  # fmt: skip

    def placing(place: str, nas: Nas, request: Packet) -> list[Attribute]:
        if place == "nowhere":
            raise PlaceUnknown(PLACE_UNKNOWN, place)
        return [(64, b"\0\0\0\x0d"), (81, place.encode())]

    proxies = Proxies(connect, placing, SystemClock(), tag=TAG, f_ticks_key=b"k" * 32)
    proxies.replace([pool])
    try:
        yield proxies
    finally:
        await proxies.close()


def request(*attributes: Attribute, password: bool = False, eap: bytes = b"") -> Packet:
    authenticator = secrets.token_bytes(16)
    found = [(USER_NAME, b"alice@example.org"), (31, b"02-00-00-00-00-07"), *attributes]
    if eap:
        found.append((EAP_MESSAGE, eap))
    if password:
        found.append((USER_PASSWORD, hide_password(b"open sesame", AP, authenticator)))
    return decode(encode_request(Code.ACCESS_REQUEST, 9, found, AP, authenticator=authenticator))


async def hand_on(proxies: Proxies, packet: Packet) -> Outcome:
    return await proxies.access(proxies.pools["there"], packet, nas(), AP)


def reply_of(packet: Packet, outcome: Outcome) -> Packet:
    assert outcome.reply is not None, outcome
    reply = decode(outcome.reply)
    verify_reply(reply, packet.authenticator, AP, require_message_authenticator=True)
    return reply


async def test_an_answer_comes_back_under_our_secret_with_the_access_servers_own_proxy_states() -> None:
    there = Elsewhere(accepting((25, b"class")))
    async with servers(there), proxying(there.address) as proxies:
        packet = request((PROXY_STATE, b"ap"), password=True)
        outcome = await hand_on(proxies, packet)
    reply = reply_of(packet, outcome)
    keys = b"".join(reveal_salted(reply.vendor(311, kind)[0], AP, packet.authenticator) for kind in (17, 16))
    (heard,) = there.heard
    hidden = heard.first(USER_PASSWORD)
    assert hidden is not None
    assert (reply.code, reply.first(25), keys, reply.all(PROXY_STATE)) == (Code.ACCESS_ACCEPT, b"class", MSK, [b"ap"])
    assert reveal_password(hidden, US, heard.authenticator) == b"open sesame"
    states = heard.all(PROXY_STATE)
    assert (states[0], states[1][:8], len(states)) == (b"ap", TAG, 2)
    assert outcome.words == f"handed to pool there, answered Accept by {there.address}"
    assert proxies.counted["there", "Accept"] == 1


async def test_a_request_is_repeated_to_a_server_that_lost_it_octet_by_octet_the_same() -> None:
    there = Elsewhere(nothing)
    there.say = lambda packet: accepting()(packet) if len(there.heard) == 3 else None
    async with servers(there), proxying(there.address, first_seconds=0.05) as proxies:
        packet = request()
        assert reply_of(packet, await hand_on(proxies, packet)).code == Code.ACCESS_ACCEPT
    assert len({one.raw for one in there.heard}) == 1


async def test_the_next_server_answers_for_one_that_is_gone_and_new_requests_go_there_first() -> None:
    gone, there = Elsewhere(nothing), Elsewhere(accepting())
    async with servers(gone, there), proxying(gone.address, there.address) as proxies:
        gone.transport.close()
        for _ in range(2):
            packet = request()
            outcome = await hand_on(proxies, packet)
            assert outcome.server == there.address
        standing = proxies.pools["there"].health.servers
        assert [one.alive for one in standing] == [False, True]
        assert [one.sent for one in standing] == [1, 2]


async def test_a_server_that_came_back_is_found_by_probes() -> None:
    there, second = Elsewhere(nothing), Elsewhere(accepting())
    async with servers(there, second), proxying(there.address, second.address, dead_seconds=1) as proxies:
        await hand_on(proxies, request())
        there.say = accepting()
        async with asyncio.timeout(120):
            while not proxies.pools["there"].health.servers[0].alive:
                await asyncio.sleep(0.05)
        outcome = await hand_on(proxies, request())
    assert outcome.server == there.address
    assert Code.STATUS_SERVER in {one.code for one in there.heard}


async def test_a_conversation_keeps_its_server_and_ends_with_it() -> None:
    first = Elsewhere(lambda _: (Code.ACCESS_CHALLENGE, [(STATE, b"s1"), (EAP_MESSAGE, b"\x01\x02\0\x06\x0d\x20")]))
    second = Elsewhere(accepting())
    async with servers(first, second), proxying(first.address, second.address) as proxies:
        packet = request(eap=b"\x02\x01\0\x06\x01a")
        challenge = reply_of(packet, await hand_on(proxies, packet))
        assert (challenge.code, challenge.first(STATE)) == (Code.ACCESS_CHALLENGE, b"s1")
        first.say = nothing
        outcome = await hand_on(proxies, request((STATE, b"s1"), eap=b"\x02\x02\0\x06\x0d\x00"))
    assert (outcome.reply, outcome.reason) == (None, "proxy.state_lost")
    assert second.heard == []


async def test_nobody_answers_nothing_is_answered() -> None:
    there = Elsewhere(nothing)
    async with servers(there), proxying(there.address) as proxies:
        outcome = await hand_on(proxies, request())
    assert (outcome.reply, outcome.reason) == (None, "proxy.no_server")


@pytest.mark.parametrize("wrong", ["secret", "unsigned", "code"])
async def test_a_reply_that_is_not_believed_is_none(wrong: str) -> None:
    there = Elsewhere(accepting(), secret=b"another one" if wrong == "secret" else US)
    there.signed = wrong != "unsigned"
    if wrong == "code":
        there.say = lambda _: (Code.DISCONNECT_ACK, [])
    async with servers(there), proxying(there.address) as proxies:
        outcome = await hand_on(proxies, request())
    assert outcome.reply is None
    counted = {code for pool, code in proxies.counted if pool == "there"}
    expected = {
        "secret": "radius.packet.authenticator", "unsigned": "radius.packet.message_authenticator_missing",
        "code": "proxy.reply",
    }[wrong]  # fmt: skip
    assert counted == {expected, "proxy.no_server"}


async def test_a_request_that_comes_round_again_is_dropped() -> None:
    there = Elsewhere(accepting())
    async with servers(there), proxying(there.address) as proxies:
        outcome = await hand_on(proxies, request((PROXY_STATE, b"x"), (PROXY_STATE, TAG + bytes(8))))
    assert (outcome.reply, outcome.reason, there.heard) == (None, "proxy.loop", [])


async def test_more_than_the_pool_may_have_under_way_is_not_sent() -> None:
    there = Elsewhere(nothing)
    async with servers(there), proxying(there.address, max_in_flight=1) as proxies:
        first = asyncio.create_task(hand_on(proxies, request()))
        await asyncio.sleep(0)
        outcome = await hand_on(proxies, request())
        await first
    assert outcome.reason == "proxy.full"


async def test_others_users_are_put_where_the_pool_says_and_the_federation_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    there = Elsewhere(accepting((64, b"\0\0\0\x0d"), (81, b"admins"), (11, b"all"), (89, b"cui")))
    fields = {
        "foreign": True,
        "place": "guests",
        "operator_name": "example.net",
        "country": "DE",
        "chargeable_identity": True,
    }
    async with servers(there), proxying(there.address, **fields) as proxies:
        packet = request((126, b"1evil.example"))
        reply = reply_of(packet, await hand_on(proxies, packet))
    (heard,) = there.heard
    assert (reply.all(81), reply.first(11), reply.first(89)) == ([b"guests"], None, b"cui")
    assert (heard.all(126), heard.all(89)) == ([b"1example.net"], [b"\0"])
    told = capsys.readouterr()
    assert "F-TICKS/eduroam/1.0#REALM=example.org#VISCOUNTRY=DE#VISINST=1example.net#CSI=" in told.out + told.err
    assert "02-00-00-00-00-07" not in told.out + told.err


async def test_who_is_accepted_and_has_no_place_here_is_rejected() -> None:
    there = Elsewhere(accepting())
    async with servers(there), proxying(there.address, foreign=True, place="nowhere") as proxies:
        packet = request(eap=b"\x02\x07\0\x06\x01a")
        outcome = await hand_on(proxies, packet)
    reply = reply_of(packet, outcome)
    assert (reply.code, reply.joined(EAP_MESSAGE), outcome.reason) == (3, b"\x04\x07\0\x04", "radius.place.unknown")


async def test_a_name_that_nobody_could_route_is_rejected_here() -> None:
    there = Elsewhere(accepting())
    async with servers(there), proxying(there.address, foreign=True) as proxies:
        authenticator = secrets.token_bytes(16)
        sent = encode_request(
            Code.ACCESS_REQUEST, 3, [(USER_NAME, b"alice@example"), (EAP_MESSAGE, b"\x02\x07\0\x06\x01a")], AP,
            authenticator=authenticator,
        )  # fmt: skip
        packet = decode(sent)
        outcome = await hand_on(proxies, packet)
    reply = reply_of(packet, outcome)
    assert (reply.code, reply.joined(EAP_MESSAGE), reply.first(101)) == (3, b"\x04\x07\0\x04", b"\0\0\x01\xf6")
    assert there.heard == []


async def test_the_network_decides_before_the_realm_and_its_own_realm_stays_here() -> None:
    async with proxying("127.0.0.1:9", realms=("*.example.org", "*")) as proxies:
        pool = proxies.pools["there"]
        assert proxies.chosen(b"a@x.test", network_pool=None, by_realm=False) is pool
        assert proxies.chosen(b"a@x.test", network_pool=None, by_realm=True) is None
        assert proxies.chosen(b"a", network_pool=None, by_realm=False) is None
        assert proxies.chosen(b"a", network_pool="there", by_realm=True) is pool


async def test_a_pool_that_did_not_change_keeps_its_servers() -> None:
    async with proxying("127.0.0.1:9") as proxies:
        pool = proxies.pools["there"]
        proxies.replace([pool.definition])
        assert proxies.pools["there"] is pool
        proxies.replace([pool.definition], changed=["there"])
        assert proxies.pools["there"] is not pool
