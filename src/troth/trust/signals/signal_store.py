"""SQL of signals, hold causes and the standing they add up to. Staged actions have ``action_store``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from troth.kit.canonical import Json
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row, Unit
from troth.trust.model import Kind, Subject
from troth.trust.signals.causes import HoldCause
from troth.trust.signals.model import Signal, Verified
from troth.trust.standing import Standing

#: The subject exists, and its standing is ours until commit. Decisions hold it FOR SHARE while they are bound.
LOCK_SUBJECT = Guard(
    "signal_subject_lock",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id)
       JOIN subject s ON s.id = i.id ORDER BY s.id FOR UPDATE OF s""",
    ("uuid",),
    rank=20,
)

_TAKE = Claim(
    "signal_take",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::uuid[], $5::bytea[], $6::text[],
                      $7::text[], $8::text[], $9::text[], $10::text[], $11::uuid[], $12::timestamptz[],
                      $13::timestamptz[], $14::text[], $15::text[], $16::boolean[], $17::jsonb[], $18::smallint[],
                      $19::smallint[], $20::timestamptz[], $21::text[], $22::jsonb[], $23::jsonb[], $24::boolean[])
                  AS t(n, feed, message_id, id, digest, kind, effect, level, cause, whom, subject_id, observed_at,
                       received_at, evidence, standing, staged, effects, severity, confidence, expires_at, sequence,
                       verified, fields, weak)),
       w AS (INSERT INTO signal (feed, message_id, id, digest, kind, effect, level, cause, whom, subject_id,
                                 observed_at, received_at, evidence, standing, staged, effects, severity, confidence,
                                 expires_at, sequence, verified, fields, weak)
             SELECT feed, message_id, id, digest, kind, effect, level, cause, whom, subject_id,
                    observed_at, received_at, evidence, standing, staged, effects, severity, confidence, expires_at,
                    sequence, verified, fields, weak FROM i
             ON CONFLICT (feed, message_id) DO NOTHING RETURNING id)
       SELECT i.n FROM i JOIN w USING (id)""",
    (
        "text", "text", "uuid", "bytea", "text", "text", "text", "text", "text", "uuid", "timestamptz", "timestamptz",
        "text", "text", "boolean", "jsonb", "smallint", "smallint", "timestamptz", "text", "jsonb", "jsonb", "boolean",
    ),
)  # fmt: skip

#: Of a cause, in the order of :class:`~troth.trust.signals.causes.HoldCause`.
CAUSE_COLUMNS = (
    "feed", "key", "level", "observed_at", "raised_at", "signal_id", "cleared_at", "approved_by", "kind", "severity",
    "confidence", "peak", "effective_at", "expires_at", "shadow",
)  # fmt: skip

_CAUSE = Write(
    "hold_cause",
    f"""INSERT INTO hold_cause (subject_id, {", ".join(CAUSE_COLUMNS)})
       SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[],
                            $7::uuid[], $8::timestamptz[], $9::text[], $10::text[], $11::smallint[], $12::smallint[],
                            $13::int[], $14::timestamptz[], $15::timestamptz[], $16::boolean[])
       ON CONFLICT (subject_id, feed, key) DO UPDATE SET
           {", ".join(f"{name} = excluded.{name}" for name in CAUSE_COLUMNS[2:])}""",
    (
        "uuid", "text", "text", "text", "timestamptz", "timestamptz", "uuid", "timestamptz", "text", "text", "smallint",
        "smallint", "int", "timestamptz", "timestamptz", "boolean",
    ),
)  # fmt: skip

_STANDING = Write(
    "subject_standing",
    """UPDATE subject s SET standing = i.standing, standing_version = i.version, standing_since = i.since
       FROM unnest($1::uuid[], $2::text[], $3::int[], $4::timestamptz[]) AS i(id, standing, version, since)
       WHERE s.id = i.id""",
    ("uuid", "text", "int", "timestamptz"),
)

#: What :func:`subject_of` needs.
SUBJECT_COLUMNS = (
    "id", "kind", "name", "origin", "standing", "standing_version", "standing_since", "protected", "groups",
)  # fmt: skip
_SUBJECT = ", ".join(SUBJECT_COLUMNS)
_BY_ID = f"SELECT {_SUBJECT} FROM subject WHERE id = $1"
_BY_IDS = f"SELECT {_SUBJECT} FROM subject WHERE id = ANY($1::uuid[])"

_CAUSES = f"""
SELECT {", ".join(CAUSE_COLUMNS)} FROM hold_cause
WHERE subject_id = $1 AND (cleared_at IS NULL OR (feed = $2 AND key = $3)) ORDER BY raised_at, feed, key"""
_ALL_CAUSES = f"""
SELECT {", ".join(CAUSE_COLUMNS)} FROM hold_cause
WHERE subject_id = $1 AND level <> 'trusted' ORDER BY raised_at DESC, feed, key LIMIT 500"""

_SIGNAL = """
SELECT id, feed, message_id, digest, kind, effect, level, cause, whom, subject_id, observed_at, received_at, evidence,
       standing, staged, effects, severity, confidence, expires_at, sequence, verified, fields, weak FROM signal"""
_TAKEN = f"{_SIGNAL} WHERE feed = $1 AND message_id = $2"
_BY_SIGNAL_ID = f"{_SIGNAL} WHERE id = $1"
_OF_SUBJECT = f"{_SIGNAL} WHERE subject_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3"
_OF_FEED = f"{_SIGNAL} WHERE feed = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3"
_NEWEST = f"{_SIGNAL} WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT $2"


@dataclass(frozen=True, slots=True)
class TakenSignal:
    """A signal as it was accepted, with the answer it got."""

    id: UUID
    feed: str
    message_id: str
    digest: bytes
    kind: str
    effect: str
    level: Standing
    cause: str
    whom: str
    subject_id: UUID | None
    observed_at: datetime
    received_at: datetime
    evidence: str
    standing: Standing | None
    staged: bool
    effects: tuple[str, ...]
    severity: int
    confidence: int
    expires_at: datetime | None
    sequence: str | None
    verified: Verified
    fields: Mapping[str, Json]
    weak: bool


def take(
    unit: Unit,
    signal: Signal,
    *,
    id: UUID,
    level: Standing,
    subject_id: UUID | None,
    at: datetime,
    standing: Standing | None,
    staged: bool,
    effects: Sequence[str],
    weak: bool,
    refuse: Exception,
) -> None:
    """Add the claim on (feed, message id), which is the signal's row with its answer."""
    unit.claim(
        _TAKE, signal.feed, signal.message_id, id, signal.digest, signal.kind.name, signal.effect.value, level.value,
        signal.cause, str(signal.whom), subject_id, signal.observed_at, at, signal.evidence,
        None if standing is None else standing.value, staged, msgspec.json.encode(list(effects)).decode(),
        signal.severity, signal.confidence, signal.expires_at, signal.sequence,
        msgspec.json.encode(signal.verified).decode(), msgspec.json.encode(signal.fields).decode(), weak,
        refuse=refuse,
    )  # fmt: skip


