"""SQL of subjects, the names that belong to them, and facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from troth.kit.canonical import Json
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader, Row
from troth.trust.model import Kind, Subject
from troth.trust.standing import Standing

#: Each subject still stands where it stood when it was judged, and will until this transaction is over.
STANDING_UNCHANGED = Guard(
    "subject_standing_unchanged",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[], $3::int[]) AS i(n, id, version)
       JOIN subject s ON s.id = i.id AND s.standing_version = i.version AND s.removed_at IS NULL
       ORDER BY s.id FOR SHARE OF s""",
    ("uuid", "int"),
    rank=20,
)

CREATE_SUBJECT = Claim(
    "subject_create",
    """WITH i AS (SELECT * FROM unnest($1::int[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::text[],
                                       $7::jsonb[], $8::jsonb[], $9::boolean[], $10::timestamptz[])
                  AS t(n, id, kind, name, owner_id, origin, attributes, groups, protected, at)),
       w AS (INSERT INTO subject (id, kind, name, owner_id, origin, attributes, groups, protected, standing_since,
                                  created_at, confirmed_at)
             SELECT id, kind, name, owner_id, origin, attributes, groups, protected, at, at, at FROM i
             ORDER BY kind, name
             ON CONFLICT (kind, name) WHERE removed_at IS NULL DO NOTHING RETURNING id)
       SELECT i.n FROM i JOIN w USING (id)""",
    ("uuid", "text", "text", "uuid", "text", "jsonb", "jsonb", "boolean", "timestamptz"),
    rank=20,
)

#: A late report never replaces a newer observation of the same source.
PUT_FACT = Write(
    "fact_put",
    """INSERT INTO fact (subject_id, source, name, value, observed_at, received_at)
       SELECT DISTINCT ON (subject_id, source, name) subject_id, source, name, value, observed_at, received_at
       FROM unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::timestamptz[], $6::timestamptz[])
            AS i(subject_id, source, name, value, observed_at, received_at)
       ORDER BY subject_id, source, name, observed_at DESC, received_at DESC
       ON CONFLICT (subject_id, source, name) DO UPDATE
       SET value = excluded.value, observed_at = excluded.observed_at, received_at = excluded.received_at
       WHERE fact.observed_at <= excluded.observed_at""",
    ("uuid", "text", "text", "jsonb", "timestamptz", "timestamptz"),
    rank=30,
)

_SUBJECT = """s.id, s.kind, s.name, s.origin, s.standing, s.standing_version, s.standing_since, s.protected,
       s.attributes, s.groups, s.confirmed_at, s.removed_at"""
_OWNER = """o.id AS o_id, o.kind AS o_kind, o.name AS o_name, o.origin AS o_origin, o.standing AS o_standing,
       o.standing_version AS o_standing_version, o.standing_since AS o_standing_since, o.protected AS o_protected,
       o.attributes AS o_attributes, o.groups AS o_groups, o.confirmed_at AS o_confirmed_at,
       o.removed_at AS o_removed_at"""
# That an owner is present is checked by the reader: with the condition here, a plan made while the table is empty
# (and kept) reads all present subjects, by a partial index, for each row.
_FROM = "FROM subject s LEFT JOIN subject o ON o.id = s.owner_id"
_FIELDS = f"SELECT {_SUBJECT}, {_OWNER}"

# A name in subject_name comes before a workload that happens to be called so. The fence (OFFSET 0) keeps the order of
# looking up, name before subject, whatever the planner believes of tables that have just been made.
_BY_NAMES = f"""
SELECT h.*, n.name AS dns, 0 AS via FROM subject_name n
CROSS JOIN LATERAL ({_FIELDS} {_FROM} WHERE s.id = n.subject_id OFFSET 0) AS h WHERE n.name = ANY($1::text[])
UNION ALL
{_FIELDS}, s.name AS dns, 1 AS via {_FROM}
WHERE s.kind = 'workload' AND s.name = ANY($2::text[]) AND s.removed_at IS NULL"""
_BY_IDS = f"{_FIELDS} {_FROM} WHERE s.id = ANY($1::uuid[])"
_BY_KIND_AND_NAME = f"{_FIELDS} {_FROM} WHERE s.kind = $1 AND s.name = $2 AND s.removed_at IS NULL"
_BY_NAME = f"{_FIELDS} {_FROM} WHERE s.name = $1 AND s.removed_at IS NULL ORDER BY s.kind"
_DEVICES_KNOWN_AS = f"""{_FIELDS} {_FROM} WHERE s.kind = 'device' AND s.removed_at IS NULL
  AND (s.name = $1 OR s.attributes ->> 'serial' = $1 OR s.attributes ->> 'udid' = $1) LIMIT 3"""
