"""The ACME door's SQL. Each state change is a guard (the state is still as seen) and a write, in one unit."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec

from troth.enroll.acme.account_store import ACCOUNT_COLUMNS, AccountStore, account_of
from troth.enroll.acme.model import Account, Authorization, Challenge, Order
from troth.enroll.acme.problems import Identifier
from troth.store.reads import fetch_each
from troth.store.statement import Guard, Write
from troth.store.unit import Row
from troth.store.wire import Ask

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
    """INSERT INTO acme_order (id, account_id, profile, status, identifiers, not_after, expires, created_at, replaces)
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::timestamptz[],
           $7::timestamptz[], $8::timestamptz[], $9::text[])""",
    ("uuid", "uuid", "text", "text", "jsonb", "timestamptz", "timestamptz", "timestamptz", "text"),
)
ADD_AUTHZ = Write(
    "acme_add_authz",
    """INSERT INTO acme_authz (id, order_id, account_id, type, value, wildcard, status, expires, challenges, subdomains)
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::boolean[], $7::text[],
           $8::timestamptz[], $9::jsonb[], $10::boolean[])""",
    ("uuid", "uuid", "uuid", "text", "text", "boolean", "text", "timestamptz", "jsonb", "boolean"),
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

_O = """o.id, o.account_id, o.profile, o.status, o.identifiers, o.not_after, o.expires, o.error, o.attempt,
    o.csr_sha256, o.certificate_id, o.replaces,
    ARRAY(SELECT z.id FROM acme_authz z WHERE z.order_id = o.id ORDER BY z.id) AS authorizations"""
_Z = "z.id, z.order_id, z.account_id, z.type, z.value, z.wildcard, z.status, z.expires, z.challenges, z.subdomains"
_ORDER_BY_ID = f"SELECT {_O} FROM acme_order o WHERE o.id = $1"
_ORDER_BY_CERTIFICATE = f"SELECT {_O} FROM acme_order o WHERE o.certificate_id = $1"
_AUTHZ = f"SELECT {_Z} FROM acme_authz z WHERE z.id = $1"
_AUTHZ_AND_ITS_ACCOUNT = f"""
SELECT {ACCOUNT_COLUMNS}, {_Z} FROM acme_authz z JOIN acme_account a ON a.id = z.account_id WHERE z.id = $1"""
# A request names its account and one object; both are read at once, since most of a request's time is round trips.
_ACCOUNT_AND_AUTHZ = (
    f"SELECT {ACCOUNT_COLUMNS}, {_Z} FROM acme_account a LEFT JOIN acme_authz z ON z.id = $2 WHERE a.id = $1"
)
_ACCOUNT_AND_ORDER = (
    f"SELECT {ACCOUNT_COLUMNS}, {_O} FROM acme_account a LEFT JOIN acme_order o ON o.id = $2 WHERE a.id = $1"
)
_ACCOUNT_AND_ORDERED = f"""
SELECT {ACCOUNT_COLUMNS}, o.account_id, c.authority, c.der FROM acme_account a
    LEFT JOIN acme_order o ON o.certificate_id = $2 LEFT JOIN certificate c ON c.id = $2 WHERE a.id = $1"""
_ORDERS_OF = """
SELECT id FROM acme_order WHERE account_id = $1 AND id > $2
    AND status <> 'invalid' AND (status NOT IN ('pending', 'ready') OR expires > $3)