def set_cause(unit: Unit, subject_id: UUID, cause: HoldCause) -> None:
    """Add the write of one cause, new or changed."""
    unit.write(
        _CAUSE, subject_id, cause.feed, cause.key, cause.level.value, cause.observed_at, cause.raised_at,
        cause.signal_id, cause.cleared_at, cause.approved_by, cause.kind, cause.severity, cause.confidence, cause.peak,
        cause.effective_at, cause.expires_at, cause.shadow,
    )  # fmt: skip


def set_standing(unit: Unit, subject: Subject, standing: Standing, *, at: datetime) -> None:
    """Add the write of a new standing; ``subject`` must be locked by LOCK_SUBJECT."""
    unit.write(_STANDING, subject.id, standing.value, subject.standing_version + 1, at)


async def find_subject(reader: Reader, subject_id: UUID) -> Subject | None:
    """The subject, as far as enforcement needs to know it."""
    row = await reader.fetchrow(_BY_ID, subject_id)
    return None if row is None else subject_of(row)


async def find_subjects(reader: Reader, subject_ids: Sequence[UUID]) -> dict[UUID, Subject]:
    """The same of several, by id; nobody is asked for nobody."""
    rows = await reader.fetch(_BY_IDS, list(subject_ids)) if subject_ids else []
    return {row["id"]: subject_of(row) for row in rows}


def subject_of(row: Row | Mapping[str, Any]) -> Subject:
    """A subject from a row with all of SUBJECT_COLUMNS."""
    return Subject(
        id=row["id"],
        kind=Kind(row["kind"]),
        name=row["name"],
        origin=row["origin"],
        standing=Standing(row["standing"]),
        standing_version=row["standing_version"],
        standing_since=row["standing_since"],
        protected=row["protected"],
        groups=msgspec.json.decode(row["groups"], type=tuple[str, ...]),
    )


async def causes_of(reader: Reader, subject_id: UUID, feed: str = "", key: str = "") -> list[HoldCause]:
    """Every open cause of the subject, and the one of that feed and key even if it is cleared."""
    return [cause_of(row) for row in await reader.fetch(_CAUSES, subject_id, feed, key)]


async def cause_history(reader: Reader, subject_id: UUID) -> list[HoldCause]:
    """Causes of the subject, open and cleared, the newest first."""
    return [cause_of(row) for row in await reader.fetch(_ALL_CAUSES, subject_id)]


async def find_taken(reader: Reader, feed: str, message_id: str) -> TakenSignal | None:
    """The signal that was accepted under this message id."""
    row = await reader.fetchrow(_TAKEN, feed, message_id)
    return None if row is None else _taken(row)


async def signal_of(reader: Reader, signal_id: UUID) -> TakenSignal | None:
    """The signal of that id; None if it was a person's order, or time."""
    row = await reader.fetchrow(_BY_SIGNAL_ID, signal_id)
    return None if row is None else _taken(row)


async def signals(
    reader: Reader,
    *,
    subject_id: UUID | None = None,
    feed: str | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> list[TakenSignal]:
    """Signals of a subject, of a feed, or of everyone, the newest first; ``before`` is the last id of a page."""
    if subject_id is not None:
        rows = await reader.fetch(_OF_SUBJECT, subject_id, before, limit)
    elif feed is not None:
        rows = await reader.fetch(_OF_FEED, feed, before, limit)
    else:
        rows = await reader.fetch(_NEWEST, before, limit)
    return [_taken(row) for row in rows]


def cause_of(row: Row | Mapping[str, Any]) -> HoldCause:
    """A cause from a row with CAUSE_COLUMNS and nothing else."""
    values: dict[str, Any] = dict(row)
    return HoldCause(**(values | {"level": Standing(values["level"])}))


def _taken(row: Row) -> TakenSignal:
    values: dict[str, Any] = dict(row)
    values["level"] = Standing(values["level"])
    values["standing"] = None if values["standing"] is None else Standing(values["standing"])
    values["effects"] = msgspec.json.decode(values["effects"], type=tuple[str, ...])
    values["verified"] = msgspec.json.decode(values["verified"], type=Verified)
    values["fields"] = msgspec.json.decode(values["fields"])
    return TakenSignal(**values)