_DEVICES_WITH_KEY = f"""{_FIELDS} {_FROM} WHERE s.kind = 'device' AND s.removed_at IS NULL
  AND s.attributes ->> 'attestation_key' = $1 LIMIT 3"""
_ALL_NAMED = f"""{_FIELDS} {_FROM}, unnest($1::text[], $2::text[]) AS i(kind, name)
WHERE s.kind = i.kind AND s.name = i.name AND s.removed_at IS NULL"""
_OF_ORIGIN = f"{_FIELDS} {_FROM} WHERE s.origin = $1 AND s.removed_at IS NULL"
_PAGE = f"""{_FIELDS} {_FROM} WHERE s.removed_at IS NULL AND ($1 = '' OR s.name LIKE $1 || '%')
  AND ($2::text IS NULL OR s.kind = $2) AND ($3::text IS NULL OR s.standing = $3)
  AND (s.name, s.id) > ($4, $5) ORDER BY s.name, s.id LIMIT $6"""

_NAMES_OF = "SELECT name, subject_id FROM subject_name WHERE subject_id = ANY($1::uuid[]) ORDER BY name"
_HOLDERS = "SELECT name, subject_id FROM subject_name WHERE name = ANY($1::text[])"
_FACTS = """SELECT subject_id, source, name, value, observed_at, received_at FROM fact
            WHERE subject_id = ANY($1::uuid[]) AND ($2::text[] IS NULL OR name = ANY($2)) ORDER BY name, source"""
_DIRECTORY = "SELECT version, sha256 FROM directory WHERE source = $1"

_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Fact:
    """What one source last said of one attribute of one subject."""

    subject_id: UUID
    source: str
    name: str
    value: Json
    observed_at: datetime
    received_at: datetime


_PROTECTED = "SELECT id FROM subject WHERE protected AND removed_at IS NULL ORDER BY id"


