"""A Troth with RADIUS on, and devices that may join: what ``bench.radius`` and its parts load."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.radius_peers import Peer
from bench.signal import started
from tests.support.radius_devices import Credential, Version, client_context
from tests.support.radius_load import Device

#: How the load looks to the network: see ``tests.support.radius_load``.
SSID = "corp"
_DOCUMENTS = f"""
places:
  - {{name: bench-staff, vlan: 100}}
---
networks:
  - name: bench
    match: {{ssids: [{SSID}]}}
    authorities: [issuing]
    profiles: [wifi-device]
    places: {{allow: bench-staff}}
    breaker: {{off: true}}
"""
#: Where the cost is measured and nothing else changes: on a machine that is busy with other things too, a lease may
#: lapse between two looks, and whoever is rejected for that costs something else.
_PATIENT = "    stale: continue\n    stale_for: 1h\n"


@dataclass
class Holder:
    """A device with its certificate."""

    name: str
    id: UUID
    credential: Credential


@dataclass
class House:
    """See the module."""

    summary: dict[str, Any]
    home: Path
    api: httpx.Client
    holders: list[Holder] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        """Where it answers."""
        return "127.0.0.1", int(self.summary["radius"]["auth_port"])

    @property
    def secret(self) -> bytes:
        """Of this machine."""
        return Path(self.summary["radius"]["secret_file"]).read_bytes().strip()

    @property
    def root(self) -> Path:
        """What devices verify it with."""
        return Path(self.summary["root_certificate"])

    @property
    def database(self) -> str:
        """Directory of its database's socket."""
        return str(Path(self.summary["data_dir"]) / "run" / "postgres")

    def apply(self, text: str) -> None:
        """Apply a document."""
        answer = self.api.post("/apply", content=text.encode(), headers={"content-type": "application/yaml"})
        if answer.status_code != 200:
            raise SystemExit(f"cannot prepare the benchmark: {answer.text}")

    def admit(self, count: int) -> None:
        """So many healthy devices, each with a certificate."""
        names = [f"radius-{os.urandom(2).hex()}-{number}" for number in range(count)]
        listed = "".join(
            f"  - {{name: {name}, managed: true, posture: [{{source: mdm, values: {{posture.compliant: true, "
            f"risk.score: 5}}}}]}}\n"
            for name in names
        )
        self.apply(f"source: {names[0]}\ndevices:\n{listed}")
        for name in names:
            self.holders.append(self._issue(name))

    def _issue(self, name: str) -> Holder:
        key = ec.generate_private_key(ec.SECP256R1())
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        order = {"profile": "wifi-device", "subject": f"device:{name}", "csr": csr.public_bytes(Encoding.PEM).decode()}
        answer = self.api.post("/certificates", json=order)
        if answer.status_code != 201:
            raise SystemExit(f"cannot issue to {name}: {answer.text}")
        issued = answer.json()
        chain, private = self.home / f"{name}.pem", self.home / f"{name}.key"
        chain.write_text(issued["certificate"] + issued["chain"][0])
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return Holder(name, UUID(issued["id"]), Credential(chain, private, f"{name}@corp.test".encode()))

    def devices(self, version: Version, root: Path | None = None) -> list[Device]:
        """All of them as the load generator wants them, for a server below ``root``."""
        return [
            Device(
                context=client_context(one.credential, root or self.root, version),
                identity=one.credential.identity,
                mac=f"02-00-5E-{number >> 16 & 255:02X}-{number >> 8 & 255:02X}-{number & 255:02X}",
            )
            for number, one in enumerate(self.holders)
        ]

    def processes(self, role: str) -> list[psutil.Process]:
        """Those of one role."""
        found = []
        for one in psutil.Process(self.summary["bench_pid"]).children(recursive=True):
            try:
                if f"--role {role}" in " ".join(one.cmdline()):
                    found.append(one)
            except psutil.Error:
                continue
        return found

    def workers(self) -> list[psutil.Process]:
        """The processes that answer RADIUS."""
        return [one for one in self.processes("radius") if " worker " in " ".join(one.cmdline())]

    def peer(self, name: str = "Troth") -> Peer:
        """As one of those that are compared; its CPU is that of the role, master and workers."""
        pids = tuple(one.pid for one in self.processes("radius"))
        return Peer(name, self.address[1], self.secret, self.root, pids, _openssl(), self._database_pids)

    def _database_pids(self) -> list[int]:
        whole = psutil.Process(self.summary["bench_pid"]).children(recursive=True)
        return [one.pid for one in whole if one.is_running() and one.name().startswith("postgres")]

    def whole(self) -> float:
        """CPU seconds of everything: database, signer, web, worker, status and RADIUS."""
        everything = psutil.Process(self.summary["bench_pid"]).children(recursive=True)
        return sum(seconds_of([one.pid]) for one in everything)


def seconds_of(pids: list[int] | tuple[int, ...]) -> float:
    """CPU seconds that these processes have spent."""
    total = 0.0
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _openssl() -> str:
    from OpenSSL import SSL

    return SSL.SSLeay_version(0).decode()


@contextmanager
def house(home: Path, *, workers: int, devices: int, patient: bool = False) -> Iterator[House]:
    """A running Troth with so many RADIUS workers and devices. ``patient``: they go on while their lease has lapsed."""
    configuration = f'[radius]\nlisten = "127.0.0.1:0"\nworkers = {workers}\nreject_delay_milliseconds = 0\n'
    with started(configuration) as summary:
        socket = str(Path(summary["data_dir"]) / "run" / "admin.sock")
        if not Path(socket).exists():  # a long path has its sockets elsewhere
            socket = str(summary.get("admin_socket", socket))
        transport = httpx.HTTPTransport(uds=socket)
        with httpx.Client(transport=transport, base_url="http://localhost/api/v1", timeout=60) as api:
            made = House(summary, home, api)
            made.apply(_DOCUMENTS + _PATIENT * patient)
            made.admit(devices)
            time.sleep(1.0)  # the stream tells of the last ones' birth
            yield made
