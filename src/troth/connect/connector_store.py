"""SQL of connectors: definitions, sealed secrets, and how far each of their reads has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from troth.connect.definition import ConnectorDefinition
from troth.kit.canonical import Json
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row, Unit

#: The connector exists, and is ours until commit.
LOCK_CONNECTOR = Guard(
    "connector_lock",
    """SELECT i.n FROM unnest($1::int[], $2::text[]) AS i(n, name)
       JOIN connector c ON c.name = i.name ORDER BY c.name FOR UPDATE OF c""",
    ("text",),
    rank=8,
)
_CREATE = Claim(
    "connector_create",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::timestamptz[],
                                       $7::text[]) AS t(n, name, vendor, feed, definition, at, actor)),
       w AS (INSERT INTO connector (name, vendor, feed, definition, version, paused, reason, applied_at, actor)
             SELECT name, vendor, feed, definition, 1, false, '', at, actor FROM i ORDER BY name
             ON CONFLICT (name) DO NOTHING RETURNING name)
       SELECT i.n FROM i JOIN w USING (name)""",
    ("text", "text", "text", "jsonb", "timestamptz", "text"),
    rank=8,
)
_UPDATE = Write(
    "connector_update",
    """UPDATE connector c SET vendor = i.vendor, feed = i.feed, definition = i.definition, version = c.version + 1,
                              applied_at = i.at, actor = i.actor
       FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::timestamptz[], $6::text[])
           AS i(name, vendor, feed, definition, at, actor) WHERE c.name = i.name""",
    ("text", "text", "text", "jsonb", "timestamptz", "text"),
    rank=9,
)
_PAUSE = Write(
    "connector_pause",
    """UPDATE connector c SET paused = i.paused, reason = i.reason, version = c.version + 1
       FROM unnest($1::text[], $2::boolean[], $3::text[]) AS i(name, paused, reason) WHERE c.name = i.name""",
    ("text", "boolean", "text"),
    rank=9,
)
_BUMP = Write(
    "connector_bump",
    """UPDATE connector c SET version = c.version + 1 FROM unnest($1::text[]) AS i(name) WHERE c.name = i.name""",
    ("text",),
    rank=9,
)
_REMOVE = Write(
    "connector_remove",
    """WITH i AS (SELECT * FROM unnest($1::text[]) AS t(name)),
       s AS (DELETE FROM connector_secret x USING i WHERE x.connector = i.name),
       r AS (DELETE FROM connector_read x USING i WHERE x.connector = i.name)
       DELETE FROM connector c USING i WHERE c.name = i.name""",
    ("text",),
    rank=9,
)
_SECRET = Write(
    "connector_secret",
    """INSERT INTO connector_secret (connector, kind, sealed, set_at, actor)
       SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::timestamptz[], $5::text[])
       ON CONFLICT (connector, kind) DO UPDATE SET sealed = excluded.sealed, set_at = excluded.set_at,
           actor = excluded.actor""",
    ("text", "text", "bytea", "timestamptz", "text"),
    rank=10,
)
_PULLED = Write(
    "connector_pulled",
    """INSERT INTO connector_read (connector, read, cursor, more, pulled_at, latency_ms, signals, facts, observed_at)
       SELECT * FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::boolean[], $5::timestamptz[], $6::int[],
                            $7::bigint[], $8::bigint[], $9::timestamptz[])
       ON CONFLICT (connector, read) DO UPDATE SET cursor = excluded.cursor, more = excluded.more,
           pulled_at = excluded.pulled_at, latency_ms = excluded.latency_ms,
           signals = connector_read.signals + excluded.signals, facts = connector_read.facts + excluded.facts,
           observed_at = greatest(connector_read.observed_at, excluded.observed_at),
           failures = 0, code = NULL, detail = NULL""",
    ("text", "text", "jsonb", "boolean", "timestamptz", "int", "bigint", "bigint", "timestamptz"),
    rank=64,
)
_FAILED = Write(
    "connector_failed",
    """INSERT INTO connector_read (connector, read, failures, failed_at, code, detail)
       SELECT connector, read, 1, at, code, detail
       FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[])
           AS i(connector, read, at, code, detail)
       ON CONFLICT (connector, read) DO UPDATE SET failures = connector_read.failures + 1,
           failed_at = excluded.failed_at, code = excluded.code, detail = excluded.detail""",
    ("text", "text", "timestamptz", "text", "text"),
    rank=64,
)
_DROP_SECRETS = Write(
    "connector_drop_secrets",
    "DELETE FROM connector_secret s USING unnest($1::text[]) AS i(name) WHERE s.connector = i.name",
    ("text",),
    rank=10,
)
#: Reads that the connector has no longer, under the definition that is in force now.
_KEEP_READS = Write(
    "connector_keep_reads",
    """DELETE FROM connector_read r USING unnest($1::text[], $2::jsonb[]) AS i(name, reads)
       WHERE r.connector = i.name AND NOT i.reads ? r.read""",
    ("text", "jsonb"),
    rank=64,
)
_DUE = Write(
    "connector_due",
    """UPDATE connector_read r SET pulled_at = NULL FROM unnest($1::text[], $2::text[]) AS i(connector, read)
       WHERE r.connector = i.connector AND r.read = i.read""",
    ("text", "text"),
    rank=64,
)
_FORGET_CURSORS = Write(
    "connector_forget_cursors",
    "DELETE FROM connector_read r USING unnest($1::text[]) AS i(name) WHERE r.connector = i.name",
    ("text",),
    rank=64,
)

