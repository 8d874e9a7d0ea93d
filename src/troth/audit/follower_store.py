"""SQL of followers of the ledger: from which index each reads on."""

from __future__ import annotations

from typing import Final

from troth.store.statement import Guard, Write
from troth.store.unit import Reader

STILL_AT: Final = Guard(
    "follower_still_at",
    """SELECT i.n FROM unnest($1::int[], $2::text[], $3::bigint[]) AS i(n, name, next)
       JOIN stream_follower f ON f.name = i.name AND f.next = i.next ORDER BY f.name FOR UPDATE OF f""",
    ("text", "bigint"),
)
MOVE: Final = Write(
    "follower_moved",
    """UPDATE stream_follower f SET next = i.next FROM unnest($1::text[], $2::bigint[]) AS i(name, next)
       WHERE f.name = i.name""",
    ("text", "bigint"),
)

_NEXT = "SELECT next FROM stream_follower WHERE name = $1"
_BEGIN = """
INSERT INTO stream_follower (name, next) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET next = stream_follower.next
RETURNING next"""


async def place(reader: Reader, name: str) -> int | None:
    """From where ``name`` reads on; None: it has never followed."""
    found: int | None = await reader.fetchval(_NEXT, name)
    return found


async def begin(reader: Reader, name: str, at: int) -> int:
    """Have ``name`` follow from ``at`` on, unless it does already; from where it reads."""
    return int(await reader.fetchval(_BEGIN, name, at))
