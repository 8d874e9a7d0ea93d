"""Folds accounting, or does an effect's orders, and dies at a named point. Run in a process of its own, forked."""

from __future__ import annotations

import asyncio
import os
import random
import signal as signals
from datetime import datetime

from tests.support.das import Das, Fleet
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id
from troth.radius.dynamic.model import Equipment, Request
from troth.radius.dynamic.ports import SessionPort
from troth.radius.dynamic.sender import Sender
from troth.radius.dynamic.udp import UdpTransport
from troth.radius.sessions.folding import Folder
from troth.radius.sessions.model import Ages
from troth.radius.wire.packet import Packet
from troth.store.pool import Database
from troth.store.unit import Unit
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
