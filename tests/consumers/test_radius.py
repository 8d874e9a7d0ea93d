"""wifi-device, wifi-user and radius-server: FreeRADIUS and wpa_supplicant's eapol_test speak EAP-TLS with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.consumers import Bureau
from tests.support.radius_server import HOST, RadiusServer, start
from troth.radius.supplicants.linux import wpa_supplicant
from troth.radius.supplicants.model import Joining, roots_in

pytestmark = pytest.mark.xdist_group("radius")
FACTS = {
    "user.name": "alice", "user.email": "alice@corp.test", "device.name": "laptop-17", "device.serial": "C02ZK0",
}  # fmt: skip


@pytest.mark.parametrize("profile", ["wifi-device", "wifi-user", "client-device"])
def test_a_wifi_certificate_is_let_in_and_its_owner_believes_the_server(
    radius_server: RadiusServer, bureau: Bureau, profile: str
) -> None:
    names = [("dns", "laptop-17.corp.test")] if profile == "client-device" else []
    accepted, told = radius_server.join(bureau.issue(profile, FACTS, *names))

    assert accepted, told
    assert "Login OK" in told


@pytest.mark.parametrize("profile", ["tls-server", "s-mime"])
def test_a_certificate_for_something_else_is_not_let_in(
    radius_server: RadiusServer, bureau: Bureau, profile: str
) -> None:
    names = [("dns", "www.corp.test")] if profile == "tls-server" else []
    accepted, told = radius_server.join(bureau.issue(profile, FACTS, *names))

    assert not accepted
    assert "(TLS) OpenSSL says error 26 : unsuitable certificate purpose" in told


def test_a_device_that_looks_for_another_radius_server_does_not_join(
    radius_server: RadiusServer, bureau: Bureau
) -> None:
    accepted, told = radius_server.join(bureau.issue("wifi-device", FACTS), expected="radius.other.test")

    assert not accepted
    assert "Domain match 'radius.other.test'" in told


@pytest.mark.parametrize(("expected", "joins"), [(HOST, True), ("radius.other.test", False)])
@pytest.mark.parametrize("ssid", [b"Corp", None])
def test_a_configuration_that_we_wrote_joins_the_server_that_it_names_and_no_other(
    radius_server: RadiusServer, bureau: Bureau, ssid: bytes | None, expected: str, joins: bool
) -> None:
    device = bureau.issue("wifi-device", FACTS)
    network = Joining(
        ssid=ssid, server_names=("radius-0.corp.test", expected), roots=roots_in(bureau.root.read_bytes()),
        certificate=str(device.chain), key=str(device.key), ca=str(bureau.root),
    )  # fmt: skip
    accepted, told = radius_server.join_as(wpa_supplicant(network))

    assert accepted is joins, told


@pytest.fixture
def posing(bureau: Bureau, tmp_path: Path) -> Iterator[RadiusServer]:
    """A RADIUS server with a certificate for clients, in the right name."""
    certificate = bureau.issue("wifi-device", FACTS, ("dns", HOST))
    process, server = start(bureau, certificate, tmp_path)
    yield server
    process.terminate()
    process.wait(10)


def test_a_client_certificate_makes_no_radius_server(posing: RadiusServer, bureau: Bureau) -> None:
    accepted, told = posing.join(bureau.issue("wifi-device", FACTS))

    assert not accepted
    assert "Certificate verification failed, error 26 (unsuitable certificate purpose) depth 0" in told
