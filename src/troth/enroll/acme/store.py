"""The ACME door's SQL. Each state change is a guard (the state is still as seen) and a write, in one unit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec

from troth.enroll.acme.model import Account, Authorization, Challenge, Order
from troth.enroll.acme.problems import Identifier
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row

ADD_ACCOUNT = Claim(
    "acme_add_account",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[], $3::uuid[], $4::text[], $5::bytea[], $6::jsonb[],
                  $7::boolean[], $8::timestamptz[])
                  AS i(n, thumbprint, id, directory, jwk, contact, terms_agreed, created_at)),
            w AS (INSERT INTO acme_account (id, directory, thumbprint, jwk, status, contact, terms_agreed, created_at)
                  SELECT id, directory, thumbprint, jwk, 'valid', contact, terms_agreed, created_at FROM i
                  ON CONFLICT DO NOTHING RETURNING id)
       SELECT i.n FROM i JOIN w USING (id)""",
    ("text", "uuid", "text", "bytea", "jsonb", "boolean", "timestamptz"),
)
ACCOUNT_VALID = Guard(
    "acme_account_valid",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id)
       JOIN acme_account a ON a.id = i.id AND a.status = 'valid' ORDER BY a.id FOR SHARE OF a""",
    ("uuid",),
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
    """UPDATE acme_account SET thumbprint = i.thumbprint, jwk = i.jwk
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
CANCEL_ORDERS = Write(
    "acme_cancel_orders",
    """UPDATE acme_order o SET status = 'invalid' FROM unnest($1::uuid[]) AS i(id)
       WHERE o.account_id = i.id AND o.status IN ('pending', 'ready')""",
    ("uuid",),
)
CANCEL_AUTHZS = Write(
    "acme_cancel_authzs",
    """UPDATE acme_authz a SET status = 'deactivated' FROM unnest($1::uuid[]) AS i(id), acme_order o
       WHERE o.account_id = i.id AND a.order_id = o.id AND a.status IN ('pending', 'valid')""",
    ("uuid",),
    rank=51,
)
ADD_ORDER = Write(
    "acme_add_order",
    """INSERT INTO acme_order (id, account_id, profile, status, identifiers, not_after, expires, created_at)
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::timestamptz[],
           $7::timestamptz[], $8::timestamptz[])""",
    ("uuid", "uuid", "text", "text", "jsonb", "timestamptz", "timestamptz", "timestamptz"),
)
ADD_AUTHZ = Write(
    "acme_add_authz",
    """INSERT INTO acme_authz (id, order_id, account_id, type, value, wildcard, status, expires, challenges)
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::boolean[], $7::text[],
           $8::timestamptz[], $9::jsonb[])""",
    ("uuid", "uuid", "uuid", "text", "text", "boolean", "text", "timestamptz", "jsonb"),
    rank=51,
)
ORDER_IS = Guard(
    "acme_order_is",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[], $3::text[], $4::int[]) AS i(n, id, status, attempt)
       JOIN acme_order o ON o.id = i.id AND o.status = i.status AND o.attempt = i.attempt
       ORDER BY o.id FOR UPDATE OF o""",
    ("uuid", "text", "int"),
    rank=22,
)
LOCK_ORDER = Guard(
    "acme_lock_order",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id)
       JOIN acme_order o ON o.id = i.id ORDER BY o.id FOR UPDATE OF o""",
    ("uuid",),
    rank=22,
)
AUTHZ_PENDING = Guard(
    "acme_authz_pending",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id)
       JOIN acme_authz a ON a.id = i.id AND a.status = 'pending' ORDER BY a.id FOR UPDATE OF a""",
    ("uuid",),
    rank=23,
)
#: The status is a parameter, or a plan made while the table is empty would read all valid ones by their partial index.
AUTHZ_IS = Guard(
    "acme_authz_is",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[], $3::text[]) AS i(n, id, status)
       JOIN acme_authz a ON a.id = i.id AND a.status = i.status ORDER BY a.id FOR SHARE OF a""",
    ("uuid", "text"),
    rank=23,
)
#: One challenge of an authorization; the others stay as they are in the row, whatever the writer had read of them.
SET_CHALLENGE = Write(
    "acme_set_challenge",
    """UPDATE acme_authz a SET status = i.status, expires = i.expires,
           challenges = (SELECT jsonb_agg(CASE WHEN c.value ->> 'type' = i.challenge ->> 'type' THEN i.challenge
                                               ELSE c.value END ORDER BY c.ordinality)
                         FROM jsonb_array_elements(a.challenges) WITH ORDINALITY AS c)
       FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::jsonb[]) AS i(id, status, expires, challenge)
       WHERE a.id = i.id""",
    ("uuid", "text", "timestamptz", "jsonb"),
)
DEACTIVATE_AUTHZ = Write(
    "acme_deactivate_authz",
    """UPDATE acme_authz a SET status = 'deactivated' FROM unnest($1::uuid[]) AS i(id)
       WHERE a.id = i.id AND a.status IN ('pending', 'valid')""",
    ("uuid",),
)
#: All that an account holds for a name, and then the orders that stood on it.
GIVE_UP = Write(
    "acme_give_up",
    """UPDATE acme_authz a SET status = 'deactivated'
       FROM unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[]) AS i(account_id, type, value, wildcard)
       WHERE a.account_id = i.account_id AND a.type = i.type AND a.value = i.value AND a.wildcard = i.wildcard
         AND a.status = 'valid'""",
    ("uuid", "text", "text", "boolean"),
    rank=51,
)
GIVE_UP_ORDERS = Write(
    "acme_give_up_orders",
    """UPDATE acme_order o SET status = 'invalid'
       FROM unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[]) AS i(account_id, type, value, wildcard)
       WHERE o.account_id = i.account_id AND o.status IN ('pending', 'ready') AND EXISTS (
           SELECT 1 FROM acme_authz a WHERE a.order_id = o.id AND a.type = i.type AND a.value = i.value
               AND a.wildcard = i.wildcard AND a.status = 'deactivated')""",
    ("uuid", "text", "text", "boolean"),
    rank=53,
)
#: Runs after the authorizations' change in the same transaction, under the order's lock: the last valid authorization
#: makes the order ready at once (clients look only at authorizations before they finalize), and one that is lost
#: undoes it again (RFC 8555, 7.1.6). A ready order lasts no longer than the proofs it stands on.
SETTLE_ORDER = Write(
    "acme_settle_order",
    """UPDATE acme_order o SET
           status = CASE WHEN s.failed THEN 'invalid' ELSE 'ready' END,
           error = CASE WHEN s.failed THEN s.error ELSE NULL END,
           expires = LEAST(o.expires, s.expires)
       FROM (SELECT i.id, i.error,
                    bool_or(a.status IN ('invalid', 'deactivated')) AS failed,
                    bool_and(a.status = 'valid') AS complete,
                    min(a.expires) AS expires
             FROM unnest($1::uuid[], $2::jsonb[]) AS i(id, error) JOIN acme_authz a ON a.order_id = i.id
             GROUP BY i.id, i.error) AS s
       WHERE o.id = s.id AND (o.status = 'pending' AND (s.failed OR s.complete) OR o.status = 'ready' AND s.failed)""",
    ("uuid", "jsonb"),
    rank=52,
)
ORDER_PROCESSING = Write(
    "acme_order_processing",
    """UPDATE acme_order o SET status = 'processing', attempt = i.attempt, csr_sha256 = i.csr_sha256, error = NULL
       FROM unnest($1::uuid[], $2::int[], $3::bytea[]) AS i(id, attempt, csr_sha256) WHERE o.id = i.id""",
    ("uuid", "int", "bytea"),
)
ORDER_VALID = Write(
    "acme_order_valid",
    """UPDATE acme_order o SET status = 'valid', certificate_id = i.certificate_id
       FROM unnest($1::uuid[], $2::uuid[]) AS i(id, certificate_id) WHERE o.id = i.id""",
    ("uuid", "uuid"),
)
ORDER_READY_AGAIN = Write(
    "acme_order_ready_again",
    """UPDATE acme_order o SET status = 'ready', csr_sha256 = NULL
       FROM unnest($1::uuid[]) AS i(id) WHERE o.id = i.id AND o.status = 'processing'""",
    ("uuid",),
)

