"""SQL of the inbox: what was heard, from its commit until it is folded; and of counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from troth.store.statement import Write
from troth.store.unit import Reader, Unit

#: (id, body, at).
HEARD: Final = Write(
    "radius_heard",
    """INSERT INTO radius_inbox (id, body, at)
       SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::timestamptz[]) ON CONFLICT (id) DO NOTHING""",
    ("uuid", "bytea", "timestamptz"),
    rank=60,
)
_FOLDED = Write(
    "radius_folded",
    "DELETE FROM radius_inbox b USING unnest($1::uuid[]) AS i(id) WHERE b.id = i.id",
    ("uuid",),
    rank=60,
)
_COUNT = Write(
    "radius_session_counted",
    """INSERT INTO radius_session_count (name, number)
       SELECT name, sum(number) FROM unnest($1::text[], $2::bigint[]) AS i(name, number) GROUP BY name ORDER BY name
       ON CONFLICT (name) DO UPDATE SET number = radius_session_count.number + excluded.number""",
    ("text", "bigint"),
    rank=90,
)

_TAKE = "SELECT id, body FROM radius_inbox ORDER BY id LIMIT $1"
_WAITING = "SELECT count(*) AS n, min(at) AS oldest FROM (SELECT at FROM radius_inbox ORDER BY id LIMIT 100000) AS w"
_COUNTS = "SELECT name, number FROM radius_session_count"


def folded(unit: Unit, ids: Sequence[UUID]) -> None:
    """Add that these rows have become part of the sessions."""
    unit.write_all(_FOLDED, [(one,) for one in ids])


def count(unit: Unit, numbers: Mapping[str, int]) -> None:
    """Add to counters."""
    unit.write_all(_COUNT, [(name, number) for name, number in numbers.items() if number])


async def take(reader: Reader, limit: int) -> list[tuple[UUID, bytes]]:
    """The oldest rows, up to ``limit``; they stay until they are folded."""
    return [(row["id"], bytes(row["body"])) for row in await reader.fetch(_TAKE, limit)]


async def waiting(reader: Reader) -> tuple[int, datetime | None]:
    """How many wait (100,000 at most are counted), and since when."""
    row = await reader.fetchrow(_WAITING)
    return (0, None) if row is None else (row["n"], row["oldest"])


async def counts(reader: Reader) -> dict[str, Any]:
    """Every counter."""
    return {row["name"]: row["number"] for row in await reader.fetch(_COUNTS)}
