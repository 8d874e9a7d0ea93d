"""Caddy, a web server that is its own ACME client: ES256 accounts only, two proofs, and a second CA to fall back to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.clients.conftest import Client
from tests.support.running import free_port

pytestmark = pytest.mark.client

#: Caddy's own address: its ports are those where validation looks, and on 127.0.0.1 others have them.
ADDRESS = "127.0.0.2"


def configured(
    client: Client, name: str, https: int, *directories: str, without: str | None = None, renew_always: bool = False
) -> Path:
    """Caddy's configuration: one site ``name``, certified by the first of ``directories`` that will.

    ``without`` names a challenge that Caddy leaves alone; it tries the others in an order of chance.
    """
    client.troth.dns.set_a(name, ADDRESS)
    http = client.troth.web_root.port
    issuers = [
        {
            "module": "acme", "ca": directory, "trusted_roots_pem_files": [str(client.troth.root)],
            "challenges": {"bind_host": ADDRESS, **({without: {"disabled": True}} if without else {})},
        }
        for directory in directories
    ]  # fmt: skip
    policy: dict[str, Any] = {"subjects": [name], "issuers": issuers}
    if renew_always:
        policy["renewal_window_ratio"] = 1.0
    site = {
        "listen": [f"{ADDRESS}:{https}"],
        "routes": [{"match": [{"host": [name]}], "handle": [{"handler": "static_response", "body": "hello"}]}],
    }
    config = client.home / "caddy.json"
    config.write_text(
        json.dumps(
            {
                "admin": {"disabled": True},
                "storage": {"module": "file_system", "root": str(client.home / "caddy")},
                "apps": {
                    "http": {"http_port": http, "https_port": https, "servers": {"site": site}},
                    "tls": {"automation": {"policies": [policy]}},
                },
            }
        )
    )
    return config


def test_caddy_turns_from_a_ca_that_refuses_it_and_proves_itself_by_tls_alpn(client: Client) -> None:
    port, name = client.troth.tls_alpn_port, "caddy.test"
    refusing = client.troth.directory.replace("/tls-server/", "/bound/")
    config = configured(client, name, port, refusing, client.troth.directory, without="http")
    with client.serving("caddy", "run", "--config", config) as log:
        first = client.served(ADDRESS, port, name, log)
        assert "externalAccountRequired" in log.read_text()
        assert '"challenge":"tls-alpn-01"' in log.read_text()
    # Two directories, two accounts; both keys are of the one kind that Caddy knows.
    stored = (client.home / "caddy").glob("acme/*/users/*/*.key")
    keys = [load_pem_private_key(path.read_bytes(), None) for path in stored]
    assert keys
    for key in keys:
        assert isinstance(key, EllipticCurvePrivateKey)
        assert isinstance(key.curve, SECP256R1)
    config = configured(client, name, port, client.troth.directory, renew_always=True)
    with client.serving("caddy", "run", "--config", config) as log:
        client.served(ADDRESS, port, name, log, other_than=first.serial_number)


def test_caddy_whose_tls_alpn_port_is_elsewhere_gets_there_by_http_whichever_it_tries_first(client: Client) -> None:
    port, name = free_port(), "http.caddy.test"
    with client.serving("caddy", "run", "--config", configured(client, name, port, client.troth.directory)) as log:
        client.served(ADDRESS, port, name, log)
        assert '"challenge":"http-01"' in log.read_text()
