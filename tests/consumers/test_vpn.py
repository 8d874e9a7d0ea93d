"""vpn and vpn-server: OpenVPN opens a tunnel with it, and strongSwan reads and verifies it."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.consumers import Bureau, Consumer, Credential
from tests.support.programs import find_program

pytestmark = pytest.mark.xdist_group("vpn")
FACTS = {"user.name": "alice", "user.email": "alice@corp.test", "device.name": "laptop-17"}
OPENED = "Initialization Sequence Completed"


def _tunnel(bureau: Bureau, home: Path, client: Credential, server: Credential) -> str:
    """Both ends of an OpenVPN tunnel without a network device, until it is open or refused: what they said."""
    program = find_program("openvpn")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ends = {
        "server": (server, ["--tls-server", "--local", "127.0.0.1", "--lport", port, "--remote-cert-tls", "client",
                            "--dh", "none"]),
        "client": (client, ["--tls-client", "--remote", "127.0.0.1", port, "--nobind", "--remote-cert-tls", "server",
                            "--verify-x509-name", "vpn.corp.test", "name"]),
    }  # fmt: skip
    running: list[subprocess.Popen[bytes]] = []
    try:
        for name, (credential, more) in ends.items():
            with (home / name).open("wb") as output:
                running.append(
                    subprocess.Popen(
                        [str(program), "--dev", "null", "--proto", "udp", "--ca", str(bureau.root),
                         "--cert", str(credential.chain), "--key", str(credential.key), "--verb", "3", *more],
                        stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                    )
                )  # fmt: skip
        deadline = time.monotonic() + 120
        while True:
            told = "".join((home / name).read_text(errors="replace") for name in ends)
            if told.count(OPENED) == len(ends) or "TLS handshake failed" in told:
                return told
            assert time.monotonic() < deadline, told
            time.sleep(0.05)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(10)


def _server(bureau: Bureau) -> Credential:
    return bureau.issue("vpn-server", None, ("dns", "vpn.corp.test"), common_name="vpn.corp.test")


def test_openvpn_opens_a_tunnel_with_a_vpn_certificate(bureau: Bureau, consumer: Consumer) -> None:
    assert OPENED in _tunnel(bureau, consumer.home, bureau.issue("vpn", FACTS), _server(bureau))


def test_openvpn_opens_no_tunnel_with_a_certificate_for_mail(bureau: Bureau, consumer: Consumer) -> None:
    told = _tunnel(bureau, consumer.home, bureau.issue("s-mime", FACTS), _server(bureau))

    assert OPENED not in told
    assert "VERIFY ERROR: depth=0, error=unsuitable certificate purpose: CN=alice@corp.test" in told


def test_openvpn_believes_no_client_certificate_that_poses_as_the_gateway(bureau: Bureau, consumer: Consumer) -> None:
    posing = bureau.issue("client-device", None, ("dns", "vpn.corp.test"), common_name="vpn.corp.test")
    told = _tunnel(bureau, consumer.home, bureau.issue("vpn", FACTS), posing)

    assert OPENED not in told
    assert "VERIFY ERROR: depth=0, error=unsuitable certificate purpose: CN=vpn.corp.test" in told


def test_strongswan_verifies_a_vpn_certificate_and_reads_its_address(bureau: Bureau, consumer: Consumer) -> None:
    credential = bureau.issue("vpn", FACTS)

    told = consumer.run(
        "pki", "--verify", "--in", credential.certificate, "--cacert", bureau.root, "--cacert", credential.authority
    )
    assert "certificate trusted, lifetimes valid" in told
    read = consumer.run("pki", "--print", "--in", credential.certificate)
    assert "alice@corp.test" in read
    assert "clientAuth" in read
