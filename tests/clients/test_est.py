"""Real EST clients: strongSwan's pki (5.9.8 and later), and the commands of docs/est.md, word for word."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.clients.conftest import Client
from tests.support.agents import fits
from troth.agent.config import load
from troth.agent.state import StateDirectory
from troth.agent.supervisor import Agent
from troth.kit.clock import SystemClock

pytestmark = pytest.mark.client

HOST = "host-1.corp.example"
_PAGE = Path(__file__).resolve().parents[2] / "docs" / "est.md"


def enrolment(client: Client, *words: str) -> Mapping[str, Any]:
    """A new enrolment that vouches for names below corp.example, as the command tells of it."""
    made = client.troth.run(
        "enrolment",
        "create",
        "gear",
        "--suffix",
        "corp.example",
        "--vouch",
        "--directory",
        "est:mutual-tls",
        *words,
        "-o",
        "json",
    )
    return json.loads(made.stdout)


def base(client: Client) -> str:
    """The https listener."""
    found = enrolment(client)["enrolment"]["est_urls"][0]
    return found.partition("/.well-known/")[0]


def strongswan(client: Client, *arguments: str | Path, fails: bool = False) -> str:
    """``pki`` with a trusted root; what it said."""
    (client.home / "root.der").write_bytes(
        x509.load_pem_x509_certificate(client.troth.root.read_bytes()).public_bytes(Encoding.DER)
    )
    return client.run("pki", *arguments, fails=fails)


def key_and_request(client: Client, name: str) -> None:
    """``NAME.key`` and ``NAME.req``, DER, made by openssl."""
    client.run(
        "openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout",
        f"{name}.pem", "-outform", "DER", "-out", f"{name}.req", "-subj", f"/CN={HOST}",
        "-addext", f"subjectAltName=DNS:{HOST}",
    )  # fmt: skip
    client.run("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", f"{name}.pem", "-outform", "DER", "-out", f"{name}.key")


def saved(client: Client, name: str, *arguments: str | Path) -> x509.Certificate:
    """The certificate that ``pki`` wrote to its standard output, kept as ``NAME.der``."""
    command = " ".join([str(client.program("pki")), *map(str, arguments), ">", f"{name}.der", "2>", f"{name}.log"])
    client.run("sh", "-c", command, fails=None)
    said = (client.home / f"{name}.log").read_text()
    assert (client.home / f"{name}.der").stat().st_size, f"{said[-3000:]}\n{client.troth.log()[-2000:]}"
    return x509.load_der_x509_certificate((client.home / f"{name}.der").read_bytes())


def test_strongswan_enrols_with_a_secret_and_renews_with_its_certificate(client: Client) -> None:
    url, made = base(client), enrolment(client)
    strongswan(client, "--estca", "--url", url, "--cacert", "root.der", "--caout", "ca.der")
    written = sorted(client.home.glob("ca*.der"))
    assert len(written) > 1  # the root and the issuing authorities, each verified to the root
    key_and_request(client, "first")
    secret = f"{made['key_id']}:{made['secret']}"
    trust = [word for path in (client.home / "root.der", *written) for word in ("--cacert", path)]
    enrol = ("--est", "--url", url, *trust)
    first = saved(client, "first", *enrol, "--in", "first.req", "--userpass", secret)
    assert "Issued certificate is trusted" in (client.home / "first.log").read_text()
    key_and_request(client, "second")
    second = saved(client, "second", *enrol, "--in", "second.req", "--cert", "first.der", "--key", "first.key")
    assert second.public_key() != first.public_key()
    assert second.serial_number != first.serial_number
    for one in (first, second):
        held = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert held.get_values_for_type(x509.DNSName) == [HOST]
    # Revoked, it renews nothing, from that moment on.
    client.troth.run("cert", "revoke", f"{second.serial_number:032x}", "--reason", "superseded", "--yes")
    key_and_request(client, "third")
    said = strongswan(client, *enrol, "--in", "third.req", "--cert", "second.der", "--key", "second.key", fails=True)
    assert "HTTP 403" in said


def test_strongswan_is_refused_with_another_secret(client: Client) -> None:
    url, made = base(client), enrolment(client)
    key_and_request(client, "host")
    said = strongswan(
        client, "--est", "--url", url, "--cacert", "root.der", "--in", "host.req", "--userpass",
        f"{made['key_id']}:wrong", fails=True,
    )  # fmt: skip
    assert "HTTP 401" in said


def test_what_the_page_says_can_be_done_by_hand(client: Client) -> None:
    made = enrolment(client)
    (client.home / "root.pem").write_bytes(client.troth.root.read_bytes())
    (client.home / "secret").write_text(f"{made['key_id']}:{made['secret']}\n")
    [script] = re.findall(r"```sh\n(EST=.*?)```", _PAGE.read_text(), re.DOTALL)
    address = f"EST={base(client)}/.well-known/est"
    text, places = re.subn(r"^EST=.*$", address, script, count=1, flags=re.MULTILINE)
    assert places == 1
    (client.home / "by-hand.sh").write_text(f"set -eu\n{text}")
    said = client.run("sh", "by-hand.sh")
    assert "host.pem: OK" in said
    first, renewed = (
        x509.load_pem_x509_certificate((client.home / name).read_bytes()) for name in ("host.pem", "renewed.pem")
    )
    assert first.serial_number != renewed.serial_number
    assert first.public_key() == renewed.public_key()


def test_a_certificate_of_nobody_that_is_known_ends_the_handshake_and_none_is_as_before(client: Client) -> None:
    url = f"{base(client)}/.well-known/est/cacerts"
    client.run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", "k.pem",
        "-out", "c.pem", "-subj", "/CN=stranger", "-days", "2",
    )  # fmt: skip
    client.run("curl", "--silent", "--cacert", client.troth.root, "--cert", "c.pem", "--key", "k.pem", url, fails=True)
    client.run("curl", "--silent", "--fail", "--cacert", client.troth.root, url)


def test_the_agent_begins_with_a_secret_and_renews_by_itself(client: Client) -> None:
    url, made = base(client), enrolment(client)
    secret = client.home / "secret"
    secret.write_text(made["secret"])
    secret.chmod(0o600)
    directory = client.troth.directory.rpartition("/")[0]
    (client.home / "agent.toml").write_text(f"""
