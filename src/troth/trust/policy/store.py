"""SQL of policy versions and decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.store.statement import Claim, Write
from troth.store.unit import Reader, Row
from troth.trust.model import Decision, Snapshot, decode_decision, decode_snapshot, encode

#: Versions of all policies are numbered in one row: whoever applies second has not seen what the first one applied,
#: be it this policy or another that now governs the same profile.
ADD_VERSION = Claim(
    "policy_version_add",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::int[], $3::text[], $4::int[], $5::text[], $6::text[],
                                       $7::timestamptz[], $8::text[])
                  AS t(n, number, name, version, sha256, source, at, actor)),
       w AS (INSERT INTO policy_version (number, name, version, sha256, source, applied_at, actor)
             SELECT number, name, version, sha256, source, at, actor FROM i ORDER BY number
             ON CONFLICT DO NOTHING RETURNING number)
       SELECT i.n FROM i JOIN w USING (number)""",
    ("int", "text", "int", "text", "text", "timestamptz", "text"),
    rank=40,
)

ADD_DECISION = Write(
    "decision_add",
    """INSERT INTO decision (id, at, subject_id, moment, outcome, reason, policy, policy_version, record, snapshot)
       SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
                            $8::int[], $9::bytea[], $10::bytea[])""",
    ("uuid", "timestamptz", "uuid", "text", "text", "text", "text", "int", "bytea", "bytea"),
    rank=60,
)

_VERSION = "name, version, sha256, source, applied_at, actor"
_NEWEST = f"SELECT DISTINCT ON (name) {_VERSION} FROM policy_version ORDER BY name, version DESC"
_NEWEST_HEADS = "SELECT name, max(version) AS version FROM policy_version GROUP BY name ORDER BY name"
_ONE = f"""SELECT {_VERSION} FROM policy_version WHERE name = $1 AND ($2::int IS NULL OR version = $2)
           ORDER BY version DESC LIMIT 1"""
_HISTORY = f"SELECT {_VERSION} FROM policy_version WHERE name = $1 ORDER BY version DESC LIMIT $2"
_COUNT = "SELECT coalesce(max(number), 0) FROM policy_version"
_DECISION = "SELECT record, snapshot FROM decision WHERE id = $1"
_KNOWN = "SELECT id FROM decision WHERE id = ANY($1::uuid[])"
_DECISIONS_OF = """SELECT record, snapshot FROM decision WHERE subject_id = $1 AND ($2::uuid IS NULL OR id < $2)
                   ORDER BY id DESC LIMIT $3"""
_RECENT = "SELECT record, snapshot FROM decision WHERE ($1::uuid IS NULL OR id < $1) ORDER BY id DESC LIMIT $2"


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One version of a policy, as it was applied."""

    name: str
    version: int
    sha256: str
    source: str
    applied_at: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A stored decision with the snapshot it was made from."""

    decision: Decision
    snapshot: Snapshot


class PolicyStore:
    """Reads of policies and decisions."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def newest(self) -> list[PolicyVersion]:
        """The newest version of every policy, by name."""
        return [_version(row) for row in await self._reader.fetch(_NEWEST)]

    async def heads(self) -> dict[str, int]:
        """The number of the newest version of every policy."""
        return {row["name"]: row["version"] for row in await self._reader.fetch(_NEWEST_HEADS)}

    async def version(self, name: str, version: int | None = None) -> PolicyVersion | None:
        """One version, by default the newest."""
        row = await self._reader.fetchrow(_ONE, name, version)
        return None if row is None else _version(row)

    async def history(self, name: str, limit: int = 50) -> list[PolicyVersion]:
        """Versions of one policy, the newest first."""
        return [_version(row) for row in await self._reader.fetch(_HISTORY, name, limit)]

    async def count(self) -> int:
        """How many versions of all policies were ever applied: the number of the newest."""
        return int(await self._reader.fetchval(_COUNT))

    async def decision(self, decision_id: UUID) -> Judged | None:
        """One decision."""
        row = await self._reader.fetchrow(_DECISION, decision_id)
        return None if row is None else _judged(row)

    async def known_decisions(self, decisions: Sequence[UUID]) -> set[UUID]:
        """Those of ``decisions`` that exist."""
        return {row["id"] for row in await self._reader.fetch(_KNOWN, list(decisions))}

    async def decisions_of(self, subject_id: UUID, *, before: UUID | None = None, limit: int = 50) -> list[Judged]:
        """Decisions about a subject, the newest first, from below ``before``."""
        return [_judged(row) for row in await self._reader.fetch(_DECISIONS_OF, subject_id, before, limit)]

    async def recent(self, *, before: UUID | None = None, limit: int = 50) -> list[Judged]:
        """Decisions about anybody, the newest first, from below ``before``."""
        return [_judged(row) for row in await self._reader.fetch(_RECENT, before, limit)]


def decision_row(decision: Decision, snapshot: Snapshot | bytes, record: bytes | None = None) -> Sequence[object]:
    """The values of :data:`ADD_DECISION`. ``record``: the decision encoded, where that is at hand; so may ``snapshot``
    be."""
    return (
        decision.id, decision.at, decision.subject.id, decision.moment.value, decision.outcome.value, decision.reason,
        decision.policy, decision.policy_version, record or encode(decision),
        snapshot if isinstance(snapshot, bytes) else encode(snapshot),
    )  # fmt: skip


def _version(row: Row) -> PolicyVersion:
    return PolicyVersion(row["name"], row["version"], row["sha256"], row["source"], row["applied_at"], row["actor"])


def _judged(row: Row) -> Judged:
    return Judged(decode_decision(row["record"]), decode_snapshot(row["snapshot"]))
