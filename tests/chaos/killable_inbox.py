"""Reads a page of an invented vendor, or acts on what waits in the inbox, and dies at a named point.

Run in a process of its own, forked from one that has imported all of this already.
"""

from __future__ import annotations

import asyncio
import random
from datetime import datetime
from typing import Any

import msgspec

from tests.chaos.killable_effects import die
from troth.connect import connector_store
from troth.connect.connector import Connector, Pulled, Pushed, Read, Vendor, Wiring
from troth.connect.desk import ConnectorDesk
from troth.connect.errors import PUSH_UNAUTHENTICATED, PushRefused
from troth.connect.puller import Puller
from troth.connect.vendors import Workshop
from troth.kit.canonical import Json
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id
from troth.kit.lane import Request
from troth.kit.sealing import SecretBox
from troth.kit.settings import EgressSettings
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.enforcement.enforce import Enforcer
from troth.trust.intake.desk import SignalDesk
from troth.trust.intake.inbox import Inbox, InboxWorker
from troth.trust.signals.model import Whom

PAGE = 3


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """None."""


class Counting:
    """Its events are numbered, three a page, each about a device of that number; it dies before or after a page."""

    def __init__(self, wiring: Wiring, point: str = "") -> None:
        self._wiring = wiring
        self._point = point
        self.reads = (Read("events", self.pull, self.probe, "", 0),)

    async def pull(self, cursor: Json) -> Pulled:
        if self._point == "before the page":
            die()
        place = cursor["place"] if isinstance(cursor, dict) else 0
        assert isinstance(place, int)
        now = self._wiring.clock.now()
        signals = [
            self._wiring.signal("edr.contained", Whom(kind="device", name=f"device-{n}"), message_id=f"event-{n}",
                                observed_at=now)
            for n in range(place + 1, place + PAGE + 1)
        ]  # fmt: skip
        if self._point == "after the page":
            die()
        return Pulled(signals, (), {"place": place + PAGE})

    async def probe(self) -> None: ...

    async def push(self, request: Request) -> Pushed:
        raise PushRefused(PUSH_UNAUTHENTICATED)

    async def close(self) -> None: ...


def counting(point: str = "") -> Vendor:
    """The vendor."""

    def make(wiring: Wiring) -> Connector:
        return Counting(wiring, point)

    return Vendor(name="counting", title="Counting", make=make, options=NoOptions, secrets={"token": "a token"},
                  hosts=("x.example",))  # fmt: skip


class Dying(Database):
    """Dies while, or right after, the n-th commit of the process is made."""

    point = ""
    left = 0

    async def commit(self, unit: Unit) -> None:
        self.left -= 1
        if self.point == "during the commit" and self.left <= 0:
            asked = asyncio.ensure_future(super().commit(unit))
            await asyncio.sleep(random.random() * 0.006)
            die()
            await asked
        await super().commit(unit)
        if self.point == "after the commit" and self.left <= 0:
            die()


async def _work(url: str, what: str, point: str, at: datetime) -> None:
    clock = FakeClock(at)
    database = await Dying.open(url, clock=clock)
    assert isinstance(database, Dying)
    database.point = point
    database.left = random.randint(1, PAGE) if what == "act" else 1
    if what == "act":
        await InboxWorker(database, clock, new_id(), SignalDesk(database, clock, Enforcer())).run_once()
    else:
        await pull_once(database, clock, point)
    die()


async def pull_once(database: Database, clock: FakeClock, point: str = "") -> None:
    """One pull, durable when this returns."""
    workshop = Workshop(clock, EgressSettings(), vendors={"counting": counting(point)})
    desk = ConnectorDesk(database, clock, SecretBox(b"c" * 32, purpose="connector"), workshop)
    stored = await desk.find("it")
    puller = Puller(database, clock, new_id(), desk.opener, Inbox(database, clock))
    group = f"connect:{desk.opener.group(stored.definition)}"
    # The lease of the one that was killed lapses by the database's clock, which no test moves.
    await database.fetchval("UPDATE lease SET lease_until = now() - interval '1 second'")
    assert await puller.hold(group)
    made = await desk.opener.open(stored)
    state: Any = next(iter(await connector_store.reads(database, "it")), None)
    await puller.pull(stored, made.connector.reads[0], state, group)
    await made.close()


def work_and_die(url: str, what: str, point: str, at: datetime) -> None:
    """``what``: ``pull`` a page, or ``act`` on what waits; be killed at ``point``."""
    asyncio.run(_work(url, what, point, at))
