"""RADIUS on the Troth that the tests of one process share: a network of its own, devices, and programs that ask.

Nothing else of that Troth is touched: the network is chosen by its SSID.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil
import pytest

from tests.support.programs import find_program
from tests.support.radius_devices import Credential, Version, client_context
from tests.support.radius_house import Papers
from tests.support.radius_load import Device
from tests.support.running import RunningTroth

SSID = "Radius-Tests"
#: What ends a program that hangs, and how long ``eapol_test`` goes on asking.
_SECONDS, _ASKING = 300, 120
_DOCUMENT = f"""
places:
  - {{name: radius-staff, vlan: 100}}
---
networks:
  - name: radius-tests
    match: {{ssids: [{SSID}]}}
    authorities: [issuing, people]
    profiles: [client-device, wifi-device]
    anchors: [Partners Root]
    foreign: {{policy: client-device, identity: [dns], kind: device, revocation: open}}
    places: {{allow: radius-staff}}
"""
_DEVICE = """
devices:
  - name: {name}
    managed: true
    owner: {owner}
    names: [{name}.test]
    posture:
      - source: mdm
        values: {{posture.compliant: true, risk.score: 5}}
"""
_SUPPLICANT = """
network={{
  key_mgmt=WPA-EAP
  eap=TLS
  identity="{identity}"
  ca_cert="{root}"
  domain_match="{server}"
  client_cert="{credential.chain}"
  private_key="{credential.key}"
  phase1="tls_disable_tlsv1_3={no13} tls_disable_session_ticket=0"
  fragment_size={fragment}
  ocsp={ocsp}
  eapol_flags=0
}}
"""


@dataclass(frozen=True)
class Joined:
    """What came of it. ``accepted``: let in, and both sides have the same keys. ``told``: all that eapol_test said."""

    accepted: bool
    told: str

    @property
    def alert(self) -> str:
        """The TLS alert that the device was sent, in OpenSSL's words; empty: none."""
        lines = [line for line in self.told.splitlines() if "SSL3 alert: read (remote end reported an error)" in line]
        return lines[-1].rpartition(":")[2].strip() if lines else ""


@dataclass
class RadiusTroth:
    """A Troth with RADIUS on, and what its tests need.

    Attributes:
        home: for files.
        partners: a house whose certificates the network believes, too.
    """

    troth: RunningTroth
    home: Path
    numbers: int = 0
    partners: Papers = field(init=False)

    @property
    def address(self) -> tuple[str, int]:
        """Where it answers Access-Requests."""
        return "127.0.0.1", int(self.troth.summary["radius"]["auth_port"])

    @property
    def accounting(self) -> tuple[str, int]:
        """Where it answers Accounting-Requests."""
        return "127.0.0.1", int(self.troth.summary["radius"]["acct_port"])

    @property
    def secret(self) -> bytes:
        """What this machine asks with."""
        return Path(self.troth.summary["radius"]["secret_file"]).read_bytes().strip()

    def apply(self, text: str) -> None:
        """Apply a document."""
        self.numbers += 1
        file = self.home / f"document-{self.numbers}.yaml"
        file.write_text(text)
        self.troth.run("apply", "-f", str(file))

    def device(self, name: str, *, profile: str = "client-device") -> Credential:
        """A managed, compliant device with a certificate."""
        self.apply(
            f"source: {name}\nusers: [{{name: {name}-owner, enabled: true}}]"
            + _DEVICE.format(name=name, owner=f"{name}-owner")
        )
        return self.certificate(name, profile)

    def certificate(self, name: str, profile: str, *more: str) -> Credential:
        """A certificate for what is there already."""
        self.numbers += 1
        out = self.home / f"certificate-{self.numbers}"
        self.troth.run("cert", "issue", profile, name, "--out", str(out), *more)
        (key,) = out.glob("*.key")
        return Credential(out / f"{key.stem}.fullchain.crt", key, f"{name}@corp.test".encode())

    def load_device(self, credential: Credential, version: Version, mac: str = "") -> Device:
        """The same for the load generator."""
        context = client_context(credential, self.troth.root, version)
        return Device(context=context, identity=credential.identity, mac=mac)

    def join(
        self,
        credential: Credential,
        version: Version,
        *arguments: str,
        fragment: int = 1398,
        ocsp: Literal[0, 1, 2] = 0,
        server: str | None = None,
    ) -> Joined:
        """Join with wpa_supplicant's code."""
        configuration = self.home / "supplicant.conf"
        configuration.write_text(
            _SUPPLICANT.format(
                identity=credential.identity.decode(), root=self.troth.root, credential=credential,
                server=server or self.troth.summary["radius"]["server_name"], no13=int(version == "1.2"),
                fragment=fragment, ocsp=ocsp,
            )
        )  # fmt: skip
        done = subprocess.run(
            [str(find_program("eapol_test")), "-c", str(configuration), "-a", "127.0.0.1", "-p", str(self.address[1]),
             "-s", self.secret.decode(), "-t", str(_ASKING), "-N", f"30:s:00-00-5E-00-53-01:{SSID}", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_SECONDS,
            check=False,
        )  # fmt: skip
        assert (done.returncode == 0) == done.stdout.rstrip().endswith("SUCCESS"), done.stdout[-3000:]
        assert done.returncode != 0 or "mismatch: 0" in done.stdout, done.stdout[-3000:]
        return Joined(done.returncode == 0, done.stdout)

    def ask(
        self, what: str, attributes: str, *, secret: str | None = None, port: int | None = None, tries: int = 30
    ) -> tuple[int, str]:
        """``radclient``: its exit code, and what it said. ``tries`` of two seconds each."""
        done = subprocess.run(
            [str(find_program("radclient")), "-x", "-r", str(tries), "-t", "2",
             f"127.0.0.1:{port or self.address[1]}", what,
             secret or self.secret.decode()],
            input=attributes, capture_output=True, text=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def why(self) -> str:
        """What was said of those that were not let in last, and how conversations broke off."""
        said = self.troth.run("radius", "conversations", "--network", "radius-tests", "--outcome", "deny").stdout
        _, metrics = self.troth.get(f"{self.troth.summary['http_url']}/metrics")
        counts = [one for one in metrics.decode().splitlines() if "troth_radius_conv" in one or "held_back" in one]
        return "\n".join([said, *counts])

    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        return [one for one in self.troth.role("radius") if " worker " in " ".join(one.cmdline())]

    def master(self) -> psutil.Process:
        """The process that forks them."""
        (found,) = [one for one in self.troth.role("radius") if " worker " not in " ".join(one.cmdline())]
        return found


@pytest.fixture(scope="session")
def radius(troth: RunningTroth, tmp_path_factory: pytest.TempPathFactory) -> RadiusTroth:
    """RADIUS of the shared Troth, with a network ``radius-tests``."""
    made = RadiusTroth(troth, tmp_path_factory.mktemp("radius"))
    made.partners = Papers(made.home, "Partners")
    troth.run("anchor", "add", str(made.partners.root), "--purpose", "clientAuth")
    made.apply(_DOCUMENT)
    return made
