"""Marks: when a duty last did what somebody would miss. Whoever does it marks it; who watches tells its age."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from troth.store.statement import Write
from troth.store.unit import Reader

#: (name, at). The latest counts, whoever was later to say so.
MARK = Write(
    "duty_mark",
    """INSERT INTO duty_mark (name, at)
       SELECT name, max(at) FROM unnest($1::text[], $2::timestamptz[]) AS i(name, at) GROUP BY name ORDER BY name
       ON CONFLICT (name) DO UPDATE SET at = greatest(duty_mark.at, excluded.at)""",
    ("text", "timestamptz"),
    rank=90,
)
#: (name): nobody has this duty any more.
UNMARK = Write(
    "duty_unmark",
    "DELETE FROM duty_mark m USING unnest($1::text[]) AS i(name) WHERE m.name = i.name",
    ("text",),
    rank=91,
)

_MARKS = "SELECT name, at FROM duty_mark"


async def read_marks(reader: Reader) -> Mapping[str, datetime]:
    """Every mark."""
    return {row["name"]: row["at"] for row in await reader.fetch(_MARKS)}
