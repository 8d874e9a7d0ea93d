"""dehydrated, which asks for a nonce before each request and never retries one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import Client

pytestmark = pytest.mark.client


def dehydrated(client: Client, *arguments: str | Path) -> str:
    return client.run("dehydrated", "--config", client.home / "config", *arguments)


def test_dehydrated_obtains_renews_and_revokes(client: Client) -> None:
    (client.home / "config").write_text(
        f"""CA="{client.troth.directory}"
BASEDIR="{client.home}"
WELLKNOWN="{client.troth.web_root.challenge_directory}"
CURL_OPTS="--cacert {client.troth.root}"
CONTACT_EMAIL="dehydrated@example.org"
"""
    )
    dehydrated(client, "--register", "--accept-terms")
    names = ("dehydrated.test", "www.dehydrated.test")
    chain = client.home / "certs" / names[0] / "fullchain.pem"
    sign = ("--cron", "--domain", " ".join(names))
    dehydrated(client, *sign)
    first = client.judge(chain, *names)
    dehydrated(client, *sign, "--force")
    second = client.judge(chain, *names)
    assert second.serial_number != first.serial_number
    kept = client.home / "kept.pem"
    kept.write_bytes(chain.read_bytes())
    dehydrated(client, "--revoke", chain.with_name("cert.pem"))
    client.revoked(second, kept)
