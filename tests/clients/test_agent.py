"""The host agent against a running Troth, with a real nginx as the service that it keeps in certificates."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.agents import fits
from tests.support.dns import DnsServer
from tests.support.programs import find_program
from tests.support.running import RunningTroth, free_port
from troth.agent.acme import AcmeSource, _listed
from troth.agent.config import Identifier, load
from troth.agent.keys.files import FileKeys
from troth.agent.settings import WebRoot
from troth.agent.solvers.build import Solvers
from troth.agent.source import Request
from troth.agent.state import StateDirectory
from troth.agent.supervisor import Agent
from troth.client.renewal import cert_id
from troth.kit.clock import SystemClock

pytestmark = pytest.mark.client

NAME = "agent.test"


@dataclass
class Host:
    """A host with an agent and an nginx, all in one directory."""

    home: Path
    troth: RunningTroth
    port: int = field(default_factory=free_port)

    @property
    def config(self) -> Path:
        return self.home / "agent.toml"

    @property
    def state(self) -> Path:
        return self.home / "state"

    def configure(self, certificate: str, *, directory: str = "") -> None:
        """Write the agent's configuration: one certificate, ``web``."""
        self.config.write_text(f"""
[agent]
state = "{self.state}"
metrics_file = "{self.home}/agent.prom"
[issuer.troth]
directory = "{directory or self.troth.directory}"
trust = "{self.troth.root}"
[certificate.web]
{certificate}
""")

    def with_nginx(self) -> None:
        """The configuration of a web server that staples."""
        tls = self.home / "tls"
        tls.mkdir()
        temporary = "".join(
            f"  {kind}_temp_path {self.home}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;\n" if os.geteuid() == 0 else ""
        (self.home / "nginx.conf").write_text(
            f"{user}worker_processes 1;\npid {self.home}/nginx.pid;\nerror_log {self.home}/nginx.log;\n"
            "events { worker_connections 64; }\n"
            f"http {{\n  access_log off;\n{temporary}  server {{ listen 127.0.0.1:{self.port} ssl;\n"
            f"    ssl_certificate {tls}/web.pem; ssl_certificate_key {tls}/web.key;\n"
            f"    ssl_stapling on; ssl_stapling_file {tls}/web.ocsp;\n    location / {{ return 200 ok; }} }}\n}}\n"
        )
        reload = self.home / "reload.sh"
        command = f"{find_program('nginx')} -p {self.home} -c {self.home}/nginx.conf -e {self.home}/nginx.log"
        reload.write_text(
            f"#!/bin/sh\n[ ! -e {self.home}/broken ] || exit 7\n"
            f"if [ -s {self.home}/nginx.pid ]; then exec {command} -s reload; else exec {command}; fi\n"
        )
        reload.chmod(0o755)
        self.configure(f"""
names = ["{NAME}"]
purposes = ["server"]
challenge = {{ kind = "webroot", path = "{self.troth.web_root.directory}" }}
output = [
  {{ form = "fullchain", path = "{tls}/web.pem" }},
  {{ form = "key", path = "{tls}/web.key" }},
]
reload = {{ command = ["{reload}"] }}
prove = {{ kind = "tls", host = "127.0.0.1", port = {self.port}, timeout = 20 }}
staple = {{ path = "{tls}/web.ocsp" }}
""")

    def stop_nginx(self) -> None:
        pid = self.home / "nginx.pid"
        if pid.exists():
            process = psutil.Process(int(pid.read_text()))
            process.terminate()
            process.wait(10)

    def agent(self, *arguments: str, fails: bool = False) -> str:
        """Run ``troth agent``; what it said."""
        done = subprocess.run(
            [*self.troth.program, "agent", *arguments, "--config", str(self.config)],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def status(self, **expected: bool) -> dict[str, Any]:
        found = json.loads(self.agent("status", "-o", "json", **expected))
        return dict(found["certificates"][0])

    def served(self) -> bytes:
        """The certificate that nginx shows to a client that trusts the root and nothing else."""
        context = self.troth.tls()
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=NAME) as shown,
        ):
            found = shown.getpeercert(binary_form=True)
        assert found is not None
        return found

    def stapled(self) -> str:
        """What openssl says of the OCSP answer in the handshake."""
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-servername", NAME, "-status",
             "-CAfile", str(self.troth.root)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        return done.stdout


