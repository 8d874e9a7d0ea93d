"""SQL of what people were called for about feeds, beside what is so now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Unit

# Only what differs: at rest it is empty.
_NEWS = """
WITH present AS (
    SELECT name AS feed, 'suspended' AS what, '' AS cap, suspended_at AS since, suspended_why AS why,
           suspended_by AS by, 0 AS waiting
    FROM feed WHERE suspended
    UNION ALL
    SELECT feed, 'capped', detail, min(staged_at), '', NULL, count(*)::int
    FROM staged_action WHERE state = 'pending' AND why = 'cap' GROUP BY feed, detail)
SELECT feed, what, cap, COALESCE(a.since, p.since) AS since, COALESCE(p.why, '') AS why, p.by,
       COALESCE(p.waiting, 0) AS waiting, a.feed IS NOT NULL AS told
FROM present p FULL JOIN feed_alarm a USING (feed, what, cap)
WHERE (a.feed IS NULL) <> (p.feed IS NULL) ORDER BY feed, what, cap"""

_BEGIN = Claim(
    "feed_alarm_begin",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
                  AS t(n, feed, what, cap, since)),
       w AS (INSERT INTO feed_alarm (feed, what, cap, since) SELECT feed, what, cap, since FROM i
             ORDER BY feed, what, cap ON CONFLICT DO NOTHING RETURNING feed, what, cap)
       SELECT i.n FROM i JOIN w USING (feed, what, cap)""",
    ("text", "text", "text", "timestamptz"),
    rank=44,
)
_TOLD = Guard(
    "feed_alarm_told",
    """SELECT i.n FROM unnest($1::int[], $2::text[], $3::text[], $4::text[]) AS i(n, feed, what, cap)
       JOIN feed_alarm a ON (a.feed, a.what, a.cap) = (i.feed, i.what, i.cap)
       ORDER BY a.feed, a.what, a.cap FOR UPDATE OF a""",
    ("text", "text", "text"),
    rank=32,
)
_END = Write(
    "feed_alarm_end",
    """DELETE FROM feed_alarm a USING unnest($1::text[], $2::text[], $3::text[]) AS i(feed, what, cap)
       WHERE (a.feed, a.what, a.cap) = (i.feed, i.what, i.cap)""",
    ("text", "text", "text"),
)


@dataclass(frozen=True, slots=True)
class News:
    """Something about a feed of which nobody was told, or which was told and is over.

    Attributes:
        what: ``suspended``, or ``capped``: actions wait because a cap left no room.
        cap: which, in words.
        since: when it began; None where nobody wrote it down.
        why, by: of a suspension, while it lasts.
        waiting: actions that wait.
        told: it was told, so that this is its end.
    """

    feed: str
    what: str
    cap: str
    since: datetime | None
    why: str
    by: str | None
    waiting: int
    told: bool


async def news(reader: Reader) -> list[News]:
    """What has begun or ended since people were told last."""
    return [News(**dict(row)) for row in await reader.fetch(_NEWS)]


def begin(unit: Unit, one: News, since: datetime, *, refuse: Exception) -> None:
    """Add the claim that it is told by this unit alone."""
    unit.claim(_BEGIN, one.feed, one.what, one.cap, since, refuse=refuse)


def end(unit: Unit, one: News, *, refuse: Exception) -> None:
    """Add the write that it is over, unless somebody else has said so."""
    where = one.feed, one.what, one.cap
    unit.guard(_TOLD, *where, refuse=refuse, key=("feed_alarm", "\n".join(where)))
    unit.write(_END, *where)
