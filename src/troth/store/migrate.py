"""Migrations: numbered ``.sql`` files, applied in order and all together, never changed once released.

A row per file holds its checksum. Two processes that start together are kept apart by a lock on the table that
holds those rows; the second finds nothing left to do.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

import asyncpg

from troth.store.errors import MIGRATION_CHANGED, SCHEMA_NEWER, UNAVAILABLE, StoreError, Unavailable

_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql\Z")

_CREATE = """
CREATE TABLE IF NOT EXISTS schema_migration (
    number int PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Checksum of the text, hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All migrations this program ships, in order. Raises ValueError for a doubled number or a misnamed file."""
    found: dict[int, Migration] = {}
    for item in resources.files("troth.store").joinpath("migrations").iterdir():
        if not item.name.endswith(".sql"):
            continue
        match = _NAME.match(item.name)
        if match is None:
            raise ValueError(f"migration {item.name} is not named NNNN_name.sql")
        number = int(match[1])
        if number in found:
            raise ValueError(f"migration number {number} is used twice")
        found[number] = Migration(number, match[2], item.read_text(encoding="utf-8"))
    return [found[number] for number in sorted(found)]


async def migrate(url: str, *, through: int | None = None) -> list[Migration]:
    """Bring the database at ``url`` up to this program's schema; returns the migrations applied now.

    ``through`` stops after that number: a restore fills the schema that its backup was made from, then goes on.

    Raises Unavailable when the database cannot be reached, StoreError when an applied file has changed or the schema
    is newer than this program.
    """
    try:
        connection = await asyncpg.connect(url)
    except (OSError, TimeoutError, ValueError, asyncpg.InterfaceError, asyncpg.PostgresError) as error:
        raise Unavailable(UNAVAILABLE, f"cannot connect: {error}") from error
    try:
        await connection.execute(_CREATE)
        applied: list[Migration] = []
        async with connection.transaction():
            await connection.execute("LOCK TABLE schema_migration IN EXCLUSIVE MODE")
            rows = await connection.fetch("SELECT number, sha256 FROM schema_migration")
            known = {row["number"]: row["sha256"] for row in rows}
            shipped = migrations()
            if known and max(known) > max((m.number for m in shipped), default=0):
                raise StoreError(SCHEMA_NEWER, f"the database is at migration {max(known)}")
            for migration in shipped:
                if through is not None and migration.number > through:
                    break
                if migration.number in known:
                    if known[migration.number] != migration.sha256:
                        raise StoreError(MIGRATION_CHANGED, f"{migration.number:04}_{migration.name}.sql")
                    continue
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO schema_migration (number, name, sha256) VALUES ($1, $2, $3)",
                    migration.number,
                    migration.name,
                    migration.sha256,
                )
                applied.append(migration)
        return applied
    finally:
        await connection.close()
