"""The inbox becomes the table of sessions: by one worker at a time, batch after batch.

A batch is read, what it could be about is read, all of it is folded in memory (``fold``), and the outcome is written
together with the end of the batch's rows; a lease fences that. Whoever dies in between has done nothing.

An Accept was decided on a standing and a certificate as its worker knew them. Both may have changed before the session
was in the table, and whoever then looked for the subject's sessions did not find it. So they are compared here, in the
unit that adds the session: where they differ, the session is to be judged anew at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.kit.rhythm import Rhythm
from troth.radius.sessions import inbox, inbox_store, order_store, standing_store, store
from troth.radius.sessions.batch import Batch
from troth.radius.sessions.inbox import INBOX_CHANNEL
from troth.radius.sessions.model import Ages, Heard, Session, Told, Withdrawn
from troth.radius.sessions.orders import ADMISSION, ORDERS_CHANNEL, order_for
from troth.radius.sessions.partition_store import Partitions
from troth.store.bell import BUSY_SECONDS, Bell
from troth.store.errors import LeaseLost, StoreError
from troth.store.lease import Lease, Tenure, fence
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("radius")

LEASE: Final = "radius:sessions"
BATCH: Final = 500
_LEASE_SECONDS: Final = 6.0
#: Who writes down what was heard wakes us; this is for one whose process died before it could.
_LOOK: Final = Rhythm("sessions.look", 30.0, "worker")
_ACTOR: Final = "system:sessions"
_LATELY: Final = timedelta(minutes=5)


class Folder:
    """See the module. Several may run; one at a time works."""

    def __init__(self, database: Database, clock: Clock, holder: UUID, ages: Ages) -> None:
        self._database = database
        self._clock = clock
        self._ages = ages
        self._lease = Lease(database, clock, LEASE, holder, seconds=_LEASE_SECONDS)
        self._partitions = Partitions(database)
        self._bell = Bell(_LOOK, database, INBOX_CHANNEL)
        self._tenure: Tenure | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Fold until ``stop`` is set. A database that is away is waited for."""
        async with self._bell.heeding(stop), self._lease.kept(self._bell.ring) as self._tenure:
            while not stop.is_set():
                self._bell.hush()
                await self._turn(self._tenure)
        self._tenure = None

    async def _turn(self, tenure: Tenure) -> None:
        """Fold a batch, or wait for one."""
        try:
            if tenure.held is None or await self.once() < BATCH:
                await self._bell.wait()
            return
        except LeaseLost:
            tenure.drop()
        except StoreError as error:
            log.warning("sessions.interrupted", error=str(error))
        except Exception:
            log.exception("sessions.broken")
        await self._bell.wait(BUSY_SECONDS)

    async def once(self) -> int:
        """Fold one batch; how many rows it had. Raises LeaseLost, StoreError."""
        rows = await inbox_store.take(self._database, BATCH)
        if not rows:
            return 0
        unit, now = Unit(), self._clock.now()
        heard, counted = _read(rows)
        await self._partitions.ensure(now, *(_opened_at(one) for one in heard))
        boxes = {(one.where.nas, one.where.box) for one in heard if not isinstance(one, Withdrawn)}
        boots = await store.boots(self._database, boxes) if boxes else []
        batch = Batch(self._ages, await self._known(heard), boots, counted)
        batch.fold(heard)
        batch.write(unit)
        planned = await self._compare(unit, batch, now)
        inbox_store.folded(unit, [id for id, _ in rows])
        inbox_store.count(unit, batch.counted)
        if self._tenure is not None and self._tenure.held is not None:
            fence(unit, self._tenure.held)
        await self._database.commit(unit)
        if planned:
            self._database.wake(ORDERS_CHANNEL)
        return len(rows)

    async def drain(self) -> None:
        """Fold all there is: for tests and benchmarks."""
        while await self.once():
            pass

    async def _known(self, heard: Iterable[Heard]) -> list[Session]:
        keys: set[tuple[str, str, str]] = set()
        classes: set[bytes] = set()
        stations: set[str] = set()
        for one in heard:
            if isinstance(one, Withdrawn):
                classes.add(one.class_)
                continue
            if isinstance(one, Told) and one.status in ("on", "off"):
                continue
            if one.port.acct_session_id:
                keys.add((one.where.nas, one.where.box, one.port.acct_session_id))
            if one.class_:
                classes.add(one.class_)
            stations.add(one.port.mac)
        stations.discard("")
        return await store.candidates(self._database, keys, classes, stations)

    async def _compare(self, unit: Unit, batch: Batch, now: datetime) -> int:
        """Plan to judge anew whom a change has overtaken."""
        admissions = [(session, one) for session, one in batch.admissions() if session.open]
        if not admissions:
            return 0
        moved = await standing_store.moved(self._database, [one for _, one in admissions])
        lately = await order_store.lately(
            self._database, [session.id for session, one in admissions if one.class_ in moved], now - _LATELY
        )
        for session, one in admissions:
            why = moved.get(one.class_)
            if why is None:
                continue
            # A worker that has lost the stream would let it in again on what it knows: not as fast as it can.
            due = now + _LATELY / 5 if session.id in lately else now
            order_store.plan(
                unit,
                order_for(
                    session, "reauthorize", origin=f"{ADMISSION}:{one.class_.hex()}", actor=_ACTOR, automated=True,
                    at=now, due=due, reason=f"{why} while it was let in",
                ),
            )  # fmt: skip
        return len(moved)


def _opened_at(one: Heard) -> datetime:
    return one.received_at if isinstance(one, Told) else one.at


def _read(rows: Iterable[tuple[UUID, bytes]]) -> tuple[list[Heard], Counter[str]]:
    heard: list[Heard] = []
    counted: Counter[str] = Counter()
    for id, body in rows:
        try:
            heard.append(inbox.read(body))
        except msgspec.MsgspecError as error:
            counted["unreadable"] += 1
            log.error("sessions.unreadable", row=str(id), error=str(error))
    return heard, counted
