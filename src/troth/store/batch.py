"""One transaction for many units: which statements run, in which order, and who drops out.

The order is fixed: guards (rank, name) → steps → claims → writes → ledger events. Guards and steps write nothing,
so a unit they drop has left no trace. A claim may have inserted a row for a unit that a later claim refuses, and what a
step run together has done for one unit is known to the others; then the whole transaction is rolled back and run again
without that unit (:class:`Again`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import asyncpg

from troth.store.statement import Claim, Guard, Statement, Write
from troth.store.unit import Apart, Check, Fetching, Member, Row, Together, TogetherStep, Unit
from troth.store.wire import Ask, Outcome, Unsupported, Wire

#: What encoding a value raises that its type cannot hold.
_UNSENDABLE = (TypeError, ValueError, AttributeError, OverflowError, struct.error)
#: How every claim ends; see :class:`~troth.store.statement.Claim`.
_CLAIMED = "SELECT i.n FROM i JOIN w"


class Again(Exception):
    """The transaction must be rolled back and run again without these units."""

    def __init__(self, refused: dict[int, Exception]) -> None:
        super().__init__(f"{len(refused)} units refused after a write")
        self.refused = refused


def _columns(statement: Statement, rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows turned into one list per column."""
    if not rows:
        return [[] for _ in statement.types]
    return [list(column) for column in zip(*rows, strict=True)]


def _grouped(items: Iterable[tuple[Statement, Any]]) -> list[tuple[Statement, list[Any]]]:
    """Values by statement, in the one order of statements that every process keeps."""
    groups: dict[str, tuple[Statement, list[Any]]] = {}
    for statement, value in items:
        groups.setdefault(statement.name, (statement, []))[1].append(value)
    return sorted(groups.values(), key=lambda group: (group[0].rank, group[0].name))


async def run(connection: Any, units: list[Unit], at: datetime, woken: set[str]) -> dict[int, Exception]:
    """Run ``units`` in the transaction that ``connection`` is in. Returns ordinal → refusal of those dropped.

    ``woken``: is told the channels of those who wait for what was written. Raises Again, Apart, or whatever PostgreSQL
    says about a statement.
    """
    refused: dict[int, Exception] = {}
    attempts = [unit.attempt() for unit in units]
    await _check(connection, attempts, Guard, refused)
    told = await _steps(connection, attempts, refused)
    before = set(refused)
    claimed = await _check(connection, attempts, Claim, refused)
    if (claimed | told) & (refused.keys() - before):
        raise Again({ordinal: refused[ordinal] for ordinal in refused.keys() - before})
    alive = [attempt for ordinal, attempt in enumerate(attempts) if ordinal not in refused]
    for ask in _written(alive, at):
        await connection.execute(ask.sql, *ask.values)
    woken |= wakes(alive)
    return refused


class Unsent(Exception):
    """A value is not such as an exchange carries; nothing was sent. Asyncpg may take it, or says what is wrong."""


async def exchanged(wire: Wire, asks: Sequence[Ask]) -> Outcome:
    """:meth:`Wire.exchange`. Raises Unsent in the place of what encoding raises."""
    try:
        return await wire.exchange(asks)
    except _UNSENDABLE as error:
        raise Unsent(str(error)) from error