_A = """a.id AS a_id, a.directory AS a_directory, a.thumbprint AS a_thumbprint, a.jwk AS a_jwk, a.status AS a_status,
    a.contact AS a_contact, a.terms_agreed AS a_terms_agreed, a.created_at AS a_created_at"""
_O = """o.id, o.account_id, o.profile, o.status, o.identifiers, o.not_after, o.expires, o.error, o.attempt,
    o.csr_sha256, o.certificate_id,
    ARRAY(SELECT z.id FROM acme_authz z WHERE z.order_id = o.id ORDER BY z.id) AS authorizations"""
_Z = "z.id, z.order_id, z.account_id, z.type, z.value, z.wildcard, z.status, z.expires, z.challenges"
_ACCOUNT_BY_ID = f"SELECT {_A} FROM acme_account a WHERE a.id = $1"
_ACCOUNT_BY_KEY = f"SELECT {_A} FROM acme_account a WHERE a.directory = $1 AND a.thumbprint = $2"
_ACCOUNTS_BY_KEY = f"SELECT {_A} FROM acme_account a WHERE a.thumbprint = $1 AND a.status = 'valid' ORDER BY a.id"
_VALID_ACCOUNTS = f"""SELECT {_A} FROM acme_account a WHERE a.status = 'valid' AND ($1::uuid IS NULL OR a.id > $1)
    ORDER BY a.id LIMIT $2"""
