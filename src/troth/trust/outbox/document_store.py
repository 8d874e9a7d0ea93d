"""SQL of the document of reactions, of targets' secrets, and of what the pages count."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from troth.store.statement import Claim, Write
from troth.store.unit import Reader
from troth.trust.outbox.model import EffectSubject

#: The next version, which only one may make.
ADD_VERSION = Claim(
    "reaction_document_add",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::int[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
                  AS t(n, version, sha256, source, at, actor)),
       w AS (INSERT INTO reaction_document (version, sha256, source, applied_at, actor)
             SELECT version, sha256, source, at, actor FROM i ORDER BY version
             ON CONFLICT (version) DO NOTHING RETURNING version)
       SELECT i.n FROM i JOIN w USING (version)""",
    ("int", "text", "text", "timestamptz", "text"),
)

SET_SECRET = Write(
    "effect_secret",
    """INSERT INTO effect_secret (target, sealed, changed_at, actor)
       SELECT * FROM unnest($1::text[], $2::bytea[], $3::timestamptz[], $4::text[])
       ON CONFLICT (target) DO UPDATE SET sealed = excluded.sealed, changed_at = excluded.changed_at,
                                          actor = excluded.actor""",
    ("text", "bytea", "timestamptz", "text"),
)

_DOCUMENT = "SELECT version, sha256, source, applied_at, actor FROM reaction_document"
_NEWEST = f"{_DOCUMENT} ORDER BY version DESC LIMIT 1"
_NEWEST_NUMBER = "SELECT COALESCE(max(version), 0) AS version FROM reaction_document"
_VERSION = f"{_DOCUMENT} WHERE version = $1"
_HISTORY = f"{_DOCUMENT} ORDER BY version DESC LIMIT 50"
_SEALED = "SELECT sealed FROM effect_secret WHERE target = $1"
_SECRETS = "SELECT target, changed_at FROM effect_secret"
# What waits and what was given up, all of it; of what ended well, the last day's: the rest would be counted for ever.
_STATES = """
SELECT target, state, count(*) AS number, min(due) AS oldest FROM effect
WHERE state IN ('waiting', 'dead') GROUP BY target, state
UNION ALL
SELECT target, state, count(*) AS number, min(due) AS oldest FROM effect
WHERE ended_at >= $1 AND state NOT IN ('waiting', 'dead') GROUP BY target, state"""
_TARGETS = "SELECT name, failures, open_until, last_error, failed_at, done_at FROM effect_target ORDER BY name"
_LATENCIES = "SELECT port, bound, number, milliseconds FROM effect_latency ORDER BY port, bound"
_RECENT = """
SELECT port, count(*) AS number, percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (
    ORDER BY extract(epoch FROM ended_at - accepted_at)::float8) AS seconds
FROM effect WHERE ended_at >= $1 AND state = 'done' GROUP BY port ORDER BY port"""
_SUBJECT = """
SELECT s.id, s.kind, s.name, s.protected, s.attributes, s.owner_id,
       ARRAY(SELECT n.name FROM subject_name n WHERE n.subject_id = s.id ORDER BY n.name LIMIT 100) AS names
FROM subject s WHERE s.id = $1"""
# A name that several subjects have is nobody's: acting on it would hit somebody else.
_ALIASES = """
SELECT a.system, a.value FROM subject_alias a WHERE a.subject_id = $1
AND NOT EXISTS (SELECT FROM subject_alias o WHERE o.system = a.system AND o.value = a.value AND o.subject_id <> $1)
ORDER BY a.confidence DESC, a.seen_at DESC, a.system, a.value LIMIT 100"""


@dataclass(frozen=True, slots=True)
class ReactionVersion:
    """One version of the document, as it was applied."""

    version: int
    sha256: str
    source: str
    applied_at: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class TargetState:
    """How a target has answered. ``failures``: in a row; ``open_until``: not asked before."""

    name: str
    failures: int
    open_until: datetime | None
    last_error: str
    failed_at: datetime | None
    done_at: datetime | None


@dataclass(frozen=True, slots=True)
class Queue:
    """How many effects of one state a target has. ``oldest``: the earliest time at which one is due."""

    target: str
    state: str
    number: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Recent:
    """Latency of a port's effects that ended lately, in seconds."""

    port: str
    number: int
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Bucket:
    """Effects whose latency is above the next lower bound and at most ``bound`` milliseconds (-1: any)."""

    port: str
    bound: int
    number: int
    milliseconds: int


class DocumentStore:
    """Reads around effects."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def newest(self) -> ReactionVersion | None:
        """The document in force; None: the shipped one."""
        row = await self._reader.fetchrow(_NEWEST)
        return None if row is None else ReactionVersion(**dict(row))

    async def newest_number(self) -> int:
        """Which version is in force; 0: the shipped one."""
        return int(await self._reader.fetchval(_NEWEST_NUMBER))

    async def version(self, number: int) -> ReactionVersion | None:
        """One version."""
        row = await self._reader.fetchrow(_VERSION, number)
        return None if row is None else ReactionVersion(**dict(row))

    async def history(self) -> list[ReactionVersion]:
        """Versions, the newest first."""
        return [ReactionVersion(**dict(row)) for row in await self._reader.fetch(_HISTORY)]

    async def secret(self, target: str) -> bytes | None:
        """A target's sealed secret."""
        sealed: bytes | None = await self._reader.fetchval(_SEALED, target)
        return sealed

    async def secrets(self) -> dict[str, datetime]:
        """Which targets have a secret, and since when."""
        return {row["target"]: row["changed_at"] for row in await self._reader.fetch(_SECRETS)}

    async def queues(self, since: datetime) -> list[Queue]:
        """How many effects wait, were given up, and have ended otherwise since then, by target and state."""
        return [Queue(**dict(row)) for row in await self._reader.fetch(_STATES, since)]

    async def targets(self) -> list[TargetState]:
        """How targets answer, by name."""
        return [TargetState(**dict(row)) for row in await self._reader.fetch(_TARGETS)]

    async def recent(self, since: datetime) -> list[Recent]:
        """Latencies of what was done since then, by port."""
        rows = await self._reader.fetch(_RECENT, since)
        return [Recent(row["port"], row["number"], *row["seconds"]) for row in rows]

    async def latencies(self) -> list[Bucket]:
        """The histogram of all that was ever done."""
        return [Bucket(**dict(row)) for row in await self._reader.fetch(_LATENCIES)]

    async def subject(self, subject_id: UUID) -> EffectSubject | None:
        """Whom an effect is about, with its owner."""
        found = await self._subject(subject_id)
        if found is None:
            return None
        subject, owner_id = found
        owner = None if owner_id is None else await self._subject(owner_id)
        return EffectSubject(
            subject.id, subject.kind, subject.name, subject.protected, subject.attributes, subject.names,
            subject.aliases, None if owner is None else owner[0],
        )  # fmt: skip

    async def _subject(self, subject_id: UUID) -> tuple[EffectSubject, UUID | None] | None:
        row = await self._reader.fetchrow(_SUBJECT, subject_id)
        if row is None:
            return None
        attributes = msgspec.json.decode(row["attributes"])
        aliases = tuple((one["system"], one["value"]) for one in await self._reader.fetch(_ALIASES, subject_id))
        made = EffectSubject(
            row["id"], row["kind"], row["name"], row["protected"], attributes, tuple(row["names"]), aliases
        )
        return made, row["owner_id"]
