"""Whole tables out of one consistent view, and back in: for backups.

``COPY`` rather than pg_dump: any server from 15 on speaks it, there is no second program whose version must fit, and
what is read is exactly one snapshot that others' commits do not disturb.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg

from troth.store.errors import UNAVAILABLE, Unavailable

_TABLES = """
SELECT c.relname AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND c.relname <> 'restore_mark' AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
GROUP BY c.relname ORDER BY c.relname"""
_SCHEMA = "SELECT number, sha256 FROM schema_migration ORDER BY number"
_ERRORS = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError)

Sink = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Table:
    """A table and its columns in order."""

    name: str
    columns: tuple[str, ...]


class Snapshot:
    """Reads within one repeatable-read transaction; a :class:`troth.store.unit.Reader` as well."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """All rows."""
        rows: list[Any] = await self._connection.fetch(sql, *values)
        return rows

    async def fetchrow(self, sql: str, *values: Any) -> Any:
        """The first row, or None."""
        return await self._connection.fetchrow(sql, *values)

    async def fetchval(self, sql: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        return await self._connection.fetchval(sql, *values)

    async def tables(self) -> list[Table]:
        """Every table of the schema; partitions count as their parent."""
        return [Table(row["name"], tuple(row["columns"])) for row in await self.fetch(_TABLES)]

    async def schema(self) -> dict[int, str]:
        """Number → checksum of every migration that was applied."""
        return {row["number"]: row["sha256"] for row in await self.fetch(_SCHEMA)}

    async def copy_out(self, table: Table, sink: Sink) -> int:
        """Hand every row of ``table`` to ``sink`` in COPY's text format; returns the number of rows."""
        columns = ", ".join(f'"{column}"' for column in table.columns)
        said = await self._connection.copy_from_query(
            f'SELECT {columns} FROM "{table.name}"', output=sink, format="text", timeout=None
        )
        return int(said.rpartition(" ")[2])


class Loader(Snapshot):
    """Writes within one transaction of a database that nobody else uses yet."""

    async def execute(self, sql: str, *values: Any) -> None:
        """Run one statement."""
        await self._connection.execute(sql, *values)

    async def empty(self, table: Table) -> None:
        """Remove all rows, those that migrations put there among them."""
        await self._connection.execute(f'DELETE FROM "{table.name}"')

    async def copy_in(self, table: Table, source: AsyncIterator[bytes]) -> int:
        """Put rows in COPY's text format into ``table``; returns their number."""
        said = await self._connection.copy_to_table(
            table.name, source=source, columns=list(table.columns), format="text", timeout=None
        )
        return int(said.rpartition(" ")[2])


@contextlib.asynccontextmanager
async def snapshot(url: str) -> AsyncIterator[Snapshot]:
    """One consistent view of the database at ``url``. Raises Unavailable."""
    async with _connected(url) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        yield Snapshot(connection)


@contextlib.asynccontextmanager
async def loading(url: str) -> AsyncIterator[Loader]:
    """One transaction that loads the database at ``url``; an error leaves nothing behind. Raises Unavailable."""
    async with _connected(url) as connection, connection.transaction():
        yield Loader(connection)


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Any]:
    try:
        connection = await asyncpg.connect(url, server_settings={"application_name": "troth-backup"})
    except (*_ERRORS, ValueError) as error:
        raise Unavailable(UNAVAILABLE, f"cannot connect: {error}") from error
    try:
        yield connection
    except (asyncpg.InterfaceError, asyncpg.PostgresError) as error:
        raise Unavailable(UNAVAILABLE, str(error)) from error
    finally:
        with contextlib.suppress(*_ERRORS):
            await connection.close(timeout=5)
