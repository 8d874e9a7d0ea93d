"""certbot, as an administrator of a web server uses it."""

from __future__ import annotations

import json
import sys
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.clients.conftest import Client

pytestmark = pytest.mark.client


def certbot(client: Client, *arguments: str | Path, fails: bool = False) -> str:
    home = client.home
    return client.run(
        "certbot", *arguments, "--non-interactive", "--server", client.troth.directory, "--config-dir", home / "config",
        "--work-dir", home / "work", "--logs-dir", home / "logs",
        environment={"REQUESTS_CA_BUNDLE": str(client.troth.root)}, fails=fails,
    )  # fmt: skip


def obtain(client: Client, *names: str, more: tuple[str, ...] = ()) -> Path:
    domains = [word for name in names for word in ("-d", name)]
    certbot(
        client, "certonly", "--agree-tos", "--no-eff-email", "-m", "admin@example.org", "--webroot", "-w",
        client.troth.web_root.directory, *domains, *more,
    )  # fmt: skip
    return client.home / "config" / "live" / names[0] / "fullchain.pem"


def test_certbot_obtains_renews_and_revokes(client: Client) -> None:
    names = ("certbot.test", "www.certbot.test")
    chain = obtain(client, *names)
    first = client.judge(chain, *names)
    certbot(client, "renew", "--force-renewal", "--no-random-sleep-on-renew")
    second = client.judge(chain, *names)
    assert second.serial_number != first.serial_number
    certbot(client, "revoke", "--cert-name", names[0], "--reason", "superseded", "--no-delete-after-revoke")
    assert client.revoked(second, chain) == "superseded"
    assert client.status(first, client.issuer(chain)) == "good"


def test_certbot_with_rsa_revokes_by_the_certificates_key_and_leaves(client: Client) -> None:
    chain = obtain(client, "rsa.certbot.test", more=("--key-type", "rsa"))
    leaf = client.judge(chain, "rsa.certbot.test")
    kept = client.home / "kept.pem"
    kept.write_bytes(chain.read_bytes())
    certbot(
        client, "revoke", "--cert-path", chain, "--key-path", chain.with_name("privkey.pem"), "--delete-after-revoke"
    )
    assert client.revoked(leaf, kept) == "keyCompromise"
    certbot(client, "show_account")
    certbot(client, "unregister")


def test_certbot_tells_why_a_name_could_not_be_proved(client: Client) -> None:
    said = certbot(
        client, "certonly", "--agree-tos", "--register-unsafely-without-email", "--webroot", "-w",
        client.home, "-d", "lost.certbot.test", fails=True,
    )  # fmt: skip
    assert "lost.certbot.test" in said
    assert "404" in said


def test_certbot_renews_when_the_server_asks_for_it_and_says_what_it_replaces(client: Client) -> None:
    def troth(*words: str | Path) -> dict[str, Any]:
        return dict(json.loads(client.troth.run("renewal", *map(str, words), "-o", "json").stdout))

    chain = obtain(client, "ari.certbot.test")
    first = client.judge(chain, "ari.certbot.test")
    serials = client.home / "serials"
    serials.write_text(f"{first.serial_number:040x}\n")
    incident = troth("early", "--serials", serials, "--per-minute", "60", "--yes")["incident"]
    # Its turn comes as soon as the worker has given it one; from then on its window lies in the past.
    deadline = time.monotonic() + 120
    while troth("show", incident)["due"] != 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    certbot(client, "renew", "--no-random-sleep-on-renew")
    assert client.judge(chain, "ari.certbot.test").serial_number != first.serial_number
    told = troth("show", incident)
    assert (told["total"], told["due"], told["renewed"]) == (1, 1, 1)
    assert "not due for renewal" in certbot(client, "renew", "--no-random-sleep-on-renew")
    assert troth("end", incident)["state"] == "ended"


def test_certbot_obtains_a_certificate_for_an_address(client: Client) -> None:
    certbot(
        client, "certonly", "--agree-tos", "--register-unsafely-without-email", "--webroot", "-w",
        client.troth.web_root.directory, "--ip-address", "127.0.0.1", "-d", "address.certbot.test",
    )  # fmt: skip
    [chain] = (client.home / "config" / "live").glob("*/fullchain.pem")
    leaf = client.judge(chain, "address.certbot.test")
    held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert held.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1")]
    client.run(
        "openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_ip", "127.0.0.1",
        "-CAfile", client.troth.root, "-untrusted", "issuer.pem", "leaf.pem",
    )  # fmt: skip


def test_certbot_proves_a_wildcard_by_hooks_that_write_to_the_dns(client: Client) -> None:
    """Both proofs of a wildcard and its own name stand under one label, together."""
    hook = client.home / "hook.py"
    hook.write_text(
        f"""#!{sys.executable}
import os, sys
import dns.query, dns.update
host, port = {client.troth.dns.address!r}.rsplit(":", 1)
update = dns.update.Update("test.")
record = ("_acme-challenge." + os.environ["CERTBOT_DOMAIN"] + ".", "TXT", os.environ["CERTBOT_VALIDATION"])
if sys.argv[1] == "add":
    update.add(record[0], 1, *record[1:])
else:
    update.delete(*record)
assert dns.query.tcp(update, host, port=int(port), timeout=5).rcode() == 0
"""
    )
    hook.chmod(0o700)
    names = ("*.hook.certbot.test", "hook.certbot.test")
    certbot(
        client, "certonly", "--agree-tos", "--register-unsafely-without-email", "--manual", "--preferred-challenges",
        "dns", "--manual-auth-hook", f"{hook} add", "--manual-cleanup-hook", f"{hook} remove", "--cert-name", "wild",
        "-d", names[0], "-d", names[1],
    )  # fmt: skip
    chain = client.home / "config" / "live" / "wild" / "fullchain.pem"
    first = client.judge(chain, *names)
    assert client.troth.dns.values("_acme-challenge.hook.certbot.test", "TXT") == [], "the hook has cleaned up"
    certbot(client, "renew", "--force-renewal", "--no-random-sleep-on-renew")
    assert client.judge(chain, *names).serial_number != first.serial_number
