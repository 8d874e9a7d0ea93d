"""SQL of pruning."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from troth.store.statement import Write
from troth.store.unit import Reader

#: How often a name has failed is forgotten with the orders in which it did, unless it failed since: a stranger could
#: leave a row for every name that he invents. What is paused stays until somebody sets it going again.
DROP_FAILING = Write(
    "acme_drop_failing",
    """DELETE FROM acme_failing f USING unnest($1::uuid[], $2::timestamptz[]) AS i(id, before)
       JOIN acme_authz z ON z.order_id = i.id
       WHERE f.account_id = z.account_id AND f.type = z.type AND f.paused_at IS NULL AND f.last_at < i.before
       AND f.value = CASE WHEN z.wildcard THEN '*.' || z.value ELSE z.value END""",
    ("uuid", "timestamptz"),
    rank=69,
)
DROP_AUTHZS = Write(
    "acme_drop_authzs",
    "DELETE FROM acme_authz z USING unnest($1::uuid[]) AS i(id) WHERE z.order_id = i.id",
    ("uuid",),
    rank=70,
)
DROP_ORDER = Write(
    "acme_drop_order",
    "DELETE FROM acme_order o USING unnest($1::uuid[]) AS i(id) WHERE o.id = i.id",
    ("uuid",),
    rank=71,
)
DROP_ATTEMPT = Write(
    "acme_drop_attempt",
    "DELETE FROM acme_attempt a USING unnest($1::uuid[]) AS i(id) WHERE a.id = i.id",
    ("uuid",),
    rank=70,
)

#: One step through the orders by their ids, which are in the order of time; of them, those that are over: never
#: finished, or their certificate has run out, and no proof in them is good any more.
_STEP = """
SELECT o.id, o.created_at, o.expires < $2 AND (o.status <> 'valid' OR c.id IS NULL OR c.not_after < $2)
    AND o.status <> 'processing'
    AND NOT EXISTS (
        SELECT 1 FROM acme_authz z WHERE z.order_id = o.id AND z.status = 'valid' AND z.expires > $3) AS over
FROM (SELECT * FROM acme_order WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $4) AS o
LEFT JOIN certificate c ON c.id = o.certificate_id ORDER BY o.id"""
_ATTEMPTS = "SELECT id FROM acme_attempt WHERE at < $1 ORDER BY at LIMIT $2"


class PruneStore:
    """Reads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def step(
        self, after: UUID | None, before: datetime, now: datetime, limit: int
    ) -> Sequence[tuple[UUID, datetime, bool]]:
        """The next orders by id: each with when it was made, and whether it was over before ``before``."""
        rows = await self._reader.fetch(_STEP, after, before, now, limit)
        return [(row["id"], row["created_at"], row["over"]) for row in rows]

    async def attempts(self, before: datetime, limit: int) -> list[UUID]:
        """Attempts older than ``before``."""
        return [row["id"] for row in await self._reader.fetch(_ATTEMPTS, before, limit)]
