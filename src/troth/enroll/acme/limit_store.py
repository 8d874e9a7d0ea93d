"""SQL of limits, and of clients that never succeed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from troth.store.pool import Database
from troth.store.statement import Guard, Write
from troth.store.unit import Reader, Row

# Rows in the order of their keys: two processes that add to the same meters cannot wait for each other in a ring.
_SPEND = """
INSERT INTO acme_meter AS m (key, full_at)
SELECT key, $3::timestamptz + spent FROM unnest($1::text[], $2::interval[]) AS i(key, spent) ORDER BY key
ON CONFLICT (key) DO UPDATE SET full_at = GREATEST(m.full_at, $3) + (excluded.full_at - $3)
RETURNING key, full_at"""
_REFUSED = """
INSERT INTO acme_refusal AS r (name, number)
SELECT name, number FROM unnest($1::text[], $2::bigint[]) AS i(name, number) ORDER BY name
ON CONFLICT (name) DO UPDATE SET number = r.number + excluded.number
RETURNING name"""
_SWEEP = """DELETE FROM acme_meter WHERE key IN (
    SELECT key FROM acme_meter WHERE full_at < $1 ORDER BY full_at LIMIT $2)"""

#: None of an account's names is paused, or has to wait.
NOT_FAILING = Guard(
    "acme_not_failing",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[])
           AS i(n, account_id, type, value, now)
       WHERE NOT EXISTS (SELECT 1 FROM acme_failing f WHERE f.account_id = i.account_id AND f.type = i.type
           AND f.value = i.value AND (f.paused_at IS NOT NULL OR f.retry_at > i.now))""",
    ("uuid", "text", "text", "timestamptz"),
    rank=25,
)
SET_FAILING = Write(
    "acme_set_failing",
    """INSERT INTO acme_failing (account_id, type, value, failures, last_at, retry_at, paused_at)
       SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::timestamptz[], $6::timestamptz[],
           $7::timestamptz[])
       ON CONFLICT (account_id, type, value) DO UPDATE SET failures = excluded.failures, last_at = excluded.last_at,
           retry_at = excluded.retry_at, paused_at = COALESCE(acme_failing.paused_at, excluded.paused_at)""",
    ("uuid", "text", "text", "int", "timestamptz", "timestamptz", "timestamptz"),
    rank=54,
)
SUCCEEDED = Write(
    "acme_succeeded",
    """DELETE FROM acme_failing f USING unnest($1::uuid[], $2::text[], $3::text[]) AS i(account_id, type, value)
       WHERE f.account_id = i.account_id AND f.type = i.type AND f.value = i.value""",
    ("uuid", "text", "text"),
    rank=54,
)
#: What an account has paused; only what was paused by then, for a link must not undo what came after it.
UNPAUSE = Write(
    "acme_unpause",
    """DELETE FROM acme_failing f USING unnest($1::uuid[], $2::timestamptz[]) AS i(account_id, until)
       WHERE f.account_id = i.account_id AND f.paused_at <= i.until""",
    ("uuid", "timestamptz"),
    rank=54,
)

_COLUMNS = "account_id, type, value, failures, last_at, retry_at, paused_at"
_OF_NAMES = f"""SELECT {_COLUMNS} FROM acme_failing WHERE account_id = $1 AND value = ANY($2::text[])
    AND (paused_at IS NOT NULL OR retry_at > $3) ORDER BY type, value"""
_PAUSED_OF = f"""SELECT {_COLUMNS} FROM acme_failing WHERE account_id = $1 AND paused_at <= $2
    ORDER BY type, value LIMIT $3"""
_PAUSED = f"""SELECT {_COLUMNS} FROM acme_failing WHERE paused_at IS NOT NULL
    AND ($1::timestamptz IS NULL OR (paused_at, account_id, value) < ($1, $2, $3))
    ORDER BY paused_at DESC, account_id DESC, value DESC LIMIT $4"""
_FAILURES = "SELECT failures FROM acme_failing WHERE account_id = $1 AND type = $2 AND value = $3 FOR UPDATE"
_COUNT = "SELECT count(*) FROM acme_failing WHERE paused_at IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Failing:
    """What an account has not managed to prove, so often in a row."""

    account_id: UUID
    type: str
    value: str
    failures: int
    last_at: datetime
    retry_at: datetime
    paused_at: datetime | None


async def failures_of(reader: Reader, account: UUID, kind: str, value: str) -> int:
    """Failures in a row until now; the row is locked."""
    found = await reader.fetchval(_FAILURES, account, kind, value)
    return int(found or 0)


class LimitStore:
    """Reads, and the meters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def spend(self, spent: Mapping[str, timedelta], now: datetime) -> dict[str, datetime]:
        """Add to meters; when each is full again, with what every process has spent."""
        keys = sorted(spent)
        rows = await self._database.fetch(_SPEND, keys, [spent[key] for key in keys], now)
        return {row["key"]: row["full_at"] for row in rows}

    async def refused(self, counts: Mapping[str, int]) -> None:
        """Add to the counters of refusals."""
        names = sorted(counts)
        await self._database.fetch(_REFUSED, names, [counts[name] for name in names])

    async def sweep(self, now: datetime, most: int = 10_000) -> None:
        """Forget meters that are full."""
        await self._database.fetchval(_SWEEP, now, most)

    async def failing(self, account: UUID, values: Sequence[str], now: datetime) -> list[Failing]:
        """Names among ``values`` that are paused or have to wait."""
        return [_failing(row) for row in await self._database.fetch(_OF_NAMES, account, list(values), now)]

    async def paused_of(self, account: UUID, until: datetime, limit: int) -> list[Failing]:
        """An account's names that were paused by ``until``."""
        return [_failing(row) for row in await self._database.fetch(_PAUSED_OF, account, until, limit)]

    async def paused(self, after: tuple[datetime, UUID, str] | None, limit: int) -> list[Failing]:
        """All that is paused, the latest first."""
        where = after or (None, None, None)
        return [_failing(row) for row in await self._database.fetch(_PAUSED, *where, limit)]

    async def paused_count(self) -> int:
        """How many names are paused."""
        return int(await self._database.fetchval(_COUNT))


def _failing(row: Row) -> Failing:
    return Failing(**dict(row))
