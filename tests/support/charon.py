"""strongSwan's charon, twice: a gateway and a road warrior on loopback, spoken to by VICI, without tunnels."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import find_program
from troth.connect.effects.vici import Value, ViciSession

_CONF = """
charon-systemd {{
  load = random nonce openssl pem pkcs1 x509 pubkey hmac kdf kernel-netlink socket-default vici
  port = {port}
  port_nat_t = {nat}
  install_routes = no
  install_virtual_ip = no
  plugins {{ vici {{ socket = unix://{socket} }} socket-default {{ use_ipv6 = no }} }}
}}
"""


@dataclass
class Charon:
    """One running daemon."""

    socket: str
    port: int
    process: subprocess.Popen[bytes]


@contextlib.asynccontextmanager
async def charon(directory: Path, name: str, port: int, nat: int) -> AsyncIterator[Charon]:
    """A charon with a VICI socket in ``directory``, listening on 127.0.0.1."""
    program = find_program("charon-systemd")
    socket, conf = directory / f"{name}.vici", directory / f"{name}.conf"
    conf.write_text(_CONF.format(port=port, nat=nat, socket=socket))
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [program], env={**os.environ, "STRONGSWAN_CONF": str(conf)}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        async with asyncio.timeout(120):
            while not socket.exists():
                assert process.poll() is None, (directory / f"{name}.log").read_text()
                await asyncio.sleep(0.02)
        yield Charon(str(socket), port, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


async def connect(gateway: Charon, client: Charon, identity: str) -> None:
    """An IKE SA from ``client``, which proves ``identity`` by a shared key; no tunnel, so that no kernel is needed."""
    for side, local, remote in ((gateway, "gateway.example", "%any"), (client, identity, "gateway.example")):
        peer = client if side is gateway else gateway
        async with ViciSession(side.socket) as session:
            owners = [local, identity, "gateway.example"]
            shared: dict[str, Value] = {"type": "IKE", "data": "a secret of this test", "owners": owners}
            assert (await session.request("load-shared", shared))["success"] == "yes"
            loaded = await session.request(
                "load-conn",
                {
                    identity.replace(".", "-"): {
                        "version": "2",
                        "local_addrs": ["127.0.0.1"],
                        "remote_addrs": ["127.0.0.1"],
                        "local_port": str(side.port),
                        "remote_port": str(peer.port),
                        "proposals": ["aes128-sha256-ecp256"],
                        "childless": "force",
                        "unique": "never",
                        "mobike": "no",
                        "local-1": {"auth": "psk", "id": local},
                        "remote-1": {"auth": "psk", "id": remote},
                        "children": {"none": {"local_ts": ["127.0.0.1/32"], "remote_ts": ["127.0.0.1/32"]}},
                    }
                },
            )
            assert loaded["success"] == "yes", loaded
    async with ViciSession(client.socket) as session:
        begun = await session.request("initiate", {"ike": identity.replace(".", "-"), "timeout": "10000"})
        assert begun["success"] == "yes", begun


async def identities(daemon: Charon) -> list[str]:
    """Whose IKE SAs stand at ``daemon``, by what the peer has proved."""
    async with ViciSession(daemon.socket) as session:
        events = await session.stream("list-sas", "list-sa")
    found = []
    for event in events:
        for sa in event.values():
            assert isinstance(sa, dict)
            if sa["state"] == "ESTABLISHED":
                found.append(str(sa["remote-id"]))
    return sorted(found)
