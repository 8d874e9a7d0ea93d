"""SQL of networks and of others' revocation lists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from troth.radius.admission.document import NetworkDefinition
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row, Unit

#: The network exists, and is ours until commit.
LOCK_NETWORK = Guard(
    "network_lock",
    """SELECT i.n FROM unnest($1::int[], $2::text[]) AS i(n, name)
       JOIN network w ON w.name = i.name ORDER BY w.name FOR UPDATE OF w""",
    ("text",),
    rank=8,
)
_CREATE = Claim(
    "network_create",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[], $3::jsonb[], $4::timestamptz[], $5::text[])
                  AS t(n, name, definition, at, actor)),
       w AS (INSERT INTO network (name, definition, version, applied_at, actor)
             SELECT name, definition, 1, at, actor FROM i ORDER BY name ON CONFLICT (name) DO NOTHING RETURNING name)
       SELECT i.n FROM i JOIN w USING (name)""",
    ("text", "jsonb", "timestamptz", "text"),
    rank=8,
)
_UPDATE = Write(
    "network_update",
    """UPDATE network w SET definition = i.definition, version = w.version + 1, applied_at = i.at, actor = i.actor
       FROM unnest($1::text[], $2::jsonb[], $3::timestamptz[], $4::text[]) AS i(name, definition, at, actor)
       WHERE w.name = i.name""",
    ("text", "jsonb", "timestamptz", "text"),
    rank=9,
)
_REMOVE = Write(
    "network_remove",
    "DELETE FROM network w USING unnest($1::text[]) AS i(name) WHERE w.name = i.name",
    ("text",),
    rank=9,
)
#: An older list never takes the place of a newer one: a revocation would be forgotten.
PUT_CRL = Claim(
    "foreign_crl_put",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::bytea[], $3::text[], $4::text[], $5::numeric[], $6::timestamptz[],
                                       $7::timestamptz[], $8::int[], $9::bytea[], $10::timestamptz[], $11::text[])
                  AS t(n, issuer, issuer_name, anchor, number, this_update, next_update, entries, der, at, actor)),
       w AS (INSERT INTO foreign_crl (issuer, issuer_name, anchor, number, this_update, next_update, entries, der,
                                      taken_at, actor)
             SELECT issuer, issuer_name, anchor, number, this_update, next_update, entries, der, at, actor FROM i
             ON CONFLICT (issuer) DO UPDATE SET issuer_name = excluded.issuer_name, anchor = excluded.anchor,
                 number = excluded.number, this_update = excluded.this_update, next_update = excluded.next_update,
                 entries = excluded.entries, der = excluded.der, taken_at = excluded.taken_at, actor = excluded.actor
             WHERE foreign_crl.number < excluded.number AND foreign_crl.this_update <= excluded.this_update
             RETURNING issuer)
       SELECT i.n FROM i JOIN w USING (issuer)""",
    ("bytea", "text", "text", "numeric", "timestamptz", "timestamptz", "int", "bytea", "timestamptz", "text"),
    rank=20,
)

_COLUMNS = "name, definition, version, applied_at, actor"
_ALL = f"SELECT {_COLUMNS} FROM network ORDER BY name"
_ONE = f"SELECT {_COLUMNS} FROM network WHERE name = $1"
_CRL_COLUMNS = "issuer, issuer_name, anchor, number, this_update, next_update, entries, taken_at, actor"
_CRLS = f"SELECT {_CRL_COLUMNS} FROM foreign_crl ORDER BY anchor, issuer_name, issuer"
_CRL = f"SELECT {_CRL_COLUMNS} FROM foreign_crl WHERE issuer = $1"
_CRL_HEADS = "SELECT issuer, this_update FROM foreign_crl"
_CRL_DER = "SELECT der FROM foreign_crl WHERE issuer = $1"


@dataclass(frozen=True, slots=True)
class Stored:
    """A network as applied."""

    definition: NetworkDefinition
    version: int
    applied_at: datetime
    actor: str

    @property
    def name(self) -> str:
        """The definition's name."""
        return self.definition.name


@dataclass(frozen=True, slots=True)
class StoredCrl:
    """A revocation list of somebody else's."""

    issuer: bytes
    issuer_name: str
    anchor: str
    number: int
    this_update: datetime
    next_update: datetime
    entries: int
    taken_at: datetime
    actor: str


def create(unit: Unit, definition: NetworkDefinition, *, at: datetime, actor: str, refuse: Exception) -> None:
    """Add the claim that makes a network."""
    unit.claim(_CREATE, definition.name, _json(definition), at, actor, refuse=refuse)


def update(unit: Unit, definition: NetworkDefinition, *, at: datetime, actor: str) -> None:
    """Add the write of a changed definition."""
    unit.write(_UPDATE, definition.name, _json(definition), at, actor)


def remove(unit: Unit, name: str) -> None:
    """Add the removal of a network."""
    unit.write(_REMOVE, name)


async def networks(reader: Reader) -> list[Stored]:
    """All, by name."""
    return [_stored(row) for row in await reader.fetch(_ALL)]


async def find(reader: Reader, name: str) -> Stored | None:
    """The one of that name."""
    row = await reader.fetchrow(_ONE, name)
    return None if row is None else _stored(row)


async def crls(reader: Reader) -> list[StoredCrl]:
    """Every list that was taken."""
    return [StoredCrl(**{**dict(row), "number": int(row["number"])}) for row in await reader.fetch(_CRLS)]


async def crl_head(reader: Reader, issuer: bytes) -> StoredCrl | None:
    """The list of that issuer, without what it lists."""
    row = await reader.fetchrow(_CRL, issuer)
    return None if row is None else StoredCrl(**{**dict(row), "number": int(row["number"])})


async def crl_heads(reader: Reader) -> list[tuple[bytes, datetime]]:
    """(issuer, when it was made) of every list."""
    return [(bytes(row["issuer"]), row["this_update"]) for row in await reader.fetch(_CRL_HEADS)]


async def crl_der(reader: Reader, issuer: bytes) -> bytes | None:
    """The list of that issuer."""
    found = await reader.fetchval(_CRL_DER, issuer)
    return None if found is None else bytes(found)


def _stored(row: Row | dict[str, Any]) -> Stored:
    definition = msgspec.json.decode(row["definition"], type=NetworkDefinition)
    return Stored(definition, row["version"], row["applied_at"], row["actor"])


def _json(definition: NetworkDefinition) -> str:
    return msgspec.json.encode(definition).decode()
