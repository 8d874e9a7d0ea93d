"""Vantage points in processes of their own: started as an operator starts them, asked over TLS, lied to, killed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from msgspec import structs

from tests.integration.enroll.acme.test_validate import certificate, never, tls_context
from tests.support.clocks import FakeClock
from tests.support.dns import DnsServer
from tests.support.running import free_port
from tests.support.webroot import ChallengeWebRoot
from tests.unit.enroll.acme.test_caa_recheck import DIRECTORY, order, proof
from troth.assembly.layout import Layout
from troth.assembly.vantages import key_of, reaching
from troth.cli import main as cli
from troth.enroll.acme.caa_recheck import FRESH, CaaRecheck
from troth.enroll.acme.problems import AcmeProblem, Identifier
from troth.enroll.acme.validate.outcome import Challenge, Invalid, Valid
from troth.enroll.acme.validate.perspectives import Perspectives
from troth.enroll.acme.validate.validator import build_validating
from troth.kit.acme_settings import AcmeSettings, AcmeVantage
from troth.kit.clock import SystemClock

TOKEN = "tok_en-0123456789abcdef"
CHALLENGE = Challenge("http-01", Identifier("dns", "a.test"), TOKEN, f"{TOKEN}.{'A' * 43}", issuers=("ca.test",))
HONEST, LYING, DEAD = "honest", "lying", "dead"


@dataclass
class Vantage:
    """One vantage process; ``dns`` is what it believes."""

    data: Path
    dns: DnsServer
    http_port: int
    tls_alpn_port: int
    asker: str
    denied: str = ""
    port: int = 0
    process: subprocess.Popen[str] | None = field(default=None)

    def start(self) -> None:
        environment = {
            **os.environ, "TROTH__VANTAGE__LISTEN": f"127.0.0.1:{self.port}", "TROTH__VANTAGE__ASKED_BY": self.asker,
            "TROTH__ACME__RESOLVER": self.dns.address, "TROTH__ACME__HTTP_PORT": str(self.http_port),
            "TROTH__ACME__TLS_ALPN_PORT": str(self.tls_alpn_port), "TROTH__ACME__TIMEOUT_SECONDS": "5",
            "TROTH__ACME__DENIED_NETWORKS": self.denied,
        }  # fmt: skip
        command = [sys.executable, "-m", "troth", "serve", "--role", "vantage", "--data", str(self.data)]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            told = json.loads(line)
            if told["event"] == "vantage.ready":
                self.port = told["port"]
                return
        raise AssertionError("the vantage has ended")

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def settings(self, **change: str) -> AcmeVantage:
        key = key_of(Layout.at(self.data)).pin
        return AcmeVantage(**{"url": f"https://127.0.0.1:{self.port}", "key": key, **change})


@dataclass
class World:
    """Troth's side, and the vantages."""

    layout: Layout
    vantages: dict[str, Vantage]
    settings: AcmeSettings

    def validating(self, quorum: int = 0, **vantages: AcmeVantage) -> Perspectives:
        named = vantages or {name: one.settings() for name, one in self.vantages.items()}
        settings = AcmeSettings(
            http_port=self.settings.http_port, resolver=self.settings.resolver, timeout_seconds=3, quorum=quorum,
            vantages=named,
        )  # fmt: skip
        return build_validating(settings, own_listeners=(), reaching=reaching(self.layout, SystemClock()))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ChallengeWebRoot, DnsServer, DnsServer]]:
    """The applicant's web server, the DNS, and another DNS that somebody has poisoned."""
    web_root, dns, poisoned = ChallengeWebRoot(tmp_path_factory.mktemp("www")), DnsServer(), DnsServer()
    with ExitStack() as stack:
        for one in (web_root, dns, poisoned):
            one.start()
            stack.callback(one.stop)
        yield web_root, dns, poisoned


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, servers: tuple[ChallengeWebRoot, DnsServer, DnsServer]
) -> Iterator[World]:
    """Two vantages that run, and one that does not."""
    web_root, dns, poisoned = servers
    base = tmp_path_factory.mktemp("vantages")
    layout = Layout.at(base / "troth")
    asker = key_of(layout).pin
    alpn = free_port()
    vantages = {
        HONEST: Vantage(base / HONEST, dns, web_root.port, alpn, asker),
        LYING: Vantage(base / LYING, poisoned, web_root.port, alpn, asker, denied="127.0.0.66/32"),
        DEAD: Vantage(base / DEAD, dns, web_root.port, alpn, asker, port=1),
    }
    with ExitStack() as stack:
        for name in (HONEST, LYING):
            stack.callback(vantages[name].kill)
            vantages[name].start()
        yield World(layout, vantages, AcmeSettings(http_port=web_root.port, resolver=dns.address))


