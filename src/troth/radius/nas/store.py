"""SQL of access servers and their sealed secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from troth.radius.nas.definition import NasDefinition
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row, Unit

#: The access server exists, and is ours until commit.
LOCK_NAS = Guard(
    "nas_lock",
    """SELECT i.n FROM unnest($1::int[], $2::text[]) AS i(n, name)
       JOIN nas c ON c.name = i.name ORDER BY c.name FOR UPDATE OF c""",
    ("text",),
    rank=8,
)
#: The same, and it is at the version that was looked at.
LOCK_AT = Guard(
    "nas_lock_at",
    """SELECT i.n FROM unnest($1::int[], $2::text[], $3::int[]) AS i(n, name, version)
       JOIN nas c ON c.name = i.name AND c.version = i.version ORDER BY c.name FOR UPDATE OF c""",
    ("text", "int"),
    rank=8,
)
_CREATE = Claim(
    "nas_create",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[], $3::uuid[], $4::jsonb[], $5::timestamptz[], $6::text[])
                  AS t(n, name, id, definition, at, actor)),
       w AS (INSERT INTO nas (name, id, definition, version, applied_at, actor)
             SELECT name, id, definition, 1, at, actor FROM i ORDER BY name
             ON CONFLICT (name) DO NOTHING RETURNING name)
       SELECT i.n FROM i JOIN w USING (name)""",
    ("text", "uuid", "jsonb", "timestamptz", "text"),
    rank=8,
)
_UPDATE = Write(
    "nas_update",
    """UPDATE nas c SET definition = i.definition, version = c.version + 1, applied_at = i.at, actor = i.actor,
                        retired_at = NULL, reason = ''
       FROM unnest($1::text[], $2::jsonb[], $3::timestamptz[], $4::text[]) AS i(name, definition, at, actor)
       WHERE c.name = i.name""",
    ("text", "jsonb", "timestamptz", "text"),
    rank=9,
)
_ROTATING = Write(
    "nas_rotating",
    """UPDATE nas c SET rotating_since = i.at, version = c.version + 1
       FROM unnest($1::text[], $2::timestamptz[]) AS i(name, at) WHERE c.name = i.name""",
    ("text", "timestamptz"),
    rank=9,
)
_SIGNS = Write(
    "nas_signs",
    """UPDATE nas c SET signs_since = i.at, version = c.version + 1
       FROM unnest($1::text[], $2::timestamptz[]) AS i(name, at) WHERE c.name = i.name AND c.signs_since IS NULL""",
    ("text", "timestamptz"),
    rank=9,
)
_RETIRE = Write(
    "nas_retire",
    """WITH i AS (SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[]) AS t(name, at, reason)),
       s AS (DELETE FROM nas_secret x USING i WHERE x.nas = i.name)
       UPDATE nas c SET retired_at = i.at, reason = i.reason, rotating_since = NULL, version = c.version + 1
       FROM i WHERE c.name = i.name""",
    ("text", "timestamptz", "text"),
    rank=9,
)
_REMOVE = Write(
    "nas_remove",
    """WITH i AS (SELECT * FROM unnest($1::text[]) AS t(name)),
       s AS (DELETE FROM nas_secret x USING i WHERE x.nas = i.name),
       z AS (DELETE FROM nas_seen x USING i WHERE x.nas = i.name)
       DELETE FROM nas c USING i WHERE c.name = i.name""",
    ("text",),
    rank=9,
)
_SECRET = Write(
    "nas_secret",
    """INSERT INTO nas_secret (nas, kind, sealed, set_at, actor)
       SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::timestamptz[], $5::text[])
       ON CONFLICT (nas, kind) DO UPDATE SET sealed = excluded.sealed, set_at = excluded.set_at,
           actor = excluded.actor""",
    ("text", "text", "bytea", "timestamptz", "text"),
    rank=10,
)
_DROP_SECRET = Write(
    "nas_drop_secret",
    """DELETE FROM nas_secret s USING unnest($1::text[], $2::text[]) AS i(name, kind)
       WHERE s.nas = i.name AND s.kind = i.kind""",
    ("text", "text"),
    rank=9,
)

