"""SQL of conversations: writing what the journal brings, finding it again, forgetting it by dropping days."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from troth.radius.admission.conversations import Conversation, decode
from troth.store.statement import Write
from troth.store.unit import Reader, Row, Unit

_ADD = Write(
    "radius_conversation_add",
    """INSERT INTO radius_conversation (at, id, network, nas, mac, user_name, serial, certificate_id, subjects,
                                        correlation, class, outcome, reason, record)
       SELECT at, id, network, nas, mac, user_name, serial, certificate_id,
              ARRAY(SELECT jsonb_array_elements_text(subjects)::uuid), correlation, class, outcome, reason, record
       FROM unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                   $8::uuid[], $9::jsonb[], $10::text[], $11::bytea[], $12::text[], $13::text[], $14::jsonb[])
            AS i(at, id, network, nas, mac, user_name, serial, certificate_id, subjects, correlation, class, outcome,
                 reason, record)
       ON CONFLICT DO NOTHING""",
    (
        "timestamptz", "uuid", "text", "text", "text", "text", "text", "uuid", "jsonb", "text", "bytea", "text", "text",
        "jsonb",
    ),
    rank=80,
)  # fmt: skip

#: By what is sought alone: a condition that is not asked for must not keep the planner from the index of one that is.
_CONDITIONS = {
    "mac": "mac = {}",
    "user": "user_name = {}",
    "serial": "serial = {}",
    "correlation": "correlation = {}",
    "subject": "subjects @> ARRAY[{}::uuid]",
    "network": "network = {}",
    "outcome": "outcome = {}",
    "certificate": "certificate_id = {}",
}
_KNOWN = "SELECT id FROM radius_conversation WHERE id = ANY($1::uuid[])"
_ONE = "SELECT record FROM radius_conversation WHERE id = $1"
_PARTITIONS = """SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'radius_conversation'::regclass ORDER BY 1"""
_FORGET = "DELETE FROM radius_conversation_other WHERE at < $1"
_EARLY = "SELECT 1 FROM radius_conversation_other WHERE at >= $1 AND at < $2 LIMIT 1"
_PREFIX = "radius_conversation_p"
_DAY = re.compile(rf"{_PREFIX}(\d{{8}})\Z")


@dataclass(frozen=True, slots=True)
class Sought:
    """What conversations are looked for; None: any."""

    mac: str | None = None
    user: str | None = None
    serial: str | None = None
    correlation: str | None = None
    subject: UUID | None = None
    network: str | None = None
    outcome: str | None = None
    certificate: UUID | None = None


def add(unit: Unit, one: Conversation, record: bytes) -> None:
    """Add the write of a conversation; one that is there already stays as it is. ``record``: it, encoded."""
    subjects = "[" + ",".join(f'"{subject}"' for subject in one.subjects) + "]"
    class_ = bytes.fromhex(one.class_) or None
    unit.write(
        _ADD, one.at, one.id, one.network, one.nas, one.mac, one.user_name, one.serial, one.certificate_id, subjects,
        one.correlation, class_, one.outcome, one.reason, record.decode(),
    )  # fmt: skip


async def found(reader: Reader, sought: Sought, *, before: UUID | None = None, limit: int = 50) -> list[Conversation]:
    """Those that are sought, the newest first."""
    values: list[object] = [limit]
    conditions: list[str] = []

    def ask(condition: str, value: object) -> None:
        values.append(value)
        conditions.append(condition.format(f"${len(values)}"))

    for name, condition in _CONDITIONS.items():
        value = getattr(sought, name)
        if value is not None:
            ask(condition, value)
    if before is not None:
        ask("id < {}", before)
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    rows = await reader.fetch(f"SELECT record FROM radius_conversation {where}ORDER BY id DESC LIMIT $1", *values)
    return [_made(row) for row in rows]


async def known(reader: Reader, ids: Sequence[UUID]) -> frozenset[UUID]:
    """Those of ``ids`` that are kept."""
    return frozenset(row["id"] for row in await reader.fetch(_KNOWN, list(ids)))


async def one(reader: Reader, id: UUID) -> Conversation | None:
    """By id."""
    row = await reader.fetchrow(_ONE, id)
    return None if row is None else _made(row)


async def days(reader: Reader) -> list[date]:
    """Days that have a partition of their own."""
    names = [str(row["name"]) for row in await reader.fetch(_PARTITIONS)]
    return [
        datetime.strptime(day[1], "%Y%m%d").replace(tzinfo=UTC).date() for name in names if (day := _DAY.match(name))
    ]


async def add_day(reader: Reader, day: date) -> bool:
    """Make the partition of ``day`` (UTC).

    False: conversations of that day came before it (on the first day, or after a restore); they stay where they are.
    """
    begins, ends = (f"{one.isoformat()}T00:00:00Z" for one in (day, day + timedelta(days=1)))
    if await reader.fetchval(_EARLY, _midnight(day), _midnight(day + timedelta(days=1))) is not None:
        return False
    await reader.fetch(
        f"CREATE TABLE IF NOT EXISTS {_PREFIX}{day:%Y%m%d} PARTITION OF radius_conversation "
        f"FOR VALUES FROM ('{begins}') TO ('{ends}')"
    )
    return True


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


async def drop_day(reader: Reader, day: date) -> None:
    """Forget everything of ``day``."""
    await reader.fetch(f"DROP TABLE IF EXISTS {_PREFIX}{day:%Y%m%d}")


async def forget(reader: Reader, before: datetime) -> None:
    """Forget what lies in no day's partition and is older."""
    await reader.fetch(_FORGET, before)


def _made(row: Row | dict[str, Any]) -> Conversation:
    return decode(row["record"].encode() if isinstance(row["record"], str) else bytes(row["record"]))


__all__: Sequence[str] = ("Sought", "add", "add_day", "days", "drop_day", "forget", "found", "known", "one")
