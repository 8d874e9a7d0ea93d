"""SQL of counting against caps: slots by scope, marks by feed and subject.

Nothing here reads a table as a whole, but for populations, which are remembered for a minute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from troth.store.ahead import ReadAhead
from troth.store.statement import Write
from troth.store.unit import Reader, Unit
from troth.trust.feeds.model import ScopeDefinition

#: A window is counted in so many slots; what is in the oldest, partly past, still counts.
SLOTS: Final = 60

# Whoever counts across feeds waits here until the one before has committed. A statement of its own: the counts are read
# by the next one, which then sees them.
_GATE = "SELECT one FROM cap_gate FOR UPDATE"
# Slots that are in the window of everyone who counts now come as one row, those that are in some windows apart.
_SLOTS = """
SELECT i.scope, CASE WHEN c.slot > i.sure THEN NULL ELSE c.slot END AS slot, sum(c.spent)::int AS spent,
       sum(c.asked)::int AS asked
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS i(scope, since, sure)
JOIN cap_slot c ON c.scope = i.scope AND c.slot > i.since GROUP BY 1, 2"""
_MARKED = "SELECT asked_at, spent_at FROM cap_mark WHERE feed = $1 AND subject_id = $2"

_ADD = Write(
    "cap_slot_add",
    """INSERT INTO cap_slot (scope, slot, spent, asked)
       SELECT scope, slot, sum(spent), sum(asked)
       FROM unnest($1::text[], $2::timestamptz[], $3::int[], $4::int[]) AS i(scope, slot, spent, asked)
       GROUP BY scope, slot ORDER BY scope, slot
       ON CONFLICT (scope, slot) DO UPDATE
       SET spent = cap_slot.spent + excluded.spent, asked = cap_slot.asked + excluded.asked""",
    ("text", "timestamptz", "int", "int"),
)
_MARK = Write(
    "cap_mark_put",
    """INSERT INTO cap_mark (feed, subject_id, asked_at, spent_at)
       SELECT * FROM unnest($1::text[], $2::uuid[], $3::timestamptz[], $4::timestamptz[])
       ON CONFLICT (feed, subject_id) DO UPDATE SET asked_at = excluded.asked_at, spent_at = excluded.spent_at""",
    ("text", "uuid", "timestamptz", "timestamptz"),
)

_POPULATION = """
SELECT count(*) FROM subject WHERE removed_at IS NULL AND kind = ANY($1::text[])
AND (cardinality($2::text[]) = 0 OR groups ?| $2::text[])"""
_IN_GROUP = "SELECT count(*) FROM subject WHERE removed_at IS NULL AND groups ? $1"
_AT_SITE = "SELECT count(*) FROM subject WHERE removed_at IS NULL AND attributes ->> 'site' = $1"
_EVERYONE = "SELECT count(*) FROM subject WHERE removed_at IS NULL"
_FORGET = """WITH s AS (DELETE FROM cap_slot WHERE slot < $1)
DELETE FROM cap_mark WHERE asked_at < $1 AND (spent_at IS NULL OR spent_at < $1)"""


@dataclass(frozen=True, slots=True)
class Count:
    """Subjects restricted, and asked to be, in a scope's window."""

    spent: int = 0
    asked: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """When a feed last asked to restrict a subject, and last did, as far as it counted."""

    asked_at: datetime | None = None
    spent_at: datetime | None = None


def slot_of(at: datetime, window: timedelta) -> datetime:
    """The beginning of the slot that ``at`` is in."""
    width = max(1, int(window.total_seconds()) // SLOTS)
    return datetime.fromtimestamp(int(at.timestamp()) // width * width, UTC)


def since(at: datetime, window: timedelta) -> datetime:
    """Slots that begin after this are in the window that ends at ``at``."""
    return at - window - timedelta(seconds=max(1, int(window.total_seconds()) // SLOTS))


async def enter(reader: Reader) -> None:
    """Wait until nobody else counts; ours until commit."""
    await reader.fetchval(_GATE)


async def slots(
    reader: Reader, scopes: Mapping[str, timedelta], earliest: datetime, latest: datetime
) -> list[tuple[str, datetime | None, Count]]:
    """What was counted in each scope, by slot; slot None: in any that is in the windows of both times."""
    before = [since(earliest, window) for window in scopes.values()]
    sure = [since(latest, window) for window in scopes.values()]
    rows = await reader.fetch(_SLOTS, list(scopes), before, sure)
    return [(row["scope"], row["slot"], Count(row["spent"], row["asked"])) for row in rows]


def expect_marks(ahead: ReadAhead, asked: Sequence[tuple[str, UUID]]) -> None:
    """Read the marks of these feeds and subjects at once, if any of them is asked for."""
    ahead.expect(_MARKED, ("text", "uuid"), asked)


async def mark(reader: Reader, feed: str, subject_id: UUID) -> Mark:
    """What counts of this subject for this feed."""
    row = await reader.fetchrow(_MARKED, feed, subject_id)
    return Mark() if row is None else Mark(row["asked_at"], row["spent_at"])


def add(unit: Unit, scope: str, slot: datetime, *, spent: int, asked: int) -> None:
    """Add to a scope's slot."""
    unit.write(_ADD, scope, slot, spent, asked)


def put_mark(unit: Unit, feed: str, subject_id: UUID, one: Mark) -> None:
    """Add the write of what counts of this subject for this feed."""
    unit.write(_MARK, feed, subject_id, one.asked_at, one.spent_at)


async def population(reader: Reader, scope: ScopeDefinition) -> int:
    """How many subjects are in a feed's scope."""
    return int(await reader.fetchval(_POPULATION, list(scope.subjects), list(scope.groups)))


async def population_of(reader: Reader, group: str) -> int:
    """How many subjects are in a group, at a site (``site:<name>``), or there at all (``*``)."""
    if group == "*":
        return int(await reader.fetchval(_EVERYONE))
    if group.startswith("site:"):
        return int(await reader.fetchval(_AT_SITE, group.removeprefix("site:")))
    return int(await reader.fetchval(_IN_GROUP, group))


async def forget(reader: Reader, before: datetime) -> None:
    """Drop slots and marks that no window reaches back to."""
    await reader.fetchval(_FORGET, before)


def groups_of(groups: Sequence[str], site: str | None) -> list[str]:
    """By which groups and site a subject is counted: eight groups at most, or one signal would cost a hundred rows."""
    found = sorted(groups)[:8]
    return [*([f"site:{site}"] if site else []), *found]
