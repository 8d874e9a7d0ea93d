"""Real neighbours: radsecproxy before and behind us, FreeRADIUS behind us for PEAP, and eapol_test as the device."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.other_radius import SECRET, Running, freeradius, radsecproxy
from tests.support.programs import find_program
from tests.support.radius import nas
from tests.support.radsec import TinyAuthority, write
from tests.unit.radius.radsec.test_connections import Desk, running
from troth.kit.clock import SystemClock
from troth.radius.proxy.definition import PoolDefinition, ServerDefinition
from troth.radius.proxy.service import Proxies
from troth.radius.proxy.upstream import RadsecUpstream, UdpUpstream, Upstream
from troth.radius.radsec.client import RadsecClient, Server
from troth.radius.radsec.tls import client_context
from troth.radius.radsec.versions import BOTH
from troth.radius.wire.packet import USER_NAME, Code, Packet, decode
from troth.radius.wire.signing import Protection, message_authenticator_ok

pytestmark = [pytest.mark.client, pytest.mark.xdist_group("radius")]
PASSWORD = "open sesame"
AP = b"between-access-point-and-us"
USERS = 'alice Cleartext-Password := "open sesame"\n  Reply-Message = "from {name}", Tunnel-Private-Group-Id = "20"\n'
_SUPPLICANT = """
network={{
  key_mgmt=WPA-EAP
  eap=PEAP
  identity="alice"
  anonymous_identity="anonymous@corp.test"
  password="{password}"
  ca_cert="{root}"
  domain_match="radius.corp.test"
  phase2="auth=MSCHAPV2"
  eapol_flags=0
}}
"""


@pytest.fixture(scope="module")
def authority() -> TinyAuthority:
    return TinyAuthority("Neighbours")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("neighbours")


@pytest.fixture(scope="module")
def server(authority: TinyAuthority, home: Path) -> Iterator[Running]:
    """FreeRADIUS with one user."""
    found = freeradius(
        write(authority.issue("radius.corp.test"), home, "server"), home / "first", USERS.format(name="first")
    )
    yield found
    found.stop()


async def radclient(port: int, *attributes: str, secret: str = SECRET, kind: str = "auth") -> tuple[int, str]:
    """radclient's exit code and words."""
    process = await asyncio.create_subprocess_exec(
        str(find_program("radclient")), "-x", "-r", "1", "-t", "3", f"127.0.0.1:{port}", kind, secret,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate("\n".join([*attributes, "Message-Authenticator = 0x00"]).encode())
    return process.returncode or 0, said.decode(errors="replace")


async def join(port: int, root: Path, password: str = PASSWORD) -> tuple[int, str]:
    """eapol_test by PEAP: its exit code, and what it said."""
    configuration = root.parent / "supplicant.conf"
    configuration.write_text(_SUPPLICANT.format(root=root, password=password))
    process = await asyncio.create_subprocess_exec(
        str(find_program("eapol_test")), "-c", str(configuration), "-a", "127.0.0.1", "-p", str(port), "-s",
        AP.decode(), "-t", "20", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode(errors="replace")


class Front(asyncio.DatagramProtocol):
    """An access server's port before a pool, and nothing else."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        self._seen: dict[tuple[Any, bytes], bytes | None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.words: list[str] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        packet = decode(data)
        assert message_authenticator_ok(packet, AP)
        key = addr, packet.raw
        if key in self._seen:  # what the desk does in the product: a repeated request is answered once
            again = self._seen[key]
            if again is not None:
                self.transport.sendto(again, addr)
            return
        self._seen[key] = None
        task = asyncio.create_task(self._answer(packet, addr, key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, packet: Packet, addr: Any, key: tuple[Any, bytes]) -> None:
        pool = self._proxies.chosen(packet.first(USER_NAME), network_pool=None, by_realm=False)
        assert pool is not None
        outcome = await self._proxies.access(pool, packet, nas(), Protection(AP))
        self.words.append(outcome.words)
        self._seen[key] = outcome.reply
        if outcome.reply is not None:
            self.transport.sendto(outcome.reply, addr)


@asynccontextmanager
async def front(servers: Sequence[int], **fields: Any) -> AsyncIterator[tuple[int, Front, Proxies]]:
    """A port in front of servers over UDP."""
    definition = PoolDefinition(
        "nps", tuple(ServerDefinition(f"127.0.0.1:{port}") for port in servers), ("corp.test",), window_seconds=2,
        **fields,
    )  # fmt: skip

    def connect(_: str, server: ServerDefinition, refused: Any) -> Upstream:
        # Debian 12's FreeRADIUS is older than the repair of CVE-2024-3596, and signs nothing that has no EAP in it.
        return UdpUpstream(
            server.host, server.port, SECRET.encode(), require_message_authenticator=False, refused=refused
        )

    proxies = Proxies(connect, lambda *_: [], SystemClock(), tag=b"our-tag!")
    proxies.replace([definition])
    _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Front(proxies), local_addr=("127.0.0.1", 0)
    )
    try:
        yield protocol.transport.get_extra_info("sockname")[1], protocol, proxies
    finally:
        protocol.transport.close()
        await proxies.close()


async def test_radsecproxy_asks_us_for_an_access_server_of_its_own(authority: TinyAuthority, home: Path) -> None:
    desk = Desk()
    own = write(authority.issue("ap-7.corp.test"), home, "access")
    async with running(authority, desk) as house:
        proxy = await asyncio.to_thread(radsecproxy, own, authority.write(home), home / "before", to_tls=house.port)
        try:
            code, said = await radclient(proxy.port, 'User-Name = "alice@corp.test"', 'User-Password = "open sesame"')
            assert code == 0, said + proxy.told()
            assert "Received Access-Accept" in said
            assert (desk.password, desk.asked[0][1].nas.name) == (b"open sesame", "ap-7")
            (connection,) = house.server.connections
            house.against[connection.certificate.leaf] = ("certificate.revoked", "it was revoked")
            await house.server.recheck()
            code, said = await radclient(proxy.port, 'User-Name = "alice@corp.test"', 'User-Password = "open sesame"')
            assert code != 0, said
            assert len(desk.asked) == 1, "a revoked certificate was heard again"
        finally:
            proxy.stop()
    assert house.server.tally.closed["radsec.peer.distrusted"] >= 1


async def test_a_pool_behind_radsecproxy_is_asked_over_tls(
    authority: TinyAuthority, home: Path, server: Running
) -> None:
    own = write(authority.issue("proxy.corp.test", ips=["127.0.0.1"]), home, "proxy")
    proxy = await asyncio.to_thread(radsecproxy, own, authority.write(home), home / "behind", to_udp=server.port)
    context = client_context(authority.issue("troth.corp.test"), [authority.der], BOTH)
    try:
        client = RadsecClient(Server("127.0.0.1", proxy.port), lambda: context, SystemClock())
        answered = await RadsecUpstream(client).ask(
            Code.ACCESS_REQUEST,
            lambda authenticator, protection: [(1, b"alice"), (2, _hidden(authenticator, protection))],
            seconds=10,
        )
        assert (answered.packet.code, answered.packet.first(18)) == (Code.ACCESS_ACCEPT, b"from first")
        await client.close()
    finally:
        proxy.stop()


def _hidden(authenticator: bytes, protection: Protection) -> bytes:
    from troth.radius.wire.hiding import hide_password

    return hide_password(b"open sesame", protection, authenticator)


async def test_a_device_joins_by_peap_through_us_and_has_the_same_keys(
    authority: TinyAuthority, home: Path, server: Running
) -> None:
    root = authority.write(home)
    async with front([server.port]) as (port, asked, proxies):
        code, said = await join(port, root)
        assert code == 0, said + server.told()
        assert "MPPE keys OK: 1  mismatch: 0" in said
        assert asked.words[-1] == f"handed to pool nps, answered Accept by 127.0.0.1:{server.port}"
        code, said = await join(port, root, "a wrong one")
        assert code != 0, said
        assert asked.words[-1] == f"handed to pool nps, answered Reject by 127.0.0.1:{server.port}"
        assert proxies.counted["nps", "Reject"] == 1


async def test_when_a_server_is_killed_the_next_device_joins_by_the_other(
    authority: TinyAuthority, home: Path, server: Running
) -> None:
    root = authority.write(home)
    files = write(authority.issue("radius.corp.test"), home, "second")
    other = await asyncio.to_thread(freeradius, files, home / "second", USERS.format(name="second"))
    async with front([other.port, server.port]) as (port, asked, proxies):
        code, said = await join(port, root)
        assert code == 0, said
        assert asked.words[-1].endswith(f":{other.port}")
        other.stop()
        code, said = await join(port, root)
        assert code == 0, said
        assert asked.words[-1].endswith(f":{server.port}")
        assert [one.alive for one in proxies.pools["nps"].health.servers] == [False, True]
