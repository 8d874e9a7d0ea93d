"""SQL of renewal information."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.store.statement import Claim
from troth.store.unit import Reader

#: Takes a certificate's place. Taken already is what an order took that stands, or can still come to a certificate.
#: Asked as a value and not by EXISTS, for which the planner would rather read all orders into a hash.
REPLACE = Claim(
    "acme_replace",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::uuid[], $3::uuid[], $4::timestamptz[])
                  AS i(n, certificate_id, order_id, now)),
            w AS (INSERT INTO acme_replacement AS r (certificate_id, order_id) SELECT certificate_id, order_id FROM i
                  ON CONFLICT (certificate_id) DO UPDATE SET order_id = EXCLUDED.order_id
                  WHERE NOT COALESCE((
                      SELECT o.status IN ('processing', 'valid')
                          OR o.status IN ('pending', 'ready') AND o.expires > (SELECT min(now) FROM i)
                      FROM acme_order o WHERE o.id = r.order_id), false)
                  RETURNING certificate_id)
       SELECT i.n FROM i JOIN w USING (certificate_id)""",
    ("uuid", "uuid", "timestamptz"),
)

#: By index each: the serial number, the order of the certificate, its incidents.
_RENEWABLE = """
SELECT c.id, c.authority, c.serial, c.names, c.not_before, c.not_after, c.status, c.status_at, o.account_id,
       EXISTS (SELECT 1 FROM acme_replacement p WHERE p.certificate_id = c.id) AS tried, n.due_at, n.explanation_url,
       d.changed_at AS drained_from, d.renew_by
FROM certificate c
LEFT JOIN LATERAL (SELECT account_id FROM acme_order WHERE certificate_id = c.id LIMIT 1) AS o ON true
LEFT JOIN LATERAL (
    SELECT i.due_at, r.explanation_url FROM renewal_incident_item i JOIN renewal_incident r ON r.id = i.incident_id
    WHERE i.certificate_id = c.id AND r.state <> 'ended' ORDER BY i.due_at LIMIT 1) AS n ON true
LEFT JOIN rollover d ON d.outgoing = c.authority AND d.stage = 'drain'
WHERE c.serial = $1 AND c.state = 'issued'"""


@dataclass(frozen=True, slots=True)
class Renewable:
    """What renewal information rests on.

    Attributes:
        revoked: for good; a hold is not told here.
        tried: an order has said before that it takes its place, whatever came of it.
        account_id: who ordered it over ACME, if anybody did.
        due_at: from when on an incident has it renewed.
        drained_from: since when its authority is drained (a rollover), and until when it should be renewed.
    """

    id: UUID
    authority: str
    serial: bytes
    names: tuple[tuple[str, str], ...]
    not_before: datetime
    not_after: datetime
    revoked: bool
    status_at: datetime
    account_id: UUID | None = None
    tried: bool = False
    due_at: datetime | None = None
    explanation_url: str = ""
    drained_from: datetime | None = None
    renew_by: datetime | None = None


class RenewalStore:
    """Reads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def renewable(self, serial: bytes) -> Renewable | None:
        """The issued certificate with this serial number (content octets of the INTEGER)."""
        row = await self._reader.fetchrow(_RENEWABLE, serial)
        if row is None:
            return None
        return Renewable(
            row["id"],
            row["authority"],
            bytes(row["serial"]),
            tuple((kind, value) for kind, value in json.loads(row["names"])),
            row["not_before"],
            row["not_after"],
            row["status"] == "revoked",
            row["status_at"],
            row["account_id"],
            row["tried"],
            row["due_at"],
            row["explanation_url"] or "",
            row["drained_from"],
            row["renew_by"],
        )
