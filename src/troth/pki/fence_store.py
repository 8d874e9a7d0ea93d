"""SQL of the recovery fence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from troth.store.statement import Guard, Write
from troth.store.unit import Reader

FenceState: TypeAlias = Literal["open", "closed", "accepted", "revoked"]

IS_CLOSED = Guard(
    "recovery_fence_closed",
    """SELECT i.n FROM unnest($1::int[], $2::boolean[]) AS i(n, one)
       JOIN recovery_fence f ON f.one = i.one AND f.state = 'closed' FOR UPDATE OF f""",
    ("boolean",),
    rank=10,
)

SETTLE = Write(
    "recovery_fence_settle",
    """UPDATE recovery_fence f SET state = i.state, settled_at = i.at, settled_by = i.actor, settled_why = i.why
       FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[]) AS i(state, at, actor, why)""",
    ("text", "timestamptz", "text", "text"),
    rank=10,
)

_FENCE = """SELECT state, reason, closed_at, unknown_from, unknown_until, settled_at, settled_by, settled_why
    FROM recovery_fence"""


@dataclass(frozen=True, slots=True)
class FenceRow:
    """The fence as it stands.

    Attributes:
        reason: why it was closed.
        unknown_from, unknown_until: the time of which this database may know nothing.
    """

    state: FenceState = "open"
    reason: str = ""
    closed_at: datetime | None = None
    unknown_from: datetime | None = None
    unknown_until: datetime | None = None
    settled_at: datetime | None = None
    settled_by: str | None = None
    settled_why: str = ""

    @property
    def closed(self) -> bool:
        """Whether a person has yet to decide."""
        return self.state == "closed"


async def read_fence(reader: Reader) -> FenceRow:
    """The fence."""
    row = await reader.fetchrow(_FENCE)
    return FenceRow() if row is None else FenceRow(**dict(row))