_ORDER_BY_ID = f"SELECT {_O} FROM acme_order o WHERE o.id = $1"
_ORDER_BY_CERTIFICATE = f"SELECT {_O} FROM acme_order o WHERE o.certificate_id = $1"
_AUTHZ = f"SELECT {_Z} FROM acme_authz z WHERE z.id = $1"
_AUTHZ_AND_ITS_ACCOUNT = f"""
SELECT {_A}, {_Z} FROM acme_authz z JOIN acme_account a ON a.id = z.account_id WHERE z.id = $1"""
# A request names its account and one object; both are read at once, since most of a request's time is round trips.
_ACCOUNT_AND_AUTHZ = f"SELECT {_A}, {_Z} FROM acme_account a LEFT JOIN acme_authz z ON z.id = $2 WHERE a.id = $1"
_ACCOUNT_AND_ORDER = f"SELECT {_A}, {_O} FROM acme_account a LEFT JOIN acme_order o ON o.id = $2 WHERE a.id = $1"
_ACCOUNT_AND_ORDERER = f"""
SELECT {_A}, o.account_id FROM acme_account a LEFT JOIN acme_order o ON o.certificate_id = $2 WHERE a.id = $1"""
_ORDERS_OF = """
SELECT id FROM acme_order WHERE account_id = $1 AND id > $2
    AND status <> 'invalid' AND (status NOT IN ('pending', 'ready') OR expires > $3)
ORDER BY id LIMIT $4"""
#: The longest-lived proof of each name: one probe of acme_authz_held per name, however often it was proved.
_HELD = f"""
SELECT h.* FROM unnest($3::text[], $4::boolean[]) AS i(value, wildcard) CROSS JOIN LATERAL (
    SELECT {_Z} FROM acme_authz z
    WHERE z.account_id = $1 AND z.value = i.value AND z.wildcard = i.wildcard AND z.status = 'valid' AND z.expires > $2
    ORDER BY z.expires DESC LIMIT 1) AS h"""
_AUTHZS_OF = f"SELECT {_Z} FROM acme_authz z WHERE z.order_id = $1"

#: Of these authorizations, those whose validation has come to a result: decided, or a try has failed.
_ANSWERED = f"""
SELECT {_Z} FROM acme_authz z WHERE z.id = ANY($1::uuid[])
    AND (z.status <> 'pending' OR jsonb_path_exists(z.challenges, '$[*].error'))"""

_challenges = msgspec.json.Decoder(tuple[Challenge, ...])


def encode_challenges(challenges: tuple[Challenge, ...]) -> str:
    """Challenges as the JSON that lies in their authorization's row."""
    return msgspec.json.encode(challenges).decode()


def encode_challenge(challenge: Challenge) -> str:
    """One challenge, as it lies in the row."""
    return msgspec.json.encode(challenge).decode()


