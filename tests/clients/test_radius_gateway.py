"""strongSwan as a VPN gateway asks a whole Troth by eap-radius: devices come by EAP-TLS and are cut off by a hold."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.support.programs import need_file
from tests.support.radius_devices import Credential
from tests.support.radius_troth import RadiusTroth
from tests.support.vpn import Daemon, Relay, daemon, free_udp_port, papers
from troth.radius.places.snippets import PLACEHOLDER, snippet

pytestmark = pytest.mark.client
_SECONDS = 120
_SOURCE = "127.0.0.77"
_NAME = "vpn.example.org"
_DOCS = Path(__file__).resolve().parents[2] / "docs" / "radius-nas.md"
#: Beside the configuration of the snippet: a port of this machine's, the role that a place must have given, and an IKE
#: SA without a tunnel (RFC 6023), since the kernel may not know ESP.
_LOOPBACK = """
connections {{
  vpn {{
    local_addrs = 127.0.0.1
    local_port = {port}
    childless = force
    mobike = no
    remote {{
      groups = staff
    }}
  }}
}}
"""
#: The same for a device, beside the configuration of the documentation.
_DEVICE_LOOPBACK = """
connections {{
  {name} {{
    local_addrs = 127.0.0.1
    local_port = {port}
    remote_port = {gateway}
    childless = force
    mobike = no
  }}
}}
"""


def _documented(language: str) -> list[str]:
    """The blocks of the documentation of VPN gateways."""
    section = _DOCS.read_text("utf-8").partition("\n## VPN gateways\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def _with(text: str, instead: Mapping[str, str]) -> str:
    """``text`` with words of this machine's in place of the documentation's, each of which must be there."""
    for word, other in instead.items():
        assert word in text
        text = text.replace(word, other)
    return text


def _until(holds: Callable[[], bool], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)


def _serial(credential: Credential) -> str:
    return f"{x509.load_pem_x509_certificate(credential.chain.read_bytes()).serial_number:x}"


@dataclass(frozen=True)
class Vpn:
    """A gateway, the devices' side, and their certificates."""

    radius: RadiusTroth
    gateway: Daemon
    client: Daemon
    devices: dict[str, Credential]

    def sessions(self, name: str) -> list[dict[str, Any]]:
        """The sessions of a device at the gateway, ended ones too."""
        asked = self.radius.troth.run("session", "list", "--nas", "vpn-gateway", "--all", "--output", "json")
        return [one for one in json.loads(asked.stdout)["items"] if one["user_name"] == name]

    def await_whole(self, name: str) -> None:
        """Until accounting and admission of a device's session have found each other, whichever was carried over first.

        By Class: only the admission knows the certificate.
        """
        wanted = [(True, _serial(self.devices[name]))]
        _until(lambda: [(one["accounted"], one["serial"]) for one in self.sessions(name)] == wanted, self.told)

    def orders(self, session: str) -> list[tuple[str, str, str]]:
        """What was done to a session: its kind, what became of it, and by which step."""
        asked = self.radius.troth.run("session", "show", session, "--output", "json")
        return [(one["kind"], one["state"], one["step"]) for one in json.loads(asked.stdout)["orders"]]

    def conversations(self, name: str) -> list[dict[str, Any]]:
        """What became of the attempts of a device."""
        serial = _serial(self.devices[name])
        asked = self.radius.troth.run("radius", "conversations", "--serial", serial, "--output", "json")
        found: list[dict[str, Any]] = json.loads(asked.stdout)
        return found

    def told(self) -> str:
        """What both sides have said last."""
        return f"{self.gateway.log[-3000:]}\n\n{self.client.log[-3000:]}"


