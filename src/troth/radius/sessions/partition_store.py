"""SQL of the months that sessions are kept in: made ahead of time, dropped as a whole when they are old enough."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from troth.kit.log import get_logger
from troth.store.pool import Database
from troth.store.snapshot import Loader

log = get_logger("radius")

_MONTHS = """
SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'radius_session'::regclass ORDER BY c.relname"""
_OLD_BOOTS = "DELETE FROM radius_boot WHERE at < $1"
_ENDED = """
DELETE FROM radius_session s WHERE (s.id, s.opened_at) IN (
    SELECT id, opened_at FROM radius_session WHERE opened_at < $1 AND ended_at < $1 LIMIT $2)"""
#: The table that has them.
SESSIONS: Final = "radius_session"
_RESTORED: Final = "radius_session_restored"
_RESTORED_MONTHS = f"SELECT DISTINCT date_trunc('month', opened_at AT TIME ZONE 'UTC') AS month FROM {_RESTORED}"
#: Days before a month's end on which the next one is made.
_AHEAD: Final = timedelta(days=10)


def month_of(at: datetime) -> datetime:
    """The beginning of its month, in UTC."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(month: datetime) -> datetime:
    """The beginning of the month after it."""
    return month_of(month + timedelta(days=32))


def name_of(month: datetime) -> str:
    """The partition's name."""
    return f"radius_session_{month:%Y%m}"


async def begin_restore(loader: Loader) -> None:
    """Let sessions of any month be put down: an archive has the rows of a table, and not its partitions."""
    await loader.execute(f"CREATE TABLE {_RESTORED} PARTITION OF radius_session DEFAULT")


async def end_restore(loader: Loader) -> None:
    """Give those that were put down the months that they belong to: with others in the way none could be made later."""
    months = await loader.fetch(_RESTORED_MONTHS)
    await loader.execute(f"ALTER TABLE radius_session DETACH PARTITION {_RESTORED}")
    for row in months:
        await loader.execute(_made(row["month"].replace(tzinfo=UTC)))
    await loader.execute(f"INSERT INTO radius_session SELECT * FROM {_RESTORED}")
    await loader.execute(f"DROP TABLE {_RESTORED}")


def _made(month: datetime) -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {name_of(month)} PARTITION OF radius_session "
        f"FOR VALUES FROM ('{month.isoformat()}') TO ('{next_month(month).isoformat()}')"
    )


class Partitions:
    """The months of one database, as far as this process has made sure of them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sure: set[datetime] = set()

    async def ensure(self, now: datetime, *opened_at: datetime) -> None:
        """Have the months that sessions opened then, now and soon belong to. Raises StoreError."""
        for at in (*opened_at, now, now + _AHEAD):
            month = month_of(at)
            if month not in self._sure:
                await self._database.fetch(_made(month))
                self._sure.add(month)

    async def prune(self, before: datetime, *, limit: int = 20_000) -> None:
        """Forget sessions that ended, and boots, before ``before``: whole months where nothing else is in them."""
        for row in await self._database.fetch(_MONTHS):
            month = datetime.strptime(row["name"].rpartition("_")[2], "%Y%m").replace(tzinfo=UTC)
            if next_month(month) >= before:
                break
            name = name_of(month)
            kept = await self._database.fetchval(
                f"SELECT 1 FROM {name} WHERE ended_at IS NULL OR ended_at >= $1 LIMIT 1",
                before,
            )
            if kept is None:
                await self._database.fetch(f"DROP TABLE {name}")
                self._sure.discard(month)
                log.info("sessions.month_dropped", month=f"{month:%Y-%m}")
        await self._database.fetch(_ENDED, before, limit)
        await self._database.fetch(_OLD_BOOTS, before)
