"""A write unit: the rows, guards and ledger events that happen together or not at all.

A unit is filled by whoever takes part (a door adds its order, the judge its decision, the mint its certificate)
and handed to :meth:`troth.store.pool.Database.commit` once. The pool joins many units in one transaction; a unit
whose guard fails drops out alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import asyncpg
import msgspec

from troth.kit.ids import new_id
from troth.store.statement import Claim, Guard, Write

#: By column name; from shared reads it is a plain dictionary, so nothing may ask for columns by number.
Row: TypeAlias = "asyncpg.Record | dict[str, Any]"


class Reader(Protocol):
    """What may be asked of the database: plain reads with ``$1`` parameters."""

    async def fetch(self, sql: str, *values: Any) -> list[Row]:
        """All rows."""
        ...

    async def fetchrow(self, sql: str, *values: Any) -> Row | None:
        """The first row, or None."""
        ...

    async def fetchval(self, sql: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        ...


class Fetching(ABC):
    """What every reader that fetches rows over a :class:`~troth.store.wire.Wire` makes of them."""

    @abstractmethod
    async def fetch(self, sql: str, *values: Any) -> list[Row]:
        """All rows."""

    async def fetchrow(self, sql: str, *values: Any) -> Row | None:
        """The first row, or None."""
        rows = await self.fetch(sql, *values)
        return rows[0] if rows else None

    async def fetchval(self, sql: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        for row in await self.fetch(sql, *values):
            return next(iter(row.values()))
        return None


class Recordable(Protocol):
    """Something that becomes a ledger row when its unit is committed (``troth.audit.event.Event``)."""

    @property
    def urgent(self) -> bool:
        """Whether those who follow the ledger must hear of it at once."""
        ...

    def inbox_row(self, *, unit: UUID, at: datetime) -> tuple[Write, tuple[Any, ...]]:
        """The statement and the values that put it into the ledger's inbox."""
        ...


Step: TypeAlias = "Callable[[Reader, Unit], Awaitable[None]]"

#: A step of many units at once; see :meth:`Unit.then_together`.
TogetherStep: TypeAlias = "Callable[[Reader, Sequence[Member], Sequence[Unit]], Awaitable[Mapping[int, Exception]]]"


@dataclass(frozen=True, slots=True)
class Member:
    """One of the units that a step is run for together: what it was registered with, and the unit to add to."""

    item: Any
    unit: Unit


@dataclass(frozen=True, slots=True)
class Together:
    """A registered :data:`TogetherStep`, with what it needs to know of this unit."""

    run: TogetherStep
    item: Any


class Apart(Exception):
    """Raised by a step that is run for several units: they have to be run one after the other, each by itself."""


#: What a commit raises, or what makes it: most guards hold, and their refusals need not be made.
Refusal: TypeAlias = "Exception | Callable[[], Exception]"


class Check(msgspec.Struct, frozen=True):
    """A guard or claim with its values and what to raise when it does not hold."""

    statement: Guard | Claim
    values: tuple[Any, ...]
    refusal: Refusal

    def refused(self) -> Exception:
        """The refusal, made."""
        return self.refusal if isinstance(self.refusal, Exception) else self.refusal()


class Unit:
    """Rows, guards and events that are committed together. Building it does no I/O.

    Methods return the unit, so that calls can be chained.
    """

    __slots__ = ("checks", "events", "id", "keys", "shared", "steps", "urgent", "writes")

    def __init__(self) -> None:
        self.id = new_id()
        self.checks: list[Check] = []
        self.writes: list[tuple[Write, tuple[Any, ...]]] = []
        self.events: list[Recordable] = []
        self.steps: list[Step | Together] = []
        self.keys: set[Hashable] = set()
        self.shared: dict[Hashable, Hashable] = {}
        #: Whether those who follow the ledger must hear at once of what was recorded so far.
        self.urgent = False

    def guard(self, guard: Guard, *values: Any, refuse: Refusal, key: Hashable | None = None) -> Unit:
        """Go on only if ``guard`` holds for ``values``; else the commit raises ``refuse``.

        ``key`` names state this unit wants for itself: two units with an equal key never share a batch. Give it
        whenever the unit also changes what the guard looked at.
        """
        self.checks.append(Check(guard, values, refuse))
        if key is not None:
            self.keys.add(key)
        return self

    def claim(self, claim: Claim, *values: Any, refuse: Refusal, key: Hashable | None = None) -> Unit:
        """Insert a row that only one may insert; else the commit raises ``refuse``."""
        self.checks.append(Check(claim, values, refuse))
        self.keys.add(key if key is not None else (claim.name, values[0]))
        return self

    def write(self, write: Write, *values: Any) -> Unit:
        """Add one row of ``write``."""
        if len(values) != len(write.types):
            raise TypeError(f"{write.name} takes {len(write.types)} values, not {len(values)}")
        self.writes.append((write, values))
        return self

    def write_all(self, write: Write, rows: Sequence[tuple[Any, ...]]) -> Unit:
        """Add several rows of ``write``."""
        for row in rows:
            self.write(write, *row)
        return self

    def record(self, event: Recordable) -> Unit:
        """Add a ledger event, written in the same transaction."""
        self.events.append(event)
        self.urgent = self.urgent or event.urgent
        return self

    def then(self, step: Step) -> Unit:
        """Run ``step(reader, unit)`` inside the transaction, after all guards hold and before anything is written.

        The step reads what the guards have locked and adds claims, writes and events to the unit it is given
        (not to the one it was registered on: a commit that is retried runs its steps again). Raising drops this
        unit alone. Steps cannot add guards.
        """
        self.steps.append(step)
        return self

    def then_together(self, run: TogetherStep, item: Any) -> Unit:
        """The same, but once for all units of a batch whose next step is ``run``, in the order of their arrival.

        ``run(reader, members, among)`` adds to each member's unit. It returns, by place, the refusals of those that
        have left no trace, neither in their own unit nor in what the others were told. ``among``: every unit of the
        batch that is still in it, for who must know what was added to them before. An exception is the answer of a
        lone member; of several, each is run anew by itself.
        """
        self.steps.append(Together(run, item))
        return self

    def exclusively(self, key: Hashable) -> Unit:
        """Never share a batch with another unit of the same ``key``."""
        self.keys.add(key)
        return self

    def shares(self, key: Hashable, company: Hashable) -> Unit:
        """Share a batch with others of the same ``key`` only if they share it in the same ``company``.

        For units whose steps are run together and know what the others do to the state that ``key`` names.
        """
        self.shared[key] = company
        return self

    def absorb(self, other: Unit) -> Unit:
        """Take over everything that ``other`` holds."""
        self.checks += other.checks
        self.writes += other.writes
        self.events += other.events
        self.steps += other.steps
        self.keys |= other.keys
        self.shared |= other.shared
        self.urgent = self.urgent or other.urgent
        return self

    def attempt(self) -> Unit:
        """A copy for one run of the transaction; steps write into the copy."""
        copy = Unit()
        copy.id = self.id
        return copy.absorb(self)
