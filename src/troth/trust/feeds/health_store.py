"""SQL of when feeds were heard, and of their silences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from troth.store.ahead import company_of, kept
from troth.store.statement import Guard, Write
from troth.store.unit import Apart, Reader, Row, Unit

# The word that ends a silence writes down how long it was: no watch need have seen it. Twice the cadence: STALE_AFTER.
_HEARD = Write(
    "feed_heard",
    """WITH i AS (SELECT feed, max(at) AS at FROM unnest($1::text[], $2::timestamptz[]) AS t(feed, at) GROUP BY feed),
       was AS (SELECT f.name AS feed, COALESCE(h.heard_at, f.applied_at)
                      + 2 * f.cadence_seconds * interval '1 second' AS since, i.at
               FROM i JOIN feed f ON f.name = i.feed LEFT JOIN feed_health h ON h.feed = f.name
               WHERE f.cadence_seconds IS NOT NULL),
       over AS (INSERT INTO feed_silence (feed, since, until) SELECT feed, since, at FROM was WHERE at > since
                ORDER BY feed ON CONFLICT DO NOTHING)
       INSERT INTO feed_health (feed, heard_at) SELECT feed, at FROM i ORDER BY feed
       ON CONFLICT (feed) DO UPDATE SET heard_at = greatest(feed_health.heard_at, excluded.heard_at)""",
    ("text", "timestamptz"),
    rank=70,
)
_SAID_STILL = Guard(
    "feed_health_unchanged",
    """SELECT i.n FROM unnest($1::int[], $2::text[], $3::text[]) AS i(n, feed, said)
       JOIN feed f ON f.name = i.feed LEFT JOIN feed_health h ON h.feed = f.name
       WHERE COALESCE(h.state, 'fresh') = i.said ORDER BY f.name FOR UPDATE OF f""",
    ("text", "text"),
    rank=10,
)
_SAY = Write(
    "feed_health_say",
    """INSERT INTO feed_health (feed, heard_at, state, since)
       SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::timestamptz[])
           AS i(feed, heard_at, state, since) ORDER BY feed
       ON CONFLICT (feed) DO UPDATE SET state = excluded.state, since = excluded.since""",
    ("text", "timestamptz", "text", "timestamptz"),
    rank=71,
)

_FEEDS = """
SELECT f.name AS feed, f.cadence_seconds, COALESCE(h.heard_at, f.applied_at) AS heard_at,
       h.heard_at IS NOT NULL AS spoke, COALESCE(h.state, 'fresh') AS said
FROM feed f LEFT JOIN feed_health h ON h.feed = f.name ORDER BY f.name"""
_SILENCES = """
SELECT feed, since, until FROM feed_silence WHERE feed = ANY($1::text[]) AND until > $2 AND since < $3
UNION ALL
SELECT f.name, COALESCE(h.heard_at, f.applied_at) + 2 * f.cadence_seconds * interval '1 second', NULL
FROM feed f LEFT JOIN feed_health h ON h.feed = f.name
WHERE f.name = ANY($1::text[]) AND f.cadence_seconds IS NOT NULL
AND COALESCE(h.heard_at, f.applied_at) + 2 * f.cadence_seconds * interval '1 second' <= $3
ORDER BY 1, 2"""

_KEPT: Final = "silences"
_FURTHER_BACK: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Heard:
    """When a feed was last heard from.

    Attributes:
        cadence: how often it should be; None: it is not watched.
        heard_at: or when it was made, for one that never spoke (``spoke``).
        said: the health that was last said aloud.
    """

    feed: str
    cadence: timedelta | None
    heard_at: datetime
    spoke: bool
    said: str


@dataclass(frozen=True, slots=True)
class Silence:
    """From when to when a feed was stale. ``until`` None: it still is."""

    feed: str
    since: datetime
    until: datetime | None


def add_heard(unit: Unit, feed: str, at: datetime) -> Unit:
    """Add the write that the feed was heard from."""
    return unit.write(_HEARD, feed, at)


def say(unit: Unit, heard: Heard, state: str, since: datetime, *, refuse: Exception) -> None:
    """Add the write that ``state`` was said aloud, unless somebody has said something since."""
    unit.guard(_SAID_STILL, heard.feed, heard.said, refuse=refuse, key=("feed", heard.feed))
    unit.write(_SAY, heard.feed, heard.heard_at, state, since)


async def heard(reader: Reader) -> list[Heard]:
    """Every feed, by name."""
    return [_heard(row) for row in await reader.fetch(_FEEDS)]


async def silences(
    reader: Reader, feeds: Sequence[str], *, since: datetime, now: datetime
) -> Mapping[str, Sequence[Silence]]:
    """Silences of ``feeds`` that were not over at ``since``, in order, the present one last.

    Raises Apart where signals are taken together and a feed is silent still: the first of them ends that, and the
    others have to see it.
    """
    if company_of(reader) > 1:
        return await kept(reader, _KEPT, _Silences).of(reader, feeds, since, now)
    return _by_feed([_silence(row) for row in await reader.fetch(_SILENCES, list(feeds), since, now)])


class _Silences:
    """Silences read once for all that are run together: of more feeds and a longer time than one of them asks for."""

    def __init__(self) -> None:
        self._feeds: frozenset[str] = frozenset()
        self._since: datetime | None = None
        self._found: list[Silence] = []

    async def of(
        self, reader: Reader, feeds: Sequence[str], since: datetime, now: datetime
    ) -> Mapping[str, Sequence[Silence]]:
        if self._since is None or since < self._since or not self._feeds.issuperset(feeds):
            self._feeds |= frozenset(feeds)
            self._since = min(since, self._since or since) - _FURTHER_BACK
            rows = await reader.fetch(_SILENCES, sorted(self._feeds), self._since, now + _FURTHER_BACK)
            self._found = [_silence(row) for row in rows]
        wanted = [one for one in self._found if one.feed in feeds and one.since <= now]
        if any(one.until is None for one in wanted):
            raise Apart
        return _by_feed([one for one in wanted if one.until is not None and one.until > since and one.since < now])


def _silence(row: Row) -> Silence:
    return Silence(row["feed"], row["since"], row["until"])


def _by_feed(found: Sequence[Silence]) -> Mapping[str, Sequence[Silence]]:
    silent: dict[str, list[Silence]] = {}
    for one in found:
        silent.setdefault(one.feed, []).append(one)
    return silent


def _heard(row: Row) -> Heard:
    seconds = row["cadence_seconds"]
    cadence = None if seconds is None else timedelta(seconds=seconds)
    return Heard(row["feed"], cadence, row["heard_at"], row["spoke"], row["said"])
