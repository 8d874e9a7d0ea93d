"""Which of asyncpg's errors mean what, and how long to wait before another try."""

from __future__ import annotations

import random

import asyncpg

#: The server is not there, or cannot serve: nothing is wrong with the statement.
CONNECT_ERRORS = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # the server is shutting down, starting up, or has ended our connection
    asyncpg.InsufficientResourcesError,  # no room on its disk, no memory, no connection left
    asyncpg.PostgresSystemError,  # its disk fails
)
#: Another transaction was in the way; the same again may go through.
CONFLICTS = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
)
#: What an exchange raises, or leaves as its error, when the database cannot serve it.
BROKEN = (*CONNECT_ERRORS, asyncpg.PostgresError, TimeoutError)
RETRIES = 5


def back_off(attempt: int) -> float:
    """Seconds to wait before try ``attempt`` + 1: jittered, doubling from about 10 ms to a second."""
    ceiling: float = min(1.0, 0.01 * 2.0**attempt)
    return ceiling * (0.5 + random.random())  # noqa: S311 -- jitter, not a secret
