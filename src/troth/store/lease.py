"""Leases: which process lives, and which one has a duty.

The only place where the database's clock decides: all contenders read the same one. A holder trusts its lease
only on its own monotonic clock, counted from *before* it asked, so it lets go before the database gives it away.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.store.errors import LEASE_LOST, LeaseLost
from troth.store.pool import Database
from troth.store.statement import Guard
from troth.store.unit import Unit

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
SELECT name, $2, 1, now() + $3 * interval '1 second' FROM unnest($1::text[]) AS name ORDER BY name
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


class Instance:
    """This process, as the others see it. ``beat`` at least three times in each ``lease_seconds``."""

    def __init__(self, database: Database, clock: Clock, role: str, *, lease_seconds: float = 3.0) -> None:
        self.id = new_id()
        self._database = database
        self._role = role
        self._started_at = clock.now()
        self._seconds = lease_seconds

    async def beat(self) -> None:
        """Renew the row that says this process lives."""
        await self._database.fetchval(
            _HEARTBEAT, self.id, self._role, socket.gethostname(), os.getpid(), self._started_at, self._seconds
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


class Lease:
    """One duty by name. ``acquire`` both takes and renews."""

    def __init__(self, database: Database, clock: Clock, name: str, holder: UUID, *, seconds: float = 3.0) -> None:
        self._database = database
        self._clock = clock
        self._name = name
        self._holder = holder
        self._seconds = seconds

    async def acquire(self) -> Held | None:
        """The lease, or None while another process holds it."""
        asked = self._clock.monotonic()
        epoch = await self._database.fetchval(_TAKE, self._name, self._holder, self._seconds)
        return None if epoch is None else Held(self._name, epoch, asked + self._seconds)

    async def release(self) -> None:
        """Let go at once; the next contender need not wait for the lease to lapse."""
        await self._database.fetchval(_GIVE_UP, self._name, self._holder)


class Leases:
    """Many duties at once: one statement takes and renews all of them, however many there are."""

    def __init__(self, database: Database, clock: Clock, holder: UUID, *, seconds: float = 8.0) -> None:
        self._database = database
        self._clock = clock
        self._holder = holder
        self._seconds = seconds

    async def acquire(self, names: Collection[str]) -> dict[str, Held]:
        """Those of ``names`` that no other process holds."""
        asked = self._clock.monotonic()
        rows = await self._database.fetch(_TAKE_MANY, sorted(names), self._holder, self._seconds)
        return {row["name"]: Held(row["name"], row["epoch"], asked + self._seconds) for row in rows}

    async def release(self, names: Collection[str]) -> None:
        """Let go at once."""
        await self._database.fetch(_GIVE_UP_MANY, sorted(names), self._holder)


def fence(unit: Unit, held: Held) -> Unit:
    """Make ``unit`` fail with LeaseLost unless ``held`` is still in force when it commits."""
    return unit.guard(
        EPOCH_IN_FORCE, held.name, held.epoch, refuse=LeaseLost(LEASE_LOST, f"lease {held.name!r} has moved on")
    )