_COLUMNS = "name, definition, version, paused, reason, applied_at, actor"
_ALL = f"SELECT {_COLUMNS} FROM connector ORDER BY name"
_ONE = f"SELECT {_COLUMNS} FROM connector WHERE name = $1"
_SECRETS = "SELECT kind, sealed, set_at FROM connector_secret WHERE connector = $1"
_ARE_DUE = "SELECT connector, read FROM connector_read WHERE pulled_at IS NULL AND failures = 0"
_HELD = "SELECT connector, kind, set_at FROM connector_secret ORDER BY connector, kind"
_READ = """connector, read, cursor, more, pulled_at, latency_ms, signals, facts, observed_at, failures, failed_at, code,
       detail"""
_READS = f"SELECT {_READ} FROM connector_read ORDER BY connector, read"
_READS_OF = f"SELECT {_READ} FROM connector_read WHERE connector = $1 ORDER BY read"


@dataclass(frozen=True, slots=True)
class Stored:
    """A connector as applied. ``version`` counts every change of it, its secrets and whether it is paused."""

    definition: ConnectorDefinition
    version: int
    paused: bool
    reason: str
    applied_at: datetime
    actor: str

    @property
    def name(self) -> str:
        """The definition's name."""
        return self.definition.name


@dataclass(frozen=True, slots=True)
class ReadState:
    """How one read stands.

    Attributes:
        more: the last pull ended before all had been read.
        pulled_at: when it last succeeded. observed_at: the newest moment of what it brought.
        failures: since the last success; ``code`` and ``detail`` of the last one.
    """

    connector: str
    read: str
    cursor: Json
    more: bool
    pulled_at: datetime | None
    latency_ms: int | None
    signals: int
    facts: int
    observed_at: datetime | None
    failures: int
    failed_at: datetime | None
    code: str | None
    detail: str | None


def create(unit: Unit, definition: ConnectorDefinition, *, at: datetime, actor: str, refuse: Exception) -> None:
    """Add the claim that makes a connector."""
    unit.claim(_CREATE, *_values(definition), at, actor, refuse=refuse)


def update(unit: Unit, definition: ConnectorDefinition, *, at: datetime, actor: str) -> None:
    """Add the write of a changed definition; secrets and cursors stay."""
    unit.write(_UPDATE, *_values(definition), at, actor)


def pause(unit: Unit, name: str, paused: bool, reason: str) -> None:
    """Add the write that pauses a connector, or has it go on."""
    unit.write(_PAUSE, name, paused, reason)


