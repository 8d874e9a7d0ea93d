"""SQL of staged actions: what automation may not do by itself and a person has yet to settle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

from troth.store.statement import Guard, Write
from troth.store.unit import Reader, Row, Unit
from troth.trust.standing import Standing


class ActionKind(Enum):
    """What would be done."""

    RAISE = "raise"
    CLEAR = "clear"
    REVOKE = "revoke"


class Why(Enum):
    """Why it was not done at once."""

    CAP = "cap"
    FROZEN = "frozen"
    FEED_SUSPENDED = "feed_suspended"
    IRREVERSIBLE = "irreversible"
    QUORUM = "quorum"
    UNHEALED = "unhealed"


class ActionState(Enum):
    """Where a staged action is."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class StagedAction:
    """One action that waits, or waited, for a person.

    Attributes:
        feed, cause, level: the cause that would change; for ``revoke``, what brought the subject to distrust.
        would: what it would hit: ``standing`` (from, to) and ``certificates`` (how many).
        detail: which cap, or what else a person should know of the reason.
        settled_by: who approved or rejected it, or the feed that took it back.
    """

    id: UUID
    action: ActionKind
    subject_id: UUID
    feed: str
    cause: str
    level: Standing
    why: Why
    signal_id: UUID
    observed_at: datetime
    would: Mapping[str, Any]
    staged_at: datetime
    state: ActionState = ActionState.PENDING
    settled_at: datetime | None = None
    settled_by: str | None = None
    note: str = ""
    detail: str = ""


#: The action is pending and ours until commit.
LOCK_PENDING = Guard(
    "staged_action_pending",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id)
       JOIN staged_action a ON a.id = i.id AND a.state = 'pending' ORDER BY a.id FOR UPDATE OF a""",
    ("uuid",),
    rank=25,
)

_STAGE = Write(
    "staged_action",
    """INSERT INTO staged_action (id, action, subject_id, feed, cause, level, why, signal_id, observed_at, would,
                                  staged_at, detail, state)
       SELECT *, 'pending' FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[],
                                       $7::text[], $8::uuid[], $9::timestamptz[], $10::jsonb[], $11::timestamptz[],
                                       $12::text[])
       ON CONFLICT (subject_id, feed, cause, action) WHERE state = 'pending' DO UPDATE SET
           level = excluded.level, why = excluded.why, signal_id = excluded.signal_id,
           observed_at = excluded.observed_at, would = excluded.would, detail = excluded.detail""",
    (
        "uuid", "text", "uuid", "text", "text", "text", "text", "uuid", "timestamptz", "jsonb", "timestamptz", "text",
    ),
)  # fmt: skip

_SETTLE = Write(
    "staged_action_settle",
    """UPDATE staged_action a SET state = i.state, settled_at = i.at, settled_by = i.by, note = i.note
       FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::text[]) AS i(id, state, at, by, note)
       WHERE a.id = i.id AND a.state = 'pending'""",
    ("uuid", "text", "timestamptz", "text", "text"),
    rank=40,
)

_ACTION = """
SELECT id, action, subject_id, feed, cause, level, why, signal_id, observed_at, would, staged_at, state, settled_at,
       settled_by, note, detail FROM staged_action"""
_BY_ID = f"{_ACTION} WHERE id = $1"
_PENDING_OF = f"{_ACTION} WHERE subject_id = $1 AND state = 'pending' ORDER BY id"
_OF_SUBJECT = f"{_ACTION} WHERE subject_id = $1 ORDER BY id DESC LIMIT 200"
_IN_STATE = f"{_ACTION} WHERE state = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3"


def stage(unit: Unit, action: StagedAction) -> None:
    """Add the write of a pending action; an equal one that waits already takes over level and reason."""
    unit.write(
        _STAGE, action.id, action.action.value, action.subject_id, action.feed, action.cause, action.level.value,
        action.why.value, action.signal_id, action.observed_at, msgspec.json.encode(action.would).decode(),
        action.staged_at, action.detail,
    )  # fmt: skip


def settle(unit: Unit, action_id: UUID, state: ActionState, *, by: str, at: datetime, note: str = "") -> None:
    """Add the write that ends a pending action."""
    unit.write(_SETTLE, action_id, state.value, at, by, note)


async def find_action(reader: Reader, action_id: UUID) -> StagedAction | None:
    """The action of that id, pending or settled."""
    row = await reader.fetchrow(_BY_ID, action_id)
    return None if row is None else _action(row)


async def pending_of(reader: Reader, subject_id: UUID) -> list[StagedAction]:
    """What waits for a person about this subject."""
    return [_action(row) for row in await reader.fetch(_PENDING_OF, subject_id)]


async def actions_of(reader: Reader, subject_id: UUID) -> list[StagedAction]:
    """Actions about this subject, pending and settled, the newest first."""
    return [_action(row) for row in await reader.fetch(_OF_SUBJECT, subject_id)]


async def actions(
    reader: Reader, state: ActionState = ActionState.PENDING, *, before: UUID | None = None, limit: int = 50
) -> list[StagedAction]:
    """Actions in ``state``, the newest first; ``before`` is the last id of a page."""
    return [_action(row) for row in await reader.fetch(_IN_STATE, state.value, before, limit)]


def _action(row: Row) -> StagedAction:
    values: dict[str, Any] = dict(row)
    values["action"] = ActionKind(values["action"])
    values["level"] = Standing(values["level"])
    values["why"] = Why(values["why"])
    values["state"] = ActionState(values["state"])
    values["would"] = msgspec.json.decode(values["would"])
    return StagedAction(**values)
