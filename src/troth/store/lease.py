"""Leases: which process lives, and which one has a duty.

The only place where the database's clock decides: all contenders read the same one. A holder trusts its lease
only on its own monotonic clock, counted from *before* it asked, so it lets go before the database gives it away.

A process has many duties. The leases that it keeps (:meth:`Lease.kept`, :meth:`Lease.keep`) are renewed together:
whichever is due first asks for all of them in one statement. What was not asked for as long as its lease lasts is left
out, and lapses.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from typing import Final
from uuid import UUID
from weakref import WeakKeyDictionary

from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.kit.rhythm import Rhythm
from troth.store.errors import LEASE_LOST, LeaseLost, StoreError
from troth.store.pool import Database
from troth.store.statement import Guard
from troth.store.unit import Unit

log = get_logger("store")

_HEARTBEAT = """
INSERT INTO instance (id, role, host, pid, started_at, lease_until)
VALUES ($1, $2, $3, $4, $5, now() + $6 * interval '1 second')
ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until"""

_LEAVE = "UPDATE instance SET lease_until = now() - interval '1 second' WHERE id = $1"
_FORGET = "DELETE FROM instance WHERE lease_until < now() - interval '1 day'"

_TAKE = """
INSERT INTO lease (name, holder, epoch, lease_until) VALUES ($1, $2, 1, now() + $3 * interval '1 second')
ON CONFLICT (name) DO UPDATE SET
    epoch = CASE WHEN lease.holder = excluded.holder THEN lease.epoch ELSE lease.epoch + 1 END,
    holder = excluded.holder, lease_until = excluded.lease_until
WHERE lease.holder = excluded.holder OR lease.lease_until < now()
RETURNING epoch"""

# In the order of the names, so that two contenders never wait for each other in a ring.
_TAKE_MANY = """
INSERT INTO lease (name, holder, epoch, lease_until)
SELECT name, $2, 1, now() + seconds * interval '1 second'
FROM unnest($1::text[], $3::float8[]) AS i(name, seconds) ORDER BY name
ON CONFLICT (name) DO UPDATE SET
    epoch = CASE WHEN lease.holder = excluded.holder THEN lease.epoch ELSE lease.epoch + 1 END,
    holder = excluded.holder, lease_until = excluded.lease_until
WHERE lease.holder = excluded.holder OR lease.lease_until < now()
RETURNING name, epoch"""

_GIVE_UP_MANY = """
UPDATE lease SET lease_until = now() - interval '1 second' WHERE name = ANY($1::text[]) AND holder = $2"""

_GIVE_UP = "UPDATE lease SET lease_until = now() - interval '1 second' WHERE name = $1 AND holder = $2"

#: Holds while (name, epoch) is still the one in force; locks the lease row until commit.
EPOCH_IN_FORCE = Guard(
    "lease_epoch_in_force",
    """SELECT i.n FROM unnest($1::int[], $2::text[], $3::bigint[]) AS i(n, name, epoch)
       JOIN lease l ON l.name = i.name AND l.epoch = i.epoch ORDER BY l.name FOR SHARE OF l""",
    ("text", "bigint"),
    rank=0,
)


#: For how long a process counts as alive that was not heard of.
INSTANCE_SECONDS = 3.0


class Instance:
    """This process, as the others see it. ``beat`` at least three times in each ``lease_seconds``."""

    def __init__(self, database: Database, clock: Clock, role: str, *, lease_seconds: float = INSTANCE_SECONDS) -> None:
        self.id = new_id()
        self._database = database
        self.role = role
        self._started_at = clock.now()
        self._seconds = lease_seconds

    async def beat(self) -> None:
        """Renew the row that says this process lives."""
        await self._database.fetchval(
            _HEARTBEAT, self.id, self.role, socket.gethostname(), os.getpid(), self._started_at, self._seconds
        )

    async def leave(self) -> None:
        """Say that this process has stopped, so that nobody waits for its lease."""
        await self._database.fetchval(_LEAVE, self.id)
        await self._database.fetchval(_FORGET)


@dataclass(frozen=True, slots=True)
class Held:
    """A lease in hand: ``until`` is on this process's monotonic clock."""

    name: str
    epoch: int
    until: float


