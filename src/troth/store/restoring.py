"""A database that a restore is filling: whose it is, and how it becomes empty again when that was cut short.

The mark is a table of its own that no archive and no migration knows. It names the staging directory of the restore;
whoever finds that directory and can lock it knows that the restore is dead, and may empty the database and begin anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from troth.store.errors import UNAVAILABLE, Unavailable

_MARK = "CREATE TABLE IF NOT EXISTS restore_mark (staging text NOT NULL)"
_MARKED = "SELECT to_regclass('restore_mark') IS NOT NULL"
_TABLES = """SELECT quote_ident(c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND c.relname <> 'restore_mark'"""
_ERRORS = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError)


async def mark(url: str, staging: str) -> None:
    """Say that the restore with the directory ``staging`` fills the database. Raises Unavailable."""
    async with _transaction(url) as connection:
        await connection.execute(_MARK)
        await connection.execute("DELETE FROM restore_mark")
        await connection.execute("INSERT INTO restore_mark (staging) VALUES ($1)", staging)


async def marked(url: str) -> str | None:
    """Whose restore fills the database, or None. Raises Unavailable."""
    async with _transaction(url) as connection:
        if not await connection.fetchval(_MARKED):
            return None
        found: str | None = await connection.fetchval("SELECT staging FROM restore_mark")
        return found


async def wipe(url: str) -> None:
    """Drop every table but the mark, all at once. Raises Unavailable."""
    async with _transaction(url) as connection:
        names = [row["name"] for row in await connection.fetch(_TABLES)]
        if names:
            await connection.execute(f"DROP TABLE {', '.join(names)} CASCADE")


async def unmark(url: str) -> None:
    """Take the mark away: the restore is over, or never was. Raises Unavailable."""
    async with _transaction(url) as connection:
        await connection.execute("DROP TABLE IF EXISTS restore_mark")


@contextlib.asynccontextmanager
async def _transaction(url: str) -> AsyncIterator[Any]:
    try:
        connection = await asyncpg.connect(url, server_settings={"application_name": "troth-restore"})
        try:
            async with connection.transaction():
                yield connection
        finally:
            await connection.close(timeout=5)
    except (*_ERRORS, ValueError) as error:
        raise Unavailable(UNAVAILABLE, str(error)) from error
