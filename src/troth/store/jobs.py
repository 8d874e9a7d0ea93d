"""Durable jobs: a row in the unit that causes the work, leased by whoever does it, deleted when it is done.

A job runs at least once; handlers are idempotent. (kind, key) is unique while the job exists: enqueuing it again
is a no-op, unless the row is due later than asked, in which case it is pulled forward.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.store.errors import UNAVAILABLE, Unavailable
from troth.store.failures import BROKEN
from troth.store.pool import Database
from troth.store.statement import Write
from troth.store.unit import Unit
from troth.store.wire import Ask, Wire

JOBS_CHANNEL = "troth_jobs"

_ENQUEUE = Write(
    "job_enqueue",
    """INSERT INTO job (id, kind, key, payload, due)
       SELECT DISTINCT ON (kind, key) * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::timestamptz[])
           AS i(id, kind, key, payload, due) ORDER BY kind, key, due
       ON CONFLICT (kind, key) DO UPDATE SET
           due = LEAST(job.due, excluded.due),
           state = CASE WHEN job.state = 'dead' THEN 'due' ELSE job.state END,
           attempts = CASE WHEN job.state = 'dead' THEN 0 ELSE job.attempts END""",
    ("uuid", "text", "text", "jsonb", "timestamptz"),
    rank=90,
    wakes=JOBS_CHANNEL,
)

_CLAIM = """
UPDATE job SET state = 'leased', attempts = attempts + 1, lease_until = $4, due = $4
WHERE id IN (
    SELECT id FROM job WHERE state <> 'dead' AND due <= $3 AND kind = ANY($1::text[])
    ORDER BY due LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING id, kind, key, payload, attempts"""

_DONE = "DELETE FROM job WHERE id = $1 AND attempts = $2"
_FINISH = Write(
    "job_finish",
    """DELETE FROM job USING unnest($1::uuid[], $2::int[]) AS i(id, attempts)
       WHERE job.id = i.id AND job.attempts = i.attempts""",
    ("uuid", "int"),
    rank=91,
)
_POSTPONE = Write(
    "job_postpone",
    """UPDATE job SET state = 'due', due = i.due, lease_until = NULL
       FROM unnest($1::uuid[], $2::int[], $3::timestamptz[]) AS i(id, attempts, due)
       WHERE job.id = i.id AND job.attempts = i.attempts""",
    ("uuid", "int", "timestamptz"),
    rank=91,
    wakes=JOBS_CHANNEL,
)
_RETRY = """
UPDATE job SET state = CASE WHEN $5 THEN 'dead' ELSE 'due' END, due = $3, lease_until = NULL, last_error = $4
WHERE id = $1 AND attempts = $2"""

_NEXT_DUE = "SELECT due FROM job WHERE state <> 'dead' AND kind = ANY($1::text[]) ORDER BY due LIMIT 1"
_COUNTS = "SELECT kind, state, count(*) AS n, min(due) AS oldest FROM job GROUP BY kind, state"


@dataclass(frozen=True, slots=True)
class Job:
    """Work to be done at ``due`` or later. ``key`` names it within its kind."""

    kind: str
    key: str
    due: datetime
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeasedJob:
    """A job in hand. ``attempts`` counts this run and serves as the fence of ``done`` and ``retry``."""

    id: UUID
    kind: str
    key: str
    payload: Mapping[str, Any]
    attempts: int


def enqueue(unit: Unit, job: Job) -> Unit:
    """Add ``job`` to ``unit``: it exists if and only if the unit is committed."""
    return unit.write(_ENQUEUE, new_id(), job.kind, job.key, json.dumps(job.payload), job.due)


def finish(unit: Unit, job: LeasedJob) -> Unit:
    """Let ``job`` end with ``unit``: its effect and its end are committed together."""
    return unit.write(_FINISH, job.id, job.attempts)


def postpone(unit: Unit, job: LeasedJob, until: datetime) -> Unit:
    """Let ``job`` run again at ``until``, if ``unit`` is committed."""
    return unit.write(_POSTPONE, job.id, job.attempts, until)


class JobQueue:
    """Claiming and finishing jobs. A job whose lease lapses is claimable again: ``due`` is the lease's end."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._wire: Wire | None = None

    async def claim(self, kinds: Sequence[str], *, limit: int = 20, lease: timedelta) -> list[LeasedJob]:
        """Up to ``limit`` due jobs of ``kinds``, leased to the caller for ``lease``. Raises Unavailable.

        A claim is not waited for to be durable: one that a crash forgets is made again, as if its lease had lapsed.
        What a job does is committed after it and takes it along.
        """
        now = self._clock.now()
        try:
            if self._wire is None or self._wire.closed:
                self._wire = await self._database.open_wire("troth-jobs", synchronous_commit="off")
            outcome = await self._wire.exchange([Ask(_CLAIM, (list(kinds), limit, now, now + lease))])
            if outcome.error is not None:
                raise outcome.error
        except BROKEN as error:
            raise Unavailable(UNAVAILABLE, str(error)) from error
        return [
            LeasedJob(identifier, kind, key, json.loads(payload), attempts)
            for identifier, kind, key, payload, attempts in outcome.rows[0]
        ]

    async def next_due(self, kinds: Sequence[str]) -> datetime | None:
        """When the next job of ``kinds`` is due, or its lease lapses; None: there is none. Raises Unavailable."""
        due: datetime | None = await self._database.fetchval(_NEXT_DUE, list(kinds))
        return due

    async def done(self, job: LeasedJob) -> None:
        """The job is finished; its row goes (unless somebody else has leased it since)."""
        await self._database.fetchval(_DONE, job.id, job.attempts)

    async def retry(self, job: LeasedJob, *, at: datetime, error: str, give_up: bool = False) -> None:
        """Try again at ``at``, or keep the row as dead for a person to look at."""
        await self._database.fetchval(_RETRY, job.id, job.attempts, at, error[:500], give_up)

    async def counts(self) -> list[tuple[str, str, int, datetime]]:
        """(kind, state, number, oldest due) for the dashboard and the doctor."""
        return [(row["kind"], row["state"], row["n"], row["oldest"]) for row in await self._database.fetch(_COUNTS)]
