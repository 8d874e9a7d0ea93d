"""SQL of what signals have left open, read for decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.store.unit import Reader
from troth.trust.standing import Standing

# What a person has raised came by no signal: its key says what it is.
_OPEN = """
SELECT c.subject_id, c.feed, c.level, c.raised_at, COALESCE(s.kind, c.key) AS kind
FROM hold_cause c LEFT JOIN signal s ON s.id = c.signal_id
WHERE c.subject_id = ANY($1::uuid[]) AND c.cleared_at IS NULL AND c.level <> 'trusted'"""


@dataclass(frozen=True, slots=True)
class OpenCause:
    """One cause that weighs on a subject."""

    subject_id: UUID
    feed: str
    level: Standing
    raised_at: datetime
    kind: str


async def open_causes(reader: Reader, subjects: Sequence[UUID]) -> list[OpenCause]:
    """The open causes of all ``subjects``."""
    rows = await reader.fetch(_OPEN, list(subjects))
    return [
        OpenCause(row["subject_id"], row["feed"], Standing(row["level"]), row["raised_at"], row["kind"]) for row in rows
    ]
