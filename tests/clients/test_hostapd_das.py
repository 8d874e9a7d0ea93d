"""hostapd as the access server: it lets a station in, accounts for it, and ends its session on our Disconnect."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.admissions import heard
from tests.support.das import Fleet
from tests.support.programs import find_program
from troth.kit.clock import SystemClock
from troth.kit.ids import new_id
from troth.radius.dynamic.desk import OrderDesk
from troth.radius.dynamic.model import Equipment
from troth.radius.dynamic.sender import Sender
from troth.radius.dynamic.udp import UdpTransport
from troth.radius.sessions import order_store, store
from troth.radius.sessions.accounting import port_of, where_of
from troth.radius.sessions.desk import SessionDesk
from troth.radius.sessions.folding import Folder
from troth.radius.sessions.model import Admitted, Ages, Session
from troth.radius.sessions.store import Meant
from troth.radius.wire.packet import CLASS, Code, Packet, decode
from troth.radius.wire.signing import eap_attributes, encode_reply
from troth.store.pool import Database

pytestmark = [pytest.mark.client, pytest.mark.xdist_group("radius")]
_SECRET = b"between hostapd and us, long enough"
_EAPOL = 0x888E
_PAE = bytes.fromhex("0180c2000003")
_CONFIGURATION = """
driver=wired
interface={interface}
ieee8021x=1
eap_reauth_period=0
use_pae_group_addr=1
own_ip_addr=127.0.0.1
nas_identifier=hostapd-1
auth_server_addr=127.0.0.1
auth_server_port={auth}
auth_server_shared_secret={secret}
acct_server_addr=127.0.0.1
acct_server_port={acct}
acct_server_shared_secret={secret}
radius_acct_interim_interval=600
radius_das_port={das}
radius_das_client=127.0.0.1 {secret}
radius_das_require_event_timestamp=1
radius_das_require_message_authenticator=1
"""


@pytest.fixture
def wire() -> Iterator[tuple[str, str]]:
    """Two ends of a cable: the access server's and the station's."""
    mark = os.urandom(3).hex()
    ends = f"tra{mark}", f"trs{mark}"
    ip = find_program("ip")
    made = subprocess.run(
        [ip, "link", "add", ends[0], "type", "veth", "peer", "name", ends[1]], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no network interface can be made here: {made.stderr.decode().strip()}")
    try:
        for end in ends:
            subprocess.run([ip, "link", "set", end, "up"], check=True)
        yield ends
    finally:
        subprocess.run([ip, "link", "delete", ends[0]], check=False)


class Station:
    """A station that can say who it is, and no more: what it is let in for, the server decides."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EAPOL))
        self._socket.bind((interface, 0))
        self._socket.setblocking(False)
        self.mac: bytes = self._socket.getsockname()[4]
        self.succeeded = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def start(self) -> None:
        self._send(bytes([2, 1, 0, 0]))

    def _read(self) -> None:
        frame = self._socket.recv(2048)
        body = frame[14:]
        if frame[6:12] == self.mac or body[1] != 0:
            return
        code, identifier, kind = body[4], body[5], body[8:9]
        if code == 3:
            self.succeeded.set()
        elif code == 1 and kind == b"\x01":
            eap = bytes([2, identifier, 0, 10, 1]) + b"alice"
            self._send(bytes([2, 0, 0, len(eap)]) + eap)

    def _send(self, eapol: bytes) -> None:
        self._socket.send(_PAE + self.mac + _EAPOL.to_bytes(2, "big") + eapol)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()