[agent]
state = "{client.home}/state"
[issuer.troth]
est = "{url}/.well-known/est/mutual-tls"
trust = "{client.troth.root}"
est_user = "{made["key_id"]}"
est_secret_file = "{secret}"
renewal_info = "{directory}/renewal-info"
[certificate.host]
names = ["{HOST}"]
purposes = ["client", "server"]
output = [
  {{ form = "fullchain", path = "{client.home}/host.pem" }},
  {{ form = "key", path = "{client.home}/host.key" }},
]
""")
    words = ("agent", "once", "--config", str(client.home / "agent.toml"))
    program = client.troth.program[0]
    client.run(program, *client.troth.program[1:], "agent", "check", "--config", client.home / "agent.toml")
    client.run(program, *client.troth.program[1:], *words)
    first = client.judge(client.home / "host.pem", HOST)
    assert fits((client.home / "host.pem").read_bytes(), (client.home / "host.key").read_bytes())
    secret.unlink()
    client.run(program, *client.troth.program[1:], *words)  # not due: the server says when
    record = json.loads((client.home / "state" / "certificates" / "host" / "record.json").read_text())
    assert first.not_valid_before_utc < datetime.fromisoformat(record["window"]["start"]) < first.not_valid_after_utc
    agent = Agent(load(client.home / "agent.toml"), StateDirectory(client.home / "state"), SystemClock())
    asyncio.run(agent.keepers["host"].renew())
    served = client.judge(client.home / "host.pem", HOST)
    assert served.public_key() != first.public_key()
