"""SQL of feeds and of the enforcement switch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row, Unit
from troth.trust.feeds.caps import Cap
from troth.trust.feeds.model import Feed, ScopeDefinition
from troth.trust.standing import Standing

#: The feed exists, and is ours until commit: its cap is counted under this lock.
LOCK_FEED = Guard(
    "feed_lock",
    """SELECT i.n FROM unnest($1::int[], $2::text[]) AS i(n, name)
       JOIN feed f ON f.name = i.name ORDER BY f.name FOR UPDATE OF f""",
    ("text",),
    rank=10,
)

LOCK_SWITCH = Guard(
    "enforcement_switch_lock",
    """SELECT i.n FROM unnest($1::int[], $2::boolean[]) AS i(n, one)
       JOIN enforcement_switch s ON s.one = i.one FOR UPDATE OF s""",
    ("boolean",),
    rank=30,
)

_WRITTEN = (
    "name", "kinds", "scope", "greatest_effect", "may_clear", "cap_percent", "cap_subjects", "cap_window_seconds",
    "suspended", "applied_at", "actor", "cadence_seconds", "rollout", "cap_above", "suspended_by", "suspended_why",
    "suspended_at",
)  # fmt: skip
#: What :func:`feed_of` needs.
COLUMNS = (*_WRITTEN, "former_until")
_COLUMNS = ", ".join(_WRITTEN)
_TYPES = (
    "text", "jsonb", "jsonb", "text", "boolean", "int", "int", "int", "boolean", "timestamptz", "text", "int", "jsonb",
    "text", "text", "text", "timestamptz",
)  # fmt: skip
_ARRAYS = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(_TYPES, start=1))

_CREATE = Claim(
    "feed_create",
    f"""WITH i AS (SELECT * FROM unnest($1::int[], {", ".join(f"${n}::{t}[]" for n, t in enumerate(_TYPES, 2))},
                                        ${len(_TYPES) + 2}::bytea[]) AS t(n, {_COLUMNS}, secret)),
        w AS (INSERT INTO feed ({_COLUMNS}, secret) SELECT {_COLUMNS}, secret FROM i ORDER BY name
              ON CONFLICT (name) DO NOTHING RETURNING name)
        SELECT i.n FROM i JOIN w USING (name)""",
    (*_TYPES, "bytea"),
    rank=10,
)

_UPDATE = Write(
    "feed_update",
    f"""UPDATE feed SET ({", ".join(_WRITTEN[1:])}) = ({", ".join(f"i.{name}" for name in _WRITTEN[1:])})
        FROM unnest({_ARRAYS}) AS i({_COLUMNS}) WHERE feed.name = i.name""",
    _TYPES,
)

_SUSPEND = Write(
    "feed_suspend",
    """UPDATE feed SET suspended = i.suspended, suspended_by = i.by, suspended_why = i.why, suspended_at = i.at
       FROM unnest($1::text[], $2::boolean[], $3::text[], $4::text[], $5::timestamptz[])
           AS i(name, suspended, by, why, at) WHERE feed.name = i.name""",
    ("text", "boolean", "text", "text", "timestamptz"),
)

_ROLLOUT = Write(
    "feed_rollout",
    """UPDATE feed SET rollout = i.rollout FROM unnest($1::text[], $2::jsonb[]) AS i(name, rollout)
       WHERE feed.name = i.name""",
    ("text", "jsonb"),
)

_SECRETS = Write(
    "feed_secrets",
    """UPDATE feed SET secret = i.secret, former_secret = i.former_secret, former_until = i.former_until
       FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::timestamptz[])
           AS i(name, secret, former_secret, former_until) WHERE feed.name = i.name""",
    ("text", "bytea", "bytea", "timestamptz"),
)

#: Woken when enforcement was frozen or set free.
SWITCH_CHANNEL: Final = "troth_enforcement"

_SWITCH = Write(
    "enforcement_switch",
    """UPDATE enforcement_switch s SET frozen = i.frozen, reason = i.reason, actor = i.actor, changed_at = i.at
       FROM unnest($1::boolean[], $2::boolean[], $3::text[], $4::text[], $5::timestamptz[])
           AS i(one, frozen, reason, actor, at) WHERE s.one = i.one""",
    ("boolean", "boolean", "text", "text", "timestamptz"),
    wakes=SWITCH_CHANNEL,
)

_ONE = f"SELECT {_COLUMNS}, former_until FROM feed WHERE name = $1"
_ALL = f"SELECT {_COLUMNS}, former_until FROM feed ORDER BY name"
_SEALED = "SELECT secret, former_secret, former_until FROM feed WHERE name = $1"
_READ_SWITCH = "SELECT frozen, reason, actor, changed_at FROM enforcement_switch"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A feed's webhook secrets as stored."""

    secret: bytes
    former: bytes | None
    former_until: datetime | None

    def in_force(self, at: datetime) -> tuple[bytes, ...]:
        """The secrets that a message may be signed with at that moment, the newest first."""
        if self.former is not None and self.former_until is not None and at < self.former_until:
            return self.secret, self.former
        return (self.secret,)