class WireReader(Fetching):
    """What steps read with on a :class:`~troth.store.wire.Wire`, in the transaction that it is in."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def fetch(self, sql: str, *values: Any) -> list[Row]:
        """All rows."""
        (rows,) = await self.fetch_each(Ask(sql, values))
        return rows

    async def fetch_each(self, *asks: Ask) -> list[list[Row]]:
        """The rows of each of ``asks``, in one exchange. Raises what PostgreSQL says, Unsupported, Unsent."""
        try:
            outcome = await exchanged(self._wire, asks)
        except (ConnectionError, TimeoutError) as error:
            raise asyncpg.ConnectionDoesNotExistError(str(error)) from error
        if outcome.error is not None:
            raise outcome.error
        return [
            [dict(zip(columns, row, strict=True)) for row in rows]
            for rows, columns in zip(outcome.rows, outcome.columns, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Begun:
    """A transaction that wants only its end.

    Attributes:
        refused: by ordinal, of those dropped.
        last: what is to be asked before COMMIT in the hope that every claim holds; None: one cannot be asked like that.
        woken: channels of those who wait for what is written.
    """

    refused: dict[int, Exception]
    last: list[Ask] | None
    woken: set[str]


async def begin(wire: Wire, units: list[Unit], at: datetime) -> Begun:
    """Begin a transaction on ``wire``, with guards and steps of ``units``: what :func:`run` does in fewer exchanges.

    Raises as :func:`run` does, and Unsupported and Unsent.
    """
    reader, refused = WireReader(wire), dict[int, Exception]()
    attempts = [unit.attempt() for unit in units]
    guards = _grouped(
        (check.statement, (ordinal, check))
        for ordinal, attempt in enumerate(attempts)
        for check in attempt.checks
        if isinstance(check.statement, Guard)
    )
    asks = [
        Ask(one.sql, [list(range(len(group))), *_columns(one, [check.values for _, check in group])])
        for one, group in guards
    ]
    _, *held = await reader.fetch_each(Ask("BEGIN"), *asks)
    for (_, group), rows in zip(guards, held, strict=True):
        holding = {next(iter(row.values())) for row in rows}
        for position, (ordinal, check) in enumerate(group):
            if position not in holding:
                refused.setdefault(ordinal, check.refused())
    await _steps(reader, attempts, refused)
    alive = [attempt for ordinal, attempt in enumerate(attempts) if ordinal not in refused]
    claims = _claimed(alive, Claim)
    return Begun(refused, None if claims is None else [*claims, *_written(alive, at)], wakes(alive))


def _written(units: list[Unit], at: datetime) -> list[Ask]:
    """The statements of what ``units`` write, their events included."""
    items: list[tuple[Statement, Any]] = [item for unit in units for item in unit.writes]
    items += [event.inbox_row(unit=unit.id, at=at) for unit in units for event in unit.events]
    return [Ask(statement.sql, _columns(statement, rows)) for statement, rows in _grouped(items)]


def _claimed(units: list[Unit], kind: type[Guard] | type[Claim]) -> list[Ask] | None:
    """Statements that fail unless all guards (or claims) of ``units`` hold; None if one cannot be made such."""
    checks = [(c.statement, c.values) for unit in units for c in unit.checks if isinstance(c.statement, kind)]
    asks = []
    for statement, rows in _grouped(checks):
        strict = _strict(statement)
        if strict is None:
            return None
        asks.append(Ask(strict, [list(range(len(rows))), *_columns(statement, rows), len(rows)]))
    return asks


async def _steps(connection: Any, attempts: list[Unit], refused: dict[int, Exception]) -> set[int]:
    """Run every unit's steps in order; what is run together waits until every unit has come to its next such step.

    Adds to ``refused``; returns the ordinals that others have been told of. Raises Again for one of those that is
    refused afterwards, and Apart.
    """
    places = [0] * len(attempts)
    told: set[int] = set()
    while True:
        companies: dict[TogetherStep, list[tuple[int, Together]]] = {}
        for ordinal, attempt in enumerate(attempts):
            while ordinal not in refused and places[ordinal] < len(attempt.steps):
                step = attempt.steps[places[ordinal]]
                places[ordinal] += 1
                if isinstance(step, Together):
                    companies.setdefault(step.run, []).append((ordinal, step))
                    break
                try:
                    await step(connection, attempt)
                except (asyncpg.PostgresError, Unsupported, Unsent):
                    raise
                except Exception as refusal:  # noqa: BLE001 -- what a step raises is its unit's answer, and its alone
                    refused[ordinal] = refusal
        if told & refused.keys():
            raise Again({ordinal: refused[ordinal] for ordinal in told & refused.keys()})
        if not companies:
            return told
        for run, company in companies.items():
            members = [Member(step.item, attempts[ordinal]) for ordinal, step in company]
            among = [attempt for ordinal, attempt in enumerate(attempts) if ordinal not in refused]
            try:
                said = await run(connection, members, among)
            except (asyncpg.PostgresError, Unsupported, Unsent):
                raise
            except Exception as error:
                if len(members) > 1:
                    raise Apart from error
                said = {0: error}
            refused |= {company[place][0]: refusal for place, refusal in said.items()}
            if told & refused.keys():
                raise Again({ordinal: refused[ordinal] for ordinal in told & refused.keys()})
            if len(members) > 1:
                told |= {ordinal for ordinal, _ in company if ordinal not in refused}


async def _check(
    connection: Any, attempts: list[Unit], kind: type[Guard] | type[Claim], refused: dict[int, Exception]
) -> set[int]:
    """Run all guards (or claims); adds to ``refused``; returns the ordinals for which any statement held."""
    held_any: set[int] = set()
    wanted: list[tuple[Statement, tuple[int, Check]]] = [
        (check.statement, (ordinal, check))
        for ordinal, attempt in enumerate(attempts)
        for check in attempt.checks
        if isinstance(check.statement, kind)
    ]
    for statement, group in _grouped(wanted):
        live = [(ordinal, check) for ordinal, check in group if ordinal not in refused]
        if not live:
            continue
        # The ordinal sent is the position in this list: one unit may use the same guard twice.
        positions = list(range(len(live)))
        columns = _columns(statement, [check.values for _, check in live])
        holding = {row[0] for row in await connection.fetch(statement.sql, positions, *columns)}
        for position, (ordinal, check) in enumerate(live):
            if position in holding:
                held_any.add(ordinal)
            else:
                refused.setdefault(ordinal, check.refused())
    return held_any


@cache
def _strict(statement: Guard | Claim) -> str | None:
    """``statement`` as one that fails unless it holds for as many as its last parameter says; None if it cannot be."""
    wanted = f"1 / (count(*) = ${len(statement.types) + 2}::int8)::int"
    if isinstance(statement, Guard):
        return f"SELECT {wanted} FROM ({statement.sql}) AS held"
    # A statement that writes has to stand at the top, so what it selects at the end is replaced: as many rows went in.
    head, found, _ = statement.sql.rpartition(_CLAIMED)
    return f"{head}SELECT {wanted} FROM w" if found else None


def plan(units: list[Unit], at: datetime) -> list[Ask] | None:
    """The statements of ``units``, to be asked in one exchange in the hope that nobody is refused.

    Guards and claims fail if they do not hold for every unit. None if some units have steps, which have to see rows
    first. The order is that of :func:`run`.
    """
    if any(unit.steps for unit in units):
        return None
    guards, claims = _claimed(units, Guard), _claimed(units, Claim)
    return None if guards is None or claims is None else [*guards, *claims, *_written(units, at)]


def has_events(units: Iterable[Unit]) -> bool:
    """Whether any unit holds a ledger event (steps may add more; then the sequencer's own poll finds them)."""
    return any(unit.events or unit.steps for unit in units)


def is_urgent(units: Iterable[Unit]) -> bool:
    """Whether followers of the ledger must hear of these units at once. What steps add is not known here: statuses
    and standings are changed by steps, and what is only issued takes none."""
    return any(unit.urgent or unit.steps for unit in units)


def wakes(units: Iterable[Unit]) -> set[str]:
    """The channels of those who wait for what these units write; what steps add is known once they have run."""
    return {write.wakes for unit in units for write, _ in unit.writes if write.wakes}


def writes_to(units: Iterable[Unit], write: Write) -> bool:
    """Whether any unit has a row for ``write``."""
    return any(item[0] is write for unit in units for item in unit.writes)
