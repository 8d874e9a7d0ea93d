"""RadSec between our server and our client, over loopback: who is let in, what is spoken, and when it ends."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.radius import nas
from tests.support.radsec import TinyAuthority
from troth.kit.clock import Clock, FakeClock, SystemClock
from troth.kit.radsec_settings import RadsecSettings
from troth.radius.radsec import server as serving
from troth.radius.radsec.client import RadsecClient, Server
from troth.radius.radsec.connection import Caller
from troth.radius.radsec.errors import ExchangeFailed
from troth.radius.radsec.names import PeerCertificate
from troth.radius.radsec.peers import Entry, Peers
from troth.radius.radsec.server import RadsecServer
from troth.radius.radsec.tls import Identity, client_context, server_context
from troth.radius.radsec.versions import BOTH, Version
from troth.radius.wire.hiding import hide_password, mppe_keys, reveal_password, reveal_salted
from troth.radius.wire.packet import CLASS, PROXY_STATE, USER_NAME, USER_PASSWORD, Attribute, Code, Packet, decode
from troth.radius.wire.signing import Protection, encode_reply, encode_request
from troth.store.errors import UNAVAILABLE, Unavailable

LOOPBACK = (ip_network("127.0.0.0/8"),)
MSK = bytes(range(64))


class Desk:
    """Accepts everybody, with keys; ``password`` is what User-Password held. ``hold``: answers wait for it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Packet, Caller]] = []
        self.password = b""
        self.hold: asyncio.Event | None = None
        self.under_way = self.most = 0

    async def answer(self, packet: Packet, caller: Caller) -> bytes | None:
        self.asked.append((packet, caller))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if self.hold is not None:
                await self.hold.wait()
        finally:
            self.under_way -= 1
        hidden = packet.first(USER_PASSWORD)
        if hidden is not None:
            self.password = reveal_password(hidden, caller.protection, packet.authenticator)
        attributes = [(CLASS, b"c"), *mppe_keys(MSK, caller.protection, packet.authenticator)]
        return encode_reply(packet, Code.ACCESS_ACCEPT, attributes, caller.protection)


