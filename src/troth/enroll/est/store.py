"""EST's SQL."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.pki.names import GeneralNames
from troth.store.pool import Database
from troth.store.statement import Claim, Write
from troth.store.unit import Reader

#: Begins the next try of a request, if nobody else has begun it since the caller looked.
TAKE = Claim(
    "est_take",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::bytea[], $3::int[], $4::text[], $5::timestamptz[])
                  AS i(n, digest, attempt, request_id, at)),
            w AS (INSERT INTO est_request AS r (digest, attempt, request_id, at)
                  SELECT digest, attempt, request_id, at FROM i ORDER BY digest
                  ON CONFLICT (digest) DO UPDATE
                  SET attempt = excluded.attempt, request_id = excluded.request_id, at = excluded.at
                  WHERE r.attempt = excluded.attempt - 1 RETURNING digest)
       SELECT i.n FROM i JOIN w USING (digest)""",
    ("bytea", "int", "text", "timestamptz"),
    rank=58,
)
ISSUED = Write(
    "est_issued",
    """INSERT INTO est_certificate (certificate_id, label, method, enrolment_id, asked, issued_at)
       SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::bytea[], $6::timestamptz[])
       ON CONFLICT DO NOTHING""",
    ("uuid", "text", "text", "uuid", "bytea", "timestamptz"),
    rank=62,
)
DROP_REQUEST = Write(
    "est_drop_request",
    "DELETE FROM est_request r USING unnest($1::bytea[], $2::timestamptz[]) AS i(digest, before) "
    "WHERE r.digest = i.digest AND r.at < i.before",
    ("bytea", "timestamptz"),
    rank=58,
)
DROP_CERTIFICATE = Write(
    "est_drop_certificate",
    "DELETE FROM est_certificate e USING unnest($1::uuid[]) AS i(id) WHERE e.certificate_id = i.id",
    ("uuid",),
    rank=62,
)

_REQUEST = "SELECT attempt, request_id, at FROM est_request WHERE digest = $1"
_CERTIFICATE = "SELECT label, method, enrolment_id, asked, issued_at FROM est_certificate WHERE certificate_id = $1"
_OF_ENROLMENT = """SELECT e.certificate_id, e.label, e.issued_at, c.names, c.status, c.not_after
    FROM est_certificate e JOIN certificate c ON c.id = e.certificate_id
    WHERE e.enrolment_id = $1 AND ($2::uuid IS NULL OR e.certificate_id < $2)
    ORDER BY e.certificate_id DESC LIMIT $3"""
_OLD_REQUESTS = "SELECT digest FROM est_request WHERE at < $1 ORDER BY at LIMIT $2"
_OLD_CERTIFICATES = """SELECT e.certificate_id AS id, e.issued_at, c.id IS NULL OR c.not_after < $2 AS over
    FROM (SELECT * FROM est_certificate WHERE $1::uuid IS NULL OR certificate_id > $1
          ORDER BY certificate_id LIMIT $3) AS e
    LEFT JOIN certificate c ON c.id = e.certificate_id ORDER BY e.certificate_id"""
_COUNT = """
INSERT INTO est_count AS c (label, operation, result, number)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS i(label, operation, result, number)
ORDER BY label, operation, result
ON CONFLICT (label, operation, result) DO UPDATE SET number = c.number + excluded.number
RETURNING label"""


@dataclass(frozen=True, slots=True)
class Tried:
    """A request that came before: its latest try, the gate's name for it, and when it began."""

    attempt: int
    request_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Footing:
    """What a certificate that came by EST rests on."""

    label: str
    method: str
    enrolment_id: UUID | None
    asked: bytes
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class Given:
    """A certificate of an enrolment."""

    certificate_id: UUID
    label: str
    issued_at: datetime
    names: GeneralNames
    status: str
    not_after: datetime


class EstStore:
    """Reads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def request(self, digest: bytes) -> Tried | None:
        """What is remembered of a request."""
        row = await self._reader.fetchrow(_REQUEST, digest)
        return None if row is None else Tried(**dict(row))

    async def footing(self, certificate: UUID) -> Footing | None:
        """What a certificate rests on; None if it came by another door."""
        row = await self._reader.fetchrow(_CERTIFICATE, certificate)
        return None if row is None else Footing(**{**dict(row), "asked": bytes(row["asked"])})

    async def of_enrolment(self, enrolment: UUID, *, before: UUID | None, limit: int) -> list[Given]:
        """What an enrolment has brought, the newest first."""
        rows = await self._reader.fetch(_OF_ENROLMENT, enrolment, before, limit)
        return [Given(**{**dict(row), "names": tuple(map(tuple, json.loads(row["names"])))}) for row in rows]

    async def old_requests(self, before: datetime, limit: int) -> list[bytes]:
        """Requests older than ``before``."""
        return [bytes(row["digest"]) for row in await self._reader.fetch(_OLD_REQUESTS, before, limit)]

    async def step(self, after: UUID | None, before: datetime, limit: int) -> Sequence[tuple[UUID, bool]]:
        """The next certificates by id, and whether each had run out by ``before``."""
        rows = await self._reader.fetch(_OLD_CERTIFICATES, after, before, limit)
        return [(row["id"], row["over"]) for row in rows]


async def add_counts(database: Database, counts: Mapping[tuple[str, str, str], int]) -> None:
    """Add to the counters of (label, operation, result)."""
    keys = sorted(counts)
    columns = [list(column) for column in zip(*keys, strict=True)]
    await database.fetch(_COUNT, *columns, [counts[key] for key in keys])
