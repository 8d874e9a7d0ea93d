"""SQL of findings, and of how far the walks over the certificates have come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.pki.model import CertificateRecord
from troth.pki.store import COLUMNS, record
from troth.store.statement import Guard, Write
from troth.store.unit import Reader

NOTE = Write(
    "finding_note",
    """INSERT INTO finding (object, code, source, severity, detail, first_at, last_at)
       SELECT object, code, source, severity, detail, at, at
       FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
           AS i(object, code, source, severity, detail, at)
       ON CONFLICT (object, code) DO UPDATE SET source = excluded.source, severity = excluded.severity,
           detail = excluded.detail, last_at = excluded.last_at, cleared_at = NULL""",
    ("text", "text", "text", "text", "text", "timestamptz"),
    rank=80,
)
#: What a later look at an object did not find again.
CLEAR = Write(
    "finding_clear",
    """UPDATE finding f SET cleared_at = i.at
       FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS i(object, source, at)
       WHERE f.object = i.object AND f.source = i.source AND f.cleared_at IS NULL AND f.last_at < i.at""",
    ("text", "text", "timestamptz"),
    rank=81,
)
#: The walk is where it was when the batch was read.
STANDS = Guard(
    "inspection_stands",
    """SELECT i.n FROM unnest($1::int[], $2::text[], $3::uuid[]) AS i(n, name, position)
       LEFT JOIN inspection w ON w.name = i.name WHERE w.position IS NOT DISTINCT FROM i.position""",
    ("text", "uuid"),
    rank=79,
)
MOVE = Write(
    "inspection_move",
    """INSERT INTO inspection (name, position, looked, found, began_at, ended_at, moved_at)
       SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::timestamptz[],
           $7::timestamptz[])
       ON CONFLICT (name) DO UPDATE SET position = excluded.position,
           looked = inspection.looked + excluded.looked, found = inspection.found + excluded.found,
           began_at = COALESCE(excluded.began_at, inspection.began_at), ended_at = excluded.ended_at,
           moved_at = excluded.moved_at""",
    ("text", "uuid", "bigint", "bigint", "timestamptz", "timestamptz", "timestamptz"),
    rank=82,
)

_INSPECTION = "SELECT position, looked, found, began_at, ended_at, moved_at FROM inspection WHERE name = $1"
_AFTER = f"""SELECT {COLUMNS}, c.crl_entry, EXISTS (
        SELECT 1 FROM crl_change x WHERE x.certificate_id = c.id AND x.shown_in IS NULL AND x.changed_at < $3
    ) AS unshown, EXISTS (SELECT 1 FROM blocked_key b WHERE b.spki_sha256 = c.spki_sha256) AS blocked
    FROM certificate c WHERE c.state = 'issued' AND ($1::uuid IS NULL OR c.id > $1) ORDER BY c.id LIMIT $2"""
_NEWEST = "SELECT id FROM certificate WHERE state = 'issued' ORDER BY id DESC LIMIT 1"
_OPEN = "SELECT object, code FROM finding WHERE object = ANY($1::text[]) AND cleared_at IS NULL"
_LISTED = """SELECT object, code, source, severity, detail, first_at, last_at, cleared_at FROM finding
    WHERE ($1::text IS NULL OR source = $1) AND ($2::text IS NULL OR code = $2) AND ($3 OR cleared_at IS NULL)
    ORDER BY last_at DESC, object, code LIMIT $4"""
_COUNTS = """SELECT source, code, count(*) AS n FROM finding WHERE cleared_at IS NULL GROUP BY source, code
    ORDER BY source, code"""
_SEVERITIES = """SELECT severity, code, count(*) AS n FROM finding WHERE cleared_at IS NULL GROUP BY severity, code
    ORDER BY severity, code"""
_PROFILES = "SELECT version, document FROM profile_version WHERE name = $1"


@dataclass(frozen=True, slots=True)
class SeenFinding:
    """A finding as it is kept."""

    object: str
    code: str
    source: str
    severity: str
    detail: str
    first_at: datetime
    last_at: datetime
    cleared_at: datetime | None


@dataclass(frozen=True, slots=True)
class Inspection:
    """A walk over the certificates: the last one looked at (None: at the beginning), and how many in all."""

    position: UUID | None = None
    looked: int = 0
    found: int = 0
    began_at: datetime | None = None
    ended_at: datetime | None = None
    moved_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Audited:
    """A certificate with what the audit holds it against.

    Attributes:
        unshown: a change of its status has waited too long for a CRL.
        blocked: its key is blocked.
    """

    record: CertificateRecord
    crl_entry: bytes | None
    unshown: bool
    blocked: bool


class FindingStore:
    """Reading findings and walks."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def inspection(self, name: str) -> Inspection:
        """How far the walk ``name`` has come."""
        row = await self._reader.fetchrow(_INSPECTION, name)
        return Inspection() if row is None else Inspection(**dict(row))

    async def after(self, position: UUID | None, limit: int, *, shown_by: datetime) -> list[Audited]:
        """Issued certificates in the order of their ids; changes of before ``shown_by`` should be in a CRL."""
        found = []
        for row in await self._reader.fetch(_AFTER, position, limit, shown_by):
            values = dict(row)
            extra = {name: values.pop(name) for name in ("crl_entry", "unshown", "blocked")}
            found.append(Audited(record(values), **extra))
        return found

    async def newest(self) -> UUID | None:
        """The certificate issued last."""
        found = await self._reader.fetchval(_NEWEST)
        return found if isinstance(found, UUID) else None

    async def open(self, objects: Sequence[str]) -> set[tuple[str, str]]:
        """(object, code) of what is known and not cleared."""
        return {(row["object"], row["code"]) for row in await self._reader.fetch(_OPEN, list(objects))}

    async def listed(
        self, *, source: str | None = None, code: str | None = None, cleared: bool = False, limit: int = 100
    ) -> list[SeenFinding]:
        """Latest first; cleared ones only on demand."""
        return [SeenFinding(**dict(row)) for row in await self._reader.fetch(_LISTED, source, code, cleared, limit)]

    async def counts(self) -> list[tuple[str, str, int]]:
        """(source, code, number) of what is open."""
        return [(row["source"], row["code"], row["n"]) for row in await self._reader.fetch(_COUNTS)]

    async def severities(self) -> dict[tuple[str, str], int]:
        """(severity, code) → number of what is open."""
        return {(row["severity"], row["code"]): row["n"] for row in await self._reader.fetch(_SEVERITIES)}

    async def profile_versions(self, name: str) -> dict[int, str]:
        """Version → document of a profile."""
        return {row["version"]: row["document"] for row in await self._reader.fetch(_PROFILES, name)}
