"""Folds accounting, or does an effect's orders, and dies at a named point. Run in a process of its own, forked."""

from __future__ import annotations

import asyncio
import os
import random
import signal as signals
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.support.das import Das, Fleet
from tests.support.radius_devices import client_context
from tests.support.radius_house import SECRET, House, Judge, Papers
from tests.support.radius_load import Device, Load
from troth.assembly.radius_ground import Telling
from troth.kit.clock import FakeClock, SystemClock
from troth.kit.ids import new_id
from troth.radius.admission.admissions import Admissions
from troth.radius.admission.model import Verdict
from troth.radius.dynamic.model import Equipment, Request
from troth.radius.dynamic.ports import SessionPort
from troth.radius.dynamic.sender import Sender
from troth.radius.dynamic.udp import UdpTransport
from troth.radius.sessions.folding import Folder
from troth.radius.sessions.model import Ages
from troth.radius.wire.packet import Packet
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.connecting.journal import Journal
from troth.trust.outbox.runner import EffectRunner


def die() -> None:
    """As if the power had gone."""
    os.kill(os.getpid(), signals.SIGKILL)


class _Dying(Database):
    """Dies before, while or after the commit whose turn it is: ``commit 2 during``."""

    turn, when, _number = 0, "", 0

    async def commit(self, unit: Unit) -> None:
        self._number += 1
        ours = self._number == self.turn
        if ours and self.when == "before":
            die()
        if ours and self.when == "during":
            asked = asyncio.ensure_future(super().commit(unit))
            await asyncio.sleep(random.random() * 0.004)
            die()
            await asked
        await super().commit(unit)
        if ours and self.when == "after":
            die()


class _DyingTransport(UdpTransport):
    point = ""

    async def send(self, equipment: Equipment, request: Request) -> Packet:
        if self.point == "before the packet":
            die()
        reply = await super().send(equipment, request)
        if self.point == "after the packet":
            die()
        return reply


async def _work(url: str, port: int, point: str, at: datetime) -> None:
    clock = FakeClock(at)
    database = await _Dying.open(url, clock=clock)
    assert isinstance(database, _Dying)
    if point.startswith("commit"):
        _, turn, database.when = point.split()
        database.turn = int(turn)
    await Folder(database, clock, new_id(), Ages()).drain()
    udp = _DyingTransport(clock, first=0.2, tries=2)
    udp.point = point
    das = Das(port=port)
    sender = Sender(database, clock, new_id(), Fleet(das, udp=udp))
    ports = {"disconnect": SessionPort(database, clock, "disconnect", sender.endings)}
    effects = asyncio.create_task(EffectRunner(database, clock, ports).drain())
    while not effects.done():
        await sender.drain()
        await asyncio.sleep(0.01)
    if point == "at the end":
        die()  # whoever comes here by another point has not reached it, and lives


def work_and_die(url: str, port: int, point: str, at: datetime) -> None:
    """Do what there is, and be killed at ``point``."""
    asyncio.run(_work(url, port, point, at))


class _Keeping(Judge):
    """Lets everybody in, and keeps that in a journal of its own, as a worker does."""

    def __init__(self, root: Path, verdict: Verdict) -> None:
        super().__init__(rule=lambda _: verdict)
        nothing: Any = None
        self._admissions = Admissions(nothing, nothing, Journal.open(root, ends=600.0), SystemClock())

    async def record(self, *told: Any, **more: Any) -> None:
        await self._admissions.record(*told, **more)


class _Deadly(list[Any]):
    def append(self, _: Any) -> None:
        die()


async def _let_in(home: Path, verdict: Verdict) -> None:
    papers = Papers(home)
    house = House(home, papers.contexts(), judge=_Keeping(home / "journal", verdict), telling=Telling(SystemClock()))
    house.accepts = _Deadly()
    device = Device(context=client_context(papers.issue("one.corp.test"), papers.root, "1.3"), mac="02-00-00-00-00-07")

    def load() -> None:
        with Load(house.address, SECRET, [device], stations=1) as running:
            running.run(1)

    await asyncio.to_thread(load)


def let_in_and_die(home: Path, verdict: Verdict) -> None:
    """Decide that a device is let in as ``verdict`` says, and be killed when its Accept is about to leave."""
    asyncio.run(_let_in(home, verdict))
