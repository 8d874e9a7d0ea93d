"""SQL of the trust table: certificates that could be admitted, page by page or by id, and their subjects.

A page and what belongs to it are separate reads. What changes between them comes by the stream, and the versions tell
which is later; the table keeps the rest in doubt until it was read again.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from troth.radius.admission.records import CertificateRow, SubjectRow, holders, microseconds
from troth.store.unit import Reader, Row

_COLUMNS = """c.id, c.sha256, c.serial, c.authority, c.profile, c.not_before, c.not_after, c.issued_at, c.reserved_at,
    c.status, c.status_version, c.key_assurance, c.names,
    ARRAY(SELECT s.subject_id FROM certificate_subject s
          WHERE s.certificate_id = c.id AND s.role = 'subject' ORDER BY s.subject_id) AS subjects,
    CASE WHEN c.status = 'held' THEN ARRAY(SELECT h.cause FROM certificate_hold h WHERE h.certificate_id = c.id)
         ELSE ARRAY[]::text[] END AS causes"""
_PAGE = f"""SELECT {_COLUMNS} FROM certificate c
WHERE c.profile = ANY($1::text[]) AND c.state = 'issued' AND c.not_after > $2 AND c.id > $3
ORDER BY c.id LIMIT $4"""
_BY_IDS = f"""SELECT {_COLUMNS} FROM certificate c
WHERE c.id = ANY($1::uuid[]) AND c.profile = ANY($2::text[]) AND c.state = 'issued' AND c.not_after > $3"""
_SUBJECTS = """SELECT id, kind, name, origin, standing, standing_version, standing_since, protected, owner_id,
    attributes, groups, confirmed_at, removed_at FROM subject WHERE id = ANY($1::uuid[])"""
_NAMED = "SELECT id FROM subject WHERE kind = $1 AND name = $2 AND removed_at IS NULL"

_FIRST = UUID(int=0)


class TableStore:
    """Reads of what the trust table holds."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def pages(self, profiles: Iterable[str], at: datetime, *, page: int) -> AsyncIterator[list[CertificateRow]]:
        """Every certificate of ``profiles`` that has not expired, by id."""
        wanted, after = sorted(profiles), _FIRST
        while rows := await self._reader.fetch(_PAGE, wanted, at, after, page):
            yield [_certificate(row) for row in rows]
            after = rows[-1]["id"]

    async def certificates(self, ids: Sequence[UUID], profiles: Iterable[str], at: datetime) -> list[CertificateRow]:
        """Those of ``ids`` that are issued, of one of ``profiles`` and not expired."""
        return [_certificate(row) for row in await self._reader.fetch(_BY_IDS, list(ids), sorted(profiles), at)]

    async def subjects(self, ids: Iterable[UUID]) -> list[SubjectRow]:
        """Those of ``ids``, removed or not, without what sources say of them."""
        return [_subject(row) for row in await self._reader.fetch(_SUBJECTS, list(ids))]

    async def named(self, kind: str, name: str) -> UUID | None:
        """The present subject of that kind and name."""
        found: UUID | None = await self._reader.fetchval(_NAMED, kind, name)
        return found


def _certificate(row: Row | dict[str, Any]) -> CertificateRow:
    by, beside = holders(row["causes"])
    return CertificateRow(
        id=row["id"],
        sha256=bytes(row["sha256"]),
        serial=bytes(row["serial"]),
        authority=row["authority"],
        profile=row["profile"],
        not_before=int(row["not_before"].timestamp()),
        not_after=int(row["not_after"].timestamp()),
        issued_at=int((row["issued_at"] or row["reserved_at"]).timestamp()),
        status=row["status"],
        version=row["status_version"],
        held_by=by,
        held_beside=beside or (row["status"] == "held" and not by),
        key_assurance=row["key_assurance"],
        names=tuple((kind, value) for kind, value in json.loads(row["names"])),
        subjects=tuple(row["subjects"]),
    )


def _subject(row: Row | dict[str, Any]) -> SubjectRow:
    return SubjectRow(
        id=row["id"],
        kind=row["kind"],
        name=row["name"],
        origin=row["origin"],
        standing=row["standing"],
        version=row["standing_version"],
        since=None if row["standing_since"] is None else microseconds(row["standing_since"]),
        protected=row["protected"],
        owner=row["owner_id"],
        attributes=msgspec.json.decode(row["attributes"]),
        groups=tuple(msgspec.json.decode(row["groups"])),
        confirmed_at=None if row["confirmed_at"] is None else microseconds(row["confirmed_at"]),
        removed=row["removed_at"] is not None,
    )
