"""SQL of what is told of standings in ``/metrics``: by indexes that hold only what is not as it should be."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from troth.status.standing_metrics import Standings
from troth.store.unit import Reader

_LATE: Final = timedelta(minutes=5)

_SUBJECTS = "SELECT standing, count(*)::int AS n FROM subject WHERE standing <> 'trusted' GROUP BY standing"
_STAGED = "SELECT action, why, count(*)::int AS n FROM staged_action WHERE state = 'pending' GROUP BY action, why"
_EXEMPT = "SELECT count(DISTINCT subject_id)::int FROM exemption WHERE ended_at IS NULL AND ends_at > $1"
_SUSPENDED = "SELECT name, COALESCE(suspended_by = 'system:breaker', false) AS breaker FROM feed WHERE suspended"
_OVERDUE = "SELECT count(*)::int FROM subject_state WHERE next_at < $1"


async def standings(reader: Reader, now: datetime) -> Standings:
    """What is seen now."""
    return Standings(
        subjects={row["standing"]: row["n"] for row in await reader.fetch(_SUBJECTS)},
        staged={(row["action"], row["why"]): row["n"] for row in await reader.fetch(_STAGED)},
        exempt=int(await reader.fetchval(_EXEMPT, now)),
        suspended={row["name"]: row["breaker"] for row in await reader.fetch(_SUSPENDED)},
        overdue=int(await reader.fetchval(_OVERDUE, now - _LATE)),
    )
