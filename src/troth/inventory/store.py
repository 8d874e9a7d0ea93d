"""SQL of the inventory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from troth.inventory.model import FoundCertificate, HostReport, Sighting
from troth.store.statement import Write
from troth.store.unit import Reader, Row

#: The same certificate may come from several hosts in one batch.
FIND = Write(
    "inventory_find",
    """INSERT INTO found_certificate (sha256, der, subject, issuer, serial, names, spki_sha256, not_before, not_after,
                                      first_seen_at)
       SELECT DISTINCT ON (sha256) * FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[], $5::text[],
           $6::jsonb[], $7::bytea[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[])
           AS i(sha256, der, subject, issuer, serial, names, spki_sha256, not_before, not_after, at)
       ORDER BY sha256 ON CONFLICT DO NOTHING""",
    (
        "bytea", "bytea", "text", "text", "text", "jsonb", "bytea", "timestamptz", "timestamptz", "timestamptz",
    ),
    rank=70,
)  # fmt: skip

SIGHT = Write(
    "inventory_sight",
    """INSERT INTO sighting (subject_id, place, sha256, kind, has_key, first_seen_at, last_seen_at)
       SELECT DISTINCT ON (subject_id, place, sha256) subject_id, place, sha256, kind, has_key, at, at
       FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::boolean[], $6::timestamptz[])
           AS i(subject_id, place, sha256, kind, has_key, at)
       ORDER BY subject_id, place, sha256, at DESC
       ON CONFLICT (subject_id, place, sha256) DO UPDATE
       SET kind = excluded.kind, has_key = excluded.has_key, last_seen_at = excluded.last_seen_at
       WHERE sighting.last_seen_at <= excluded.last_seen_at""",
    ("uuid", "text", "bytea", "text", "boolean", "timestamptz"),
    rank=71,
)

REPORTED = Write(
    "inventory_reported",
    """INSERT INTO host_report (subject_id, certificate_id, received_at, agent, certificates, unreadable, stores, cut)
       SELECT DISTINCT ON (subject_id) * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::int[],
           $6::int[], $7::jsonb[], $8::jsonb[])
           AS i(subject_id, certificate_id, at, agent, certificates, unreadable, stores, cut)
       ORDER BY subject_id, at DESC
       ON CONFLICT (subject_id) DO UPDATE SET certificate_id = excluded.certificate_id,
           received_at = excluded.received_at, agent = excluded.agent, certificates = excluded.certificates,
           unreadable = excluded.unreadable, stores = excluded.stores, cut = excluded.cut
       WHERE host_report.received_at <= excluded.received_at""",
    ("uuid", "uuid", "timestamptz", "text", "int", "int", "jsonb", "jsonb"),
    rank=72,
)

#: Places that were not seen for long, or are too many, are forgotten when their host reports again, and certificates
#: that lie nowhere else with them: a host in other hands cannot fill the database by inventing new ones for ever.
FORGET = Write(
    "inventory_forget",
    """WITH i AS (SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::int[]) AS t(subject_id, before, most)),
       old AS (SELECT s.subject_id, s.place, s.sha256 FROM i JOIN LATERAL (
                   SELECT s.*, row_number() OVER (ORDER BY s.last_seen_at DESC, s.place, s.sha256) AS place_number
                   FROM sighting s WHERE s.subject_id = i.subject_id) s ON true
               WHERE s.last_seen_at < i.before OR s.place_number > i.most),
       gone AS (DELETE FROM sighting s USING old WHERE (s.subject_id, s.place, s.sha256)
                    = (old.subject_id, old.place, old.sha256) RETURNING s.subject_id, s.place, s.sha256)
       DELETE FROM found_certificate f USING (SELECT DISTINCT sha256 FROM gone) g WHERE f.sha256 = g.sha256
       AND NOT EXISTS (SELECT FROM sighting s WHERE s.sha256 = f.sha256 AND NOT EXISTS (
           SELECT FROM gone WHERE (gone.subject_id, gone.place, gone.sha256) = (s.subject_id, s.place, s.sha256)))""",
    ("uuid", "timestamptz", "int"),
    rank=73,
)

_SIGHTINGS = """
SELECT f.sha256, f.der, f.subject, f.issuer, f.serial, f.names, f.spki_sha256, f.not_before, f.not_after,
       s.subject_id, u.name AS host, s.place, s.kind, s.has_key, s.first_seen_at, s.last_seen_at,
       s.last_seen_at >= r.received_at AS present, c.id AS own,
       EXISTS (SELECT FROM certificate k WHERE k.spki_sha256 = f.spki_sha256) AS key_known