ORDER BY id LIMIT $4"""
#: The longest-lived proof of each name: one probe of acme_authz_held per name, however often it was proved.
_HELD = f"""
SELECT h.* FROM unnest($3::text[], $4::boolean[]) AS i(value, wildcard) CROSS JOIN LATERAL (
    SELECT {_Z} FROM acme_authz z
    WHERE z.account_id = $1 AND z.value = i.value AND z.wildcard = i.wildcard AND z.status = 'valid' AND z.expires > $2
        AND z.type IN ('dns', 'ip')
    ORDER BY z.expires DESC LIMIT 1) AS h"""
_HELD_DOMAINS = f"""
SELECT h.* FROM unnest($3::text[]) AS i(value) CROSS JOIN LATERAL (
    SELECT {_Z} FROM acme_authz z
    WHERE z.account_id = $1 AND z.value = i.value AND NOT z.wildcard AND z.status = 'valid' AND z.expires > $2
        AND z.type = 'dns' AND z.subdomains
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


class Ordered(msgspec.Struct, frozen=True):
    """A certificate as its orderer fetches it: who ordered it, which authority made it, DER."""

    orderer: UUID
    authority: str
    der: bytes


class AcmeStore(AccountStore):
    """Reads: of accounts as well."""

    async def account_and_authorization(
        self, account: UUID, authz: UUID
    ) -> tuple[Account | None, Authorization | None]:
        """An account, and any authorization: whose it is, is not looked at."""
        row = await self._reader.fetchrow(_ACCOUNT_AND_AUTHZ, account, authz)
        return account_of(row), None if row is None else _authorization(row)

    async def account_and_order(self, account: UUID, order: UUID) -> tuple[Account | None, Order | None]:
        """An account, and any order: whose it is, is not looked at."""
        row = await self._reader.fetchrow(_ACCOUNT_AND_ORDER, account, order)
        return account_of(row), None if row is None else _order(row)

    async def account_order_and_proofs(
        self, account: UUID, order: UUID
    ) -> tuple[Account | None, tuple[Order, tuple[Authorization, ...]] | None]:
        """An account, and any order with its authorizations: whose it is, is not looked at."""
        rows, authzs = await fetch_each(
            self._reader, Ask(_ACCOUNT_AND_ORDER, (account, order)), Ask(_AUTHZS_OF, (order,))
        )
        row = rows[0] if rows else None
        found = _order(row)
        return account_of(row), None if found is None else (found, tuple(_authorizations(authzs)))

    async def account_and_ordered(self, account: UUID, certificate: UUID) -> tuple[Account | None, Ordered | None]:
        """An account, and any certificate that was ordered: whose it is, is not looked at."""
        row = await self._reader.fetchrow(_ACCOUNT_AND_ORDERED, account, certificate)
        if row is None or row["account_id"] is None or row["der"] is None:
            return account_of(row), None
        return account_of(row), Ordered(row["account_id"], row["authority"], bytes(row["der"]))

    async def authorization_and_its_account(self, authz: UUID) -> tuple[Account, Authorization] | None:
        """An authorization with the account that it is for."""
        row = await self._reader.fetchrow(_AUTHZ_AND_ITS_ACCOUNT, authz)
        account, found = account_of(row), None if row is None else _authorization(row)
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

    async def proofs(self, order: UUID) -> tuple[Authorization, ...]:
        """The order's authorizations, whatever their state."""
        return tuple(_authorizations(await self._reader.fetch(_AUTHZS_OF, order)))

    async def held_domains(self, account: UUID, domains: Iterable[str], now: datetime) -> dict[str, Authorization]:
        """The account's valid authorizations that hold for all names below one of ``domains``."""
        rows = await self._reader.fetch(_HELD_DOMAINS, account, now, sorted(set(domains)))
        return {authz.identifier.value: authz for authz in _authorizations(rows)}

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


def _order(row: Row | None) -> Order | None:
    if row is None or row["id"] is None:
        return None
    return Order(
        id=row["id"],
        account_id=row["account_id"],
        profile=row["profile"],
        status=row["status"],
        identifiers=tuple(Identifier(kind, value) for kind, value in msgspec.json.decode(row["identifiers"])),
        not_after=row["not_after"],
        expires=row["expires"],
        error=None if row["error"] is None else msgspec.json.decode(row["error"]),
        attempt=row["attempt"],
        csr_sha256=None if row["csr_sha256"] is None else bytes(row["csr_sha256"]),
        certificate_id=row["certificate_id"],
        authorizations=tuple(row["authorizations"]),
        replaces=row["replaces"],
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
        row["subdomains"],
    )


def proved_by(authorizations: Iterable[Authorization], now: datetime) -> dict[Identifier, Authorization]:
    """Those of ``authorizations`` that are valid at ``now``, by identifier (``*.`` included)."""
    return {
        Identifier(authz.identifier.type, authz.name): authz
        for authz in sorted(authorizations, key=_narrow_first)
        if authz.status == "valid" and authz.expires > now
    }


def _narrow_first(authz: Authorization) -> bool:
    return authz.subdomains


def _authorizations(rows: Iterable[Row]) -> list[Authorization]:
    return [found for row in rows if (found := _authorization(row)) is not None]
