"""SQL of what is told of sessions on the network in ``/metrics``."""

from __future__ import annotations

from datetime import datetime

from troth.status.session_metrics import Sessions
from troth.store.unit import Reader

_OPEN = "SELECT network, count(*)::int AS n FROM radius_session WHERE ended_at IS NULL GROUP BY network"
_COUNTS = "SELECT name, number FROM radius_session_count"
_ORDERS = """
SELECT state, count(*)::int AS n, min(due) AS due FROM radius_order WHERE state IN ('waiting', 'staged')
GROUP BY state"""
_INBOX = "SELECT at FROM radius_inbox ORDER BY id LIMIT 1"


async def sessions(reader: Reader) -> Sessions:
    """What is seen now."""
    orders = {row["state"]: (row["n"], row["due"]) for row in await reader.fetch(_ORDERS)}
    oldest: datetime | None = await reader.fetchval(_INBOX)
    return Sessions(
        open={row["network"]: row["n"] for row in await reader.fetch(_OPEN)},
        counts={row["name"]: row["number"] for row in await reader.fetch(_COUNTS)},
        orders=orders,
        inbox_since=oldest,
    )