@pytest.fixture(autouse=True)
def fresh(servers: tuple[ChallengeWebRoot, DnsServer, DnsServer]) -> None:
    web_root, *zones = servers
    web_root.tokens[TOKEN] = CHALLENGE.key_authorization
    for dns in zones:
        dns.clear()
        dns.set_a("a.test", "127.0.0.1")


def reason(found: Valid | Invalid) -> str:
    return "" if isinstance(found, Valid) else found.problem.reason.code


async def test_one_that_lies_and_one_that_is_dead_are_outvoted_or_decide_as_the_quorum_has_it(
    world: World, servers: tuple[ChallengeWebRoot, DnsServer, DnsServer]
) -> None:
    _, _, poisoned = servers
    honest, lying, dead = (world.vantages[name].settings() for name in (HONEST, LYING, DEAD))
    # Everybody who is there sees it; of three, one may be missing (Baseline Requirements, 3.2.2.9).
    found = await world.validating(honest=honest, lying=lying, dead=dead).validate(CHALLENGE)
    assert isinstance(found, Valid), found
    assert any(one.target.startswith("honest: http://a.test") for one in found.record)
    [gone] = [one for one in found.record if one.target == "dead"]
    assert "127.0.0.1:1" in gone.result
    # One sees somebody else there. Of two one may, of three not two.
    poisoned.set_a("a.test", "127.0.0.9")
    found = await world.validating(honest=honest, lying=lying).validate(CHALLENGE)
    assert isinstance(found, Valid)
    found = await world.validating(honest=honest, lying=lying, dead=dead).validate(CHALLENGE)
    assert reason(found) == "acme.validation.quorum"
    assert reason(await world.validating(2, honest=honest, lying=lying).validate(CHALLENGE)) == "acme.validation.quorum"
    assert isinstance(await world.validating(1, honest=honest, lying=lying, dead=dead).validate(CHALLENGE), Valid)


async def test_what_the_first_look_does_not_show_no_vantage_can(world: World) -> None:
    other = replace(CHALLENGE, token="another-token", key_authorization=f"another-token.{'B' * 43}")
    assert reason(await world.validating().validate(other)) == "acme.validation.incorrect"


async def test_records_and_caa_are_looked_at_from_there(
    world: World, servers: tuple[ChallengeWebRoot, DnsServer, DnsServer], clock: FakeClock
) -> None:
    _, dns, poisoned = servers
    by_dns = replace(CHALLENGE, type="dns-01")
    account = replace(by_dns, type="dns-account-01", label="_aaaabbbbccccdddd")
    persist = replace(by_dns, type="dns-persist-01", token="", key_authorization="", account_uri="https://ca/1")
    both = {name: world.vantages[name].settings() for name in (HONEST, LYING)}
    for asked, name, text in (
        (by_dns, "_acme-challenge.a.test", CHALLENGE.digest_text()),
        (account, "_aaaabbbbccccdddd._acme-challenge.a.test", CHALLENGE.digest_text()),
        (persist, "_validation-persist.a.test", "ca.test; accounturi=https://ca/1"),
    ):
        dns.set_txt(name, text)
        assert reason(await world.validating(2, **both).validate(asked)) == "acme.validation.quorum"
        poisoned.set_txt(name, text)
        assert isinstance(await world.validating(2, **both).validate(asked), Valid)
    # CAA with the proof, and again before a certificate is made.
    poisoned.set("a.test", "CAA", '0 issue ";"')
    assert reason(await world.validating(2, **both).validate(replace(by_dns, caa=True))) == "acme.validation.quorum"
    assert isinstance(await world.validating(2, **both).validate(by_dns), Valid)
    name = Identifier("dns", "a.test")
    old = structs.replace(proof(clock, FRESH), identifier=name)
    recheck = CaaRecheck(world.validating(2, **both), clock)
    with pytest.raises(AcmeProblem) as refused:
        await recheck.check(order(name), {name: old}, DIRECTORY, "https://ca/1")
    assert "vantage points" in refused.value.detail


