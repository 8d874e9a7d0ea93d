"""SQL of effects: planned in the unit that changes a standing, claimed by lanes, ended once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from troth.store.ahead import ReadAhead
from troth.store.statement import Guard, Write
from troth.store.unit import Reader, Row, Unit
from troth.trust.outbox.model import Effect, EffectState, Notice
from troth.trust.standing import Standing

#: Woken when effects have become due.
EFFECTS_CHANNEL: Final = "troth_effects"

_COLUMNS = (
    "id", "subject_id", "standing_version", "port", "target", "acting", "undo", "undone", "notice", "signal_id",
    "actor", "automated", "accepted_at", "planned_at", "due", "attempts", "lease_until", "state", "ended_at", "detail",
)  # fmt: skip
_EFFECT: Final = ", ".join(f"e.{name}" for name in _COLUMNS)

_PLAN = Write(
    "effect_plan",
    """INSERT INTO effect (id, subject_id, standing_version, port, target, acting, undo, notice, signal_id, actor,
                           automated, accepted_at, planned_at, due)
       SELECT id, subject_id, version, port, target, acting, undo, notice, signal_id, actor, automated, accepted, at, at
       FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::boolean[], $7::text[], $8::jsonb[],
                   $9::uuid[], $10::text[], $11::boolean[], $12::timestamptz[], $13::timestamptz[])
           AS i(id, subject_id, version, port, target, acting, undo, notice, signal_id, actor, automated,
                accepted, at)
       ON CONFLICT (id) DO NOTHING""",
    (
        "uuid", "uuid", "int", "text", "text", "boolean", "text", "jsonb", "uuid", "text", "boolean", "timestamptz",
        "timestamptz",
    ),
    rank=60,
    wakes=EFFECTS_CHANNEL,
)  # fmt: skip

_SUPERSEDE = Write(
    "effect_supersede",
    """UPDATE effect e SET state = 'superseded', ended_at = i.at, detail = i.detail
       FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS i(id, at, detail)
       WHERE e.id = i.id AND e.state = 'waiting' AND e.lease_until IS NULL""",
    ("uuid", "timestamptz", "text"),
    rank=61,
)

# What an effect that is done has taken back: its opposites before it.
_TAKEN_BACK = Write(
    "effect_taken_back",
    """UPDATE effect e SET undone = true FROM unnest($1::uuid[]) AS i(id), effect d
       WHERE d.id = i.id AND e.subject_id = d.subject_id AND e.target = d.target AND e.undo = d.port AND NOT e.undone
       AND (e.standing_version, e.id) < (d.standing_version, d.id)""",
    ("uuid",),
    rank=62,
)

#: The try is still ours: nobody has taken the effect up again or ended it since it was claimed.
LOCK_TRY = Guard(
    "effect_try",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[], $3::int[]) AS i(n, id, attempts)
       JOIN effect e ON e.id = i.id AND e.attempts = i.attempts AND e.state = 'waiting'
       ORDER BY e.id FOR UPDATE OF e""",
    ("uuid", "int"),
    rank=30,
)

