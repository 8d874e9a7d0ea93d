"""SQL of orders: what is to be done to which session, planned once for each cause, done by one sender."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from troth.radius.sessions.orders import ORDERS_CHANNEL, Order
from troth.store.statement import Guard, Write
from troth.store.unit import Reader, Row, Unit

_COLUMNS = (
    "id", "kind", "session_id", "opened_at", "nas", "lane", "origin", "actor", "reason", "automated", "accepted_at",
    "planned_at", "due", "give_up_at", "attempts", "epoch", "state", "ended_at", "step", "detail",
)  # fmt: skip
_ORDER: Final = ", ".join(f"o.{name}" for name in _COLUMNS)

PLAN: Final = Write(
    "radius_order_plan",
    """INSERT INTO radius_order (id, kind, session_id, opened_at, nas, lane, origin, actor, reason, automated,
                                 accepted_at, planned_at, due, give_up_at, state)
       SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::timestamptz[], $5::text[], $6::text[], $7::text[],
                   $8::text[], $9::text[], $10::boolean[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[],
                   $14::timestamptz[], $15::text[])
       ON CONFLICT (origin, session_id) DO NOTHING""",
    (
        "uuid", "text", "uuid", "timestamptz", "text", "text", "text", "text", "text", "boolean", "timestamptz",
        "timestamptz", "timestamptz", "timestamptz", "text",
    ),
    rank=70,
    wakes=ORDERS_CHANNEL,
)  # fmt: skip
#: The try is still ours: nobody has taken the order up again since, and it has not ended.
STILL_OURS: Final = Guard(
    "radius_order_ours",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[], $3::int[]) AS i(n, id, attempts)
       JOIN radius_order o ON o.id = i.id AND o.attempts = i.attempts AND o.state = 'waiting'
       ORDER BY o.id FOR UPDATE OF o""",
    ("uuid", "int"),
    rank=30,
)
#: It waits for a person.
STAGED: Final = Guard(
    "radius_order_staged",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[]) AS i(n, id)
       JOIN radius_order o ON o.id = i.id AND o.state = 'staged' ORDER BY o.id FOR UPDATE OF o""",
    ("uuid",),
    rank=30,
)
END: Final = Write(
    "radius_order_end",
    """UPDATE radius_order o SET state = i.state, ended_at = i.at, step = i.step, detail = i.detail, epoch = NULL
       FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::text[]) AS i(id, state, at, step, detail)
       WHERE o.id = i.id""",
    ("uuid", "text", "timestamptz", "text", "text"),
    rank=71,
)
AGAIN: Final = Write(
    "radius_order_again",
    """UPDATE radius_order o SET due = i.due, detail = i.detail, epoch = NULL
       FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS i(id, due, detail) WHERE o.id = i.id""",
    ("uuid", "timestamptz", "text"),
    rank=71,
    wakes=ORDERS_CHANNEL,
)
# On a person's word: as if he had given the order.
RELEASE: Final = Write(
    "radius_order_release",
    """UPDATE radius_order o SET state = 'waiting', automated = false, actor = i.actor, due = i.at, give_up_at = i.until
       FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[]) AS i(id, actor, at, until)
       WHERE o.id = i.id""",
    ("uuid", "text", "timestamptz", "timestamptz"),
    rank=71,
    wakes=ORDERS_CHANNEL,
)

_FROZEN = "(SELECT frozen FROM enforcement_switch)"
# A lane is a device: the earliest of its orders that may be done, and none while one is under way. What an earlier
# sender has left is taken over: its lease has lapsed, and it has stopped sending by its own clock.
_CLAIM = f"""
UPDATE radius_order o SET attempts = o.attempts + 1, epoch = $2
FROM (
    SELECT w.id FROM (
        SELECT c.id, c.due, row_number() OVER (PARTITION BY c.nas ORDER BY c.due, c.id) AS place,
               COALESCE(r.room, $3) AS room
        FROM radius_order c LEFT JOIN unnest($5::text[], $6::int[]) AS r(nas, room) ON r.nas = c.nas
        WHERE c.state = 'waiting' AND c.due <= $1 AND (c.epoch IS NULL OR c.epoch < $2)
        AND NOT (c.automated AND {_FROZEN})
        AND NOT EXISTS (
            SELECT FROM radius_order p WHERE p.lane = c.lane AND p.state = 'waiting' AND p.id <> c.id
            AND (p.epoch = $2 OR (p.id < c.id AND p.due <= $1 AND NOT (p.automated AND {_FROZEN}))))
    ) AS w WHERE w.place <= w.room ORDER BY w.due, w.id LIMIT $4
) AS pick
WHERE o.id = pick.id AND o.state = 'waiting' AND (o.epoch IS NULL OR o.epoch < $2)
RETURNING {_ORDER}"""
_UNCLAIM = "UPDATE radius_order SET epoch = NULL WHERE epoch = $1 AND state = 'waiting' AND NOT id = ANY($2::uuid[])"
_NEXT_DUE = f"""
SELECT min(due) FROM radius_order
WHERE state = 'waiting' AND (epoch IS NULL OR epoch < $1) AND NOT (automated AND {_FROZEN})"""
_OF_ORIGIN = f"SELECT {_ORDER} FROM radius_order o WHERE origin = $1 ORDER BY id"
_OF_SESSION = f"SELECT {_ORDER} FROM radius_order o WHERE session_id = $1 ORDER BY id DESC LIMIT $2"
_LISTED = f"""
SELECT {_ORDER} FROM radius_order o
WHERE ($1::text = '' OR state = $1) AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3"""
_RECENT = """
SELECT count(DISTINCT session_id)::int FROM radius_order
WHERE automated AND origin LIKE 'event:%' AND state <> 'staged' AND planned_at > $1"""
_LATELY = """
SELECT DISTINCT session_id FROM radius_order
WHERE session_id = ANY($1::uuid[]) AND origin LIKE 'admission:%' AND planned_at > $2"""
_COUNTS = (
    "SELECT state, count(*)::int AS n, min(due) AS due FROM radius_order WHERE state = ANY($1::text[]) GROUP BY state"
)
_PRUNE = """
DELETE FROM radius_order WHERE id IN (
    SELECT id FROM radius_order WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)"""


def plan(unit: Unit, order: Order) -> None:
    """Add an order, unless its cause has brought about one for this session already."""
    unit.write(
        PLAN, order.id, order.kind, order.session_id, order.opened_at, order.nas, order.lane, order.origin, order.actor,
        order.reason[:500], order.automated, order.accepted_at, order.planned_at, order.due, order.give_up_at,
        order.state,
    )  # fmt: skip


async def claim(
    reader: Reader, *, now: datetime, epoch: int, limit: int, room: Mapping[str, int], usual: int = 16
) -> list[Order]:
    """Orders for the sender of ``epoch`` to do, each of another device.

    ``room``: how many at each access server; ``usual``: at those that are not named.
    """
    rows = await reader.fetch(_CLAIM, now, epoch, usual, limit, list(room), list(room.values()))
    return [_order(row) for row in rows]


async def unclaim(reader: Reader, epoch: int, *, but: Collection[UUID]) -> None:
    """Let what was claimed for ``epoch`` be claimed again, except what is under way."""
    await reader.fetch(_UNCLAIM, epoch, list(but))


async def next_due(reader: Reader, epoch: int) -> datetime | None:
    """When the next order is due that the sender of ``epoch`` has not claimed; None: there is none."""
    due: datetime | None = await reader.fetchval(_NEXT_DUE, epoch)
    return due


async def of_origin(reader: Reader, origin: str) -> list[Order]:
    """What one cause has brought about."""
    return [_order(row) for row in await reader.fetch(_OF_ORIGIN, origin)]


async def of_session(reader: Reader, session_id: UUID, *, limit: int = 50) -> list[Order]:
    """What was to be done to a session, the newest first."""
    return [_order(row) for row in await reader.fetch(_OF_SESSION, session_id, limit)]


async def listed(reader: Reader, state: str = "", *, before: UUID | None = None, limit: int = 50) -> list[Order]:
    """Orders in that state (empty: in whichever), the newest first."""
    return [_order(row) for row in await reader.fetch(_LISTED, state, before, limit)]


async def lately(reader: Reader, sessions: Collection[UUID], since: datetime) -> set[UUID]:
    """Those of ``sessions`` that an admission has had judged anew since then."""
    return {row["session_id"] for row in await reader.fetch(_LATELY, list(sessions), since)}


async def begun_since(reader: Reader, at: datetime) -> int:
    """Sessions that automation has ended or moved on account of ledger events since ``at``."""
    return int(await reader.fetchval(_RECENT, at))


async def counts(reader: Reader, states: Collection[str]) -> dict[str, tuple[int, datetime]]:
    """State → how many orders, and the oldest due time."""
    return {row["state"]: (row["n"], row["due"]) for row in await reader.fetch(_COUNTS, list(states))}


async def prune(reader: Reader, *, before: datetime, limit: int = 10_000) -> None:
    """Forget orders that ended before ``before``."""
    await reader.fetch(_PRUNE, before, limit)


def _order(row: Row) -> Order:
    values: dict[str, Any] = {name: row[name] for name in _COLUMNS}
    return Order(**values)