class House:
    """A running server."""

    def __init__(self, authority: TinyAuthority, desk: Desk, clock: Clock, **settings: Any) -> None:
        self.authority = authority
        self.desk = desk
        self.against: dict[bytes, tuple[str, str]] = {}
        self.unknowable = False
        made = RadsecSettings(**settings)
        versions = [Version(f"radius/{one}") for one in made.versions]
        context = server_context(authority.issue("radius.corp.test"), [authority.der], versions)
        self.server = RadsecServer(desk.answer, self._judge, lambda: context, made, clock)
        self.server.replace_peers(Peers([Entry(nas("ap-7"), ("dns:ap-7.corp.test",), LOOPBACK)]))
        self.port = 0

    async def _judge(self, certificates: Collection[PeerCertificate]) -> Mapping[bytes, tuple[str, str]]:
        if self.unknowable:
            raise Unavailable(UNAVAILABLE, "the database is away")
        return {one.leaf: self.against[one.leaf] for one in certificates if one.leaf in self.against}

    def client(
        self,
        identity: Identity | None = None,
        *,
        versions: Sequence[Version] = BOTH,
        names: tuple[str, ...] = ("dns:radius.corp.test",),
        tls: ssl.TLSVersion | None = None,
        anchor: TinyAuthority | None = None,
    ) -> RadsecClient:
        context = client_context(
            identity or self.authority.issue("ap-7.corp.test"),
            [(anchor or self.authority).der], versions, by_host=False,
        )  # fmt: skip
        if tls is not None:
            context.maximum_version = tls
        return RadsecClient(Server("127.0.0.1", self.port, names, tuple(versions)), lambda: context, SystemClock())

    async def settle(self, promise: Callable[[], bool]) -> None:
        async with asyncio.timeout(120):
            while not promise():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(
    authority: TinyAuthority, desk: Desk | None = None, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[House]:
    house = House(authority, desk or Desk(), clock or SystemClock(), **settings)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    house.port = listener.getsockname()[1]
    stop = asyncio.Event()
    task = asyncio.create_task(house.server.run([listener], stop))
    try:
        yield house
    finally:
        stop.set()
        await task
        listener.close()


@pytest.fixture(scope="module")
def authority() -> TinyAuthority:
    return TinyAuthority()


def asking(*attributes: Attribute) -> Callable[[bytes, Protection], Sequence[Attribute]]:
    def made(authenticator: bytes, protection: Protection) -> Sequence[Attribute]:
        return [*attributes, (USER_PASSWORD, hide_password(b"open sesame", protection, authenticator))]

    return made


@pytest.mark.parametrize("version", list(Version))
async def test_a_request_is_answered_and_keys_are_the_same_on_both_sides(
    authority: TinyAuthority, version: Version
) -> None:
    async with running(authority) as house:
        client = house.client(versions=[version])
        reply, authenticator, protection = await client.request(
            Code.ACCESS_REQUEST, asking((USER_NAME, b"alice"), (PROXY_STATE, b"p1")), seconds=5
        )
        await client.close()

    ((packet, caller),) = house.desk.asked
    keys = [reveal_salted(reply.vendor(311, kind)[0], protection, authenticator) for kind in (17, 16)]
    assert (reply.code, reply.all(PROXY_STATE), b"".join(keys)) == (Code.ACCESS_ACCEPT, [b"p1"], MSK)
    assert (packet.first(USER_NAME), caller.nas.name, house.desk.password) == (b"alice", "ap-7", b"open sesame")
    assert client.server.versions == (version,)
    # RADIUS/1.1 neither signs nor hides (RFC 9765 section 5).
    assert (packet.first(80) is None) == (version is Version.ONE_1)
    assert (packet.first(USER_PASSWORD) == b"open sesame") == (version is Version.ONE_1)


async def test_the_octets_of_another_implementation_of_radius_1_1_are_understood(authority: TinyAuthority) -> None:
    """An Access-Request as pyrad2 3.2 sends it: reserved octets, a token, and a password in clear."""
    said = bytes.fromhex("01000028dcb715d00000000000000000000000000107616c696365020d6f70656e20736573616d65")
    async with running(authority) as house, raw(house, Version.ONE_1) as (send, receive):
        # The reserved octets may hold anything, and a Message-Authenticator says nothing here.
        odd = bytearray(said + bytes((80, 18)) + bytes(16))
        odd[1:4] = bytes((255, 0, len(odd)))
        odd[4:20] = bytes.fromhex("00000001") + b"reserved-2!!"
        for octets in (said, bytes(odd)):
            send(octets)
            reply = await receive()
            assert (reply.code, reply.identifier, reply.authenticator) == (2, 0, octets[4:8] + bytes(12))
            assert reply.first(80) is None
            assert b"".join(reply.vendor(311, kind)[0] for kind in (17, 16)) == MSK
        assert house.desk.password == b"open sesame"
    assert [packet.first(80) for packet, _ in house.desk.asked] == [None, None]


async def test_both_sides_take_the_better_version_and_older_ones_without_it(authority: TinyAuthority) -> None:
    spoken = []
    async with running(authority) as house:
        for versions in (BOTH, [Version.ONE_0]):
            client = house.client(versions=versions)
            await client.request(Code.ACCESS_REQUEST, asking(), seconds=5)
            spoken.append(client.version)
            await client.close()
    assert spoken == [Version.ONE_1, Version.ONE_0]


async def test_radius_1_1_is_not_spoken_below_tls_1_3(authority: TinyAuthority) -> None:
    async with running(authority) as house:
        client = house.client(tls=ssl.TLSVersion.TLSv1_2)
        with pytest.raises(ExchangeFailed):
            await client.request(Code.ACCESS_REQUEST, asking(), seconds=5)
        await house.settle(lambda: house.server.tally.closed.get("radsec.version") == 1)
        await client.close()
    assert not house.desk.asked


async def test_a_server_that_speaks_1_1_alone_closes_on_a_peer_without_alpn(authority: TinyAuthority) -> None:
    async with running(authority, versions=("1.1",)) as house:
        client = house.client(versions=[Version.ONE_0])
        with pytest.raises(ExchangeFailed):
            await client.request(Code.ACCESS_REQUEST, asking(), seconds=5)
        await house.settle(lambda: house.server.tally.closed.get("radsec.version") == 1)
        await client.close()


@pytest.mark.parametrize(
    ("identity", "counted"),
    [
        (lambda own: own.issue("ap-8.corp.test"), "radsec.peer.unknown"),
        (lambda own: own.issue("*.corp.test"), "radsec.peer.unknown"),
        (lambda own: own.issue(uris=["urn:ap-7.corp.test"]), "radsec.peer.unknown"),
        (lambda own: own.issue("ap-7.corp.test", usage=ExtendedKeyUsageOID.SERVER_AUTH), "handshake"),
        (lambda _: TinyAuthority().issue("ap-7.corp.test"), "handshake"),
    ],
    ids=["another name", "wildcard certificate", "name of another kind", "certificate for servers", "another CA"],
)
async def test_who_is_no_access_server_of_ours_is_not_heard(
    authority: TinyAuthority, identity: Callable[[TinyAuthority], Identity], counted: str
) -> None:
    async with running(authority) as house:
        client = house.client(identity(authority))
        with pytest.raises(ExchangeFailed):
            await client.request(Code.ACCESS_REQUEST, asking(), seconds=5)
        await house.settle(lambda: house.server.tally.closed.get(counted) == 1)
        await client.close()
    assert not house.desk.asked


async def test_an_address_that_nobody_connects_from_is_turned_away_before_tls(authority: TinyAuthority) -> None:
    async with running(authority) as house:
        house.server.replace_peers(Peers([Entry(nas("ap-7"), ("dns:ap-7.corp.test",), (ip_network("192.0.2.0/24"),))]))
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        assert await reader.read(1) == b""
        writer.close()
    assert house.server.tally.closed == {"radsec.peer.unknown": 1}


async def test_half_open_connections_are_few_and_end_by_themselves(authority: TinyAuthority) -> None:
    async with running(authority, half_open=2, handshake_seconds=1) as house:
        quiet = [await asyncio.open_connection("127.0.0.1", house.port) for _ in range(2)]
        await house.settle(lambda: house.server.half_open == 2)
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        assert await reader.read(1) == b""
        assert house.server.tally.closed == {"radsec.crowded": 1}
        await house.settle(lambda: house.server.half_open == 0)
        for one in [writer, *(writer for _, writer in quiet)]:
            one.close()


async def test_one_access_server_has_no_more_connections_than_allowed(authority: TinyAuthority) -> None:
    async with running(authority, connections_each=1) as house:
        first, second = house.client(), house.client()
        await first.request(Code.ACCESS_REQUEST, asking(), seconds=5)
        with pytest.raises(ExchangeFailed):
            await second.request(Code.ACCESS_REQUEST, asking(), seconds=5)
        assert house.server.tally.closed == {"radsec.crowded": 1}
        await first.close()
        await second.close()


async def test_a_held_certificate_closes_its_connection_and_opens_no_other(authority: TinyAuthority) -> None:
    async with running(authority) as house:
        client = house.client()
        await client.request(Code.ACCESS_REQUEST, asking(), seconds=5)
        (connection,) = house.server.connections
        house.against[connection.certificate.leaf] = ("certificate.held", "it is on hold")
        await house.server.recheck()
        await house.settle(lambda: not client.connected)
        with pytest.raises(ExchangeFailed):
            await client.request(Code.ACCESS_REQUEST, asking(), seconds=5)
        await client.close()
    assert house.server.tally.closed == {"radsec.peer.distrusted": 2}
    assert len(house.desk.asked) == 1


@pytest.mark.parametrize(
    ("passes", "why"), [(timedelta(days=2), "radsec.peer.distrusted"), (timedelta(hours=2), "radsec.idle")],
    ids=["its certificate ends", "nothing is said"],
)  # fmt: skip
async def test_a_connection_ends_with_its_certificate_and_when_nothing_is_said(
    authority: TinyAuthority, monkeypatch: pytest.MonkeyPatch, passes: timedelta, why: str
) -> None:
    monkeypatch.setattr(serving, "_SWEEP", 0.02)
    clock = FakeClock(datetime.now(UTC))
    # Idle time is long enough in the one case to leave the other alone.
    async with running(authority, clock=clock, idle_seconds=86_400 if passes.days else 3600) as house:
        client = house.client()
        await client.request(Code.ACCESS_REQUEST, asking(), seconds=5)
        clock.advance(passes if not passes.days else timedelta(hours=23, minutes=59))
        if passes.days:
            await client.request(Code.ACCESS_REQUEST, asking(), seconds=5)
            clock.advance(timedelta(hours=2))
        await house.settle(lambda: not client.connected)
        await client.close()
    assert house.server.tally.closed == {why: 1}


async def test_where_nobody_can_tell_a_new_connection_is_closed_and_an_open_one_goes_on(
    authority: TinyAuthority,
) -> None:
    async with running(authority) as house:
        client, late = house.client(), house.client()
        await client.request(Code.ACCESS_REQUEST, asking(), seconds=5)
        house.unknowable = True
        with pytest.raises(Unavailable):
            await house.server.recheck()
        with pytest.raises(ExchangeFailed):
            await late.request(Code.ACCESS_REQUEST, asking(), seconds=5)
        await client.request(Code.ACCESS_REQUEST, asking(), seconds=5)
        await client.close()
        await late.close()
    assert len(house.desk.asked) == 2


async def test_an_access_server_taken_off_the_record_is_closed(authority: TinyAuthority) -> None:
    async with running(authority) as house:
        client = house.client()
        await client.request(Code.ACCESS_REQUEST, asking(), seconds=5)
        house.server.replace_peers(Peers([]))
        await house.settle(lambda: not client.connected)
        await client.close()
    assert not house.server.connections


async def test_a_connection_that_ends_takes_with_it_what_was_under_way(authority: TinyAuthority) -> None:
    desk = Desk()
    desk.hold = asyncio.Event()
    async with running(authority, desk) as house:
        client = house.client()
        asked = asyncio.create_task(client.request(Code.ACCESS_REQUEST, asking(), seconds=5))
        await house.settle(lambda: desk.under_way == 1)
        await client.close()
        with pytest.raises(ExchangeFailed):
            await asked
        await house.settle(lambda: desk.under_way == 0)
        assert not house.server.connections


async def test_more_requests_than_allowed_wait_and_are_all_answered(authority: TinyAuthority) -> None:
    desk = Desk()
    desk.hold = asyncio.Event()
    async with running(authority, desk, pending=4) as house:
        client = house.client(versions=[Version.ONE_0])
        asked = [asyncio.create_task(client.request(Code.ACCESS_REQUEST, asking(), seconds=10)) for _ in range(40)]
        await house.settle(lambda: desk.under_way == 4)
        desk.hold.set()
        replies = await asyncio.gather(*asked)
        await client.close()
    assert {reply.code for reply, _, _ in replies} == {Code.ACCESS_ACCEPT}
    assert (desk.most, len(desk.asked)) == (4, 40)


async def test_a_disconnect_goes_down_the_access_servers_own_connection(authority: TinyAuthority) -> None:
    async with running(authority) as house, raw(house) as (send, receive):
        (connection,) = house.server.connections
        order = asyncio.create_task(
            connection.exchange.request(Code.DISCONNECT_REQUEST, lambda _: [(44, b"s1")], seconds=5)
        )
        asked = await receive()
        assert (asked.code, asked.first(44)) == (Code.DISCONNECT_REQUEST, b"s1")
        send(encode_reply(asked, Code.DISCONNECT_ACK, (), Protection(b"radsec")))
        assert (await order).code == Code.DISCONNECT_ACK


async def test_a_status_server_is_answered_while_requests_wait(authority: TinyAuthority) -> None:
    desk = Desk()
    desk.hold = asyncio.Event()
    async with running(authority, desk, pending=1) as house, raw(house) as (send, receive):
        send(encode_request(Code.ACCESS_REQUEST, 7, [(USER_NAME, b"a")], b"radsec"))
        send(encode_request(Code.STATUS_SERVER, 0, [], b"radsec"))
        reply = await receive()
        assert (reply.code, reply.identifier) == (Code.ACCESS_ACCEPT, 0)
        assert house.server.tally.probes == 1


async def test_a_request_said_twice_is_answered_once_and_a_new_one_takes_its_number(authority: TinyAuthority) -> None:
    desk = Desk()
    desk.hold = asyncio.Event()
    async with running(authority, desk) as house, raw(house) as (send, receive):
        first = encode_request(Code.ACCESS_REQUEST, 7, [(USER_NAME, b"a")], b"radsec")
        send(first + first + encode_request(Code.ACCESS_REQUEST, 7, [(USER_NAME, b"b")], b"radsec"))
        await house.settle(lambda: house.server.tally.superseded == 1 and desk.under_way == 1)
        desk.hold.set()
        reply = await receive()
        assert reply.code == Code.ACCESS_ACCEPT
    assert [packet.first(USER_NAME) for packet, _ in desk.asked][-1] == b"b"
    assert house.server.tally.duplicates == 1


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "radsec.frame"),
        (bytes((1, 0, 0, 22)) + bytes(16) + bytes((1, 9)), "radsec.packet"),
        (encode_request(Code.STATUS_SERVER, 0, [], b"another"), "radsec.packet"),
        (encode_request(Code.STATUS_SERVER, 0, [], b"radsec", message_authenticator=False), "radsec.packet"),
    ],
    ids=["http", "attribute past the end", "another secret", "unsigned probe"],
)
async def test_what_no_radius_peer_would_say_ends_the_connection(
    authority: TinyAuthority, said: bytes, why: str
) -> None:
    async with running(authority) as house, raw(house) as (send, _):
        send(said)
        await house.settle(lambda: not house.server.connections)
    assert house.server.tally.closed == {why: 1}
    assert not house.desk.asked


@asynccontextmanager
async def raw(
    house: House, version: Version = Version.ONE_0
) -> AsyncIterator[tuple[Callable[[bytes], None], Callable[[], Awaitable[Packet]]]]:
    """A TLS connection on which a test says what it likes."""
    context = client_context(house.authority.issue("ap-7.corp.test"), [house.authority.der], [version], by_host=False)
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port, ssl=context)
    await house.settle(lambda: len(house.server.connections) == 1)

    async def receive() -> Packet:
        async with asyncio.timeout(120):
            head = await reader.readexactly(4)
            return decode(head + await reader.readexactly(int.from_bytes(head[2:], "big") - 4))

    try:
        yield writer.write, receive
    finally:
        writer.transport.abort()
