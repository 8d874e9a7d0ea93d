"""The agent as a process: a keeper for each certificate, its staple, the services, and what they tell the outside.

Each runs in a task of its own. One that ends by a defect is logged and started again after a pause that grows; the
others go on. Nothing needs an orderly end: SIGKILL at any moment is taken up where it struck.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import troth
from troth.agent import disk
from troth.agent.account import Accounts, anchors, transport
from troth.agent.acme import AcmeSource
from troth.agent.config import AgentConfig, issuer_of
from troth.agent.control import Control
from troth.agent.door.client import Identity, identity_at
from troth.agent.door.errors import IDENTITY
from troth.agent.errors import UNKNOWN_NAME, AgentError
from troth.agent.est import EstSource
from troth.agent.keeper import Keeper, Ways
from troth.agent.keys.model import KeyPlace
from troth.agent.keys.places import Places, TpmPlace
from troth.agent.notify import Notifier
from troth.agent.report import AgentReport, CertificateReport, metrics, report
from troth.agent.services import Host, Service, build_services
from troth.agent.settings import CertificateSettings, IssuerSettings, TpmKeySettings
from troth.agent.solvers.attest01 import ready_to_attest
from troth.agent.solvers.build import Solvers
from troth.agent.state import StateDirectory
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger

log = get_logger("agent")

#: The longest sleep: a wall clock that was set is noticed by then.
_GRAIN = 60.0
_LEAP = 30.0
_SHORTEST = 1.0
_AFTER_DISK = 30.0
_AFTER_DEFECT = (1.0, 300.0)
_STOP_SECONDS = 10.0


class Agent:
    """Everything that the configuration asks for. ``state`` is held by this process, or only looked at."""

    def __init__(self, config: AgentConfig, state: StateDirectory, clock: Clock) -> None:
        self.config = config
        self._state = state
        self._clock = clock
        self._places = Places(state)
        self._solvers = Solvers(clock)
        self._chance = secrets.SystemRandom().random
        self._accounts: dict[str, Accounts] = {}
        self._enrolling = asyncio.Lock()
        self.keepers = {name: self._keeper(name, settings) for name, settings in config.certificate.items()}
        self._wakes = {name: asyncio.Event() for name in config.certificate}
        self._services: list[Service] = []

    def _keeper(self, name: str, settings: CertificateSettings) -> Keeper:
        issuer, of = issuer_of(self.config, settings)
        keys, directory = self._places.of(settings.key), self._state.root / "issuers" / issuer
        if of.est:
            source = EstSource(issuer, of, directory, self._clock)
            ways = Ways(source, keys, source.anchors, lambda: transport(of, sent=True), self._clock, self._chance)
            return Keeper(name, issuer, settings, self._state, ways)
        if issuer not in self._accounts:
            self._accounts[issuer] = Accounts(issuer, of, directory)
        acme = AcmeSource(self._accounts[issuer], self._solvers, prepare=self._prepare(settings, of, keys))
        ways = Ways(acme, keys, lambda: anchors(of), lambda: transport(of, sent=True), self._clock, self._chance)
        return Keeper(name, issuer, settings, self._state, ways)

    def _prepare(
        self, settings: CertificateSettings, of: IssuerSettings, keys: KeyPlace
    ) -> Callable[[], Awaitable[None]]:
        """Have the TPM's attestation key certified, where it is not or not for much longer."""

        async def prepare() -> None:
            if isinstance(keys, TpmPlace) and isinstance(settings.key, TpmKeySettings):
                async with self._enrolling, transport(of) as carrier:
                    await ready_to_attest(keys.keys(), settings.key.attestation_ca, carrier, self._clock)

        return prepare

    # As a whole.

    async def once(self) -> bool:
        """Tend everything a single time; whether nothing failed."""
        fine = True
        for keeper in self.keepers.values():
            look = await keeper.tend()
            await keeper.staple()
            fine = fine and look.record.trouble is None and look.meta is not None
        self._write_metrics()
        return fine

    async def run(self, stop: asyncio.Event, notifier: Notifier) -> None:
        """Serve until ``stop`` is set."""
        self._services = build_services(self._host())
        jobs: dict[str, Callable[[], Awaitable[None]]] = {"life": lambda: self._live(stop, notifier)}
        for name in self.keepers:
            jobs[f"certificate {name}"] = lambda name=name: self._keep(name, stop)  # type: ignore[misc]
            jobs[f"staple {name}"] = lambda name=name: self._staple(name, stop)  # type: ignore[misc]
        for service in self._services:
            jobs[f"service {service.name}"] = lambda service=service: service.run(stop)  # type: ignore[misc]
        control = Control(self._state.root / "control", self.answer)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(control)
            tasks = [asyncio.create_task(_restarted(name, job, stop), name=name) for name, job in jobs.items()]
            notifier.ready()
            log.info("agent.ready", certificates=len(self.keepers), services=len(self._services))
            await stop.wait()
            notifier.stopping()
            _, late = await asyncio.wait(tasks, timeout=_STOP_SECONDS)
            for task in late:  # whatever it is in, it is taken up at the next start
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def report(self, *, running: bool) -> AgentReport:
        """How everything stands. Raises AgentError."""
        services = {service.name: service.status() for service in self._services}
        return AgentReport(troth.__version__, running, tuple(self._reports()), services)

    async def answer(self, asked: str, name: str) -> object:
        """What a person asks of the running agent: ``status``, ``renew``, ``roll-back``. Raises TrothError."""
        if asked == "status":
            return self.report(running=True)
        if name not in self.keepers:
            raise AgentError(UNKNOWN_NAME, f"there is no certificate.{name}")
        keeper = self.keepers[name]
        try:
            await (keeper.renew() if asked == "renew" else keeper.roll_back())
        finally:
            self._wakes[name].set()
        return self._report(name)

    # One by one.

    async def _keep(self, name: str, stop: asyncio.Event) -> None:
        keeper, wake = self.keepers[name], self._wakes[name]
        while not stop.is_set():
            wake.clear()
            try:
                due = (await keeper.tend()).next
            except AgentError as error:  # not even the failure could be written down
                log.error("agent.cannot_write", certificate=name, detail=error.detail)
                await _first(_AFTER_DISK, stop, wake)
                continue
            await self._sleep(due, stop, wake)

    async def _staple(self, name: str, stop: asyncio.Event) -> None:
        if self.keepers[name].stapler is None:
            return
        while not stop.is_set():
            try:
                due = await self.keepers[name].staple()
            except AgentError as error:
                log.error("agent.cannot_write", certificate=name, detail=error.detail)
                await _first(_AFTER_DISK, stop)
                continue
            if due is not None:
                await self._sleep(due, stop)

    async def _sleep(self, due: datetime, *events: asyncio.Event) -> None:
        """Until ``due``, in grains, so that a clock that was set, or a machine that slept, is noticed."""
        left = max((due - self._clock.now()).total_seconds(), _SHORTEST)
        while left > 0:
            wall, monotonic = self._clock.now(), self._clock.monotonic()
            if await _first(min(left, _GRAIN), *events):
                return
            passed = self._clock.monotonic() - monotonic
            leap = (self._clock.now() - wall).total_seconds() - passed
            if abs(leap) > _LEAP:
                log.warning("agent.clock_leapt", seconds=round(leap))
                return
            left = (due - self._clock.now()).total_seconds()

    async def _live(self, stop: asyncio.Event, notifier: Notifier) -> None:
        """Signs of life: the watchdog's, the status line, the metrics file."""
        every = min(notifier.watchdog or 15.0, 15.0)
        while not stop.is_set():
            notifier.alive()
            try:
                self._write_metrics(notifier)
            except AgentError as error:
                log.error("agent.cannot_write", detail=error.detail)
            await _first(every, stop)

    def _write_metrics(self, notifier: Notifier | None = None) -> None:
        reports = list(self._reports())
        good = sum(one.state in ("good", "held") for one in reports)
        if notifier is not None:
            notifier.status(f"{good} of {len(reports)} certificates are good")
        path = self.config.agent.metrics_file
        if path:
            disk.write(Path(path), metrics(reports, self._clock.now()).encode(), mode=0o644)

    def _reports(self) -> list[CertificateReport]:
        return [self._report(name) for name in self.keepers]

    def _report(self, name: str) -> CertificateReport:
        keeper = self.keepers[name]
        staple = keeper.stapler.look() if keeper.stapler else None
        now, warn_days = self._clock.now(), self.config.agent.warn_days
        return report(name, keeper.settings, keeper.look(), staple, now, warn_days)

    def _host(self) -> Host:
        def installed() -> Mapping[str, Path]:
            found = {name: keeper.generations for name, keeper in self.keepers.items()}
            return {name: one.path(meta.number) for name, one in found.items() if (meta := one.current)}

        def identity(name: str) -> Identity:
            one = self.keepers[name].generations
            meta = one.current
            if meta is None:
                raise AgentError(IDENTITY, f"there is no certificate {name} yet")
            key = self._places.of(self.config.certificate[name].key).load(meta.label)
            return identity_at(one.path(meta.number), key.private_key())

        return Host(
            config=self.config,
            clock=self._clock,
            state=lambda name: self._state.private("services", name),
            installed=installed,
            identity=identity,
            transport=lambda issuer: transport(self.config.issuer[issuer]),
        )


async def _restarted(name: str, job: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Run ``job``; after a defect again, ever later. A job that returns is done."""
    pause, most = _AFTER_DEFECT
    while not stop.is_set():
        try:
            return await job()
        except TrothError as error:
            log.error("agent.job_failed", job=name, code=error.code, detail=error.detail)
        except Exception:
            log.exception("agent.job_broke", job=name)
        await _first(pause, stop)
        pause = min(pause * 2, most)
    return None


async def _first(seconds: float, *events: asyncio.Event) -> bool:
    """Wait for the first of ``events``, at most ``seconds``; whether one is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
    return any(event.is_set() for event in events)
