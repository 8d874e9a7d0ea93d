"""The agent as a process: what wakes it, what it tells, and that one thing's failure is not another's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import CountingSource, root
from troth.agent import supervisor
from troth.agent.config import parse
from troth.agent.control import ask
from troth.agent.errors import DISK, UNKNOWN_NAME, AgentError
from troth.agent.notify import Notifier
from troth.agent.services import Host
from troth.agent.state import StateDirectory
from troth.agent.supervisor import Agent
from troth.kit.clock import FakeClock
from troth.kit.errors import TrothError


class Running:
    """An agent that runs in the test's loop, with a source of the test."""

    def __init__(self, home: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, more: str = "") -> None:
        (home / "source").mkdir(exist_ok=True)
        (home / "root.pem").write_bytes(root().pem)
        self.home, self.clock = home, clock
        self.source = CountingSource(home / "source", clock)
        monkeypatch.setattr(supervisor, "AcmeSource", lambda *_, **__: self.source)
        self.state = StateDirectory(home / "state")
        text = f"""
        [agent]
        state = "{home}/state"
        metrics_file = "{home}/agent.prom"
        [issuer.troth]
        directory = "https://pki.example/"
        trust = "{home}/root.pem"
        [certificate.web]
        names = ["www.example.org"]
        {more}
        """
        self.agent = Agent(parse(text), self.state, clock)
        self.stop = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def start(self, environ: Mapping[str, str] | None = None) -> None:
        self.task = asyncio.create_task(self.agent.run(self.stop, Notifier(environ or {})))

    async def end(self) -> None:
        self.stop.set()
        assert self.task is not None
        await self.task
        self.state.close()


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's waits are in real seconds; its times are the clock's."""
    for name, value in (("_GRAIN", 0.01), ("_SHORTEST", 0.0), ("_AFTER_DISK", 0.01), ("_AFTER_DEFECT", (0.01, 0.02))):
        monkeypatch.setattr(supervisor, name, value)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.fixture
async def running(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, fast: None) -> Running:
    return Running(tmp_path, clock, monkeypatch)


async def test_it_obtains_renews_in_time_and_notices_a_clock_that_was_set(running: Running) -> None:
    running.start()
    await until(lambda: running.source.orders == 1)
    keeper = running.agent.keepers["web"]
    await until(lambda: keeper.look().attempt is None)
    running.clock.set_wall(running.clock.now() + timedelta(days=70))
    await until(lambda: running.source.orders == 2)
    await running.end()


async def test_it_sleeps_until_something_is_due_and_no_longer(running: Running) -> None:
    stop = asyncio.Event()
    due = running.clock.now() + timedelta(hours=1)
    sleeping = asyncio.create_task(running.agent._sleep(due, stop))
    await asyncio.sleep(0.05)
    assert not sleeping.done()
    running.clock.advance(timedelta(minutes=59))
    await asyncio.sleep(0.05)
    assert not sleeping.done()
    running.clock.advance(timedelta(minutes=1))
    await sleeping
    leaping = asyncio.create_task(running.agent._sleep(running.clock.now() + timedelta(days=1), stop))
    await asyncio.sleep(0.03)
    running.clock.set_wall(datetime(1980, 1, 1, tzinfo=running.clock.now().tzinfo))
    await leaping
    woken = asyncio.create_task(running.agent._sleep(running.clock.now() + timedelta(days=1), stop))
    stop.set()
    await woken
    running.state.close()


async def test_a_person_asks_and_is_answered(running: Running) -> None:
    running.start()
    place = running.home / "state" / "control"
    await until(lambda: place.exists() and running.agent.keepers["web"].look().meta is not None)
    await ask(place, "renew", "web")
    found: Any = await ask(place, "status")

    assert found["running"] is True
    assert [(one["name"], one["generation"], one["state"]) for one in found["certificates"]] == [("web", 2, "good")]
    back: Any = await ask(place, "roll-back", "web")
    assert (back["generation"], back["state"]) == (1, "held")
    with pytest.raises(TrothError) as refused:
        await ask(place, "renew", "other")
    assert refused.value.reason is UNKNOWN_NAME
    await running.end()
    assert not place.exists()


async def test_systemd_and_node_exporter_are_told(running: Running) -> None:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(running.home / "notify"))
    manager.setblocking(False)
    running.start({"NOTIFY_SOCKET": str(running.home / "notify"), "WATCHDOG_USEC": "40000"})
    said: set[str] = set()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(120):
        while not said >= {"READY=1", "WATCHDOG=1", "STATUS=1 of 1 certificates are good"}:
            said.add((await loop.sock_recv(manager, 200)).decode())
    await until(lambda: 'generation{certificate="web"} 1' in (running.home / "agent.prom").read_text())
    await running.end()
    while "STOPPING=1" not in said:
        said.add((await loop.sock_recv(manager, 200)).decode())
    manager.close()


async def test_a_disk_on_which_nothing_can_be_written_is_waited_for(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = running.agent.keepers["web"]
    real, failures = keeper.tend, [0]

    async def full() -> Any:
        if failures[0] < 3:
            failures[0] += 1
            raise AgentError(DISK, "no space left on device")
        return await real()

    monkeypatch.setattr(keeper, "tend", full)
    running.start()
    await until(lambda: running.source.orders == 1)
    await running.end()


class Broken:
    """A service that breaks when it is started, for the first times."""

    name = "broken"

    def __init__(self) -> None:
        self.starts = 0

    async def run(self, stop: asyncio.Event) -> None:
        self.starts += 1
        if self.starts == 1:
            raise ZeroDivisionError("a defect")
        if self.starts == 2:
            raise AgentError(DISK, "something expected")
        await stop.wait()

    def status(self) -> Mapping[str, object]:
        return {"starts": self.starts}


async def test_a_service_that_breaks_is_started_again_and_touches_nothing_else(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, hosts = Broken(), []

    def build(host: Host) -> list[Broken]:
        hosts.append(host)
        return [service]

    monkeypatch.setattr(supervisor, "build_services", build)
    running.start()
    await until(lambda: service.starts == 3 and bool(hosts[0].installed()))

    assert hosts[0].installed()["web"].name == "000001"
    assert (hosts[0].installed()["web"] / "key.pem").exists()
    assert hosts[0].state("broken") == running.home / "state" / "services" / "broken"
    assert hosts[0].transport("troth")
    assert running.agent.report(running=True).services == {"broken": {"starts": 3}}
    await running.end()


async def test_once_says_whether_everything_is_well(running: Running) -> None:
    assert await running.agent.once()
    assert "troth_agent_certificate_generation" in (running.home / "agent.prom").read_text()
    running.source.fail = AgentError(DISK, "away")
    running.clock.advance(timedelta(days=70))
    assert not await running.agent.once()
    running.state.close()


async def test_only_looked_at_nothing_is_made(running: Running, tmp_path: Path) -> None:
    running.state.close()
    looked_at = Agent(running.agent.config, StateDirectory(tmp_path / "nowhere", hold=False), running.clock)
    report = looked_at.report(running=False)

    assert [one.state for one in report.certificates] == ["absent"]
    assert not (tmp_path / "nowhere").exists()


def test_it_imports_nothing_of_the_server() -> None:
    import subprocess
    import sys

    said = subprocess.run(
        [sys.executable, "-c", "import sys, troth.cli.main, troth.cli.agent\n"
         "print(sorted({m.split('.')[1] for m in sys.modules if m.startswith('troth.')}))\n"
         "print([m for m in ('asyncpg', 'litestar', 'jinja2', 'httpx', 'uvicorn', 'cel') if m in sys.modules])"],
        capture_output=True, text=True, check=True, timeout=300,
    ).stdout.splitlines()  # fmt: skip
    assert said == ["['agent', 'cli', 'client', 'kit', 'tpm']", "[]"]


async def test_a_certificate_does_not_send_the_agent_to_a_metadata_service(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = f'staple = {{ path = "{tmp_path}/web.ocsp" }}'
    running = Running(tmp_path, clock, monkeypatch, more)
    running.source.extra, running.source.ocsp = root().pem, "http://169.254.169.254/latest/"
    try:
        stapler = running.agent.keepers["web"].stapler
        assert stapler is not None
        await running.agent.keepers["web"].tend()
        trouble = stapler.look().trouble
        assert trouble is not None
        assert (trouble.code, trouble.detail) == (
            "client.target", "169.254.169.254 (169.254.169.254) is link-local"
        )  # fmt: skip
    finally:
        running.state.close()