FROM found_certificate f JOIN sighting s ON s.sha256 = f.sha256 JOIN subject u ON u.id = s.subject_id
JOIN host_report r ON r.subject_id = s.subject_id LEFT JOIN certificate c ON c.sha256 = f.sha256
WHERE (f.not_after, f.sha256, s.subject_id, s.place) > ($1, $2, $3, $4)
  AND ($5::timestamptz IS NULL OR f.not_after <= $5)
  AND (NOT $6 OR c.id IS NULL)
  AND (NOT $7 OR NOT EXISTS (SELECT FROM certificate k WHERE k.spki_sha256 = f.spki_sha256))
  AND ($8::uuid IS NULL OR s.subject_id = $8)
  AND ($9 OR s.last_seen_at >= r.received_at)
ORDER BY f.not_after, f.sha256, s.subject_id, s.place LIMIT $10"""
_HOSTS = """SELECT r.subject_id, u.name AS host, r.received_at, r.agent, r.certificates, r.unreadable, r.stores, r.cut
    FROM host_report r JOIN subject u ON u.id = r.subject_id
    WHERE ($1::uuid IS NULL OR r.subject_id = $1) AND u.removed_at IS NULL ORDER BY r.received_at LIMIT $2"""
_COUNTS = """SELECT count(DISTINCT f.sha256) AS found,
    count(DISTINCT f.sha256) FILTER (WHERE c.id IS NULL) AS elsewhere,
    count(DISTINCT f.sha256) FILTER (WHERE f.not_after > $1 AND f.not_after <= $2) AS expiring,
    count(DISTINCT f.sha256) FILTER (WHERE f.not_after <= $1) AS expired, count(DISTINCT s.subject_id) AS hosts
    FROM found_certificate f JOIN sighting s ON s.sha256 = f.sha256 JOIN host_report r ON r.subject_id = s.subject_id
    LEFT JOIN certificate c ON c.sha256 = f.sha256 WHERE s.last_seen_at >= r.received_at"""


def found_row(one: FoundCertificate, at: datetime) -> tuple[Any, ...]:
    """The values of :data:`FIND`."""
    return (
        one.sha256, one.der, one.subject, one.issuer, one.serial, json.dumps(one.names), one.spki_sha256,
        one.not_before, one.not_after, at,
    )  # fmt: skip


class InventoryStore:
    """Reading what was found."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def sightings(
        self,
        after: tuple[datetime, bytes, UUID, str],
        *,
        expires_by: datetime | None = None,
        elsewhere: bool = False,
        unknown_key: bool = False,
        host: UUID | None = None,
        gone: bool = False,
        limit: int = 50,
    ) -> list[Sighting]:
        """Places in the order of expiry, from after ``after``. ``elsewhere``: not issued here."""
        rows = await self._reader.fetch(_SIGHTINGS, *after, expires_by, elsewhere, unknown_key, host, gone, limit)
        return [_sighting(row) for row in rows]

    async def hosts(self, host: UUID | None = None, *, limit: int = 500) -> Sequence[HostReport]:
        """Hosts that have reported, the one that was silent longest first."""
        return [
            HostReport(
                row["subject_id"], row["host"], row["received_at"], row["agent"], row["certificates"],
                row["unreadable"], tuple((name, place, roots) for name, place, roots in json.loads(row["stores"])),
                tuple(json.loads(row["cut"])),
            )
            for row in await self._reader.fetch(_HOSTS, host, limit)
        ]  # fmt: skip

    async def counts(self, now: datetime, soon: datetime) -> dict[str, int]:
        """How much is found: ``found``, ``elsewhere``, ``expiring``, ``expired``, ``hosts``."""
        row = await self._reader.fetchrow(_COUNTS, now, soon)
        return dict(row) if row is not None else {}


def _sighting(row: Row) -> Sighting:
    return Sighting(
        FoundCertificate(
            row["sha256"], row["der"], row["subject"], row["issuer"], row["serial"], tuple(json.loads(row["names"])),
            row["spki_sha256"], row["not_before"], row["not_after"],
        ),
        row["subject_id"], row["host"], row["place"], row["kind"], row["has_key"], row["first_seen_at"],
        row["last_seen_at"], row["present"], row["own"], row["key_known"],
    )  # fmt: skip
