"""SQL of blocked keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.store.statement import Guard, Write
from troth.store.unit import Reader, Row

BLOCK = Write(
    "blocked_key_add",
    """INSERT INTO blocked_key (spki_sha256, spki, reason, source, note, at, actor)
       SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])
       ON CONFLICT (spki_sha256) DO UPDATE SET spki = COALESCE(blocked_key.spki, excluded.spki)""",
    ("bytea", "bytea", "text", "text", "text", "timestamptz", "text"),
    rank=58,
)

#: The key is not blocked: for doors that take keys which never become certificates.
NOT_BLOCKED = Guard(
    "blocked_key_not",
    """SELECT i.n FROM unnest($1::int[], $2::bytea[]) AS i(n, spki_sha256) WHERE NOT EXISTS (
           SELECT 1 FROM blocked_key b WHERE b.spki_sha256 = i.spki_sha256)""",
    ("bytea",),
    rank=59,
)

_COLUMNS = "spki_sha256, spki, reason, source, note, at, actor"
_ONE = f"SELECT {_COLUMNS} FROM blocked_key WHERE spki_sha256 = $1"
_LISTED = f"""SELECT {_COLUMNS} FROM blocked_key
    WHERE $1::timestamptz IS NULL OR (at, spki_sha256) < ($1, $2::bytea)
    ORDER BY at DESC, spki_sha256 DESC LIMIT $3"""
_USES = """SELECT count(*) FILTER (WHERE state <> 'burnt') AS every,
    count(*) FILTER (WHERE state <> 'burnt' AND not_after >= $2
                     AND NOT (status = 'revoked' AND revocation_reason = 1)) AS live
    FROM certificate WHERE spki_sha256 = $1"""
_CERTIFICATES = "SELECT id FROM certificate WHERE spki_sha256 = $1 AND state <> 'burnt' ORDER BY id DESC LIMIT $2"
_STATED = """SELECT md5(string_agg(id::text || status_version, ',' ORDER BY id)) FROM certificate
    WHERE spki_sha256 = $1 AND state <> 'burnt'"""
_COUNT = "SELECT count(*) FROM blocked_key"


@dataclass(frozen=True, slots=True)
class BlockedKey:
    """A key that is never certified again.

    Attributes:
        spki: DER SubjectPublicKeyInfo, or None where nothing but its hash was given.
        reason: ``compromised`` or ``weak``.
        source: how we know: ``proof`` (whoever holds the key signed that it is no secret), ``acme``, ``operator``.
    """

    spki_sha256: bytes
    spki: bytes | None
    reason: str
    source: str
    note: str
    at: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class Uses:
    """How many certificates a key has: ever, and such as would be revoked were it blocked now."""

    ever: int
    live: int


class BlockedStore:
    """Reading blocked keys, on the database and inside a unit's step alike."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def get(self, spki_sha256: bytes) -> BlockedKey | None:
        """One by its hash."""
        row = await self._reader.fetchrow(_ONE, spki_sha256)
        return None if row is None else _key(row)

    async def listed(self, *, after: tuple[datetime, bytes] | None = None, limit: int = 50) -> Sequence[BlockedKey]:
        """Latest first; ``after`` is moment and hash of the last one seen."""
        at, digest = after or (None, None)
        return [_key(row) for row in await self._reader.fetch(_LISTED, at, digest, limit)]

    async def uses(self, spki_sha256: bytes, now: datetime) -> Uses:
        """How many certificates the key has."""
        row = await self._reader.fetchrow(_USES, spki_sha256, now)
        return Uses(row["every"], row["live"]) if row is not None else Uses(0, 0)

    async def certificates(self, spki_sha256: bytes, *, limit: int = 50) -> list[UUID]:
        """The key's certificates, newest first."""
        return [row["id"] for row in await self._reader.fetch(_CERTIFICATES, spki_sha256, limit)]

    async def stated(self, spki_sha256: bytes) -> str:
        """A digest of which certificates the key has and in what state."""
        return str(await self._reader.fetchval(_STATED, spki_sha256) or "")

    async def count(self) -> int:
        """How many keys are blocked."""
        return int(await self._reader.fetchval(_COUNT))


def _key(row: Row) -> BlockedKey:
    return BlockedKey(**dict(row))
