"""SQL of the places that others' revocation lists are fetched from."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from troth.store.statement import Write
from troth.store.unit import Reader, Row, Unit

#: Below one anchor, of those that certificates name.
MOST_LEARNED: Final = 50

_DECLARE = Write(
    "foreign_crl_source_declare",
    """INSERT INTO foreign_crl_source (anchor, url, origin, issuers, every_seconds, found_at, due)
       SELECT anchor, url, 'document', issuers, every, at, at
       FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::int[], $5::timestamptz[])
           AS i(anchor, url, issuers, every, at) ORDER BY anchor, url
       ON CONFLICT (anchor, url) DO UPDATE SET origin = 'document', issuers = excluded.issuers,
           every_seconds = excluded.every_seconds, due = excluded.due, failures = 0, error = ''
       WHERE foreign_crl_source.issuers <> excluded.issuers OR foreign_crl_source.origin <> 'document'
           OR foreign_crl_source.every_seconds <> excluded.every_seconds""",
    ("text", "text", "jsonb", "int", "timestamptz"),
)
# What certificates name beyond the limit is left aside, and what a document names is the document's.
_LEARN = Write(
    "foreign_crl_source_learn",
    f"""INSERT INTO foreign_crl_source (anchor, url, origin, issuers, every_seconds, found_at, due)
       SELECT anchor, url, 'certificate', issuers, every, at, at
       FROM (SELECT *, row_number() OVER (PARTITION BY anchor ORDER BY url) AS place
             FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::int[], $5::timestamptz[])
                 AS t(anchor, url, issuers, every, at)) i
       WHERE place + (SELECT count(*) FROM foreign_crl_source s WHERE s.anchor = i.anchor
                      AND s.origin = 'certificate') <= {MOST_LEARNED}
       ORDER BY anchor, url ON CONFLICT (anchor, url) DO NOTHING""",
    ("text", "text", "jsonb", "int", "timestamptz"),
)
_FORGET = Write(
    "foreign_crl_source_forget",
    """DELETE FROM foreign_crl_source s USING unnest($1::text[], $2::text[]) AS i(anchor, url)
       WHERE s.anchor = i.anchor AND s.url = i.url""",
    ("text", "text"),
)
_CONFIRMED = Write(
    "foreign_crl_source_confirmed",
    """UPDATE foreign_crl_source s SET issuer = i.issuer, etag = i.etag, modified = i.modified, checked_at = i.at,
           due = i.due, failures = 0, error = ''
       FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[])
           AS i(anchor, url, issuer, etag, modified, at, due) WHERE s.anchor = i.anchor AND s.url = i.url""",
    ("text", "text", "bytea", "text", "text", "timestamptz", "timestamptz"),
)
_FAILED = Write(
    "foreign_crl_source_failed",
    """UPDATE foreign_crl_source s SET failures = s.failures + 1, error = i.error, due = i.due, etag = '', modified = ''
       FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS i(anchor, url, error, due)
       WHERE s.anchor = i.anchor AND s.url = i.url""",
    ("text", "text", "text", "timestamptz"),
)
_HURRY = Write(
    "foreign_crl_source_hurry",
    "UPDATE foreign_crl_source s SET due = least(s.due, i.at) FROM unnest($1::timestamptz[]) AS i(at)",
    ("timestamptz",),
)

_COLUMNS = """anchor, url, origin, issuers, every_seconds, found_at, due, issuer, etag, modified, checked_at, failures,
error"""
_ALL = f"SELECT {_COLUMNS} FROM foreign_crl_source ORDER BY anchor, url"
_CLAIM = f"""
UPDATE foreign_crl_source SET due = $2 WHERE (anchor, url) IN (
    SELECT anchor, url FROM foreign_crl_source WHERE due <= $1 ORDER BY due, anchor, url LIMIT 1
    FOR UPDATE SKIP LOCKED)
RETURNING {_COLUMNS}"""


@dataclass(frozen=True, slots=True)
class Source:
    """One place that a list is fetched from.

    Attributes:
        origin: ``document`` or ``certificate``: who names it.
        issuers: DER of who signs the list, then of those between that one and the anchor.
        every: between two looks, unless the list ends sooner.
        issuer: whose list it gave last (:func:`troth.radius.admission.foreign.issuer_id`).
        etag, modified: what its server called that one.
        checked_at: when it last gave or confirmed a list in force.
        failures: since then.
    """

    anchor: str
    url: str
    origin: str
    issuers: tuple[bytes, ...]
    every: timedelta
    found_at: datetime
    due: datetime
    issuer: bytes | None
    etag: str
    modified: str
    checked_at: datetime | None
    failures: int
    error: str


def declare(unit: Unit, anchor: str, url: str, issuers: Sequence[bytes], *, every: timedelta, at: datetime) -> None:
    """Add one that a document names; one that is there as it is stays untouched."""
    unit.write(_DECLARE, anchor, url, _json(issuers), int(every.total_seconds()), at)


def learn(unit: Unit, anchor: str, url: str, issuers: Sequence[bytes], *, every: timedelta, at: datetime) -> None:
    """Add one that a certificate names, unless it is there or there are too many."""
    unit.write(_LEARN, anchor, url, _json(issuers), int(every.total_seconds()), at)


def forget(unit: Unit, sources: Iterable[tuple[str, str]]) -> None:
    """Remove those (anchor, address)."""
    for anchor, url in sources:
        unit.write(_FORGET, anchor, url)


def confirmed(
    unit: Unit, source: Source, issuer: bytes, *, etag: str, modified: str, at: datetime, due: datetime
) -> None:
    """It gave a list, or said that the one it gave is still the newest."""
    unit.write(_CONFIRMED, source.anchor, source.url, issuer, etag[:500], modified[:100], at, due)


def failed(unit: Unit, source: Source, error: str, *, due: datetime) -> None:
    """It did not; what its server called the last one is not asked with again."""
    unit.write(_FAILED, source.anchor, source.url, error[:500], due)


def hurry(unit: Unit, at: datetime) -> None:
    """Have all of them looked at now."""
    unit.write(_HURRY, at)


async def claim(reader: Reader, *, now: datetime, until: datetime) -> Source | None:
    """One that is due, for the caller alone until then; None: none is."""
    row = await reader.fetchrow(_CLAIM, now, until)
    return None if row is None else _source(row)


async def sources(reader: Reader) -> list[Source]:
    """All, by anchor and address."""
    return [_source(row) for row in await reader.fetch(_ALL)]


def _json(issuers: Sequence[bytes]) -> str:
    return msgspec.json.encode([base64.b64encode(one).decode() for one in issuers]).decode()


def _source(row: Row) -> Source:
    issuers = tuple(base64.b64decode(one) for one in msgspec.json.decode(row["issuers"]))
    return Source(
        row["anchor"], row["url"], row["origin"], issuers, timedelta(seconds=row["every_seconds"]), row["found_at"],
        row["due"], row["issuer"], row["etag"], row["modified"], row["checked_at"], row["failures"], row["error"],
    )  # fmt: skip