class SubjectStore:
    """Reads of subjects and facts."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def protected(self) -> tuple[UUID, ...]:
        """The ids of protected subjects that are not removed."""
        return tuple(row["id"] for row in await self._reader.fetch(_PROTECTED))

    async def by_names(self, names: Sequence[str]) -> dict[str, Subject]:
        """For each DNS name that belongs to somebody: the subject. A wildcard covers names one label below."""
        wanted = list(dict.fromkeys([*names, *(above for name in names if (above := _wildcard(name)))]))
        found: dict[str, tuple[int, Subject]] = {}
        for row in await self._reader.fetch(_BY_NAMES, wanted, list(names)):
            if row["removed_at"] is not None:
                continue
            known = found.get(row["dns"])
            if known is None or row["via"] < known[0]:
                found[row["dns"]] = (row["via"], _subject(row))
        resolved: dict[str, Subject] = {}
        for name in names:
            holder = found.get(name) or found.get(_wildcard(name) or "")
            if holder is not None:
                resolved[name] = holder[1]
        return resolved

    async def by_id(self, subject_id: UUID) -> Subject | None:
        """One subject, removed or not."""
        found = await self.by_ids([subject_id])
        return found[0] if found else None

    async def by_ids(self, subject_ids: Sequence[UUID]) -> list[Subject]:
        """Subjects, removed or not."""
        return [_subject(row) for row in await self._reader.fetch(_BY_IDS, list(subject_ids))]

    async def find(self, kind: Kind, name: str) -> Subject | None:
        """The present subject of that kind and name."""
        row = await self._reader.fetchrow(_BY_KIND_AND_NAME, kind.value, name)
        return None if row is None else _subject(row)

    async def named(self, name: str) -> list[Subject]:
        """All present subjects of that name, whatever their kind."""
        return [_subject(row) for row in await self._reader.fetch(_BY_NAME, name)]

    async def devices_known_as(self, text: str) -> list[Subject]:
        """Present devices whose serial number, unique device identifier or name is exactly ``text``; three at most."""
        return [_subject(row) for row in await self._reader.fetch(_DEVICES_KNOWN_AS, text)]

    async def devices_with_key(self, sha256: str) -> list[Subject]:
        """Present devices for which this attestation key (SHA-256 in hexadecimal) is recorded; three at most."""
        return [_subject(row) for row in await self._reader.fetch(_DEVICES_WITH_KEY, sha256)]

    async def all_named(self, keys: Sequence[tuple[Kind, str]]) -> dict[tuple[Kind, str], Subject]:
        """Present subjects by kind and name."""
        rows = await self._reader.fetch(_ALL_NAMED, [kind.value for kind, _ in keys], [name for _, name in keys])
        return {(made.kind, made.name): made for made in map(_subject, rows)}

    async def of_origin(self, origin: str) -> list[Subject]:
        """All present subjects that ``origin`` speaks for."""
        return [_subject(row) for row in await self._reader.fetch(_OF_ORIGIN, origin)]

    async def page(
        self,
        *,
        prefix: str = "",
        kind: Kind | None = None,
        standing: Standing | None = None,
        after: tuple[str, UUID] = ("", _NOBODY),
        limit: int = 50,
    ) -> list[Subject]:
        """Present subjects in the order of (name, id), from after ``after``."""
        escaped = prefix.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        rows = await self._reader.fetch(
            _PAGE, escaped, kind and kind.value, standing and standing.value, after[0], after[1], limit
        )
        return [_subject(row) for row in rows]

    async def names_of(self, subject_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
        """DNS names declared for each subject."""
        found: dict[UUID, list[str]] = {}
        for row in await self._reader.fetch(_NAMES_OF, list(subject_ids)):
            found.setdefault(row["subject_id"], []).append(row["name"])
        return found

    async def holders(self, names: Sequence[str]) -> dict[str, UUID]:
        """Who holds each of these exact names."""
        return {row["name"]: row["subject_id"] for row in await self._reader.fetch(_HOLDERS, list(names))}

    async def facts(self, subject_ids: Sequence[UUID], names: Sequence[str] | None = None) -> list[Fact]:
        """The latest facts of every source, all or those of ``names``."""
        rows = await self._reader.fetch(_FACTS, list(subject_ids), None if names is None else list(names))
        return [
            Fact(
                row["subject_id"], row["source"], row["name"], msgspec.json.decode(row["value"]), row["observed_at"],
                row["received_at"],
            )
            for row in rows
        ]  # fmt: skip

    async def directory(self, source: str) -> tuple[int, str] | None:
        """Version and SHA-256 of the directory last applied by ``source``."""
        row = await self._reader.fetchrow(_DIRECTORY, source)
        return None if row is None else (row["version"], row["sha256"])


def creation(subject: Subject, at: datetime) -> tuple[Any, ...]:
    """The values of :data:`CREATE_SUBJECT`."""
    return (
        subject.id, subject.kind.value, subject.name, subject.owner.id if subject.owner else None, subject.origin,
        encoded(subject.attributes), encoded(subject.groups), subject.protected, at,
    )  # fmt: skip


def encoded(value: Mapping[str, Json] | Sequence[Json] | Json) -> str:
    """``value`` as JSON text for a jsonb column."""
    return msgspec.json.encode(value).decode()


def _wildcard(name: str) -> str | None:
    head, dot, rest = name.partition(".")
    return f"*.{rest}" if dot and head != "*" else None


def _subject(row: Row) -> Subject:
    owner = None
    if row["o_id"] is not None and row["o_removed_at"] is None:
        owner = _made(row, "o_", None)
    return _made(row, "", owner)


def _made(row: Row, prefix: str, owner: Subject | None) -> Subject:
    return Subject(
        id=row[f"{prefix}id"],
        kind=Kind(row[f"{prefix}kind"]),
        name=row[f"{prefix}name"],
        origin=row[f"{prefix}origin"],
        standing=Standing(row[f"{prefix}standing"]),
        standing_version=row[f"{prefix}standing_version"],
        standing_since=row[f"{prefix}standing_since"],
        protected=row[f"{prefix}protected"],
        owner=owner,
        attributes=msgspec.json.decode(row[f"{prefix}attributes"]),
        groups=tuple(msgspec.json.decode(row[f"{prefix}groups"])),
        confirmed_at=row[f"{prefix}confirmed_at"],
    )