@pytest.fixture
def host(troth: RunningTroth, tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path, troth)
    before = len(troth.log())
    yield made
    made.stop_nginx()
    assert "Traceback" not in troth.log()[before:]


def test_nginx_is_kept_in_certificates_and_staples(host: Host) -> None:
    host.with_nginx()
    host.agent("check")
    host.agent("once")
    first, status = host.served(), host.status()

    assert status["state"] == "good"
    assert x509.load_der_x509_certificate(first).serial_number == int(status["serial"], 16)
    assert "Cert Status: good" in host.stapled()
    assert f"Serial Number: {status['serial'].upper()}" in host.stapled().replace("serial: ", "Serial Number: ")
    metrics = (host.home / "agent.prom").read_text()
    assert 'troth_agent_certificate_generation{certificate="web"} 1' in metrics

    host.agent("renew", "web")
    assert wait_for(lambda: host.served() != first)
    second = host.served()
    assert host.status()["generation"] == 2

    host.agent("roll-back", "web")
    assert wait_for(lambda: host.served() == first)
    assert host.status()["state"] == "held"

    (host.home / "broken").touch()
    said = host.agent("renew", "web", fails=True)
    assert "agent.hook_failed" in said
    assert host.served() == first
    assert host.status()["state"] == "failing"
    assert "reload.sh ended with 7" in host.agent("status")
    (host.home / "broken").unlink()
    host.agent("renew", "web")
    assert wait_for(lambda: host.served() not in (first, second))


def test_a_running_agent_takes_orders_survives_a_kill_and_tells_systemd(host: Host) -> None:
    host.with_nginx()
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(host.home / "notify"))
    told.settimeout(30)
    environment = {**os.environ, "NOTIFY_SOCKET": str(host.home / "notify"), "WATCHDOG_USEC": "400000"}

    def start() -> subprocess.Popen[bytes]:
        with (host.home / "agent.log").open("ab") as log:
            return subprocess.Popen(
                [*host.troth.program, "agent", "run", "--config", str(host.config)], stderr=log, env=environment
            )

    process = start()
    try:
        said = set()
        while not said >= {"READY=1", "WATCHDOG=1", "STATUS=1 of 1 certificates are good"}:
            said.add(told.recv(4096).decode())
        assert wait_for(lambda: host.status()["phase"] == "")
        first = host.served()
        assert "another agent holds" in host.agent("once", fails=True)
        assert "no certificate.other" in host.agent("renew", "other", fails=True)
        host.agent("renew", "web")
        assert wait_for(lambda: host.served() != first)
        memory = psutil.Process(process.pid).memory_info().rss
        assert memory < 120 * 1024 * 1024

        process.kill()
        process.wait(10)
        assert host.status()["generation"] == 2
        process = start()
        while told.recv(4096) != b"READY=1":
            pass
        assert json.loads(host.agent("status", "-o", "json"))["running"] is True
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        assert "Traceback" not in (host.home / "agent.log").read_text()
    finally:
        process.kill()
        process.wait(10)
        told.close()


def test_killed_at_ever_later_moments_it_fills_one_order(host: Host) -> None:
    host.configure(
        f'names = ["killed.{NAME}"]\nchallenge = {{ kind = "webroot", path = "{host.troth.web_root.directory}" }}\n'
        f'output = [{{ form = "fullchain", path = "{host.home}/web.pem" }},'
        f'{{ form = "key", path = "{host.home}/web.key" }}]'
    )
    for moment in range(200):
        process = subprocess.Popen(
            [*host.troth.program, "agent", "once", "--config", str(host.config)], stderr=subprocess.DEVNULL
        )
        try:
            process.wait(0.3 + moment * 0.07)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        else:
            if process.returncode == 0:
                break
        # What failed for want of time is not waited for here.
        (host.state / "certificates" / "web" / "record.json").unlink(missing_ok=True)
    assert host.status()["state"] == "good"
    assert fits((host.home / "web.pem").read_bytes(), (host.home / "web.key").read_bytes())
    assert asyncio.run(orders_of(host)) == ["valid"]