async def test_tls_alpn_is_asked_from_there(world: World, tmp_path: Path) -> None:
    asked = replace(CHALLENGE, type="tls-alpn-01")
    vantage = world.vantages[HONEST]
    remote = reaching(world.layout, SystemClock())(HONEST, vantage.settings(), 3.0)
    assert reason(await remote.validate(asked)) == "acme.validation.connection"  # nobody answers yet
    for digest, said in ((asked.digest(), ""), (bytes(32), "acme.validation.incorrect")):
        context = tls_context(tmp_path, certificate("a.test", digest=digest))
        async with await asyncio.start_server(never, "127.0.0.1", vantage.tls_alpn_port, ssl=context):
            assert reason(await remote.validate(asked)) == said


async def test_the_vantage_keeps_to_its_own_network_policy(
    world: World, servers: tuple[ChallengeWebRoot, DnsServer, DnsServer]
) -> None:
    servers[2].set_a("a.test", "127.0.0.66")
    vantage = world.vantages[LYING]
    reach = reaching(world.layout, SystemClock())
    assert reason(await reach(LYING, vantage.settings(), 3.0).validate(CHALLENGE)) == "acme.validation.target"
    # Nor does it connect to itself, or to what hands out credentials.
    for address in ("169.254.169.254", "0.0.0.0"):
        servers[2].set_a("a.test", address)
        assert reason(await reach(LYING, vantage.settings(), 3.0).validate(CHALLENGE)) == "acme.validation.target"


async def test_an_impostor_is_not_asked_and_a_stranger_not_answered(world: World, tmp_path: Path) -> None:
    vantage = world.vantages[HONEST]
    found = await reaching(world.layout, SystemClock())("x", vantage.settings(key="00" * 32), 3.0).validate(CHALLENGE)
    assert isinstance(found, Invalid)
    assert "not the pinned one" in found.problem.detail
    stranger = Layout.at(tmp_path / "stranger")
    found = await reaching(stranger, SystemClock())("x", vantage.settings(), 3.0).validate(CHALLENGE)
    assert isinstance(found, Invalid)
    assert "status 403" in found.problem.detail
    assert "vantage.stranger" in found.problem.detail


def test_check_tells_which_of_them_answer(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for name, one in world.vantages.items():
        settings = one.settings()
        lines += [f"[acme.vantages.{name}]", f'url = "{settings.url}"', f'key = "{settings.key}"']
    world.layout.config_file.write_text("\n".join(lines), encoding="utf-8")
    assert cli.main(["vantage", "check", "--data", str(world.layout.root), "-o", "json"]) == 1
    told = {one["vantage"]: one for one in json.loads(capsys.readouterr().out)["vantages"]}
    assert {name: one["answers"] for name, one in told.items()} == {HONEST: True, LYING: True, DEAD: False}
    assert abs(told[HONEST]["clock_ahead_seconds"]) <= 5
    assert cli.main(["vantage", "key", "--data", str(world.layout.root)]) == 0
    assert capsys.readouterr().out.strip() == key_of(world.layout).pin


def test_a_vantage_that_anybody_might_ask_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("troth.assembly.roles.vantage.configure_log", lambda *_: None)
    assert cli.main(["serve", "--role", "vantage", "--data", str(tmp_path)]) == 1
    assert "vantage.asked_by" in capsys.readouterr().err


async def test_one_that_was_killed_is_missed_and_comes_back(world: World) -> None:
    honest, lying = world.vantages[HONEST], world.vantages[LYING]
    assert isinstance(await world.validating(2, a=honest.settings(), b=lying.settings()).validate(CHALLENGE), Valid)
    lying.kill()
    validating = world.validating(2, a=honest.settings(), b=lying.settings())
    assert reason(await validating.validate(CHALLENGE)) == "acme.validation.quorum"
    lying.start()  # on the port that it had
    assert isinstance(await validating.validate(CHALLENGE), Valid)
