"""strongSwan as a VPN gateway that asks Troth by eap-radius, and as the client of devices that come by EAP-TLS.

Both run on loopback. What Troth is asked passes a relay, so that it comes from an address of the gateway's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.charon import Charon, identities
from tests.support.programs import find_program
from tests.support.radius_devices import Credential

_SECONDS = 120
_CONF = """
charon-systemd {{
  load = {plugins}
  port = {port}
  port_nat_t = {nat}
  install_routes = no
  install_virtual_ip = no
  filelog {{
    log {{
      path = {log}
      default = 1
      flush_line = yes
    }}
  }}
  plugins {{
    vici {{ socket = unix://{socket} }}
    socket-default {{ use_ipv6 = no }}
  }}
}}
{more}
"""
_BOTH = (
    "random nonce openssl pem pkcs1 pkcs8 x509 pubkey constraints hmac kdf kernel-netlink socket-default vici "
    "eap-identity"
)


def free_udp_port() -> int:
    """A UDP port of loopback's that nobody listens on just now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass(frozen=True)
class Daemon:
    """A running charon with a directory of its own."""

    charon: Charon
    directory: Path

    @property
    def log(self) -> str:
        """All that it has said."""
        return (self.directory / "charon.log").read_text(errors="replace")

    def swanctl(self, *arguments: str, check: bool = True) -> str:
        """What ``swanctl`` says to it."""
        done = subprocess.run(
            [str(find_program("swanctl")), *arguments, "--uri", f"unix://{self.charon.socket}"],
            env={
                **os.environ, "SWANCTL_DIR": str(self.directory),
                "STRONGSWAN_CONF": str(self.directory / "charon.conf"),
            },
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{done.stdout}\n{self.log[-4000:]}"
        return done.stdout

    def load(self, text: str, files: Mapping[str, bytes]) -> None:
        """Have it use a ``swanctl.conf`` and ``files`` below its directory."""
        for name, content in files.items():
            (self.directory / name).parent.mkdir(exist_ok=True)
            (self.directory / name).write_bytes(content)
        conf = self.directory / "swanctl.conf"
        conf.write_text(text)
        self.swanctl("--load-all", "--noprompt", "--file", str(conf))

    def initiate(self, name: str) -> bool:
        """Whether an IKE SA of that connection comes about."""
        return "completed successfully" in self.swanctl("--initiate", "--ike", name, "--timeout", "30", check=False)

    def peers(self) -> list[str]:
        """Whose IKE SAs stand, by what each has said or proved."""
        return asyncio.run(identities(self.charon))


@contextlib.contextmanager
def daemon(directory: Path, plugins: str, more: str = "") -> Iterator[Daemon]:
    """A charon on 127.0.0.1. ``more``: further ``strongswan.conf``."""
    directory.mkdir()
    vici, conf, port = directory / "vici", directory / "charon.conf", free_udp_port()
    conf.write_text(
        _CONF.format(
            plugins=f"{_BOTH} {plugins}",
            port=port,
            nat=free_udp_port(),
            log=directory / "charon.log",
            socket=vici,
            more=more,
        )
    )
    process = subprocess.Popen(
        [find_program("charon-systemd")], env={**os.environ, "STRONGSWAN_CONF": str(conf)}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    made = Daemon(Charon(str(vici), port, process), directory)
    try:
        deadline = time.monotonic() + _SECONDS
        while not vici.exists():
            assert process.poll() is None, made.log
            assert time.monotonic() < deadline, made.log
            time.sleep(0.02)
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def papers(certificates: Mapping[str, Credential], root: Path) -> dict[str, bytes]:
    """Where ``swanctl`` looks for certificates, keys, the root and what lies between: it reads one of each file."""
    files = {"x509ca/root.pem": root.read_bytes()}
    for name, one in certificates.items():
        own, *between = x509.load_pem_x509_certificates(one.chain.read_bytes())
        files |= {f"x509/{name}.pem": own.public_bytes(Encoding.PEM), f"private/{name}.key": one.key.read_bytes()}
        for number, authority in enumerate(between):
            files[f"x509ca/{name}-{number}.pem"] = authority.public_bytes(Encoding.PEM)
    return files


class Relay:
    """Carries datagrams between the gateway and the two ports of Troth, which sees them come from ``source``."""

    def __init__(self, source: str, auth: tuple[str, int], acct: tuple[str, int]) -> None:
        self._selector = selectors.DefaultSelector()
        self._stop = threading.Event()
        self._peers: dict[socket.socket, tuple[str, int] | None] = {}
        self.auth_port = self._pair(source, auth)
        self.acct_port = self._pair(source, acct)
        self._thread = threading.Thread(target=self._run, name="relay")

    def _pair(self, source: str, target: tuple[str, int]) -> int:
        near, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        near.bind(("127.0.0.1", 0))
        far.bind((source, 0))
        self._peers |= {near: None, far: target}
        self._selector.register(near, selectors.EVENT_READ, far)
        self._selector.register(far, selectors.EVENT_READ, near)
        return int(near.getsockname()[1])

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.1):
                here, other = key.fileobj, key.data
                assert isinstance(here, socket.socket)
                data, self._peers[here] = here.recvfrom(4096)
                peer = self._peers[other]
                if peer is not None:
                    other.sendto(data, peer)

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for one in self._peers:
            one.close()
        self._selector.close()
