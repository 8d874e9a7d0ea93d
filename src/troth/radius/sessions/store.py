"""SQL of sessions: found by what a record knows of them, written many at once, looked for by people."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from troth.radius.sessions.model import Boot, Counters, Port, Session, Where
from troth.store.statement import Write
from troth.store.unit import Reader, Row, Unit

#: Column → PostgreSQL type, in the order of :func:`_values`.
_TYPES: Final = {
    "id": "uuid", "opened_at": "timestamptz", "nas": "text", "box": "text", "source": "text", "nas_address": "text",
    "nas_identifier": "text", "mac": "text", "calling_station_id": "text", "nas_user_name": "text", "user_name": "text",
    "acct_session_id": "text", "acct_multi_session_id": "text", "audit_session_id": "text", "nas_port": "bigint",
    "nas_port_id": "text", "nas_port_type": "int", "called_station_id": "text", "framed_ip": "text",
    "framed_ipv6": "text", "class": "bytea", "admitted_at": "timestamptz", "network": "text", "place": "text",
    "method": "text", "outcome": "text", "reason": "text", "certificate_id": "uuid", "serial": "text",
    "subject_ids": "text", "until": "timestamptz", "started_at": "timestamptz", "start_seen": "boolean",
    "stopped": "boolean", "last_at": "timestamptz", "described_at": "timestamptz", "addressed_at": "timestamptz",
    "seconds": "bigint", "octets_in": "bigint", "octets_out": "bigint", "packets_in": "bigint",
    "packets_out": "bigint", "interims": "int", "cause": "text", "heard_at": "timestamptz", "ages_at": "timestamptz",
    "closed_at": "timestamptz", "closed_by": "text", "ended_at": "timestamptz", "ended_by": "text",
}  # fmt: skip
_NAMES: Final = tuple(_TYPES)
_COLUMNS: Final = ", ".join(_NAMES)
_OF_SESSION: Final = ", ".join(f"s.{name}" for name in _NAMES)
#: An array within an array of PostgreSQL's must be as long as its neighbours, so lists of subjects come as text.
_GIVEN: Final = ", ".join("i.subject_ids::uuid[]" if name == "subject_ids" else f"i.{name}" for name in _NAMES)
_UNNEST: Final = (
    f"unnest({', '.join(f'${number}::{kind}[]' for number, kind in enumerate(_TYPES.values(), 1))}) AS i({_COLUMNS})"
)
_KEY: Final = ("id", "opened_at")

ADD: Final = Write(
    "radius_session_add",
    f"INSERT INTO radius_session ({_COLUMNS}) SELECT {_GIVEN} FROM {_UNNEST} ON CONFLICT DO NOTHING",
    tuple(_TYPES.values()),
    rank=61,
)
CHANGE: Final = Write(
    "radius_session_change",
    "UPDATE radius_session s SET "
    + ", ".join(f"{name} = {'i.subject_ids::uuid[]' if name == 'subject_ids' else f'i.{name}'}"
                for name in _NAMES if name not in _KEY)
    + f" FROM {_UNNEST} WHERE s.id = i.id AND s.opened_at = i.opened_at",
    tuple(_TYPES.values()),
    rank=62,
)  # fmt: skip
# The counters alone: no index has any of these, so most of accounting touches none (HOT).
_GOES_ON_TYPES: Final = ("uuid", "timestamptz", "timestamptz", "timestamptz", "bigint", "bigint", "bigint", "bigint",
                         "bigint")  # fmt: skip
GOES_ON: Final = Write(
    "radius_session_goes_on",
    """UPDATE radius_session s SET last_at = i.last_at, described_at = i.last_at, heard_at = i.heard_at,
           seconds = i.seconds, octets_in = i.octets_in, octets_out = i.octets_out, packets_in = i.packets_in,
           packets_out = i.packets_out, interims = 1
       FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::bigint[], $6::bigint[],
                   $7::bigint[], $8::bigint[], $9::bigint[])
           AS i(id, opened_at, last_at, heard_at, seconds, octets_in, octets_out, packets_in, packets_out)
       WHERE s.id = i.id AND s.opened_at = i.opened_at""",
    _GOES_ON_TYPES,
    rank=62,
)
# What a boot ends: everything of its box that was heard of last before it. After the sessions of the same batch.
BOOT: Final = Write(
    "radius_boot_ends",
    """UPDATE radius_session s SET ended_at = i.at, ended_by = 'boot'
       FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS i(nas, box, called, at)
       WHERE s.nas = i.nas AND s.box = i.box AND (i.called = '' OR s.called_station_id = i.called)
       AND NOT s.stopped AND s.last_at < i.at AND (s.ended_at IS NULL OR s.ended_at > i.at)""",
    ("text", "text", "text", "timestamptz"),
    rank=63,
)
ADD_BOOT: Final = Write(
    "radius_boot_add",
    """INSERT INTO radius_boot (nas, box, called, at)
       SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) ON CONFLICT DO NOTHING""",
    ("text", "text", "text", "timestamptz"),
    rank=60,
)
# Ended by us. What accounting tells of a time after it opens the session again (``fold.settle``).
CLOSE: Final = Write(
    "radius_session_close",
    """UPDATE radius_session s SET closed_at = i.at, closed_by = i.by, ended_at = i.at, ended_by = i.by
       FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::text[]) AS i(id, opened_at, at, by)
       WHERE s.id = i.id AND s.opened_at = i.opened_at AND s.ended_at IS NULL""",
    ("uuid", "timestamptz", "timestamptz", "text"),
    rank=64,
)
AGES_LATER: Final = Write(
    "radius_session_ages_later",
    """UPDATE radius_session s SET ages_at = i.ages_at
       FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS i(id, opened_at, ages_at)
       WHERE s.id = i.id AND s.opened_at = i.opened_at""",
    ("uuid", "timestamptz", "timestamptz"),
    rank=64,
)

_BY_KEY = f"""
SELECT {_OF_SESSION} FROM radius_session s
JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::text[]) AS k(nas, box, acct)) AS k
  ON s.nas = k.nas AND s.box = k.box AND s.acct_session_id = k.acct"""
_BY_CLASS = f"SELECT {_OF_SESSION} FROM radius_session s WHERE s.class = ANY($1::bytea[])"
_BY_STATION = f"SELECT {_OF_SESSION} FROM radius_session s WHERE s.mac = ANY($1::text[]) AND s.ended_at IS NULL"
_BOOTS = """
SELECT b.nas, b.box, b.called, b.at FROM radius_boot b
JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::text[]) AS k(nas, box)) AS k USING (nas, box)"""
_AGED = f"SELECT {_OF_SESSION} FROM radius_session s WHERE ended_at IS NULL AND ages_at <= $1 ORDER BY ages_at LIMIT $2"
_ONE = f"SELECT {_OF_SESSION} FROM radius_session s WHERE id = $1"
_SOME = f"SELECT {_OF_SESSION} FROM radius_session s WHERE id = ANY($1::uuid[])"
_OPEN_COUNT = "SELECT count(*)::int FROM radius_session WHERE ended_at IS NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """Which sessions; what is empty does not matter, all else must be so.

    Attributes:
        user: beginning of the name, whatever its case.
        subjects: one of them, or a device of theirs.
        profiles: of their certificates; in networks that are not ``spared`` it does not matter which.
        open: only those that go on.
    """

    mac: str = ""
    user: str = ""
    serial: str = ""
    certificate: UUID | None = None
    subjects: tuple[UUID, ...] = ()
    nas: str = ""
    network: str = ""
    place: str = ""
    profiles: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()
    open: bool = True

    @property
    def everybody(self) -> bool:
        """Whether nothing narrows it."""
        return self == Meant(open=self.open)


def add(unit: Unit, session: Session) -> None:
    """Add a new session."""
    unit.write(ADD, *_values(session))


def change(unit: Unit, before: Session, after: Session) -> None:
    """Add what has become of a session."""
    if _goes_on(before, after):
        counted = after.counters
        unit.write(
            GOES_ON, after.id, after.opened_at, after.last_at, after.heard_at, counted.seconds, counted.octets_in,
            counted.octets_out, counted.packets_in, counted.packets_out,
        )  # fmt: skip
    else:
        unit.write(CHANGE, *_values(after))


def close(unit: Unit, session: Session, *, at: datetime, by: str) -> None:
    """Add that it is over as far as we can see, unless somebody else was sooner to say so."""
    unit.write(CLOSE, session.id, session.opened_at, max(at, session.last_at), by)


async def candidates(
    reader: Reader,
    keys: Collection[tuple[str, str, str]],
    classes: Collection[bytes],
    stations: Collection[str],
) -> list[Session]:
    """Every session that records with these keys, Classes or stations could be about."""
    found: dict[UUID, Session] = {}
    rows: list[Row] = []
    if keys:
        nas, box, acct = zip(*keys, strict=True)
        rows += await reader.fetch(_BY_KEY, list(nas), list(box), list(acct))
    if classes:
        rows += await reader.fetch(_BY_CLASS, list(classes))
    if stations:
        rows += await reader.fetch(_BY_STATION, list(stations))
    for row in rows:
        found.setdefault(row["id"], session_of(row))
    return list(found.values())


async def boots(reader: Reader, boxes: Collection[tuple[str, str]]) -> list[Boot]:
    """When these boxes have booted, as far as that is kept."""
    nas, box = zip(*boxes, strict=True)
    rows = await reader.fetch(_BOOTS, list(nas), list(box))
    return [Boot(row["nas"], row["box"], row["called"], row["at"]) for row in rows]


async def aged(reader: Reader, at: datetime, limit: int) -> list[Session]:
    """Sessions whose time to be looked at has come."""
    return [session_of(row) for row in await reader.fetch(_AGED, at, limit)]


async def find(reader: Reader, session_id: UUID) -> Session | None:
    """One session."""
    row = await reader.fetchrow(_ONE, session_id)
    return None if row is None else session_of(row)


async def some(reader: Reader, ids: Collection[UUID]) -> dict[UUID, Session]:
    """Several, by id."""
    return {row["id"]: session_of(row) for row in await reader.fetch(_SOME, list(ids))}


async def open_count(reader: Reader) -> int:
    """How many go on."""
    return int(await reader.fetchval(_OPEN_COUNT))


async def meant(
    reader: Reader, wanted: Meant, *, before: UUID | None = None, after: UUID | None = None, limit: int = 50
) -> list[Session]:
    """Sessions that are meant: the newest first from ``before``, or by id from ``after`` on."""
    values: list[Any] = []

    def parameter(value: Any) -> str:
        values.append(value)
        return f"${len(values)}"

    # What finds few sessions is looked for first, by its own index: beside an order and a limit the planner would
    # rather walk through everybody who is on the network.
    few: list[str] = []
    for column, value in (("mac", wanted.mac), ("serial", wanted.serial), ("certificate_id", wanted.certificate)):
        if value:
            few.append(f"s.{column} = {parameter(value)}")
    if wanted.subjects:
        given = parameter(list(wanted.subjects))
        few.append(
            f"s.subject_ids && ({given}::uuid[] || ARRAY(SELECT d.id FROM subject d WHERE d.owner_id = ANY({given})))"
        )
    terms = ["s.ended_at IS NULL"] if wanted.open else []
    for column, value in (("nas", wanted.nas), ("network", wanted.network), ("place", wanted.place)):
        if value:
            terms.append(f"s.{column} = {parameter(value)}")
    if wanted.profiles:
        spared, profiles = parameter(list(wanted.spared)), parameter(list(wanted.profiles))
        terms.append(
            f"(s.network <> ALL({spared}::text[]) OR (s.certificate_id IS NOT NULL AND NOT EXISTS (SELECT FROM "
            f"certificate c WHERE c.id = s.certificate_id AND c.profile <> ALL({profiles}::text[]))))"
        )
    if wanted.user:
        terms.append(f"lower(s.user_name) LIKE {parameter(_prefix(wanted.user))}")
    if before is not None:
        terms.append(f"s.id < {parameter(before)}")
    if after is not None:
        terms.append(f"s.id > {parameter(after)}")
    source = "radius_session"
    if few:
        source = f"(SELECT s.* FROM radius_session s WHERE {' AND '.join(few)} OFFSET 0)"
    where = f"WHERE {' AND '.join(terms)} " if terms else ""
    order = "s.id" if after is not None else "s.id DESC"
    # Nothing in it but names from above: every value is a parameter.
    sql = f"SELECT {_OF_SESSION} FROM {source} s {where}ORDER BY {order} LIMIT {parameter(limit)}"
    return [session_of(row) for row in await reader.fetch(sql, *values)]


def _prefix(text: str) -> str:
    """A pattern for what begins with ``text``."""
    escaped = text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"{escaped}%"


_COUNTED: Final = frozenset({"last_at", "described_at", "heard_at", "counters"})


def _goes_on(before: Session, after: Session) -> bool:
    """Whether nothing has changed but counters and when it was heard of."""
    return after.last_at == after.described_at and bool(after.interims) and all(
        getattr(before, name) == getattr(after, name) for name in Session.__struct_fields__ if name not in _COUNTED
    )  # fmt: skip


def _values(session: Session) -> tuple[Any, ...]:
    where, port, counted = session.where, session.port, session.counters
    subjects = f"{{{','.join(str(one) for one in session.subject_ids)}}}"
    return (
        session.id, session.opened_at, where.nas, where.box, where.source, where.address, where.identifier, port.mac,
        port.calling_station_id, port.user_name, session.user_name, port.acct_session_id, port.acct_multi_session_id,
        port.audit_session_id, port.nas_port, port.nas_port_id, port.nas_port_type, port.called_station_id,
        port.framed_ip, port.framed_ipv6, session.class_, session.admitted_at, session.network, session.place,
        session.method, session.outcome, session.reason, session.certificate_id, session.serial, subjects,
        session.until,
        session.started_at, session.start_seen, session.stopped, session.last_at, session.described_at,
        session.addressed_at, counted.seconds, counted.octets_in, counted.octets_out, counted.packets_in,
        counted.packets_out, session.interims, session.cause, session.heard_at, session.ages_at, session.closed_at,
        session.closed_by, session.ended_at, session.ended_by,
    )  # fmt: skip


def session_of(row: Row) -> Session:
    """A row as a record."""
    held: Sequence[UUID] = row["subject_ids"] or ()
    return Session(
        id=row["id"], opened_at=row["opened_at"],
        where=Where(row["nas"], row["box"], row["source"], row["nas_address"], row["nas_identifier"]),
        port=Port(
            row["mac"], row["calling_station_id"], row["nas_user_name"], row["acct_session_id"],
            row["acct_multi_session_id"], row["audit_session_id"], row["nas_port"], row["nas_port_id"],
            row["nas_port_type"], row["called_station_id"], row["framed_ip"], row["framed_ipv6"],
        ),
        class_=None if row["class"] is None else bytes(row["class"]), admitted_at=row["admitted_at"],
        network=row["network"], place=row["place"], method=row["method"], outcome=row["outcome"], reason=row["reason"],
        user_name=row["user_name"], certificate_id=row["certificate_id"], serial=row["serial"],
        subject_ids=tuple(held), until=row["until"], started_at=row["started_at"], start_seen=row["start_seen"],
        stopped=row["stopped"], last_at=row["last_at"], described_at=row["described_at"],
        addressed_at=row["addressed_at"],
        counters=Counters(row["seconds"], row["octets_in"], row["octets_out"], row["packets_in"], row["packets_out"]),
        interims=row["interims"], cause=row["cause"], heard_at=row["heard_at"], ages_at=row["ages_at"],
        closed_at=row["closed_at"], closed_by=row["closed_by"], ended_at=row["ended_at"], ended_by=row["ended_by"],
    )  # fmt: skip
