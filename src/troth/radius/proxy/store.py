"""SQL of pools: definitions and sealed secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from troth.radius.proxy.definition import PoolDefinition
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row, Unit

#: The pool exists, and is ours until commit.
LOCK_POOL = Guard(
    "radius_pool_lock",
    """SELECT i.n FROM unnest($1::int[], $2::text[]) AS i(n, name)
       JOIN radius_pool p ON p.name = i.name ORDER BY p.name FOR UPDATE OF p""",
    ("text",),
    rank=8,
)
_CREATE = Claim(
    "radius_pool_create",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[], $3::jsonb[], $4::timestamptz[], $5::text[])
                      AS t(n, name, definition, at, actor)),
       w AS (INSERT INTO radius_pool (name, definition, version, applied_at, actor)
             SELECT name, definition, 1, at, actor FROM i ORDER BY name ON CONFLICT (name) DO NOTHING RETURNING name)
       SELECT i.n FROM i JOIN w USING (name)""",
    ("text", "jsonb", "timestamptz", "text"),
    rank=8,
)
_UPDATE = Write(
    "radius_pool_update",
    """UPDATE radius_pool p SET definition = i.definition, version = p.version + 1, applied_at = i.at, actor = i.actor
       FROM unnest($1::text[], $2::jsonb[], $3::timestamptz[], $4::text[]) AS i(name, definition, at, actor)
       WHERE p.name = i.name""",
    ("text", "jsonb", "timestamptz", "text"),
    rank=9,
)
_BUMP = Write(
    "radius_pool_bump",
    "UPDATE radius_pool p SET version = p.version + 1 FROM unnest($1::text[]) AS i(name) WHERE p.name = i.name",
    ("text",),
    rank=9,
)
_SECRET = Write(
    "radius_pool_secret",
    """INSERT INTO radius_pool_secret (pool, server, sealed, set_at, actor)
       SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::timestamptz[], $5::text[])
       ON CONFLICT (pool, server) DO UPDATE SET sealed = excluded.sealed, set_at = excluded.set_at,
           actor = excluded.actor""",
    ("text", "text", "bytea", "timestamptz", "text"),
    rank=10,
)
#: Secrets of servers that the pool has no longer.
_KEEP_SECRETS = Write(
    "radius_pool_keep_secrets",
    """DELETE FROM radius_pool_secret s USING unnest($1::text[], $2::jsonb[]) AS i(pool, servers)
       WHERE s.pool = i.pool AND NOT i.servers ? s.server""",
    ("text", "jsonb"),
    rank=10,
)
_REMOVE = Write(
    "radius_pool_remove",
    """WITH i AS (SELECT * FROM unnest($1::text[]) AS t(name)),
       s AS (DELETE FROM radius_pool_secret x USING i WHERE x.pool = i.name)
       DELETE FROM radius_pool p USING i WHERE p.name = i.name""",
    ("text",),
    rank=9,
)
_ALL = "SELECT name, definition, version, applied_at, actor FROM radius_pool ORDER BY name"
_HELD = "SELECT pool, server, sealed, set_at FROM radius_pool_secret ORDER BY pool, server"


@dataclass(frozen=True, slots=True)
class StoredPool:
    """A pool as applied. ``version`` counts every change, those of secrets included."""

    definition: PoolDefinition
    version: int
    applied_at: datetime
    actor: str

    @property
    def name(self) -> str:
        """The definition's name."""
        return self.definition.name


@dataclass(frozen=True, slots=True)
class HeldSecret:
    """A sealed secret, and since when."""

    sealed: bytes
    set_at: datetime


def create(unit: Unit, definition: PoolDefinition, *, at: datetime, actor: str, refuse: Exception) -> None:
    """Add the claim that makes a pool."""
    unit.claim(_CREATE, definition.name, _json(definition), at, actor, refuse=refuse)


def update(unit: Unit, definition: PoolDefinition, *, at: datetime, actor: str) -> None:
    """Add the write of a changed definition; secrets of servers that it still names stay."""
    unit.write(_UPDATE, definition.name, _json(definition), at, actor)
    servers = msgspec.json.encode([one.address for one in definition.servers]).decode()
    unit.write(_KEEP_SECRETS, definition.name, servers)


def set_secret(unit: Unit, pool: str, server: str, sealed: bytes, *, at: datetime, actor: str) -> None:
    """Add the write of a sealed secret."""
    unit.write(_SECRET, pool, server, sealed, at, actor)
    unit.write(_BUMP, pool)


def remove(unit: Unit, name: str) -> None:
    """Add the removal of a pool and its secrets."""
    unit.write(_REMOVE, name)


async def pools(reader: Reader) -> list[StoredPool]:
    """Every pool, by name."""
    return [_stored(row) for row in await reader.fetch(_ALL)]


async def secrets(reader: Reader) -> Mapping[tuple[str, str], HeldSecret]:
    """(pool, server) → its sealed secret."""
    return {(row["pool"], row["server"]): HeldSecret(row["sealed"], row["set_at"]) for row in await reader.fetch(_HELD)}


def _json(definition: PoolDefinition) -> str:
    return msgspec.json.encode(definition).decode()


def _stored(row: Row) -> StoredPool:
    definition = msgspec.json.decode(row["definition"], type=PoolDefinition)
    return StoredPool(definition, row["version"], row["applied_at"], row["actor"])
