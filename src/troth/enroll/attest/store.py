"""SQL of attestations: what was judged, keys and their devices, roots, status lists."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from troth.kit.canonical import Json
from troth.store.statement import Claim, Write
from troth.store.unit import Reader, Row

ADD_ATTESTATION = Write(
    "attestation_add",
    """INSERT INTO attestation (id, authz_id, order_id, account_id, subject_id, at, format, sha256, spki_sha256,
           identifier_type, identifier, named_type, named, mode, attested, accepted, reason, detail, facts, report)
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::timestamptz[], $7::text[],
           $8::bytea[], $9::bytea[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::boolean[],
           $16::boolean[], $17::text[], $18::text[], $19::jsonb[], $20::jsonb[])""",
    (
        "uuid", "uuid", "uuid", "uuid", "uuid", "timestamptz", "text", "bytea", "bytea", "text", "text", "text",
        "text", "text", "boolean", "boolean", "text", "text", "jsonb", "jsonb",
    ),
)  # fmt: skip
#: The key is this device's: nobody had it before, or this device had.
TAKE_KEY = Claim(
    "attested_key_take",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::bytea[], $3::uuid[], $4::text[], $5::timestamptz[])
                  AS i(n, spki_sha256, subject_id, format, at)),
            w AS (INSERT INTO attested_key AS k (spki_sha256, subject_id, format, first_at, last_at)
                  SELECT spki_sha256, subject_id, format, at, at FROM i ORDER BY spki_sha256
                  ON CONFLICT (spki_sha256) DO UPDATE SET last_at = excluded.last_at
                  WHERE k.subject_id = excluded.subject_id RETURNING spki_sha256)
       SELECT i.n FROM i JOIN w USING (spki_sha256)""",
    ("bytea", "uuid", "text", "timestamptz"),
    rank=41,
)
SEE_ONCE = Claim(
    "attestation_see_once",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::bytea[], $3::timestamptz[]) AS i(n, sha256, at)),
            w AS (INSERT INTO attestation_seen (sha256, at) SELECT sha256, at FROM i ORDER BY sha256
                  ON CONFLICT DO NOTHING RETURNING sha256)
       SELECT i.n FROM i JOIN w USING (sha256)""",
    ("bytea", "timestamptz"),
    rank=42,
)
#: The next version of a format's roots.
SET_ROOTS = Claim(
    "attestation_set_roots",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[], $3::int[], $4::boolean[], $5::text[], $6::text[],
                                       $7::text[], $8::timestamptz[])
                  AS i(n, format, version, shipped, pem, reason, actor, at)),
            w AS (INSERT INTO attestation_roots (format, version, shipped, pem, reason, actor, at)
                  SELECT format, version, shipped, pem, reason, actor, at FROM i ON CONFLICT DO NOTHING
                  RETURNING format, version)
       SELECT i.n FROM i JOIN w USING (format, version)""",
    ("text", "int", "boolean", "text", "text", "text", "timestamptz"),
)
PUT_STATUS = Write(
    "attestation_put_status",
    """INSERT INTO attestation_status (format, sha256, body, fetched_at, source)
       SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::timestamptz[], $5::text[])
       ON CONFLICT (format) DO UPDATE SET sha256 = excluded.sha256, body = excluded.body,
           fetched_at = excluded.fetched_at, source = excluded.source
       WHERE attestation_status.fetched_at <= excluded.fetched_at""",
    ("text", "bytea", "bytea", "timestamptz", "text"),
)
FORGET_REPORTS = Write(
    "attestation_forget_reports",
    """UPDATE attestation a SET report = NULL FROM unnest($1::timestamptz[]) AS i(before)
       WHERE a.report IS NOT NULL AND a.at < i.before""",
    ("timestamptz",),
)
#: No issuance rests on those that were refused; the ledger remembers them.
FORGET_REFUSED = Write(
    "attestation_forget_refused",
    """DELETE FROM attestation a USING unnest($1::timestamptz[]) AS i(before)
       WHERE a.report IS NOT NULL AND a.at < i.before AND NOT a.accepted""",
    ("timestamptz",),
    rank=40,
)

_COLUMNS = """a.id, a.authz_id, a.order_id, a.account_id, a.subject_id, a.at, a.format, a.sha256, a.spki_sha256,
    a.identifier_type, a.identifier, a.named_type, a.named, a.mode, a.attested, a.accepted, a.reason, a.detail,
    a.facts"""
_OF_ORDER = f"SELECT {_COLUMNS}, NULL AS report FROM attestation a WHERE a.order_id = $1 AND a.accepted ORDER BY a.id"
_ONE = f"SELECT {_COLUMNS}, a.report FROM attestation a WHERE a.id = $1"
_PAGE = f"""SELECT {_COLUMNS}, NULL AS report FROM attestation a
    WHERE ($1::uuid IS NULL OR a.id < $1) AND ($2::uuid IS NULL OR a.subject_id = $2)
      AND ($3::boolean IS NULL OR a.attested = $3) ORDER BY a.id DESC LIMIT $4"""