@dataclass(frozen=True, slots=True)
class Switch:
    """Whether automatic enforcement is stopped, by whom and why. ``changed_at`` is None if nobody ever touched it."""

    frozen: bool
    reason: str
    actor: str
    changed_at: datetime | None


def create(unit: Unit, feed: Feed, sealed: bytes, *, refuse: Exception) -> None:
    """Add the claim that makes ``feed``."""
    unit.claim(_CREATE, *_values(feed), sealed, refuse=refuse)


def update(unit: Unit, feed: Feed) -> None:
    """Add the write of a changed definition; the secrets stay."""
    unit.write(_UPDATE, *_values(feed))


def suspend(unit: Unit, name: str, *, by: str, why: str, at: datetime) -> None:
    """Add the write that suspends a feed until somebody resumes it."""
    unit.write(_SUSPEND, name, True, by, why, at)


def resume(unit: Unit, name: str) -> None:
    """Add the write that lets a feed act again."""
    unit.write(_SUSPEND, name, False, None, "", None)


def set_rollout(unit: Unit, name: str, rollout: Mapping[str, int]) -> None:
    """Add the write of how far a feed's words are in force."""
    unit.write(_ROLLOUT, name, msgspec.json.encode(rollout).decode())


def set_secrets(unit: Unit, name: str, sealed: Sealed) -> None:
    """Add the write of a feed's sealed secrets."""
    unit.write(_SECRETS, name, sealed.secret, sealed.former, sealed.former_until)


def set_switch(unit: Unit, *, frozen: bool, reason: str, actor: str, at: datetime) -> None:
    """Add the write of the enforcement switch."""
    unit.write(_SWITCH, True, frozen, reason, actor, at)


async def find_feed(reader: Reader, name: str) -> Feed | None:
    """The feed of that name."""
    row = await reader.fetchrow(_ONE, name)
    return None if row is None else feed_of(row)


async def all_feeds(reader: Reader) -> list[Feed]:
    """Every feed, by name."""
    return [feed_of(row) for row in await reader.fetch(_ALL)]


async def sealed_secrets(reader: Reader, name: str) -> Sealed | None:
    """The sealed secrets of a feed."""
    row = await reader.fetchrow(_SEALED, name)
    return None if row is None else Sealed(row["secret"], row["former_secret"], row["former_until"])


async def switch(reader: Reader) -> Switch:
    """The enforcement switch."""
    row = await reader.fetchrow(_READ_SWITCH)
    if row is None:
        # The row comes with the migration; without it, stopped is the safe reading.
        return Switch(True, "the enforcement switch is missing from the database", "system:store", None)
    return Switch(row["frozen"], row["reason"], row["actor"], row["changed_at"])


def _values(feed: Feed) -> tuple[Any, ...]:
    return (
        feed.name,
        msgspec.json.encode(feed.kinds).decode(),
        msgspec.json.encode(feed.scope).decode(),
        feed.greatest_effect.value,
        feed.may_clear,
        feed.cap.percent,
        feed.cap.subjects,
        int(feed.cap.window.total_seconds()),
        feed.suspended,
        feed.applied_at,
        feed.actor,
        None if feed.cadence is None else int(feed.cadence.total_seconds()),
        msgspec.json.encode(feed.rollout).decode(),
        feed.cap_above,
        feed.suspended_by,
        feed.suspended_why,
        feed.suspended_at,
    )


def feed_of(row: Row | Mapping[str, Any]) -> Feed:
    """A feed from a row with all of COLUMNS."""
    return Feed(
        name=row["name"],
        kinds=msgspec.json.decode(row["kinds"], type=tuple[str, ...]),
        scope=msgspec.json.decode(row["scope"], type=ScopeDefinition),
        greatest_effect=Standing(row["greatest_effect"]),
        may_clear=row["may_clear"],
        cap=Cap(row["cap_percent"], row["cap_subjects"], timedelta(seconds=row["cap_window_seconds"])),
        suspended=row["suspended"],
        applied_at=row["applied_at"],
        actor=row["actor"],
        former_until=row["former_until"],
        cadence=None if row["cadence_seconds"] is None else timedelta(seconds=row["cadence_seconds"]),
        rollout=msgspec.json.decode(row["rollout"], type=dict[str, int]),
        cap_above=row["cap_above"],
        suspended_by=row["suspended_by"],
        suspended_why=row["suspended_why"],
        suspended_at=row["suspended_at"],
    )
