"""lego, by each of its three challenges."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import Client

pytestmark = pytest.mark.client


class Lego:
    """lego's command line for one name and one way of proving it."""

    def __init__(self, client: Client, *names: str, way: tuple[str | Path, ...], **environment: str) -> None:
        self.client, self.names, self.way = client, names, way
        self.environment = {"LEGO_CA_CERTIFICATES": str(client.troth.root), **environment}

    @property
    def chain(self) -> Path:
        return self.client.home / "lego" / "certificates" / f"{self.names[0].replace('*', '_')}.crt"

    def __call__(self, *command: str) -> str:
        domains = [word for name in self.names for word in ("-d", name)]
        return self.client.run(
            "lego", "--accept-tos", "--server", self.client.troth.directory, "--email", "lego@example.org", "--path",
            self.client.home / "lego", *self.way, *domains, *command, environment=self.environment,
        )  # fmt: skip

    def live(self) -> None:
        """Obtain, renew, revoke, each judged by openssl."""
        self("run")
        first = self.client.judge(self.chain, *self.names)
        self("renew", "--days", "4000", "--no-random-sleep")
        second = self.client.judge(self.chain, *self.names)
        assert second.serial_number != first.serial_number
        kept = self.client.home / "kept.pem"
        kept.write_bytes(self.chain.read_bytes())
        self("revoke", "--reason", "4", "--keep")
        assert self.client.revoked(second, kept) == "superseded"


def test_lego_by_http(client: Client) -> None:
    way = ("--http", "--http.webroot", client.troth.web_root.directory)
    Lego(client, "lego.test", "www.lego.test", way=way).live()


def test_lego_by_dns_with_dynamic_updates_and_a_wildcard(client: Client) -> None:
    dns = client.troth.dns
    way = ("--dns", "rfc2136", "--dns.disable-cp", "--dns.resolvers", dns.address)
    # One name after the other, a second apart: lego waits a minute unless it is told.
    settings = {"RFC2136_NAMESERVER": dns.address, "RFC2136_TTL": "1", "RFC2136_SEQUENCE_INTERVAL": "1"}
    Lego(client, "*.dns.lego.test", "dns.lego.test", way=way, **settings).live()
    assert ("_acme-challenge.dns.lego.test", "TXT") in dns.queries


def test_lego_by_tls_alpn(client: Client) -> None:
    way = ("--tls", "--tls.port", f"127.0.0.1:{client.troth.tls_alpn_port}")
    Lego(client, "alpn.lego.test", way=way).live()


def test_lego_with_an_rsa_key(client: Client) -> None:
    way = ("--http", "--http.webroot", client.troth.web_root.directory, "--key-type", "rsa2048")
    lego = Lego(client, "rsa.lego.test", way=way)
    lego("run")
    client.judge(lego.chain, "rsa.lego.test")
