"""SQL that reads subjects, page by page, with all that they are assessed by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from troth.store.unit import Reader
from troth.trust.feeds.model import Feed
from troth.trust.model import Subject
from troth.trust.signals import signal_store
from troth.trust.signals.causes import HoldCause
from troth.trust.standings.ground_store import GROUND_COLUMNS, Ground, ground_of

_PAGE = f"""
SELECT {", ".join(f"s.{name}" for name in signal_store.SUBJECT_COLUMNS)}, {GROUND_COLUMNS.replace("$at", "$2")},
       (SELECT t.next_at FROM subject_state t WHERE t.subject_id = s.id) AS next_at
FROM subject s
WHERE s.id > $1 AND (s.standing <> 'trusted' OR EXISTS (
    SELECT FROM hold_cause c WHERE c.subject_id = s.id AND c.cleared_at IS NULL))
ORDER BY s.id LIMIT $3"""
_CAUSES = f"""SELECT subject_id, {", ".join(signal_store.CAUSE_COLUMNS)} FROM hold_cause
WHERE subject_id = ANY($1::uuid[]) AND cleared_at IS NULL"""
_SITE = "SELECT attributes ->> 'site' FROM subject WHERE id = $1"
_PROGRESS = "SELECT payload FROM job WHERE kind = $1 ORDER BY due LIMIT 1"


@dataclass(frozen=True, slots=True)
class Standing:
    """A subject with what it is assessed by. ``next_at``: when it was thought to change by itself."""

    subject: Subject
    ground: Ground
    causes: list[HoldCause]
    next_at: datetime | None

    def in_force(self, cause: HoldCause, feeds: Mapping[str, Feed]) -> HoldCause:
        """``cause`` as it would be if it were said now: what was only watched may have come into force."""
        feed = feeds.get(cause.feed)
        if not cause.shadow or feed is None or feed.suspended or not feed.enforces(cause.kind, self.subject.id):
            return cause
        return replace(cause, shadow=False)

    def watched(self, feeds: Mapping[str, Feed]) -> bool:
        """Whether something that was only watched comes into force."""
        return any(cause is not self.in_force(cause, feeds) for cause in self.causes)


async def page(reader: Reader, after: UUID, at: datetime, limit: int) -> list[Standing]:
    """Those who have open causes or do not stand trusted, by id, from after ``after``."""
    rows = await reader.fetch(_PAGE, after, at, limit)
    causes: dict[UUID, list[HoldCause]] = {row["id"]: [] for row in rows}
    for row in await reader.fetch(_CAUSES, list(causes)):
        values = dict(row)
        causes[values.pop("subject_id")].append(signal_store.cause_of(values))
    return [Standing(signal_store.subject_of(row), ground_of(row), causes[row["id"]], row["next_at"]) for row in rows]


async def site(reader: Reader, subject_id: UUID) -> str | None:
    """Where the subject is, if the directory says so."""
    found: str | None = await reader.fetchval(_SITE, subject_id)
    return found


async def progress(reader: Reader, kind: str) -> Mapping[str, Any] | None:
    """What the job of that kind has done so far."""
    found = await reader.fetchval(_PROGRESS, kind)
    return None if found is None else dict(msgspec.json.decode(found))
