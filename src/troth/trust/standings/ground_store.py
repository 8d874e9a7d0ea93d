"""SQL of what an assessment stands on beside the causes, and of its record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from troth.store.statement import Write
from troth.store.unit import Reader, Row, Unit
from troth.trust.standings.assessment import (
    Assessment,
    Inputs,
    State,
    decode_assessment,
    decode_inputs,
    decode_state,
    encode,
)
from troth.trust.standings.rules_store import NEWEST_SQL

#: For a subject ``s``: what is remembered of it, until when it is exempt, and by which rules it is weighed. ``$at``
#: stands for the parameter that holds the time.
GROUND_COLUMNS = f"""(SELECT t.state FROM subject_state t WHERE t.subject_id = s.id) AS state,
       (SELECT max(e.ends_at) FROM exemption e WHERE e.subject_id = s.id AND e.ended_at IS NULL
        AND e.begins_at <= $at AND e.ends_at > $at) AS exempt_until,
       {NEWEST_SQL} AS rules_version"""

_GROUND = f"SELECT {GROUND_COLUMNS} FROM subject s WHERE s.id = $1".replace("$at", "$2")

_STATE = Write(
    "subject_state_put",
    """INSERT INTO subject_state (subject_id, state, standing, open_causes, score, rules_version, assessed_at, next_at)
       SELECT * FROM unnest($1::uuid[], $2::jsonb[], $3::text[], $4::int[], $5::int[], $6::int[], $7::timestamptz[],
                            $8::timestamptz[])
       ON CONFLICT (subject_id) DO UPDATE SET
           state = excluded.state, standing = excluded.standing, open_causes = excluded.open_causes,
           score = excluded.score, rules_version = excluded.rules_version, assessed_at = excluded.assessed_at,
           next_at = excluded.next_at""",
    ("uuid", "jsonb", "text", "int", "int", "int", "timestamptz", "timestamptz"),
)
_RECORD = Write(
    "assessment_add",
    """INSERT INTO assessment (id, subject_id, at, rules_version, trigger_id, inputs, outcome)
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[], $5::uuid[], $6::bytea[],
                            $7::bytea[])""",
    ("uuid", "uuid", "timestamptz", "int", "uuid", "bytea", "bytea"),
    rank=60,
)
_RECORDS = """SELECT id, subject_id, at, rules_version, trigger_id, inputs, outcome FROM assessment
WHERE ($1::uuid IS NULL OR subject_id = $1) AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3"""
_FORGET = """
WITH gone AS (
    DELETE FROM assessment WHERE id IN (
        SELECT old.id FROM assessment old WHERE old.at < $1
          AND EXISTS (SELECT FROM assessment newer WHERE newer.subject_id = old.subject_id AND newer.id > old.id)
        ORDER BY old.at LIMIT $2)
    RETURNING 1)
SELECT count(*) FROM gone"""


@dataclass(frozen=True, slots=True)
class Ground:
    """What an assessment of one subject stands on beside its causes."""

    state: State
    exempt_until: datetime | None
    rules_version: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """One assessment that changed something, with what it was made from."""

    id: UUID
    subject_id: UUID
    at: datetime
    rules_version: int
    trigger_id: UUID
    inputs: Inputs
    outcome: Assessment
    #: As stored: what a replay must come to.
    outcome_bytes: bytes


def ground_of(row: Row | dict[str, Any]) -> Ground:
    """From a row with all of GROUND_COLUMNS."""
    state = row["state"]
    return Ground(State() if state is None else decode_state(state), row["exempt_until"], row["rules_version"])


async def ground(reader: Reader, subject_id: UUID, at: datetime) -> Ground:
    """What is remembered of the subject."""
    row = await reader.fetchrow(_GROUND, subject_id, at)
    return Ground(State(), None, 0) if row is None else ground_of(row)


def put_state(
    unit: Unit, subject_id: UUID, outcome: Assessment, *, open_causes: int, rules_version: int, at: datetime
) -> None:
    """Add the write of what is remembered from now on."""
    unit.write(
        _STATE, subject_id, encode(outcome.state).decode(), outcome.standing.value, open_causes, outcome.score,
        rules_version, at, outcome.next_at,
    )  # fmt: skip


def record(
    unit: Unit, id: UUID, subject_id: UUID, given: Inputs, outcome: Assessment, *, rules_version: int, trigger: UUID
) -> None:
    """Add the record of an assessment that changed something."""
    unit.write(_RECORD, id, subject_id, given.at, rules_version, trigger, encode(given), encode(outcome))


async def assessments(
    reader: Reader, subject_id: UUID | None = None, *, before: UUID | None = None, limit: int = 50
) -> list[Recorded]:
    """Recorded assessments of a subject or of everyone, the newest first."""
    return [
        Recorded(
            row["id"], row["subject_id"], row["at"], row["rules_version"], row["trigger_id"],
            decode_inputs(row["inputs"]), decode_assessment(row["outcome"]), row["outcome"],
        )
        for row in await reader.fetch(_RECORDS, subject_id, before, limit)
    ]  # fmt: skip


async def forget_records(reader: Reader, before: datetime, limit: int) -> int:
    """Drop records older than that, but for each subject's last; how many went."""
    return int(await reader.fetchval(_FORGET, before, limit))
