"""SQL of what was seen of access servers: one row for each address that has asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from troth.store.statement import Write
from troth.store.unit import Reader, Unit

#: An address that was silent for so long is part of no report, and is forgotten.
REMEMBERED: Final = timedelta(days=30)

_SEEN = Write(
    "nas_seen",
    """INSERT INTO nas_seen AS s (nas, address, last_at, current_at, next_at, unsigned_at, unsigned, wrong_at, wrong)
       SELECT i.* FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[],
                              $6::timestamptz[], $7::bigint[], $8::timestamptz[], $9::bigint[])
           AS i(nas, address, last_at, current_at, next_at, unsigned_at, unsigned, wrong_at, wrong)
       JOIN nas n ON n.name = i.nas
       ORDER BY i.nas, i.address
       ON CONFLICT (nas, address) DO UPDATE SET last_at = greatest(s.last_at, excluded.last_at),
           current_at = greatest(s.current_at, excluded.current_at), next_at = greatest(s.next_at, excluded.next_at),
           unsigned_at = greatest(s.unsigned_at, excluded.unsigned_at), unsigned = s.unsigned + excluded.unsigned,
           wrong_at = greatest(s.wrong_at, excluded.wrong_at), wrong = s.wrong + excluded.wrong""",
    ("text", "text", "timestamptz", "timestamptz", "timestamptz", "timestamptz", "bigint", "timestamptz", "bigint"),
    rank=64,
)
_FORGET = Write(
    "nas_seen_forget",
    "DELETE FROM nas_seen s USING unnest($1::timestamptz[]) AS i(before) WHERE s.last_at < i.before",
    ("timestamptz",),
    rank=64,
)
_PROMOTED = Write(
    "nas_seen_promoted",
    """UPDATE nas_seen s SET current_at = s.next_at, next_at = NULL FROM unnest($1::text[]) AS i(name)
       WHERE s.nas = i.name""",
    ("text",),
    rank=64,
)
_ABANDONED = Write(
    "nas_seen_abandoned",
    "UPDATE nas_seen s SET next_at = NULL FROM unnest($1::text[]) AS i(name) WHERE s.nas = i.name",
    ("text",),
    rank=64,
)
_COLUMNS = "nas, address, last_at, current_at, next_at, unsigned_at, unsigned, wrong_at, wrong"
_OF = f"SELECT {_COLUMNS} FROM nas_seen WHERE nas = $1 AND last_at >= $2 ORDER BY last_at DESC, address LIMIT $3"
_SUMMARY = """SELECT nas, count(*) AS addresses, max(last_at) AS last_at,
       count(*) FILTER (WHERE next_at IS NOT NULL AND next_at >= coalesce(current_at, next_at)) AS moved,
       count(*) FILTER (WHERE current_at IS NOT NULL OR next_at IS NOT NULL) AS proved,
       count(*) FILTER (WHERE unsigned_at >= $2) AS unsigned, max(unsigned_at) AS unsigned_at,
       count(*) FILTER (WHERE wrong_at >= $2) AS wrong, max(wrong_at) AS wrong_at
   FROM nas_seen WHERE last_at >= $1 GROUP BY nas"""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was seen of one address, or is to be added to that.

    Attributes:
        current_at, next_at: when it last proved itself by either secret.
        unsigned: requests without Message-Authenticator. wrong: requests that nothing proved.
    """

    nas: str
    address: str
    last_at: datetime
    current_at: datetime | None = None
    next_at: datetime | None = None
    unsigned_at: datetime | None = None
    unsigned: int = 0
    wrong_at: datetime | None = None
    wrong: int = 0

    @property
    def moved(self) -> bool:
        """Whether the secret that it used last is the new one."""
        return self.next_at is not None and (self.current_at is None or self.next_at >= self.current_at)


@dataclass(frozen=True, slots=True)
class Summary:
    """What was seen of one access server.

    Attributes:
        addresses: that have asked within 30 days; ``proved`` of them by a right secret.
        moved: of them those whose latest secret is the new one.
        unsigned, wrong: of them those that have sent such requests lately.
    """

    addresses: int = 0
    last_at: datetime | None = None
    moved: int = 0
    proved: int = 0
    unsigned: int = 0
    unsigned_at: datetime | None = None
    wrong: int = 0
    wrong_at: datetime | None = None


def seen(unit: Unit, one: Sighting) -> None:
    """Add the write of what was seen; nothing is written of an access server that is gone."""
    unit.write(
        _SEEN, one.nas, one.address, one.last_at, one.current_at, one.next_at, one.unsigned_at, one.unsigned,
        one.wrong_at, one.wrong,
    )  # fmt: skip


def forget(unit: Unit, now: datetime) -> None:
    """Add the removal of addresses that have been silent for 30 days."""
    unit.write(_FORGET, now - REMEMBERED)


def promoted(unit: Unit, name: str) -> None:
    """Add the write after which what proved itself by the next secret has proved itself by the present one."""
    unit.write(_PROMOTED, name)


def abandoned(unit: Unit, name: str) -> None:
    """Add the write after which nobody has used a next secret."""
    unit.write(_ABANDONED, name)


async def of(reader: Reader, name: str, *, now: datetime, limit: int) -> list[Sighting]:
    """The addresses of one access server, the latest first."""
    return [Sighting(**dict(row)) for row in await reader.fetch(_OF, name, now - REMEMBERED, limit)]


async def summaries(reader: Reader, *, now: datetime, lately: timedelta) -> Mapping[str, Summary]:
    """Access server → what was seen of it."""
    rows = await reader.fetch(_SUMMARY, now - REMEMBERED, now - lately)
    return {row["nas"]: Summary(**{name: row[name] for name in Summary.__slots__}) for row in rows}
