"""SQL of what is told of access servers in ``/metrics``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from troth.status.nas_metrics import AccessServers, NasFigures
from troth.store.unit import Reader

_LATELY: Final = timedelta(days=7)
_REMEMBERED: Final = timedelta(days=30)

_STATES = """
SELECT CASE WHEN n.retired_at IS NOT NULL THEN 'retired'
            WHEN s.nas IS NULL AND n.definition -> 'radsec' -> 'only' IS DISTINCT FROM 'true'::jsonb
            THEN 'without_secret' ELSE 'ready' END AS state, count(*)::int AS n
FROM nas n LEFT JOIN nas_secret s ON s.nas = n.name AND s.kind = 'current' GROUP BY 1"""
_TOLD = """
SELECT * FROM (
    SELECT n.name, count(z.address) FILTER (WHERE z.unsigned_at >= $1)::int AS unsigned,
           count(z.address) FILTER (WHERE z.wrong_at >= $1)::int AS wrong,
           CASE WHEN n.rotating_since IS NOT NULL THEN
               (count(z.address) FILTER (WHERE z.current_at IS NOT NULL AND z.next_at IS DISTINCT FROM
                                         greatest(z.next_at, z.current_at)))::int END AS behind
    FROM nas n LEFT JOIN nas_seen z ON z.nas = n.name AND z.last_at >= $2
    WHERE n.retired_at IS NULL GROUP BY n.name) t
WHERE unsigned > 0 OR wrong > 0 OR behind IS NOT NULL ORDER BY name"""


async def access_servers(reader: Reader, now: datetime) -> AccessServers:
    """What is seen now."""
    return AccessServers(
        {row["state"]: row["n"] for row in await reader.fetch(_STATES)},
        tuple(NasFigures(**dict(row)) for row in await reader.fetch(_TOLD, now - _LATELY, now - _REMEMBERED)),
    )