#: How often the leases of a process are renewed, all at once: a third of the shortest.
KEEP = Rhythm("lease.keep", 1.0, "worker")


@dataclass(slots=True)
class _Kept:
    seconds: float
    asked_at: float
    held: Held | None = None


class _Keeper:
    """The leases that one process keeps; one for each database (which it does not hold on to) and holder."""

    def __init__(self, clock: Clock, holder: UUID) -> None:
        self._clock = clock
        self._holder = holder
        self._kept: dict[str, _Kept] = {}
        #: Loops of one rhythm wake together; the first asks for all of them.
        self.asking = asyncio.Lock()

    async def keep(self, database: Database, names: Collection[str], seconds: float) -> dict[str, Held]:
        """Those of ``names`` that no other process holds: asked for if one is due, with all others."""
        asked = self._clock.monotonic()
        for name in names:
            self._kept.setdefault(name, _Kept(seconds, asked)).asked_at = asked
        async with self.asking:
            asked = self._clock.monotonic()
            if not all(name in self._kept and self._fresh(self._kept[name], asked) for name in names):
                await self._renew(database, names, asked)
        found = ((name, self._kept[name].held) for name in names if name in self._kept)
        return {name: held for name, held in found if held is not None}

    async def _renew(self, database: Database, names: Collection[str], asked: float) -> None:
        others = [
            name for name, one in self._kept.items() if one.held is not None and asked - one.asked_at < one.seconds
        ]
        wanted = sorted({name for name in (*names, *others) if name in self._kept})
        rows = await database.fetch(_TAKE_MANY, wanted, self._holder, [self._kept[name].seconds for name in wanted])
        epochs = {row["name"]: row["epoch"] for row in rows}
        for name in wanted:
            one = self._kept.get(name)
            if one is not None:  # else it was let go meanwhile
                one.held = Held(name, epochs[name], asked + one.seconds) if name in epochs else None

    def _fresh(self, one: _Kept, now: float) -> bool:
        # A little early, so that two loops of one rhythm do not take turns in asking.
        return one.held is not None and now < one.held.until - one.seconds + 0.9 * min(one.seconds / 3, KEEP.seconds)

    def doubt(self, name: str) -> None:
        """It has turned out to be another's."""
        if name in self._kept:
            self._kept[name].held = None

    def let_go(self, names: Collection[str]) -> None:
        """Renew them no more."""
        for name in names:
            self._kept.pop(name, None)


_keepers: WeakKeyDictionary[Database, dict[UUID, _Keeper]] = WeakKeyDictionary()


def _keeper(database: Database, clock: Clock, holder: UUID) -> _Keeper:
    of_database = _keepers.setdefault(database, {})
    return of_database.setdefault(holder, _Keeper(clock, holder))


class Lease:
    """One duty by name. ``acquire`` both takes and renews; ``keep`` does, and shares a statement with others."""

    def __init__(self, database: Database, clock: Clock, name: str, holder: UUID, *, seconds: float = 3.0) -> None:
        self._database = database
        self._clock = clock
        self.name = name
        self._holder = holder
        self._seconds = seconds
        self._keeper = _keeper(database, clock, holder)

    @property
    def pause(self) -> float:
        """Seconds within which :meth:`keep` is to be called again."""
        return min(self._seconds / 3, KEEP.seconds)

    async def keep(self) -> Held | None:
        """The lease, renewed in time with all others that this process keeps, or None while another process holds it.

        To be called at least every :attr:`pause`; between two renewals it answers from memory.
        """
        return (await self._keeper.keep(self._database, (self.name,), self._seconds)).get(self.name)

    async def acquire(self) -> Held | None:
        """The lease, or None while another process holds it."""
        asked = self._clock.monotonic()
        epoch = await self._database.fetchval(_TAKE, self.name, self._holder, self._seconds)
        return None if epoch is None else Held(self.name, epoch, asked + self._seconds)

    @contextlib.asynccontextmanager
    async def kept(self, taken: Callable[[], None], lost: Callable[[], None] = lambda: None) -> AsyncIterator[Tenure]:
        """Keep it while the block runs, as far as no other process holds it, and let go at the end.

        ``taken`` is called when it has become ours, ``lost`` again and again while it is not.
        """
        tenure = Tenure(self, self._clock, taken, lost)
        beating = asyncio.create_task(tenure.beat())
        try:
            yield tenure
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            if tenure.held is not None:
                with contextlib.suppress(StoreError):  # it lapses by itself
                    await self.release()

    async def release(self) -> None:
        """Let go at once; the next contender need not wait for the lease to lapse."""
        self._keeper.let_go((self.name,))
        async with self._keeper.asking:  # a renewal that is on its way must not take it again
            await self._database.fetchval(_GIVE_UP, self.name, self._holder)

    def doubt(self) -> None:
        """It has turned out to be another's: the next :meth:`keep` asks."""
        self._keeper.doubt(self.name)


