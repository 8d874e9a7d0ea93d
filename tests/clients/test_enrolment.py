"""Accounts that an operator has enrolled: certbot, lego and dehydrated with external account bindings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.conftest import Client

pytestmark = pytest.mark.client


@dataclass(frozen=True)
class Handed:
    """What the operator hands out, and the directory that it is good in."""

    key_id: str
    secret: str
    directory: str


def enrolled(client: Client, name: str) -> Handed:
    """An enrolment as the operator makes it: names below ``name`` are vouched for, nobody is asked to prove them."""
    said = client.troth.run(
        "enrolment", "create", name, "--directory", "bound", "--suffix", name, "--vouch", "--accounts", "1",
        "--output", "json",
    )  # fmt: skip
    made = json.loads(said.stdout)
    return Handed(made["key_id"], made["secret"], made["directory_urls"][0])


def ended(client: Client, handed: Handed) -> None:
    """The operator ends it, and its certificates with it."""
    client.troth.run("enrolment", "revoke", handed.key_id, "--certificates", "--yes")


def test_certbot_with_a_binding(client: Client) -> None:
    handed, home = enrolled(client, "bound.certbot.test"), client.home
    words: tuple[str | Path, ...] = (
        "certonly", "--non-interactive", "--server", handed.directory, "--config-dir", home / "config", "--work-dir",
        home / "work", "--logs-dir", home / "logs", "--agree-tos", "--no-eff-email", "-m", "admin@example.org",
        "--standalone", "--http-01-port", str(client.troth.tls_alpn_port),
    )  # fmt: skip
    trusting = {"REQUESTS_CA_BUNDLE": str(client.troth.root)}
    names = ("bound.certbot.test", "www.bound.certbot.test")
    domains = [word for name in names for word in ("-d", name)]
    refused = client.run("certbot", *words, *domains, environment=trusting, fails=True)
    assert "external account" in refused.lower()
    key = ("--eab-kid", handed.key_id, "--eab-hmac-key", handed.secret)
    client.run("certbot", *words, *key, *domains, environment=trusting)
    chain = home / "config" / "live" / names[0] / "fullchain.pem"
    leaf = client.judge(chain, *names)
    other = client.run("certbot", *words, *key, "-d", "other.test", environment=trusting, fails=True)
    assert "other.test" in other
    ended(client, handed)
    client.revoked(leaf, chain)  # privilegeWithdrawn, for which openssl has no word
    client.run("certbot", *words, *key, *domains, "--force-renewal", environment=trusting, fails=True)


def test_lego_with_a_binding_and_a_wildcard(client: Client) -> None:
    handed = enrolled(client, "bound.lego.test")
    words: tuple[str | Path, ...] = (
        "--accept-tos", "--server", handed.directory, "--email", "lego@example.org", "--path", client.home / "lego",
        "--http", "--http.port", f"127.0.0.1:{client.troth.tls_alpn_port}",
        "-d", "*.bound.lego.test", "-d", "bound.lego.test",
    )  # fmt: skip
    trusting = {"LEGO_CA_CERTIFICATES": str(client.troth.root)}
    assert "requires External Account Binding" in client.run("lego", *words, "run", environment=trusting, fails=True)
    key = ("--eab", "--kid", handed.key_id, "--hmac", handed.secret)
    client.run("lego", *key, *words, "run", environment=trusting)
    chain = client.home / "lego" / "certificates" / "_.bound.lego.test.crt"
    first = client.judge(chain, "*.bound.lego.test", "bound.lego.test")
    client.run("lego", *key, *words, "renew", "--days", "4000", "--no-random-sleep", environment=trusting)
    assert client.judge(chain, "*.bound.lego.test", "bound.lego.test").serial_number != first.serial_number


def test_dehydrated_with_a_binding(client: Client) -> None:
    handed = enrolled(client, "bound.dehydrated.test")
    (client.home / "config").write_text(
        f"""CA="{handed.directory}"
BASEDIR="{client.home}"
WELLKNOWN="{client.troth.web_root.challenge_directory}"
CURL_OPTS="--cacert {client.troth.root}"
CONTACT_EMAIL="dehydrated@example.org"
EAB_KID="{handed.key_id}"
EAB_HMAC_KEY="{handed.secret}"
"""
    )
    config = ("--config", client.home / "config")
    client.run("dehydrated", *config, "--register", "--accept-terms")
    client.run("dehydrated", *config, "--cron", "--domain", "bound.dehydrated.test")
    client.judge(client.home / "certs" / "bound.dehydrated.test" / "fullchain.pem", "bound.dehydrated.test")


def test_lego_under_a_directory_with_a_secret_in_its_url(client: Client) -> None:
    """As Apple's client, which can do no binding."""
    said = client.troth.run(
        "enrolment", "create", "secret", "--kind", "directory", "--directory", "bound", "-o", "json"
    )
    made = json.loads(said.stdout)
    words: tuple[str | Path, ...] = (
        "--accept-tos", "--server", made["directory_urls"][0], "--email", "lego@example.org", "--path",
        client.home / "lego", "--http", "--http.webroot", client.troth.web_root.directory, "-d", "secret.lego.test",
    )  # fmt: skip
    client.run("lego", *words, "run", environment={"LEGO_CA_CERTIFICATES": str(client.troth.root)})
    client.judge(client.home / "lego" / "certificates" / "secret.lego.test.crt", "secret.lego.test")
    assert made["secret"] not in client.troth.log()
