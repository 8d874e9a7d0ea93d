"""SQL that finds subjects to look at again."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from troth.store.unit import Reader

_OVERDUE = "SELECT subject_id FROM subject_state WHERE next_at < $1 ORDER BY next_at LIMIT 1000"


async def overdue(reader: Reader, before: datetime) -> list[UUID]:
    """Subjects that should have been looked at before ``before``, the latest first."""
    return [row["subject_id"] for row in await reader.fetch(_OVERDUE, before)]