_COLUMNS = """name, id, definition, version, signs_since, rotating_since, retired_at, reason, applied_at, actor"""
_ALL = f"SELECT {_COLUMNS} FROM nas ORDER BY name"
_ONE = f"SELECT {_COLUMNS} FROM nas WHERE name = $1"
_SECRETS = "SELECT nas, kind, sealed, set_at FROM nas_secret"
_SECRETS_OF = "SELECT nas, kind, sealed, set_at FROM nas_secret WHERE nas = $1"
_HELD = "SELECT nas, kind, set_at FROM nas_secret"


@dataclass(frozen=True, slots=True)
class Stored:
    """An access server as applied. ``version`` counts every change of it and its secrets."""

    definition: NasDefinition
    id: UUID
    version: int
    signs_since: datetime | None
    rotating_since: datetime | None
    retired_at: datetime | None
    reason: str
    applied_at: datetime
    actor: str

    @property
    def name(self) -> str:
        """The definition's name."""
        return self.definition.name


def create(unit: Unit, definition: NasDefinition, id: UUID, *, at: datetime, actor: str, refuse: Exception) -> None:
    """Add the claim that makes an access server."""
    unit.claim(_CREATE, definition.name, id, _json(definition), at, actor, refuse=refuse)


def update(unit: Unit, definition: NasDefinition, *, at: datetime, actor: str) -> None:
    """Add the write of a changed definition; secrets stay. A retired one is in service again."""
    unit.write(_UPDATE, definition.name, _json(definition), at, actor)


def rotating(unit: Unit, name: str, since: datetime | None) -> None:
    """Add the write that its secret is being replaced, or no longer is; and that its secrets have changed."""
    unit.write(_ROTATING, name, since)


def signs(unit: Unit, name: str, at: datetime) -> None:
    """Add the write that it signs what need not be signed."""
    unit.write(_SIGNS, name, at)


def retire(unit: Unit, name: str, *, at: datetime, reason: str) -> None:
    """Add the write that it is answered no longer; its secrets go."""
    unit.write(_RETIRE, name, at, reason)


def remove(unit: Unit, name: str) -> None:
    """Add its removal, with secrets and what was seen of it."""
    unit.write(_REMOVE, name)


def set_secret(unit: Unit, name: str, kind: str, sealed: bytes, *, at: datetime, actor: str) -> None:
    """Add the write of a sealed secret."""
    unit.write(_SECRET, name, kind, sealed, at, actor)


def drop_secret(unit: Unit, name: str, kind: str) -> None:
    """Add the removal of one secret."""
    unit.write(_DROP_SECRET, name, kind)


async def all_nas(reader: Reader) -> list[Stored]:
    """Every access server, by name, the retired ones among them."""
    return [_stored(row) for row in await reader.fetch(_ALL)]


async def find(reader: Reader, name: str) -> Stored | None:
    """The access server of that name."""
    row = await reader.fetchrow(_ONE, name)
    return None if row is None else _stored(row)


async def sealed_secrets(reader: Reader, name: str | None = None) -> Mapping[str, Mapping[str, bytes]]:
    """Access server → kind → sealed secret, of all or of one."""
    found: dict[str, dict[str, bytes]] = {}
    for row in await (reader.fetch(_SECRETS) if name is None else reader.fetch(_SECRETS_OF, name)):
        found.setdefault(row["nas"], {})[row["kind"]] = row["sealed"]
    return found


async def held_secrets(reader: Reader) -> Mapping[str, Mapping[str, datetime]]:
    """Access server → kind of secret → when it was set."""
    found: dict[str, dict[str, datetime]] = {}
    for row in await reader.fetch(_HELD):
        found.setdefault(row["nas"], {})[row["kind"]] = row["set_at"]
    return found


def _json(definition: NasDefinition) -> str:
    return msgspec.json.encode(definition).decode()


def _stored(row: Row) -> Stored:
    return Stored(
        msgspec.json.decode(row["definition"], type=NasDefinition), row["id"], row["version"], row["signs_since"],
        row["rotating_since"], row["retired_at"], row["reason"], row["applied_at"], row["actor"],
    )  # fmt: skip
