"""SQL of standing documents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from troth.store.statement import Claim
from troth.store.unit import Reader

#: The next version, which only one may make.
ADD_RULES = Claim(
    "standing_version_add",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::int[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
                  AS t(n, version, sha256, source, at, actor)),
       w AS (INSERT INTO standing_version (version, sha256, source, applied_at, actor)
             SELECT version, sha256, source, at, actor FROM i ORDER BY version ON CONFLICT DO NOTHING RETURNING version)
       SELECT i.n FROM i JOIN w USING (version)""",
    ("int", "text", "text", "timestamptz", "text"),
    rank=40,
)

_VERSION = "SELECT version, sha256, source, applied_at, actor FROM standing_version"
_ONE = f"{_VERSION} WHERE $1::int IS NULL OR version = $1 ORDER BY version DESC LIMIT 1"
_HISTORY = f"{_VERSION} ORDER BY version DESC LIMIT $1"
#: For statements that read it beside something else.
NEWEST_SQL = "(SELECT COALESCE(max(version), 0) FROM standing_version)"


@dataclass(frozen=True, slots=True)
class RulesVersion:
    """One version of the standing document, as it was applied."""

    version: int
    sha256: str
    source: str
    applied_at: datetime
    actor: str


async def rules_version(reader: Reader, version: int | None = None) -> RulesVersion | None:
    """One version, by default the newest."""
    row = await reader.fetchrow(_ONE, version)
    return None if row is None else RulesVersion(**dict(row))


async def rules_history(reader: Reader, limit: int = 50) -> list[RulesVersion]:
    """Versions, the newest first."""
    return [RulesVersion(**dict(row)) for row in await reader.fetch(_HISTORY, limit)]