#: The effect is in one of the states, and ours until commit.
LOCK_STATE = Guard(
    "effect_state",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[], $3::text[]) AS i(n, id, states)
       JOIN effect e ON e.id = i.id AND e.state = ANY(string_to_array(i.states, ' ')) ORDER BY e.id FOR UPDATE OF e""",
    ("uuid", "text"),
    rank=30,
)

_END = Write(
    "effect_end",
    """UPDATE effect e SET state = i.state, ended_at = i.at, detail = i.detail, lease_until = NULL
       FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[]) AS i(id, state, at, detail)
       WHERE e.id = i.id""",
    ("uuid", "text", "timestamptz", "text"),
    rank=61,
)

_AGAIN = Write(
    "effect_again",
    """UPDATE effect e SET state = 'waiting', due = i.due, detail = i.detail, lease_until = NULL, ended_at = NULL,
                           attempts = CASE WHEN i.fresh THEN 0 ELSE e.attempts END,
                           automated = e.automated AND NOT i.fresh,
                           planned_at = CASE WHEN i.fresh THEN i.due ELSE e.planned_at END
       FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::boolean[]) AS i(id, due, detail, fresh)
       WHERE e.id = i.id""",
    ("uuid", "timestamptz", "text", "boolean"),
    rank=61,
    wakes=EFFECTS_CHANNEL,
)

_HURRY = Write(
    "effect_hurry",
    """UPDATE effect e SET due = least(e.due, i.at) FROM unnest($1::uuid[], $2::timestamptz[]) AS i(id, at)
       WHERE e.id = i.id AND e.state = 'waiting' AND e.lease_until IS NULL""",
    ("uuid", "timestamptz"),
    rank=61,
    wakes=EFFECTS_CHANNEL,
)

_MEASURE = Write(
    "effect_measure",
    """INSERT INTO effect_latency (port, bound, number, milliseconds)
       SELECT port, bound, count(*), sum(ms) FROM unnest($1::text[], $2::int[], $3::bigint[]) AS i(port, bound, ms)
       GROUP BY port, bound ORDER BY port, bound
       ON CONFLICT (port, bound) DO UPDATE SET number = effect_latency.number + excluded.number,
           milliseconds = effect_latency.milliseconds + excluded.milliseconds""",
    ("text", "int", "bigint"),
    rank=63,
)

_TARGET = Write(
    "effect_target",
    """INSERT INTO effect_target (name, failures, open_until, last_error, failed_at, done_at)
       SELECT DISTINCT ON (name) * FROM unnest($1::text[], $2::int[], $3::timestamptz[], $4::text[], $5::timestamptz[],
                                               $6::timestamptz[]) AS i(name, failures, until, error, failed, done)
       ORDER BY name, failures DESC
       ON CONFLICT (name) DO UPDATE SET failures = excluded.failures, open_until = excluded.open_until,
           last_error = CASE WHEN excluded.last_error = '' THEN effect_target.last_error ELSE excluded.last_error END,
           failed_at = COALESCE(excluded.failed_at, effect_target.failed_at),
           done_at = COALESCE(excluded.done_at, effect_target.done_at)""",
    ("text", "int", "timestamptz", "text", "timestamptz", "timestamptz"),
    rank=64,
)

# The predicate of the index effect_open, word for word. One row at least: the version of the reactions in force.
_OPEN = f"""
SELECT v.version AS reactions_version, {_EFFECT}
FROM (SELECT COALESCE(max(version), 0) AS version FROM reaction_document) v
LEFT JOIN effect e ON e.subject_id = $1
    AND (e.state = 'waiting' OR (e.undo <> '' AND NOT e.undone AND e.state IN ('done', 'dead')))
ORDER BY e.standing_version, e.id"""

_FROZEN = "(SELECT frozen FROM enforcement_switch)"
_TARGETS_DUE = f"""
SELECT DISTINCT target, port FROM effect e
WHERE state = 'waiting' AND due <= $1 AND NOT (automated AND {_FROZEN})"""

_NEXT_DUE = f"SELECT min(due) FROM effect e WHERE state = 'waiting' AND NOT (automated AND {_FROZEN})"

# What nobody here does needs no try: all of it at once.
_UNAVAILABLE = """
UPDATE effect SET state = 'unavailable', ended_at = $3, detail = $4 WHERE id IN (
    SELECT id FROM effect WHERE target = $1 AND port = $2 AND state = 'waiting' AND due <= $3 AND lease_until IS NULL
    LIMIT 1000 FOR UPDATE SKIP LOCKED)"""

# A lane is a subject at a target: no effect of it is begun while an earlier one waits or is under way. What a freeze
# stops does not stand in the way of a person's order.
_CLAIM = f"""
UPDATE effect e SET attempts = e.attempts + 1, lease_until = $3, due = $3
WHERE e.id IN (
    SELECT c.id FROM effect c
    WHERE c.target = $1 AND c.state = 'waiting' AND c.due <= $2 AND NOT (c.automated AND {_FROZEN})
    AND NOT EXISTS (
        SELECT FROM effect p WHERE p.subject_id = c.subject_id AND p.target = c.target AND p.state = 'waiting'
        AND (p.standing_version, p.id) < (c.standing_version, c.id)
        AND (p.lease_until IS NOT NULL OR NOT (p.automated AND {_FROZEN})))
    ORDER BY c.due, c.standing_version, c.id LIMIT $4 FOR UPDATE SKIP LOCKED)