_KEY_HOLDER = "SELECT subject_id FROM attested_key WHERE spki_sha256 = $1"
_ROOTS = """SELECT DISTINCT ON (format) format, version, shipped, pem, reason, actor, at
    FROM attestation_roots ORDER BY format, version DESC"""
_STATUS_HEAD = "SELECT sha256, fetched_at, source FROM attestation_status WHERE format = $1"
_STATUS_BODY = "SELECT body, fetched_at FROM attestation_status WHERE format = $1"


@dataclass(frozen=True, slots=True)
class Attestation:
    """A statement as it was judged at a challenge.

    Attributes:
        attested: it passed every check.
        identifier, named: what was asked for, and what the certificate may name for it.
        accepted: the challenge became valid by it.
        reason: why it was refused, or would have been where the mode only looks; None for one that passed.
        report: every check and field; None once it was forgotten.
    """

    id: UUID
    authz_id: UUID
    order_id: UUID
    account_id: UUID
    subject_id: UUID | None
    at: datetime
    format: str
    sha256: bytes
    spki_sha256: bytes | None
    identifier_type: str
    identifier: str
    named_type: str
    named: str
    mode: str
    attested: bool
    accepted: bool
    reason: str | None
    detail: str | None
    facts: dict[str, Json]
    report: dict[str, Json] | None = None

    def row(self) -> tuple[Any, ...]:
        """The values of :data:`ADD_ATTESTATION`."""
        return (
            self.id, self.authz_id, self.order_id, self.account_id, self.subject_id, self.at, self.format, self.sha256,
            self.spki_sha256, self.identifier_type, self.identifier, self.named_type, self.named, self.mode,
            self.attested, self.accepted, self.reason, self.detail, json.dumps(self.facts),
            None if self.report is None else json.dumps(self.report),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RootsVersion:
    """What an operator said of a format's roots. ``shipped``: those that Troth ships count beside them."""

    format: str
    version: int
    shipped: bool
    pem: str
    reason: str
    actor: str
    at: datetime


class AttestationStore:
    """Reads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def of_order(self, order: UUID) -> list[Attestation]:
        """The statements by which authorizations of an order became valid."""
        return [_attestation(row) for row in await self._reader.fetch(_OF_ORDER, order)]

    async def one(self, attestation: UUID) -> Attestation | None:
        """With its report."""
        row = await self._reader.fetchrow(_ONE, attestation)
        return None if row is None else _attestation(row)

    async def page(
        self, *, below: UUID | None = None, subject: UUID | None = None, attested: bool | None = None, limit: int = 50
    ) -> Sequence[Attestation]:
        """The latest first, without their reports."""
        return [_attestation(row) for row in await self._reader.fetch(_PAGE, below, subject, attested, limit)]

    async def key_holder(self, spki_sha256: bytes) -> UUID | None:
        """The device to which an attested key belongs."""
        found: UUID | None = await self._reader.fetchval(_KEY_HOLDER, spki_sha256)
        return found

    async def roots(self) -> dict[str, RootsVersion]:
        """The newest version of each format's."""
        return {row["format"]: RootsVersion(**dict(row)) for row in await self._reader.fetch(_ROOTS)}

    async def status_head(self, kind: str) -> tuple[bytes, datetime, str] | None:
        """SHA-256 of a format's status list, when it was fetched, and from where."""
        row = await self._reader.fetchrow(_STATUS_HEAD, kind)
        return None if row is None else (bytes(row["sha256"]), row["fetched_at"], row["source"])

    async def status_body(self, kind: str) -> tuple[bytes, datetime] | None:
        """A format's status list, as its maker wrote it."""
        row = await self._reader.fetchrow(_STATUS_BODY, kind)
        return None if row is None else (bytes(row["body"]), row["fetched_at"])


def _attestation(row: Row) -> Attestation:
    return Attestation(
        id=row["id"],
        authz_id=row["authz_id"],
        order_id=row["order_id"],
        account_id=row["account_id"],
        subject_id=row["subject_id"],
        at=row["at"],
        format=row["format"],
        sha256=bytes(row["sha256"]),
        spki_sha256=None if row["spki_sha256"] is None else bytes(row["spki_sha256"]),
        identifier_type=row["identifier_type"],
        identifier=row["identifier"],
        named_type=row["named_type"],
        named=row["named"],
        mode=row["mode"],
        attested=row["attested"],
        accepted=row["accepted"],
        reason=row["reason"],
        detail=row["detail"],
        facts=msgspec.json.decode(row["facts"]),
        report=None if row["report"] is None else msgspec.json.decode(row["report"]),
    )
