"""SQL of places."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec

from troth.radius.places.model import PlaceDefinition
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row, Unit

#: The place exists, and is ours until commit.
LOCK_PLACE = Guard(
    "network_place_lock",
    """SELECT i.n FROM unnest($1::int[], $2::text[]) AS i(n, name)
       JOIN network_place p ON p.name = i.name ORDER BY p.name FOR UPDATE OF p""",
    ("text",),
    rank=8,
)
_CREATE = Claim(
    "network_place_create",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[], $3::jsonb[], $4::timestamptz[], $5::text[])
                  AS t(n, name, definition, at, actor)),
       w AS (INSERT INTO network_place (name, definition, version, applied_at, actor)
             SELECT name, definition, 1, at, actor FROM i ORDER BY name
             ON CONFLICT (name) DO NOTHING RETURNING name)
       SELECT i.n FROM i JOIN w USING (name)""",
    ("text", "jsonb", "timestamptz", "text"),
    rank=8,
)
_UPDATE = Write(
    "network_place_update",
    """UPDATE network_place p SET definition = i.definition, version = p.version + 1, applied_at = i.at, actor = i.actor
       FROM unnest($1::text[], $2::jsonb[], $3::timestamptz[], $4::text[]) AS i(name, definition, at, actor)
       WHERE p.name = i.name""",
    ("text", "jsonb", "timestamptz", "text"),
    rank=9,
)
_REMOVE = Write(
    "network_place_remove",
    "DELETE FROM network_place p USING unnest($1::text[]) AS i(name) WHERE p.name = i.name",
    ("text",),
    rank=9,
)
_ALL = "SELECT name, definition, version, applied_at, actor FROM network_place ORDER BY name"
_ONE = "SELECT name, definition, version, applied_at, actor FROM network_place WHERE name = $1"


@dataclass(frozen=True, slots=True)
class Stored:
    """A place as applied. ``version`` counts its changes."""

    definition: PlaceDefinition
    version: int
    applied_at: datetime
    actor: str

    @property
    def name(self) -> str:
        """The definition's name."""
        return self.definition.name


def create(unit: Unit, definition: PlaceDefinition, *, at: datetime, actor: str, refuse: Exception) -> None:
    """Add the claim that makes a place."""
    unit.claim(_CREATE, definition.name, _json(definition), at, actor, refuse=refuse)


def update(unit: Unit, definition: PlaceDefinition, *, at: datetime, actor: str) -> None:
    """Add the write of a changed definition."""
    unit.write(_UPDATE, definition.name, _json(definition), at, actor)


def remove(unit: Unit, name: str) -> None:
    """Add the removal of a place."""
    unit.write(_REMOVE, name)


async def places(reader: Reader) -> list[Stored]:
    """Every place, by name."""
    return [_stored(row) for row in await reader.fetch(_ALL)]


async def find(reader: Reader, name: str) -> Stored | None:
    """The place of that name."""
    row = await reader.fetchrow(_ONE, name)
    return None if row is None else _stored(row)


def _json(definition: PlaceDefinition) -> str:
    return msgspec.json.encode(definition).decode()


def _stored(row: Row) -> Stored:
    definition = msgspec.json.decode(row["definition"], type=PlaceDefinition)
    return Stored(definition, row["version"], row["applied_at"], row["actor"])
