"""What can go wrong between Troth and its database."""

from __future__ import annotations

import asyncpg

from troth.kit.errors import TrothError, reason

UNAVAILABLE = reason(
    "store.unavailable",
    "the database does not answer",
    fix="Check that PostgreSQL runs and that database.url is right; Troth reconnects by itself.",
    status=503,
)
COMMIT_UNKNOWN = reason(
    "store.commit_unknown",
    "the connection broke while a commit was under way, so its outcome is unknown",
    fix="Repeat the request: every request that changes something may be repeated safely.",
    status=503,
)
GUARD_FAILED = reason(
    "store.guard_failed",
    "the state this change was based on is no longer the present one",
    fix="Read the object again and repeat the request.",
    status=409,
)
TOO_OLD = reason(
    "store.postgres_too_old",
    "this PostgreSQL is older than version 15",
    fix="Point database.url at PostgreSQL 15 or newer.",
    status=500,
)
MIGRATION_CHANGED = reason(
    "store.migration_changed",
    "a migration that was applied before has different text now",
    fix="Restore the released migration files; schema changes are made by new files only.",
    status=500,
)
SCHEMA_NEWER = reason(
    "store.schema_newer",
    "the database was migrated by a newer Troth than this one",
    fix="Run the newer Troth, or restore the backup taken before the upgrade.",
    status=500,
)
LEASE_LOST = reason(
    "store.lease_lost",
    "another process has taken over this duty",
    fix="Nothing to do: the duty goes on elsewhere.",
    status=503,
)


class StoreError(TrothError):
    """A failure of the store itself."""


class Unavailable(StoreError):
    """The database cannot be reached; nothing was written."""


class CommitUnknown(StoreError):
    """The outcome of a commit is unknown; the caller's request must be safe to repeat."""


class LeaseLost(StoreError):
    """A fenced write found another epoch in force; nothing was written."""


def unfit(error: BaseException) -> bool:
    """Whether PostgreSQL has no place for a value that it was given: a NUL in a text, a number outside its type."""
    return isinstance(error, asyncpg.DataError)
