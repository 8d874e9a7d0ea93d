"""SQL of exchanged tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.store.statement import Claim, Write
from troth.store.unit import Reader

#: The token counts now, and not again.
USE = Claim(
    "token_use",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::bytea[], $3::timestamptz[]) AS t(n, digest, until)),
       w AS (INSERT INTO token_used (digest, until) SELECT digest, until FROM i ORDER BY digest
             ON CONFLICT DO NOTHING RETURNING digest)
       SELECT i.n FROM i JOIN w USING (digest)""",
    ("bytea", "timestamptz"),
)

#: What nobody could show any more is forgotten by whoever comes next.
FORGET = Write(
    "token_forget",
    "DELETE FROM token_used u USING unnest($1::timestamptz[]) AS i(now) WHERE u.until < i.now",
    ("timestamptz",),
    rank=90,
)

EVIDENCE = Write(
    "token_evidence",
    """INSERT INTO token_evidence (enrolment_id, issuer, subject, claims, at)
       SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::timestamptz[])""",
    ("uuid", "text", "text", "jsonb", "timestamptz"),
    rank=70,
)

#: (enrolment): what its accounts had proved without an order, and how often they had failed.
DROP_PROOFS = Write(
    "token_drop_proofs",
    """DELETE FROM acme_authz z USING unnest($1::uuid[]) AS i(id) JOIN acme_account a ON a.enrolment_id = i.id
       WHERE z.account_id = a.id AND z.status = 'valid'""",
    ("uuid",),
    rank=70,
)
DROP_FAILING = Write(
    "token_drop_failing",
    """DELETE FROM acme_failing f USING unnest($1::uuid[]) AS i(id) JOIN acme_account a ON a.enrolment_id = i.id
       WHERE f.account_id = a.id""",
    ("uuid",),
    rank=71,
)
#: (enrolment, made before): not one that is in use again.
DROP_ACCOUNT = Write(
    "token_drop_account",
    """DELETE FROM acme_account a USING unnest($1::uuid[], $2::timestamptz[]) AS i(id, before)
       WHERE a.enrolment_id = i.id AND a.created_at < i.before
       AND NOT EXISTS (SELECT 1 FROM acme_order o WHERE o.account_id = a.id)""",
    ("uuid", "timestamptz"),
    rank=72,
)
#: Of both: only where no account is left, which is held to what its enrolment allows.
DROP_EVIDENCE = Write(
    "token_drop_evidence",
    """DELETE FROM token_evidence t USING unnest($1::uuid[]) AS i(id)
       WHERE t.enrolment_id = i.id AND NOT EXISTS (SELECT 1 FROM acme_account a WHERE a.enrolment_id = i.id)""",
    ("uuid",),
    rank=73,
)
DROP_ENROLMENT = Write(
    "token_drop_enrolment",
    """DELETE FROM enrolment e USING unnest($1::uuid[]) AS i(id)
       WHERE e.id = i.id AND NOT EXISTS (SELECT 1 FROM acme_account a WHERE a.enrolment_id = i.id)""",
    ("uuid",),
    rank=74,
)

#: The next by age, which began before a moment; over are those that open nothing since then, and whose accounts have
#: no orders any more, nor had the time to place one.
_OVER = """
SELECT t.at, t.enrolment_id, coalesce(e.expires_at < $3, true) AND NOT EXISTS (
        SELECT 1 FROM acme_account a WHERE a.enrolment_id = t.enrolment_id
        AND (a.created_at >= $3 OR EXISTS (SELECT 1 FROM acme_order o WHERE o.account_id = a.id))) AS over
FROM (SELECT at, enrolment_id FROM token_evidence
      WHERE at < $3 AND ($1::timestamptz IS NULL OR (at, enrolment_id) > ($1, $2))
      ORDER BY at, enrolment_id LIMIT $4) AS t
LEFT JOIN enrolment e ON e.id = t.enrolment_id ORDER BY t.at, t.enrolment_id"""

_OF = "SELECT issuer, subject, claims FROM token_evidence WHERE enrolment_id = $1"


@dataclass(frozen=True, slots=True)
class LookedAt:
    """A credential that was made of a token."""

    at: datetime
    enrolment: UUID
    over: bool


class TokenStore:
    """Reading what tokens proved."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def over(self, after: tuple[datetime, UUID] | None, before: datetime, limit: int) -> list[LookedAt]:
        """The next credentials by age behind ``after`` that are older than ``before``, and which of them are over."""
        rows = await self._reader.fetch(_OVER, *(after or (None, None)), before, limit)
        return [LookedAt(row["at"], row["enrolment_id"], row["over"]) for row in rows]

    async def evidence(self, enrolment: UUID) -> tuple[str, str, list[str]] | None:
        """(issuer, subject, claims) of the token that an enrolment was made of."""
        row = await self._reader.fetchrow(_OF, enrolment)
        return None if row is None else (row["issuer"], row["subject"], list(json.loads(row["claims"])))


def evidence_row(
    enrolment: UUID, issuer: str, subject: str, claims: tuple[str, ...], at: datetime
) -> tuple[UUID, str, str, str, datetime]:
    """The values of :data:`EVIDENCE`."""
    return (enrolment, issuer, subject, json.dumps(list(claims)), at)