#: Work that has not looked at its lease for so long hangs: every loop looks at least every half minute when it rests.
ATTENDED_SECONDS: Final = 300.0


class Tenure:
    """A lease that is kept beside the work; made by :meth:`Lease.kept`.

    It is kept for as long as the work looks at it. A loop that hangs in a process that lives would keep its duty from
    all others for ever; so it is let go, and asked for again when the work looks again.
    """

    def __init__(self, lease: Lease, clock: Clock, taken: Callable[[], None], lost: Callable[[], None]) -> None:
        self._lease = lease
        self._clock = clock
        self._taken = taken
        self._lost = lost
        self._held: Held | None = None
        self._looked = clock.monotonic()

    @property
    def held(self) -> Held | None:
        """The lease, while it is ours by our own clock. To look is to be alive."""
        self._looked = self._clock.monotonic()
        return self._in_force()

    def _in_force(self) -> Held | None:
        held = self._held
        return held if held is not None and self._clock.monotonic() < held.until else None

    def drop(self) -> None:
        """It has turned out to be another's; it is asked for again in a moment."""
        self._held = None
        self._lease.doubt()

    async def beat(self) -> None:
        """Take and renew it, until cancelled."""
        while True:
            before = self._held
            try:
                self._held = await self._lease.keep() if await self._attended() else None
            except StoreError as error:
                log.warning("lease.unknown", lease=self._lease.name, error=str(error))
            if self._in_force() is None:
                self._lost()
            elif before is None or before.until <= self._clock.monotonic():
                self._taken()  # for the first time, or again after it had lapsed
            await asyncio.sleep(self._lease.pause)

    async def _attended(self) -> bool:
        """Whether the work has looked lately; lets the lease go if it has not. Raises StoreError."""
        silent = self._clock.monotonic() - self._looked
        if silent < ATTENDED_SECONDS:
            return True
        if self._held is not None:
            log.error("lease.unattended", lease=self._lease.name, seconds=round(silent))
            await self._lease.release()
        return False


class Leases:
    """Many duties at once: one statement takes and renews all of them, however many there are."""

    def __init__(self, database: Database, clock: Clock, holder: UUID, *, seconds: float = 8.0) -> None:
        self._database = database
        self._clock = clock
        self._holder = holder
        self._seconds = seconds
        self._keeper = _keeper(database, clock, holder)

    async def keep(self, names: Collection[str]) -> dict[str, Held]:
        """Those of ``names`` that no other process holds; see :meth:`Lease.keep`."""
        return await self._keeper.keep(self._database, names, self._seconds)

    async def acquire(self, names: Collection[str]) -> dict[str, Held]:
        """Those of ``names`` that no other process holds."""
        asked = self._clock.monotonic()
        rows = await self._database.fetch(_TAKE_MANY, sorted(names), self._holder, [self._seconds] * len(names))
        return {row["name"]: Held(row["name"], row["epoch"], asked + self._seconds) for row in rows}

    async def release(self, names: Collection[str]) -> None:
        """Let go at once."""
        self._keeper.let_go(names)
        async with self._keeper.asking:
            await self._database.fetch(_GIVE_UP_MANY, sorted(names), self._holder)


def fence(unit: Unit, held: Held) -> Unit:
    """Make ``unit`` fail with LeaseLost unless ``held`` is still in force when it commits."""
    return unit.guard(
        EPOCH_IN_FORCE, held.name, held.epoch, refuse=LeaseLost(LEASE_LOST, f"lease {held.name!r} has moved on")
    )