async def orders_of(host: Host) -> list[str]:
    """The states of every order of the agent's account."""
    state = StateDirectory(host.state)
    async with Agent(load(host.config), state, SystemClock())._accounts["troth"].client() as client:
        found = [(await client.order(url)).status for url in await _listed(client)]
    state.close()
    return found


def wait_for(holds: Callable[[], bool]) -> bool:
    """nginx's old workers answer for a moment after a reload."""
    for _ in range(1200):
        if holds():
            return True
        time.sleep(0.1)
    return False


# --- each proof ------------------------------------------------------------------------------------------------------


async def once(host: Host) -> x509.Certificate:
    """One round of an agent in this process; the leaf that it got."""
    state = StateDirectory(host.state)
    try:
        agent = Agent(load(host.config), state, SystemClock())
        assert await agent.once(), agent.keepers["web"].look().record.trouble
        leaf = agent.keepers["web"].look().leaf
        assert leaf is not None
        return leaf
    finally:
        state.close()


async def test_it_answers_http_01_by_itself(host: Host) -> None:
    web_root = host.troth.web_root
    web_root.stop()
    try:
        host.configure(
            f'names = ["{NAME}", "127.0.0.1"]\n'
            f'challenge = {{ kind = "http-01", address = "127.0.0.1", port = {web_root.port} }}'
        )
        leaf = await once(host)
    finally:
        web_root.start()

    held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert held.get_values_for_type(x509.DNSName) == [NAME]
    assert [str(one) for one in held.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


async def test_it_answers_tls_alpn_01_by_itself(host: Host) -> None:
    host.configure(
        f'names = ["tls-alpn.{NAME}", "127.0.0.1"]\n'
        f'challenge = {{ kind = "tls-alpn-01", address = "127.0.0.1", port = {host.troth.tls_alpn_port} }}'
    )
    assert await once(host)


async def test_a_program_answers_dns_01_for_a_name_and_its_wildcard(host: Host) -> None:
    dns: DnsServer = host.troth.dns
    hook = host.home / "hook.py"
    address, port = dns.address.rsplit(":", 1)
    hook.write_text(f"""#!{sys.executable}
import os, dns.query, dns.update
change = dns.update.Update("test.")
name = os.environ["TROTH_RECORD"] + "."
if os.environ["TROTH_ACTION"] == "present":
    change.replace(name, 1, "TXT", os.environ["TROTH_VALUE"])
else:
    change.delete(name, "TXT")
assert dns.query.udp(change, "{address}", port={port}, timeout=5).rcode() == 0
""")
    hook.chmod(0o755)
    host.configure(f'names = ["dns.{NAME}", "*.dns.{NAME}"]\nchallenge = {{ kind = "dns-01", command = ["{hook}"] }}')
    leaf = await once(host)

    held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sorted(held.get_values_for_type(x509.DNSName)) == [f"*.dns.{NAME}", f"dns.{NAME}"]
    assert dns.values(f"_acme-challenge.dns.{NAME}", "TXT") == []


async def test_an_order_whose_answer_was_lost_is_found_and_one_that_is_dead_is_made_anew(host: Host) -> None:
    host.configure(
        f'names = ["lost.{NAME}"]\nchallenge = {{ kind = "webroot", path = "{host.troth.web_root.directory}" }}'
    )
    state = StateDirectory(host.state)
    agent = Agent(load(host.config), state, SystemClock())
    accounts = agent._accounts["troth"]
    source = AcmeSource(accounts, Solvers(SystemClock()))
    key = FileKeys(host.home / "keys").create("one", "p256")
    request = Request((Identifier("dns", f"lost.{NAME}"),), "", WebRoot(path=str(host.troth.web_root.directory)))
    async with accounts.client() as client:
        lost = await client.new_order([("dns", f"lost.{NAME}")])
    notes: list[dict[str, str]] = []

    chain = await source.obtain(request, key, {"ordering": "yes"}, lambda note: notes.append(dict(note)))
    assert notes == [{"order": lost.url}]
    again = await source.obtain(request, key, notes[-1], lambda note: notes.append(dict(note)))
    assert again == chain, "a finalised order is not finalised again"
    await source.obtain(request, key, {"order": lost.url + "0"}, lambda note: notes.append(dict(note)))
    assert [sorted(note) for note in notes[1:]] == [["ordering"], ["order"]]
    state.close()


def test_an_authority_that_is_away_is_said_to_be(host: Host) -> None:
    host.configure(f'names = ["{NAME}"]', directory=f"https://localhost:{free_port()}/acme/tls-server/directory")
    host.agent("once", fails=True)
    said = host.agent("status", fails=True)

    assert "client.transport" in said
    assert "absent" in said


async def test_it_asks_when_to_renew_and_says_what_it_replaces(host: Host) -> None:
    web_root = str(host.troth.web_root.directory)
    host.configure(f'names = ["ari.{NAME}"]\nchallenge = {{ kind = "webroot", path = "{web_root}" }}')
    await once(host)
    state = StateDirectory(host.state)
    agent = Agent(load(host.config), state, SystemClock())
    keeper = agent.keepers["web"]
    look = await keeper.tend()
    assert look.leaf is not None
    assert look.record.window is not None
    length = look.leaf.not_valid_after_utc - look.leaf.not_valid_before_utc
    assert look.leaf.not_valid_before_utc + length / 2 < look.record.window.start < look.record.window.end
    assert look.renew_at is not None
    assert look.record.window.start <= look.renew_at <= look.record.window.end
    assert look.next > SystemClock().now() + timedelta(minutes=30)

    await keeper.renew()
    async with agent._accounts["troth"].client() as client:
        orders = [await client.order(url) for url in await _listed(client)]
    assert [order.replaces for order in orders] == [cert_id(look.leaf), ""]
    # The same leaf a second time is a stale name; whatever the server makes of it, there is a certificate.
    request = Request(
        (Identifier("dns", f"ari.{NAME}"),), "", WebRoot(path=web_root), look.leaf.public_bytes(Encoding.PEM).decode()
    )
    key = FileKeys(host.home / "keys").create("one", "p256")
    source = AcmeSource(agent._accounts["troth"], Solvers(SystemClock()))
    assert await source.obtain(request, key, {}, lambda _: None)
    state.close()


@pytest.mark.parametrize("kind", ["external-account", "directory"])
def test_an_enrolment_opens_its_account_and_vouches_for_its_names(host: Host, kind: str) -> None:
    name, secret = f"{kind}.agent-enrolled.test", host.home / "secret"
    made = json.loads(
        host.troth.run(
            "enrolment", "create", kind, "--kind", kind, "--dns", name, "--vouch", "--accounts", "1",
            "--out", str(secret), "-o", "json",
        ).stdout
    )  # fmt: skip
    host.configure(f'names = ["{name}"]')
    text = host.config.read_text()
    hidden = secret.read_text().strip()
    if kind == "directory":
        secret.write_text(host.troth.directory.replace("/directory", f"/e/{hidden}/directory"))
        text = text.replace(f'directory = "{host.troth.directory}"', f'directory_file = "{secret}"')
    else:
        binding = f'eab_key_id = "{made["key_id"]}"\neab_key_file = "{secret}"\n'
        text = text.replace("[certificate.web]", f"{binding}[certificate.web]")
    host.config.write_text(text)
    host.agent("check")
    said = host.agent("once")

    assert host.status()["state"] == "good"
    assert hidden not in said