class AcmeStore:
    """Reads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def account(self, account: UUID) -> Account | None:
        """The account, in whatever state."""
        return _account(await self._reader.fetchrow(_ACCOUNT_BY_ID, account))

    async def account_by_key(self, directory: str, thumbprint: str) -> Account | None:
        """The account of a key in a directory."""
        return _account(await self._reader.fetchrow(_ACCOUNT_BY_KEY, directory, thumbprint))

    async def accounts_by_key(self, thumbprint: str) -> list[Account]:
        """The valid accounts of a key, in whatever directory."""
        rows = await self._reader.fetch(_ACCOUNTS_BY_KEY, thumbprint)
        return [account for account in map(_account, rows) if account is not None]

    async def valid_accounts(self, after: UUID | None, limit: int) -> list[Account]:
        """Valid accounts in the order of their ids."""
        rows = await self._reader.fetch(_VALID_ACCOUNTS, after, limit)
        return [account for account in map(_account, rows) if account is not None]

    async def account_and_authorization(
        self, account: UUID, authz: UUID
    ) -> tuple[Account | None, Authorization | None]:
        """An account, and any authorization: whose it is, is not looked at."""
        row = await self._reader.fetchrow(_ACCOUNT_AND_AUTHZ, account, authz)
        return _account(row), None if row is None else _authorization(row)

    async def account_and_order(self, account: UUID, order: UUID) -> tuple[Account | None, Order | None]:
        """An account, and any order: whose it is, is not looked at."""
        row = await self._reader.fetchrow(_ACCOUNT_AND_ORDER, account, order)
        return _account(row), None if row is None else _order(row)

    async def account_and_orderer(self, account: UUID, certificate: UUID) -> tuple[Account | None, UUID | None]:
        """An account, and the id of the account that ordered a certificate."""
        row = await self._reader.fetchrow(_ACCOUNT_AND_ORDERER, account, certificate)
        return _account(row), None if row is None else row["account_id"]

    async def authorization_and_its_account(self, authz: UUID) -> tuple[Account, Authorization] | None:
        """An authorization with the account that it is for."""
        row = await self._reader.fetchrow(_AUTHZ_AND_ITS_ACCOUNT, authz)
        account, found = _account(row), None if row is None else _authorization(row)
        return None if account is None or found is None else (account, found)

    async def order(self, order: UUID) -> Order | None:
        """The order with the ids of its authorizations."""
        return _order(await self._reader.fetchrow(_ORDER_BY_ID, order))

    async def order_of_certificate(self, certificate: UUID) -> Order | None:
        """The order that a certificate came from."""
        return _order(await self._reader.fetchrow(_ORDER_BY_CERTIFICATE, certificate))

    async def orders_of(self, account: UUID, *, after: UUID, now: datetime, limit: int) -> list[UUID]:
        """Ids of an account's orders that are not invalid, oldest first, above ``after``."""
        return [row["id"] for row in await self._reader.fetch(_ORDERS_OF, account, after, now, limit)]

    async def proved(self, order: UUID, now: datetime) -> dict[str, str]:
        """Names of an order whose authorization is valid at ``now``, each with the challenge type that proved it."""
        found = _authorizations(await self._reader.fetch(_AUTHZS_OF, order))
        return {
            authz.name: next((one.type for one in authz.challenges if one.status == "valid"), "")
            for authz in found
            if authz.status == "valid" and authz.expires > now
        }

    async def authorization(self, authz: UUID) -> Authorization | None:
        """One authorization."""
        return _authorization(await self._reader.fetchrow(_AUTHZ, authz))

    async def answered(self, authzs: Iterable[UUID]) -> list[Authorization]:
        """Those of ``authzs`` that are decided, or of which a try has failed."""
        return _authorizations(await self._reader.fetch(_ANSWERED, list(authzs)))

    async def held(self, account: UUID, names: Iterable[str], now: datetime) -> dict[str, Authorization]:
        """The account's valid authorizations for these names (``*.`` included), the longest-lived of each."""
        wanted = sorted(set(names))
        bases = [name.removeprefix("*.") for name in wanted]
        rows = await self._reader.fetch(_HELD, account, now, bases, [name.startswith("*.") for name in wanted])
        return {authz.name: authz for authz in _authorizations(rows)}


def _account(row: Row | None) -> Account | None:
    if row is None:
        return None
    return Account(
        row["a_id"],
        row["a_directory"],
        row["a_thumbprint"],
        bytes(row["a_jwk"]),
        row["a_status"],
        tuple(json.loads(row["a_contact"])),
        row["a_terms_agreed"],
        row["a_created_at"],
    )


def _order(row: Row | None) -> Order | None:
    if row is None or row["id"] is None:
        return None
    return Order(
        id=row["id"],
        account_id=row["account_id"],
        profile=row["profile"],
        status=row["status"],
        identifiers=tuple(Identifier(kind, value) for kind, value in json.loads(row["identifiers"])),
        not_after=row["not_after"],
        expires=row["expires"],
        error=None if row["error"] is None else json.loads(row["error"]),
        attempt=row["attempt"],
        csr_sha256=None if row["csr_sha256"] is None else bytes(row["csr_sha256"]),
        certificate_id=row["certificate_id"],
        authorizations=tuple(row["authorizations"]),
    )


def _authorization(row: Row | None) -> Authorization | None:
    if row is None or row["id"] is None:
        return None
    return Authorization(
        row["id"],
        row["order_id"],
        row["account_id"],
        Identifier(row["type"], row["value"]),
        row["wildcard"],
        row["status"],
        row["expires"],
        _challenges.decode(row["challenges"]),
    )


def _authorizations(rows: Iterable[Row]) -> list[Authorization]:
    return [found for row in rows if (found := _authorization(row)) is not None]
