"""The enrolments' SQL."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from troth.enroll.credentials.model import Enrolment, NameRules
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row

_rules = msgspec.json.Decoder(NameRules)

ADD_ENROLMENT = Claim(
    "enrolment_add",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::jsonb[],
                  $7::jsonb[], $8::boolean[], $9::uuid[], $10::uuid[], $11::bytea[], $12::bytea[], $13::timestamptz[],
                  $14::int[], $15::int[], $16::timestamptz[], $17::text[])
                  AS i(n, id, kind, name, directories, profiles, rules, vouches, device_id, user_id, sealed, digest,
                       expires_at, most_accounts, most_orders, created_at, created_by)),
            w AS (INSERT INTO enrolment (id, kind, name, directories, profiles, rules, vouches, device_id, user_id,
                      sealed, digest, status, expires_at, most_accounts, most_orders, created_at, created_by)
                  SELECT id, kind, name, ARRAY(SELECT jsonb_array_elements_text(directories)),
                      ARRAY(SELECT jsonb_array_elements_text(profiles)), rules, vouches, device_id, user_id, sealed,
                      digest, 'valid', expires_at, most_accounts, most_orders, created_at, created_by FROM i
                  ON CONFLICT DO NOTHING RETURNING id)
       SELECT i.n FROM i JOIN w USING (id)""",
    (
        "uuid", "text", "text", "jsonb", "jsonb", "jsonb", "boolean", "uuid", "uuid", "bytea", "bytea", "timestamptz",
        "int", "int", "timestamptz", "text",
    ),
)  # fmt: skip
#: It may be used now. Shared by all who use it at once; who revokes it waits for them, and they for him.
ENROLMENT_VALID = Guard(
    "enrolment_valid",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[], $3::timestamptz[]) AS i(n, id, now)
       JOIN enrolment e ON e.id = i.id AND e.status = 'valid' AND e.expires_at > i.now ORDER BY e.id FOR SHARE OF e""",
    ("uuid", "timestamptz"),
    rank=18,
)
#: The same, and one more account may be opened. Only where there is a most: the row is then locked and counted.
ACCOUNT_LEFT = Guard(
    "enrolment_account_left",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id)
       JOIN enrolment e ON e.id = i.id AND e.accounts < e.most_accounts ORDER BY e.id FOR UPDATE OF e""",
    ("uuid",),
    rank=19,
)
ORDER_LEFT = Guard(
    "enrolment_order_left",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id)
       JOIN enrolment e ON e.id = i.id AND e.orders < e.most_orders ORDER BY e.id FOR UPDATE OF e""",
    ("uuid",),
    rank=19,
)
COUNT = Write(
    "enrolment_count",
    """UPDATE enrolment e SET accounts = e.accounts + i.accounts, orders = e.orders + i.orders
       FROM (SELECT id, sum(accounts) AS accounts, sum(orders) AS orders
             FROM unnest($1::uuid[], $2::int[], $3::int[]) AS i(id, accounts, orders) GROUP BY id) AS i
       WHERE e.id = i.id""",
    ("uuid", "int", "int"),
)
LOCK_VALID = Guard(
    "enrolment_lock_valid",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id)
       JOIN enrolment e ON e.id = i.id AND e.status = 'valid' ORDER BY e.id FOR UPDATE OF e""",
    ("uuid",),
    rank=18,
)
REVOKE_ENROLMENT = Write(
    "enrolment_revoke",
    """UPDATE enrolment e SET status = 'revoked', sealed = NULL, revoked_at = i.at, revoked_by = i.by
       FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS i(id, at, by) WHERE e.id = i.id""",
    ("uuid", "timestamptz", "text"),
)

_COLUMNS = """id, kind, name, directories, profiles, rules, vouches, device_id, user_id, sealed, status, expires_at,
    most_accounts, most_orders, accounts, orders, created_at, created_by, revoked_at, revoked_by"""
_BY_ID = f"SELECT {_COLUMNS} FROM enrolment WHERE id = $1"
_BY_DIGEST = f"SELECT {_COLUMNS} FROM enrolment WHERE digest = $1"
_PAGE = f"""SELECT {_COLUMNS} FROM enrolment WHERE ($1::uuid IS NULL OR id < $1) AND ($2 = '' OR kind = $2)
    AND ($3 = '' OR status = $3) ORDER BY id DESC LIMIT $4"""
_COUNTS = """SELECT kind, CASE WHEN status = 'valid' AND expires_at <= $1 THEN 'expired' ELSE status END AS state,
    count(*) AS n FROM enrolment GROUP BY 1, 2"""


class EnrolmentStore:
    """Reads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def by_id(self, enrolment: UUID) -> Enrolment | None:
        """One, in whatever state."""
        return _enrolment(await self._reader.fetchrow(_BY_ID, enrolment))

    async def by_digest(self, digest: bytes) -> Enrolment | None:
        """The one whose secret or identifier has this SHA-256."""
        return _enrolment(await self._reader.fetchrow(_BY_DIGEST, digest))

    async def page(self, *, before: UUID | None, kind: str, status: str, limit: int) -> list[Enrolment]:
        """The newest first, below ``before``."""
        rows = await self._reader.fetch(_PAGE, before, kind, status, limit)
        return [found for row in rows if (found := _enrolment(row)) is not None]

    async def counts(self, now: datetime) -> list[tuple[str, str, int]]:
        """(kind, state, number)."""
        return [(row["kind"], row["state"], row["n"]) for row in await self._reader.fetch(_COUNTS, now)]


def row_of(enrolment: Enrolment, digest: bytes | None) -> tuple[Any, ...]:
    """The values of :data:`ADD_ENROLMENT`."""
    return (
        enrolment.id,
        enrolment.kind,
        enrolment.name,
        msgspec.json.encode(enrolment.directories).decode(),
        msgspec.json.encode(enrolment.profiles).decode(),
        msgspec.json.encode(enrolment.rules).decode(),
        enrolment.vouches,
        enrolment.device_id,
        enrolment.user_id,
        enrolment.sealed,
        digest,
        enrolment.expires_at,
        enrolment.most_accounts,
        enrolment.most_orders,
        enrolment.created_at,
        enrolment.created_by,
    )


def _enrolment(row: Row | None) -> Enrolment | None:
    if row is None:
        return None
    values = {
        **dict(row),
        "directories": tuple(row["directories"]),
        "profiles": tuple(row["profiles"]),
        "rules": _rules.decode(row["rules"]),
        "sealed": None if row["sealed"] is None else bytes(row["sealed"]),
    }
    return Enrolment(**values)
