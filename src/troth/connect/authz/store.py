"""SQL of applications."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row

ADD = Claim(
    "application_add",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::uuid[], $3::text[], $4::bytea[], $5::bytea[], $6::text[],
                     $7::jsonb[], $8::text[], $9::int[], $10::timestamptz[], $11::text[])
                  AS t(n, id, name, token_hash, certificate_sha256, profile, profiles, least, per_second, at, actor)),
       w AS (INSERT INTO application (id, name, token_hash, certificate_sha256, profile, profiles, least, per_second,
                                      created_at, actor)
             SELECT id, name, token_hash, certificate_sha256, profile, profiles, least, per_second, at, actor FROM i
             ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING RETURNING id)
       SELECT i.n FROM i JOIN w USING (id)""",
    ("uuid", "text", "bytea", "bytea", "text", "jsonb", "text", "int", "timestamptz", "text"),
)
PRESENT = Guard(
    "application_present",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id)
       JOIN application a ON a.id = i.id AND a.revoked_at IS NULL ORDER BY a.id FOR UPDATE OF a""",
    ("uuid",),
)
REVOKE = Write(
    "application_revoke",
    """UPDATE application a SET revoked_at = i.at FROM unnest($1::uuid[], $2::timestamptz[]) AS i(id, at)
       WHERE a.id = i.id""",
    ("uuid", "timestamptz"),
)
SET_TOKEN = Write(
    "application_set_token",
    """UPDATE application a SET former_hash = CASE WHEN i.until IS NULL THEN NULL ELSE a.token_hash END,
              former_until = i.until, token_hash = i.token_hash
       FROM unnest($1::uuid[], $2::bytea[], $3::timestamptz[]) AS i(id, token_hash, until) WHERE a.id = i.id""",
    ("uuid", "bytea", "timestamptz"),
)

_COLUMNS = """a.id, a.name, a.certificate_sha256, a.profile, a.profiles, a.least, a.per_second, a.created_at, a.actor,
    a.former_until"""
_ALL = f"SELECT {_COLUMNS} FROM application a WHERE a.revoked_at IS NULL ORDER BY a.name"
_NAMED = f"SELECT {_COLUMNS} FROM application a WHERE a.revoked_at IS NULL AND a.name = $1"
_BY_TOKEN = f"""SELECT {_COLUMNS} FROM application a WHERE a.revoked_at IS NULL
    AND (a.token_hash = $1 OR (a.former_hash = $1 AND a.former_until > $2)) LIMIT 1"""
_COUNTS = "SELECT application_id, result, number, last_at FROM application_count"
_COUNT = """
INSERT INTO application_count AS c (application_id, result, number, last_at)
SELECT id, result, number, $4 FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS i(id, result, number)
ORDER BY id, result
ON CONFLICT (application_id, result) DO UPDATE SET number = c.number + excluded.number, last_at = excluded.last_at
RETURNING result"""


@dataclass(frozen=True, slots=True)
class Application:
    """An application that may ask.

    Attributes:
        certificate_sha256: of the certificate that it must show itself; None: its token suffices.
        profile: whose policy judges a subject without a certificate; None: it asks about certificates alone.
        profiles: of the certificates that count there; empty: all.
        least: the mildest answer that still lets in there is the best; ``restrict`` lets the restricted in, too.
        per_second: questions that one process answers it in a second; 0: no limit.
    """

    id: UUID
    name: str
    certificate_sha256: bytes | None
    profile: str | None
    profiles: tuple[str, ...]
    least: str
    per_second: int
    created_at: datetime
    actor: str
    former_until: datetime | None

    @property
    def ref(self) -> str:
        """As the ledger refers to it."""
        return f"application:{self.id}"


@dataclass(frozen=True, slots=True)
class Counted:
    """How often an application was answered so, and when last."""

    number: int
    last_at: datetime


async def all_applications(reader: Reader) -> list[Application]:
    """All that are registered, by name."""
    return [_application(row) for row in await reader.fetch(_ALL)]


async def named(reader: Reader, name: str) -> Application | None:
    """The one of that name."""
    row = await reader.fetchrow(_NAMED, name)
    return None if row is None else _application(row)


async def by_token(reader: Reader, token_hash: bytes, at: datetime) -> Application | None:
    """The one whose token has this hash."""
    row = await reader.fetchrow(_BY_TOKEN, token_hash, at)
    return None if row is None else _application(row)


async def counts(reader: Reader) -> dict[tuple[UUID, str], Counted]:
    """How each was answered."""
    return {
        (row["application_id"], row["result"]): Counted(row["number"], row["last_at"])
        for row in await reader.fetch(_COUNTS)
    }


async def add_counts(reader: Reader, counted: Mapping[tuple[UUID, str], int], at: datetime) -> None:
    """Add to the counters."""
    ids, results = [one for one, _ in counted], [result for _, result in counted]
    await reader.fetch(_COUNT, ids, results, list(counted.values()), at)


def _application(row: Row) -> Application:
    return Application(
        row["id"], row["name"], row["certificate_sha256"], row["profile"], tuple(json.loads(row["profiles"])),
        row["least"], row["per_second"], row["created_at"], row["actor"], row["former_until"],
    )  # fmt: skip
