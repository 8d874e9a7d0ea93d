"""SQL between effects and the orders that they have brought about."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from troth.store.unit import Reader

_HURRY_ENDED: Final = """
UPDATE effect e SET due = $1
WHERE e.target = 'radius' AND e.state = 'waiting' AND e.lease_until IS NULL AND e.due > $1
AND EXISTS (SELECT FROM radius_order o WHERE o.origin = 'effect:' || e.id)
AND NOT EXISTS (SELECT FROM radius_order o WHERE o.origin = 'effect:' || e.id AND o.state IN ('waiting', 'staged'))"""


async def hurry_ended(reader: Reader, now: datetime) -> None:
    """Have effects looked at now whose orders have all ended."""
    await reader.fetch(_HURRY_ENDED, now)