RETURNING {_EFFECT}"""

_BY_ID = f"SELECT {_EFFECT} FROM effect e WHERE id = $1"
_STANDING = "SELECT standing FROM subject WHERE id = $1"
_OF_SUBJECT = f"""
SELECT {_EFFECT} FROM effect e WHERE subject_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3"""
_LISTED = f"""
SELECT {_EFFECT} FROM effect e
WHERE (cardinality($1::text[]) = 0 OR state = ANY($1::text[])) AND ($2::text = '' OR target = $2)
AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4"""
_PRUNE = """
DELETE FROM effect WHERE id IN (
    SELECT id FROM effect WHERE ended_at < $1 AND NOT (undo <> '' AND NOT undone AND state IN ('done', 'dead'))
    ORDER BY ended_at LIMIT $2)"""


def plan(unit: Unit, effect: Effect) -> None:
    """Add a new effect."""
    unit.write(
        _PLAN, effect.id, effect.subject_id, effect.standing_version, effect.port, effect.target, effect.acting,
        effect.undo, msgspec.json.encode(effect.notice).decode(), effect.signal_id, effect.actor, effect.automated,
        effect.accepted_at, effect.planned_at,
    )  # fmt: skip


def supersede(unit: Unit, effect_id: UUID, *, at: datetime, detail: str) -> None:
    """Add the end of an effect that has become pointless, unless it is on its way by then."""
    unit.write(_SUPERSEDE, effect_id, at, detail)


def take_back(unit: Unit, effect_id: UUID) -> None:
    """Mark as undone what this effect, being done, has taken back."""
    unit.write(_TAKEN_BACK, effect_id)


def end(unit: Unit, effect_id: UUID, state: EffectState, *, at: datetime, detail: str) -> None:
    """Add the end of an effect that is locked."""
    unit.write(_END, effect_id, state.value, at, detail[:500])


def again(unit: Unit, effect_id: UUID, *, due: datetime, detail: str, fresh: bool = False) -> None:
    """Let a locked effect be tried at ``due``; ``fresh``: by a person, as if for the first time."""
    unit.write(_AGAIN, effect_id, due, detail[:500], fresh)


def hurry(unit: Unit, effect_id: UUID, at: datetime) -> None:
    """Have an effect that waits tried again at ``at`` rather than later: what it waits for has happened."""
    unit.write(_HURRY, effect_id, at)


def measure(unit: Unit, port: str, bound: int, milliseconds: int) -> None:
    """Count one latency."""
    unit.write(_MEASURE, port, bound, milliseconds)


def tell_target(
    unit: Unit,
    name: str,
    *,
    failures: int,
    open_until: datetime | None,
    error: str = "",
    failed_at: datetime | None = None,
    done_at: datetime | None = None,
) -> None:
    """Write how a target answers."""
    unit.write(_TARGET, name, failures, open_until, error[:500], failed_at, done_at)


def expect_open(ahead: ReadAhead, subject_ids: Sequence[UUID]) -> None:
    """Read at once what :func:`open_of` is to be asked, if it is."""
    ahead.expect(_OPEN, ("uuid",), [(one,) for one in subject_ids])


async def open_of(reader: Reader, subject_id: UUID) -> tuple[int, list[Effect]]:
    """The version of the reactions in force, and the subject's effects that wait or could be taken back, in order."""
    rows = await reader.fetch(_OPEN, subject_id)
    return rows[0]["reactions_version"], [_effect(row) for row in rows if row["id"] is not None]


async def targets_due(reader: Reader, now: datetime) -> dict[str, set[str]]:
    """Targets with effects that might be begun, and the ports that they are for."""
    found: dict[str, set[str]] = {}
    for row in await reader.fetch(_TARGETS_DUE, now):
        found.setdefault(row["target"], set()).add(row["port"])
    return found


async def next_due(reader: Reader) -> datetime | None:
    """When the next effect is due, or the lease of one lapses; None: there is none that might be begun."""
    due: datetime | None = await reader.fetchval(_NEXT_DUE)
    return due


async def end_unavailable(reader: Reader, target: str, port: str, *, at: datetime, detail: str) -> None:
    """End effects of a port that nobody here does."""
    await reader.fetch(_UNAVAILABLE, target, port, at, detail)


async def claim(reader: Reader, target: str, *, now: datetime, lease_until: datetime, limit: int) -> list[Effect]:
    """Effects at ``target`` for the caller to try, until the lease ends, each of another subject."""
    return [_effect(row) for row in await reader.fetch(_CLAIM, target, now, lease_until, limit)]


async def find(reader: Reader, effect_id: UUID) -> Effect | None:
    """One effect."""
    row = await reader.fetchrow(_BY_ID, effect_id)
    return None if row is None else _effect(row)


async def standing_of(reader: Reader, subject_id: UUID) -> Standing:
    """The standing of a subject now."""
    return Standing(await reader.fetchval(_STANDING, subject_id) or "trusted")


async def of_subject(reader: Reader, subject_id: UUID, *, before: UUID | None = None, limit: int = 50) -> list[Effect]:
    """Effects about a subject, the newest first."""
    return [_effect(row) for row in await reader.fetch(_OF_SUBJECT, subject_id, before, limit)]


async def listed(
    reader: Reader,
    states: Collection[EffectState] = (),
    *,
    target: str = "",
    before: UUID | None = None,
    limit: int = 50,
) -> list[Effect]:
    """Effects in any of ``states`` (none: in whichever), the newest first."""
    wanted = [state.value for state in states]
    return [_effect(row) for row in await reader.fetch(_LISTED, wanted, target, before, limit)]


async def prune(reader: Reader, *, before: datetime, limit: int = 5_000) -> None:
    """Forget effects that ended before ``before``, but for what may still have to be taken back."""
    await reader.fetch(_PRUNE, before, limit)


def _effect(row: Row | Mapping[str, Any]) -> Effect:
    values: dict[str, Any] = {name: row[name] for name in _COLUMNS}
    values["notice"] = msgspec.json.decode(values["notice"], type=Notice)
    values["state"] = EffectState(values["state"])
    return Effect(**values)
