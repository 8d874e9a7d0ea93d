"""SQL of exchanged tokens."""

from __future__ import annotations

import json
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

_OF = "SELECT issuer, subject, claims FROM token_evidence WHERE enrolment_id = $1"


class TokenStore:
    """Reading what tokens proved."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def evidence(self, enrolment: UUID) -> tuple[str, str, list[str]] | None:
        """(issuer, subject, claims) of the token that an enrolment was made of."""
        row = await self._reader.fetchrow(_OF, enrolment)
        return None if row is None else (row["issuer"], row["subject"], list(json.loads(row["claims"])))


def evidence_row(
    enrolment: UUID, issuer: str, subject: str, claims: tuple[str, ...], at: datetime
) -> tuple[UUID, str, str, str, datetime]:
    """The values of :data:`EVIDENCE`."""
    return (enrolment, issuer, subject, json.dumps(list(claims)), at)