@pytest.fixture(scope="module")
def vpn(radius: RadiusTroth, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vpn]:
    """Configured by the snippet that Troth prints for strongSwan."""
    need_file("/usr/lib/ipsec/plugins/libstrongswan-eap-radius.so", "libcharon-extra-plugins")
    home, das = tmp_path_factory.mktemp("vpn"), free_udp_port()
    way = f"coa: {{address: 127.0.0.1, port: {das}, "
    documents = "---\n".join(_documented("yaml"))
    radius.apply(_with(documents, {"192.0.2.9": _SOURCE, "coa: {": way}))
    secret_file = home / "secret"
    radius.troth.run("nas", "secret", "vpn-gateway", "--out", str(secret_file))
    radius.apply(f"source: vpn-web\nworkloads: [{{name: vpn-web, names: [{_NAME}]}}]")
    own = radius.certificate("workload:vpn-web", "tls-server", "--name", _NAME)
    devices = {name: radius.device(name) for name in ("vpn-laptop", "vpn-tablet", "vpn-phone")}
    with ExitStack() as stack:
        relay = stack.enter_context(Relay(_SOURCE, radius.address, radius.accounting))
        text = snippet("strongswan", server="127.0.0.1", auth_port=relay.auth_port, acct_port=relay.acct_port)
        text = _with(text, {PLACEHOLDER: secret_file.read_text().strip(), "port = 3799": f"port = {das}"})
        conf, swanctl = text.split("# --- /etc/swanctl/conf.d/troth.conf")
        gateway = stack.enter_context(daemon(home / "gateway", "eap-radius", conf))
        gateway.load(swanctl + _LOOPBACK.format(port=gateway.charon.port), papers({"gateway": own}, radius.troth.root))
        client = stack.enter_context(daemon(home / "client", "eap-tls"))
        server = radius.troth.summary["radius"]["server_name"]
        ports = {"port": client.charon.port, "gateway": gateway.charon.port}
        (documented,) = _documented("conf")
        text = "".join(
            _with(
                documented,
                {"  vpn {": f"  {name} {{", f"remote_addrs = {_NAME}": "remote_addrs = 127.0.0.1", "laptop-17": name,
                 "radius.localhost": server},
            )
            + _DEVICE_LOOPBACK.format(name=name, **ports)
            for name in devices
        )  # fmt: skip
        client.load(text, papers(devices, radius.troth.root))
        yield Vpn(radius, gateway, client, devices)


def test_a_device_comes_by_eap_tls_with_its_place_and_accounting_tells_of_it(vpn: Vpn) -> None:
    phone = "vpn-phone"
    assert vpn.client.initiate(phone), vpn.told()

    assert phone in vpn.gateway.peers()
    said = {"network": "vpn", "nas": "vpn-gateway", "method": "eap-tls", "outcome": "allow", "place": "place=vpn-staff",
            "port_type": "virtual", "user_name": phone, "nas_address": _SOURCE}  # fmt: skip
    _until(lambda: any(said.items() <= one.items() for one in vpn.conversations(phone)), vpn.told)
    vpn.await_whole(phone)
    (session,) = vpn.sessions(phone)
    assert session["framed_ip"].startswith("10.77.0.")
    assert session["ended_at"] is None

    vpn.client.swanctl("--terminate", "--ike", phone)
    _until(lambda: [one["ended_by"] for one in vpn.sessions(phone)] == ["stop"], vpn.told)
    assert vpn.sessions(phone)[0]["cause"] == "User-Request"


def test_a_held_device_loses_its_tunnel_and_gets_it_back_when_it_is_released(vpn: Vpn) -> None:
    laptop, tablet = "vpn-laptop", "vpn-tablet"
    for name in (laptop, tablet):
        assert vpn.client.initiate(name), vpn.told()
    vpn.await_whole(laptop)

    vpn.radius.troth.run("cert", "hold", _serial(vpn.devices[laptop]), "--note", "lost, perhaps")
    _until(lambda: vpn.gateway.peers() == [tablet], vpn.told)
    assert "received RADIUS DAE Disconnect-Request for vpn-laptop from 127.0.0.1" in vpn.gateway.log
    _until(lambda: [one["ended_by"] for one in vpn.sessions(laptop)] == ["stop"], vpn.told)
    (session,) = vpn.sessions(laptop)
    _until(lambda: vpn.orders(session["id"]) == [("disconnect", "done", "disconnect")], vpn.told)

    assert not vpn.client.initiate(laptop)
    assert "received fatal TLS alert 'certificate revoked'" in vpn.client.log
    assert vpn.gateway.peers() == [tablet]

    vpn.radius.troth.run("cert", "release", _serial(vpn.devices[laptop]))
    _until(lambda: vpn.client.initiate(laptop), vpn.told)
    assert vpn.gateway.peers() == [laptop, tablet]
