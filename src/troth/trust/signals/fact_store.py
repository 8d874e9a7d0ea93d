"""SQL of what signals have left open, read for decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.store.unit import Reader
from troth.trust.standing import Standing

# What a person has raised came by no signal: its key says what it is. What is only watched weighs nothing.
_OPEN = """
SELECT subject_id, feed, level, raised_at, CASE kind WHEN '' THEN key ELSE kind END AS kind, severity
FROM hold_cause
WHERE subject_id = ANY($1::uuid[]) AND cleared_at IS NULL AND level <> 'trusted' AND NOT shadow"""
_SCORES = "SELECT subject_id, score FROM subject_state WHERE subject_id = ANY($1::uuid[])"


@dataclass(frozen=True, slots=True)
class OpenCause:
    """One cause that weighs on a subject."""

    subject_id: UUID
    feed: str
    level: Standing
    raised_at: datetime
    kind: str
    severity: int = 100


async def open_causes(reader: Reader, subjects: Sequence[UUID]) -> list[OpenCause]:
    """The open causes of all ``subjects``."""
    rows = await reader.fetch(_OPEN, list(subjects))
    return [
        OpenCause(
            row["subject_id"], row["feed"], Standing(row["level"]), row["raised_at"], row["kind"], row["severity"]
        )
        for row in rows
    ]


async def scores(reader: Reader, subjects: Sequence[UUID]) -> dict[UUID, int]:
    """What their signals came to when they were last weighed, in millionths; it can only have faded since."""
    return {row["subject_id"]: row["score"] for row in await reader.fetch(_SCORES, list(subjects))}
