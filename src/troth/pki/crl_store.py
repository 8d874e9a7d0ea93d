"""SQL of CRLs and of delegated OCSP responders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from troth.pki.model import Crl, Responder
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader

#: Takes a number, and only one above every number taken before.
RESERVE_CRL = Claim(
    "crl_reserve",
    """WITH i AS (
           SELECT * FROM unnest(
               $1::int[], $2::text[], $3::bigint[], $4::bytea[], $5::timestamptz[], $6::timestamptz[], $7::int[],
               $8::timestamptz[])
           AS t(n, authority, number, tbs_sha256, this_update, next_update, entries, reserved_at)
       ), w AS (
           INSERT INTO crl (authority, number, tbs_sha256, this_update, next_update, entries, reserved_at, state)
           SELECT authority, number, tbs_sha256, this_update, next_update, entries, reserved_at, 'reserved' FROM i
           WHERE NOT EXISTS (SELECT 1 FROM crl c WHERE c.authority = i.authority AND c.number >= i.number)
           ON CONFLICT DO NOTHING RETURNING authority, number
       ) SELECT i.n FROM i JOIN w USING (authority, number)""",
    ("text", "bigint", "bytea", "timestamptz", "timestamptz", "int", "timestamptz"),
    rank=70,
)

#: Reserved for exactly these bytes, and no later number published meanwhile.
PUBLISHABLE = Guard(
    "crl_publishable",
    """SELECT i.n FROM unnest($1::int[], $2::text[], $3::bigint[], $4::bytea[]) AS i(n, authority, number, digest)
       JOIN crl c ON c.authority = i.authority AND c.number = i.number AND c.state = 'reserved'
           AND c.tbs_sha256 = i.digest
       WHERE NOT EXISTS (
           SELECT 1 FROM crl later WHERE later.authority = i.authority AND later.number > i.number
               AND later.state = 'published')
       ORDER BY c.authority, c.number FOR UPDATE OF c""",
    ("text", "bigint", "bytea"),
    rank=70,
)

PUBLISH = Write(
    "crl_publish",
    """UPDATE crl c SET state = 'published', der = i.der, sha256 = i.sha256
       FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[]) AS i(authority, number, der, sha256)
       WHERE c.authority = i.authority AND c.number = i.number""",
    ("text", "bigint", "bytea", "bytea"),
    rank=70,
)

#: Old CRLs: the digest stays in the ledger, the newest few stay here.
PRUNE = Write(
    "crl_prune",
    """DELETE FROM crl c USING unnest($1::text[], $2::bigint[]) AS i(authority, number)
       WHERE c.authority = i.authority AND c.number < i.number AND c.number NOT IN (
           SELECT k.number FROM crl k WHERE k.authority = i.authority ORDER BY k.number DESC LIMIT 5)""",
    ("text", "bigint"),
    rank=71,
)

ADD_RESPONDER = Write(
    "ocsp_responder_add",
    """INSERT INTO ocsp_responder (certificate_id, authority, key_id, certificate, not_before, not_after)
       SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::timestamptz[], $6::timestamptz[])""",
    ("uuid", "text", "text", "bytea", "timestamptz", "timestamptz"),
    rank=72,
)

_NEWEST = """SELECT authority, number, this_update, next_update, der, sha256, entries FROM crl
    WHERE authority = $1 AND state = 'published' ORDER BY number DESC LIMIT 1"""
_NEWEST_DIGEST = """SELECT sha256 FROM crl
    WHERE authority = $1 AND state = 'published' ORDER BY number DESC LIMIT 1"""
_WINDOW = """SELECT this_update, next_update FROM crl
    WHERE authority = $1 AND state = 'published' ORDER BY number DESC LIMIT 1"""
_LAST = """SELECT max(number) AS number, max(this_update) FILTER (WHERE state = 'published') AS published
    FROM crl WHERE authority = $1"""
_ENTRIES = """SELECT count(*) AS n, string_agg(crl_entry, ''::bytea ORDER BY serial) AS entries FROM certificate
    WHERE authority = $1 AND crl_entry IS NOT NULL AND not_after >= $2"""
_RESPONDER = """SELECT certificate_id, authority, key_id, certificate, not_before, not_after FROM ocsp_responder
    WHERE authority = $1 ORDER BY not_after DESC LIMIT 1"""

_RESPONDERS = """SELECT DISTINCT ON (authority) certificate_id, authority, key_id, certificate, not_before, not_after
    FROM ocsp_responder ORDER BY authority, not_after DESC"""


@dataclass(frozen=True, slots=True)
class LastCrl:
    """The highest number ever taken, and thisUpdate of the last CRL that was published."""

    number: int
    published: datetime | None


class CrlStore:
    """Reading what a CRL is made of, and CRLs."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def newest(self, authority: str) -> Crl | None:
        """The newest published CRL."""
        row = await self._reader.fetchrow(_NEWEST, authority)
        return None if row is None else Crl(**dict(row))

    async def newest_digest(self, authority: str) -> bytes | None:
        """Its SHA-256 alone: to learn cheaply whether a cached copy still stands."""
        digest: bytes | None = await self._reader.fetchval(_NEWEST_DIGEST, authority)
        return digest

    async def window(self, authority: str) -> tuple[datetime, datetime] | None:
        """thisUpdate and nextUpdate of the newest published CRL, without its bytes."""
        row = await self._reader.fetchrow(_WINDOW, authority)
        return None if row is None else (row["this_update"], row["next_update"])

    async def last(self, authority: str) -> LastCrl:
        """What the next CRL comes after."""
        row = await self._reader.fetchrow(_LAST, authority)
        return LastCrl(0, None) if row is None else LastCrl(row["number"] or 0, row["published"])

    async def entries(self, authority: str, alive_at: datetime) -> tuple[int, bytes]:
        """(number, concatenated DER) of the entries whose certificates had not expired at ``alive_at``."""
        row = await self._reader.fetchrow(_ENTRIES, authority, alive_at)
        return (0, b"") if row is None else (row["n"], row["entries"] or b"")

    async def responder(self, authority: str) -> Responder | None:
        """The responder whose certificate lasts longest."""
        row = await self._reader.fetchrow(_RESPONDER, authority)
        return None if row is None else Responder(**dict(row))

    async def responders(self) -> dict[str, Responder]:
        """The same of every authority, in one query."""
        return {row["authority"]: Responder(**dict(row)) for row in await self._reader.fetch(_RESPONDERS)}