def remove(unit: Unit, name: str) -> None:
    """Add the removal of a connector, its secrets and cursors."""
    unit.write(_REMOVE, name)


def set_secret(unit: Unit, name: str, kind: str, sealed: bytes, *, at: datetime, actor: str) -> None:
    """Add the write of a sealed secret."""
    unit.write(_SECRET, name, kind, sealed, at, actor)
    unit.write(_BUMP, name)


def drop_secrets(unit: Unit, name: str) -> None:
    """Add the removal of a connector's secrets."""
    unit.write(_DROP_SECRETS, name)


def forget_cursors(unit: Unit, name: str) -> None:
    """Add the write after which everything is read from the beginning."""
    unit.write(_FORGET_CURSORS, name)
    unit.write(_BUMP, name)


def keep_reads(unit: Unit, name: str, reads: Sequence[str]) -> Unit:
    """Add the write that forgets what was kept of all other reads of the connector."""
    return unit.write(_KEEP_READS, name, msgspec.json.encode(list(reads)).decode())


def due(unit: Unit, connector: str, read: str) -> Unit:
    """Add the write by which ``read`` looks at once, from where its cursor stands."""
    return unit.write(_DUE, connector, read)


async def are_due(reader: Reader) -> frozenset[tuple[str, str]]:
    """(connector, read) of those that are to look at once."""
    return frozenset((row["connector"], row["read"]) for row in await reader.fetch(_ARE_DUE))


def pulled(
    unit: Unit,
    connector: str,
    read: str,
    *,
    cursor: Json,
    more: bool,
    at: datetime,
    latency_ms: int,
    signals: int,
    facts: int,
    observed_at: datetime | None,
) -> Unit:
    """Add the write that a pull succeeded, and where the next one begins."""
    return unit.write(
        _PULLED, connector, read, msgspec.json.encode(cursor).decode(), more, at, latency_ms, signals, facts,
        observed_at,
    )  # fmt: skip


def failed(unit: Unit, connector: str, read: str, *, at: datetime, code: str, detail: str) -> Unit:
    """Add the write that a pull failed; its cursor stays."""
    return unit.write(_FAILED, connector, read, at, code, detail[:300])


async def connectors(reader: Reader) -> list[Stored]:
    """Every connector, by name."""
    return [_stored(row) for row in await reader.fetch(_ALL)]


async def find(reader: Reader, name: str) -> Stored | None:
    """The connector of that name."""
    row = await reader.fetchrow(_ONE, name)
    return None if row is None else _stored(row)


async def sealed_secrets(reader: Reader, name: str) -> Mapping[str, tuple[bytes, datetime]]:
    """The sealed secrets of a connector by kind, and when each was set."""
    return {row["kind"]: (row["sealed"], row["set_at"]) for row in await reader.fetch(_SECRETS, name)}


async def held_secrets(reader: Reader) -> Mapping[str, Mapping[str, datetime]]:
    """Connector → kind of secret → when it was set."""
    found: dict[str, dict[str, datetime]] = {}
    for row in await reader.fetch(_HELD):
        found.setdefault(row["connector"], {})[row["kind"]] = row["set_at"]
    return found


async def reads(reader: Reader, connector: str | None = None) -> Sequence[ReadState]:
    """How every read stands, of all connectors or of one."""
    rows = await (reader.fetch(_READS) if connector is None else reader.fetch(_READS_OF, connector))
    return [_read(row) for row in rows]


def _values(definition: ConnectorDefinition) -> tuple[str, str, str, str]:
    return definition.name, definition.vendor, definition.feed, msgspec.json.encode(definition).decode()


def _stored(row: Row) -> Stored:
    return Stored(
        msgspec.json.decode(row["definition"], type=ConnectorDefinition), row["version"], row["paused"], row["reason"],
        row["applied_at"], row["actor"],
    )  # fmt: skip


def _read(row: Row) -> ReadState:
    values: dict[str, Any] = dict(row)
    values["cursor"] = None if values["cursor"] is None else msgspec.json.decode(values["cursor"])
    return ReadState(**values)
