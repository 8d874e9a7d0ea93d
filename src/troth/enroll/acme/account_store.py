"""The accounts' SQL. Each change is a guard (the account is still as seen) and a write, in one unit."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from troth.enroll.acme.model import Account
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row

ADD_ACCOUNT = Claim(
    "acme_add_account",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[], $3::uuid[], $4::text[], $5::bytea[], $6::jsonb[],
                  $7::boolean[], $8::timestamptz[], $9::uuid[], $10::text[])
                  AS i(n, thumbprint, id, directory, jwk, contact, terms_agreed, created_at, enrolment_id,
                       enrolment_kind)),
            w AS (INSERT INTO acme_account (id, directory, thumbprint, jwk, status, contact, terms_agreed, created_at,
                      enrolment_id, enrolment_kind)
                  SELECT id, directory, thumbprint, jwk, 'valid', contact, terms_agreed, created_at, enrolment_id,
                      enrolment_kind FROM i
                  ON CONFLICT DO NOTHING RETURNING id)
       SELECT i.n FROM i JOIN w USING (id)""",
    ("text", "uuid", "text", "bytea", "jsonb", "boolean", "timestamptz", "uuid", "text"),
)
ACCOUNT_VALID = Guard(
    "acme_account_valid",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id)
       JOIN acme_account a ON a.id = i.id AND a.status = 'valid' ORDER BY a.id FOR SHARE OF a""",
    ("uuid",),
    rank=20,
)
#: For what an account does, where it was not read for the request: still valid, and still under the key that signed.
ACCOUNT_SIGNS = Guard(
    "acme_account_signs",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[], $3::text[]) AS i(n, id, thumbprint)
       JOIN acme_account a ON a.id = i.id AND a.status = 'valid' AND a.thumbprint = i.thumbprint
       ORDER BY a.id FOR SHARE OF a""",
    ("uuid", "text"),
    rank=20,
)
#: For changes of the account itself: still valid, and still under the key that signed the request.
ACCOUNT_KEY_IS = Guard(
    "acme_account_key_is",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[], $3::text[]) AS i(n, id, thumbprint)
       JOIN acme_account a ON a.id = i.id AND a.status = 'valid' AND a.thumbprint = i.thumbprint
       ORDER BY a.id FOR UPDATE OF a""",
    ("uuid", "text"),
    rank=20,
)
KEY_FREE = Guard(
    "acme_key_free",
    """SELECT i.n FROM unnest($1::int[], $2::text[], $3::text[]) AS i(n, directory, thumbprint)
       WHERE NOT EXISTS (
           SELECT 1 FROM acme_account a WHERE a.directory = i.directory AND a.thumbprint = i.thumbprint)""",
    ("text", "text"),
    rank=21,
)
SET_KEY = Write(
    "acme_set_key",
    """UPDATE acme_account SET thumbprint = i.thumbprint, jwk = i.jwk,
           former_thumbprints = array_append(array_remove(former_thumbprints, i.thumbprint), acme_account.thumbprint)
       FROM unnest($1::uuid[], $2::text[], $3::bytea[]) AS i(id, thumbprint, jwk) WHERE acme_account.id = i.id""",
    ("uuid", "text", "bytea"),
)
SET_CONTACT = Write(
    "acme_set_contact",
    """UPDATE acme_account SET contact = i.contact
       FROM unnest($1::uuid[], $2::jsonb[]) AS i(id, contact) WHERE acme_account.id = i.id""",
    ("uuid", "jsonb"),
)
DEACTIVATE_ACCOUNT = Write(
    "acme_deactivate_account",
    "UPDATE acme_account SET status = 'deactivated' FROM unnest($1::uuid[]) AS i(id) WHERE acme_account.id = i.id",
    ("uuid",),
)
#: The server's own word (RFC 8555, 7.1.2), where 'deactivated' is the client's.
REVOKE_ACCOUNT = Write(
    "acme_revoke_account",
    """UPDATE acme_account SET status = 'revoked' FROM unnest($1::uuid[]) AS i(id)
       WHERE acme_account.id = i.id AND acme_account.status = 'valid'""",
    ("uuid",),
)
#: Whatever an enrolment has opened, with what is under way there. The locks are taken in the order of ids.
CLOSE_ENROLLED = Write(
    "acme_close_enrolled",
    """WITH a AS (SELECT a.id FROM unnest($1::uuid[]) AS i(id) JOIN acme_account a ON a.enrolment_id = i.id
                  WHERE a.status = 'valid' ORDER BY a.id FOR UPDATE OF a),
            o AS (UPDATE acme_order o SET status = 'invalid' FROM a
                  WHERE o.account_id = a.id AND o.status IN ('pending', 'ready')),
            z AS (UPDATE acme_authz z SET status = 'deactivated' FROM a JOIN acme_order p ON p.account_id = a.id
                  WHERE z.order_id = p.id AND z.status IN ('pending', 'valid'))
       UPDATE acme_account SET status = 'revoked' FROM a WHERE acme_account.id = a.id""",
    ("uuid",),
)

ACCOUNT_COLUMNS = """a.id AS a_id, a.directory AS a_directory, a.thumbprint AS a_thumbprint, a.jwk AS a_jwk,
    a.status AS a_status, a.contact AS a_contact, a.terms_agreed AS a_terms_agreed, a.created_at AS a_created_at,
    a.enrolment_id AS a_enrolment_id, a.enrolment_kind AS a_enrolment_kind"""
_BY_ID = f"SELECT {ACCOUNT_COLUMNS} FROM acme_account a WHERE a.id = $1"
_BY_KEY = f"SELECT {ACCOUNT_COLUMNS} FROM acme_account a WHERE a.directory = $1 AND a.thumbprint = $2"
_ALL_BY_KEY = (
    f"SELECT {ACCOUNT_COLUMNS} FROM acme_account a WHERE a.thumbprint = $1 AND a.status = 'valid' ORDER BY a.id"
)
_VALID = f"""SELECT {ACCOUNT_COLUMNS} FROM acme_account a WHERE a.status = 'valid' AND ($1::uuid IS NULL OR a.id > $1)
    ORDER BY a.id LIMIT $2"""
_PAGE = f"""SELECT {ACCOUNT_COLUMNS} FROM acme_account a WHERE ($1::uuid IS NULL OR a.id < $1)
    AND ($2 = '' OR a.directory = $2) AND ($3 = '' OR a.status = $3) ORDER BY a.id DESC LIMIT $4"""
_OF_ENROLMENT = f"""SELECT {ACCOUNT_COLUMNS} FROM acme_account a WHERE a.enrolment_id = $2
    AND ($1::uuid IS NULL OR a.id < $1) ORDER BY a.id DESC LIMIT $3"""
_OPEN_OF_ENROLMENT = "SELECT id FROM acme_account WHERE enrolment_id = $1 AND status = 'valid' ORDER BY id"
_ORDERS = """SELECT id, profile, status, identifiers, expires, created_at, certificate_id FROM acme_order
    WHERE account_id = $1 AND profile <> '' AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3"""
# What may still be revoked of an account's, or of an enrolment's accounts'.
_LIVING = """SELECT c.id FROM acme_order o JOIN certificate c ON c.id = o.certificate_id
    WHERE o.account_id = $1 AND o.certificate_id IS NOT NULL AND c.status <> 'revoked' AND c.not_after > $2
    ORDER BY o.id LIMIT $3"""
#: By its accounts, and by EST.
_LIVING_OF_ENROLMENT = """SELECT c.id FROM (
        SELECT o.certificate_id AS id FROM acme_account a JOIN acme_order o ON o.account_id = a.id
        WHERE a.enrolment_id = $1 AND o.certificate_id IS NOT NULL
        UNION ALL SELECT certificate_id FROM est_certificate WHERE enrolment_id = $1) AS of
    JOIN certificate c ON c.id = of.id WHERE c.status <> 'revoked' AND c.not_after > $2 ORDER BY c.id LIMIT $3"""


_FORMER = "SELECT former_thumbprints FROM acme_account WHERE id = $1"


class AccountStore:
    """Reads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def account(self, account: UUID) -> Account | None:
        """The account, in whatever state."""
        return account_of(await self._reader.fetchrow(_BY_ID, account))

    async def former_thumbprints(self, account: UUID) -> tuple[str, ...]:
        """Of the keys that the account had before, the latest first."""
        found = await self._reader.fetchval(_FORMER, account)
        return tuple(reversed(found or ()))

    async def by_key(self, directory: str, thumbprint: str) -> Account | None:
        """The account of a key in a directory."""
        return account_of(await self._reader.fetchrow(_BY_KEY, directory, thumbprint))

    async def all_by_key(self, thumbprint: str) -> list[Account]:
        """The valid accounts of a key, in whatever directory."""
        return _accounts(await self._reader.fetch(_ALL_BY_KEY, thumbprint))

    async def valid(self, after: UUID | None, limit: int) -> list[Account]:
        """Valid accounts in the order of their ids."""
        return _accounts(await self._reader.fetch(_VALID, after, limit))

    async def page(self, *, before: UUID | None, directory: str, status: str, limit: int) -> list[Account]:
        """The newest first, below ``before``."""
        return _accounts(await self._reader.fetch(_PAGE, before, directory, status, limit))

    async def of_enrolment(self, enrolment: UUID, *, before: UUID | None, limit: int) -> list[Account]:
        """What an enrolment has opened, the newest first."""
        return _accounts(await self._reader.fetch(_OF_ENROLMENT, before, enrolment, limit))

    async def open_of_enrolment(self, enrolment: UUID) -> list[UUID]:
        """Ids of the valid accounts that an enrolment has opened."""
        return [row["id"] for row in await self._reader.fetch(_OPEN_OF_ENROLMENT, enrolment)]

    async def orders(self, account: UUID, *, before: UUID | None, limit: int) -> list[dict[str, Any]]:
        """An account's orders as they lie there, the newest first."""
        rows = await self._reader.fetch(_ORDERS, account, before, limit)
        return [{**dict(row), "identifiers": json.loads(row["identifiers"])} for row in rows]

    async def living(self, account: UUID, now: datetime, limit: int) -> list[UUID]:
        """Certificates of an account's orders that can still be revoked."""
        return [row["id"] for row in await self._reader.fetch(_LIVING, account, now, limit)]

    async def living_of_enrolment(self, enrolment: UUID, now: datetime, limit: int) -> list[UUID]:
        """The same for all that an enrolment has brought."""
        return [row["id"] for row in await self._reader.fetch(_LIVING_OF_ENROLMENT, enrolment, now, limit)]


def account_of(row: Row | None) -> Account | None:
    """The account in a row that holds :data:`ACCOUNT_COLUMNS`."""
    if row is None:
        return None
    return Account(
        row["a_id"],
        row["a_directory"],
        row["a_thumbprint"],
        bytes(row["a_jwk"]),
        row["a_status"],
        tuple(msgspec.json.decode(row["a_contact"])),
        row["a_terms_agreed"],
        row["a_created_at"],
        row["a_enrolment_id"],
        row["a_enrolment_kind"],
    )


def _accounts(rows: list[Row]) -> list[Account]:
    return [account for account in map(account_of, rows) if account is not None]