class Server(asyncio.DatagramProtocol):
    """A port of ours: each packet is answered by ``answer``."""

    def __init__(self, answer: Callable[[Packet], Any]) -> None:
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, addr: Any) -> None:
        task = asyncio.create_task(self._one(decode(data), addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _one(self, packet: Packet, addr: Any) -> None:
        reply = await self._answer(packet)
        if reply is not None:
            self.transport.sendto(reply, addr)


async def _listening(answer: Callable[[Packet], Any]) -> Server:
    loop = asyncio.get_running_loop()
    _, server = await loop.create_datagram_endpoint(lambda: Server(answer), local_addr=("127.0.0.1", 0))
    return server


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url, clock=SystemClock())
    yield opened
    await opened.close()


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def test_hostapd_accounts_for_a_station_and_disconnects_it(
    wire: tuple[str, str], sessions: Database, tmp_path: Path
) -> None:
    clock, desk = SystemClock(), SessionDesk(sessions, SystemClock())
    folder = Folder(sessions, clock, new_id(), Ages())
    class_ = os.urandom(16)

    async def access(packet: Packet) -> bytes:
        eap = packet.joined(79)
        until = clock.now() + timedelta(hours=1)
        await heard(
            sessions, clock,
            [Admitted(class_, where_of(packet, "hostapd", "127.0.0.1"), port_of(packet), clock.now(), "wired", "staff",
                      "eap-tls", "allow", "policy.allowed", "alice@corp.example", until=until)]
        )  # fmt: skip
        return encode_reply(
            packet, Code.ACCESS_ACCEPT,
            [*eap_attributes(bytes([3, eap[1], 0, 4])), (CLASS, class_), (27, (3600).to_bytes(4, "big"))], _SECRET,
        )  # fmt: skip

    async def accounting(packet: Packet) -> bytes:
        return await desk.account(packet, "hostapd", "127.0.0.1", [_SECRET])

    async def the_session(wanted: Callable[[Session], bool]) -> Session:
        async with asyncio.timeout(120):
            while True:
                await folder.drain()
                for one in await store.meant(sessions, Meant(nas="hostapd", open=False)):
                    if wanted(one):
                        return one
                await asyncio.sleep(0.05)

    auth, acct, das = await _listening(access), await _listening(accounting), _free_port()
    file = tmp_path / "hostapd.conf"
    file.write_text(
        _CONFIGURATION.format(interface=wire[0], auth=auth.port, acct=acct.port, das=das, secret=_SECRET.decode())
    )
    udp = UdpTransport(clock, first=1.0)
    station = Station(wire[1])
    process = await asyncio.create_subprocess_exec(
        find_program("hostapd"), file, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(120):
            while not station.succeeded.is_set():
                station.start()
                with_in = asyncio.create_task(station.succeeded.wait())
                await asyncio.wait({with_in}, timeout=0.5)
                with_in.cancel()
        session = await the_session(lambda one: one.accounted)
        assert (session.open, session.class_, session.user_name) == (True, class_, "alice@corp.example")
        assert session.port.mac == "-".join(f"{octet:02x}" for octet in station.mac)
        fleet = Fleet(udp=udp)
        fleet.more["hostapd"] = Equipment(
            name="hostapd", vendor="hostapd", secrets=(b"the next secret", _SECRET), address="127.0.0.1", port=das
        )
        sender = Sender(sessions, clock, new_id(), fleet)
        await OrderDesk(sessions, clock).one(session.id, "disconnect", actor="admin:alice")
        await sender.drain()
        (order,) = await order_store.of_session(sessions, session.id)
        assert (order.state, order.step) == ("done", "disconnect"), order.detail
        stopped = await the_session(lambda one: one.stopped)
        assert (stopped.id, stopped.ended_by) == (session.id, "stop")
        # One that hostapd does not have: it says so (503), and nothing is left to be done.
        await sessions.fetchval("UPDATE radius_session SET ended_at = NULL, acct_session_id = 'another'")
        await OrderDesk(sessions, clock).one(session.id, "disconnect", actor="admin:alice")
        await sender.drain()
        assert (await order_store.of_session(sessions, session.id))[0].state == "gone"
    finally:
        process.terminate()
        await process.wait()
        station.close()
        await udp.close()
        auth.transport.close()
        acct.transport.close()


async def test_radclients_accounting_is_answered_and_kept(sessions: Database) -> None:
    desk, folder = SessionDesk(sessions, SystemClock()), Folder(sessions, SystemClock(), new_id(), Ages())

    async def accounting(packet: Packet) -> bytes:
        return await desk.account(packet, "nas", "127.0.0.1", [_SECRET])

    server = await _listening(accounting)
    records = [
        f'Acct-Status-Type = {status}, Acct-Session-Id = "R{number}", User-Name = "bob", NAS-Identifier = "r",'
        f' Calling-Station-Id = "0200.0000.{number:04x}", Acct-Input-Octets = 7, Acct-Input-Gigawords = 1\n\n'
        for number in range(20)
        for status in ("Start", "Stop")
    ]
    process = await asyncio.create_subprocess_exec(
        find_program("radclient"), "-p", "8", "-r", "3", f"127.0.0.1:{server.port}", "acct", _SECRET.decode(),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    told, _ = await process.communicate("".join(records).encode())
    assert process.returncode == 0, told.decode()
    await folder.drain()
    found = await store.meant(sessions, Meant(user="", nas="nas", open=False), limit=100)
    assert len(found) == 20
    assert {(one.ended_by, one.counters.octets_in, one.port.user_name) for one in found} == {("stop", 2**32 + 7, "bob")}
    server.transport.close()
