"""Reads that only the faces need: searches, counts and titles across the tables of several rooms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from troth.store.unit import Reader, Row

_BY_SERIAL_PREFIX = """
SELECT id FROM certificate WHERE serial >= $1 AND ($2::bytea IS NULL OR serial < $2) ORDER BY serial LIMIT $3"""
_BY_SUBJECT_NAME = """
SELECT DISTINCT cs.certificate_id AS id FROM subject s JOIN certificate_subject cs ON cs.subject_id = s.id
WHERE s.name LIKE $1 ORDER BY 1 DESC LIMIT $2"""
_ENDING_NEXT = """
SELECT id FROM certificate WHERE state = 'issued' AND status = 'good' AND not_after > $1 AND not_after <= $2
ORDER BY not_after, id LIMIT $3"""
_EXPIRING = """
SELECT count(*) FROM certificate WHERE state = 'issued' AND status = 'good' AND not_after > $1 AND not_after <= $2"""
_TITLES = "SELECT id, common_name, names FROM certificate WHERE id = ANY($1::uuid[])"
_SUBJECT_NAMES = "SELECT id, name FROM subject WHERE id = ANY($1::uuid[])"
_CERTIFICATES_OF = """
SELECT subject_id, count(*) AS n FROM certificate_subject WHERE subject_id = ANY($1::uuid[]) GROUP BY subject_id"""
_OWNED = """
SELECT s.id, s.kind, s.name, s.standing, d.id AS decision_id, d.at AS decided_at, COALESCE(d.moment, '') AS moment,
       COALESCE(d.outcome, '') AS outcome, COALESCE(d.reason, '') AS reason
FROM subject s LEFT JOIN LATERAL (
    SELECT id, at, moment, outcome, reason FROM decision WHERE subject_id = s.id ORDER BY id DESC LIMIT 1) d ON true
WHERE s.owner_id = $1 AND s.removed_at IS NULL ORDER BY d.id DESC NULLS LAST, s.name LIMIT 100"""
_STANDINGS = "SELECT standing, count(*) AS n FROM subject WHERE removed_at IS NULL GROUP BY standing"
_ISSUED_BY = "SELECT authority, count(*) AS n FROM certificate WHERE state = 'issued' GROUP BY authority"
_LATEST_SIGNAL = "SELECT max(received_at) FROM signal WHERE feed = $1"
_SIGNALS_SINCE = "SELECT count(*) FROM signal WHERE feed = $1 AND id >= $2"
_STAGED_OF = "SELECT count(*) FROM staged_action WHERE feed = $1 AND state = 'pending'"
_ROLES = """
SELECT role, count(*) FILTER (WHERE lease_until >= now()) AS live, count(*) FILTER (WHERE lease_until < now()) AS gone
FROM instance GROUP BY role ORDER BY role"""

_LIKE_ESCAPES = str.maketrans({"%": r"\%", "_": r"\_", "\\": r"\\"})


class BookStore:
    """Reads of the faces."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def by_serial_prefix(self, digits: str, limit: int) -> list[UUID]:
        """Certificates whose serial number begins with these hexadecimal digits."""
        low = bytes.fromhex(digits.ljust(len(digits) + len(digits) % 2, "0"))
        top = int(digits, 16) + 1
        high = None
        if top < 16 ** len(digits):
            text = format(top, f"0{len(digits)}x")
            high = bytes.fromhex(text.ljust(len(text) + len(text) % 2, "0"))
        return [row["id"] for row in await self._reader.fetch(_BY_SERIAL_PREFIX, low, high, limit)]

    async def by_subject_name(self, prefix: str, limit: int) -> list[UUID]:
        """Certificates of subjects whose name begins so, latest first."""
        pattern = prefix.translate(_LIKE_ESCAPES) + "%"
        return [row["id"] for row in await self._reader.fetch(_BY_SUBJECT_NAME, pattern, limit)]

    async def ending_next(self, now: datetime, by: datetime, limit: int) -> list[UUID]:
        """Good certificates that end until ``by``, the soonest first."""
        return [row["id"] for row in await self._reader.fetch(_ENDING_NEXT, now, by, limit)]

    async def expiring(self, now: datetime, by: datetime) -> int:
        """How many good certificates end until ``by``."""
        return int(await self._reader.fetchval(_EXPIRING, now, by))

    async def titles(self, certificate_ids: Sequence[UUID]) -> dict[UUID, str]:
        """The names that people know certificates by."""
        found = {}
        for row in await self._reader.fetch(_TITLES, list(certificate_ids)):
            names = json.loads(row["names"])
            title = row["common_name"] or (names[0][1] if names else None)
            if title:
                found[row["id"]] = title
        return found

    async def subject_names(self, subject_ids: Sequence[UUID]) -> dict[UUID, str]:
        """The names of subjects, removed or not."""
        return {row["id"]: row["name"] for row in await self._reader.fetch(_SUBJECT_NAMES, list(subject_ids))}

    async def certificates_of(self, subject_ids: Sequence[UUID]) -> dict[UUID, int]:
        """How many certificates each subject has ever had."""
        return {row["subject_id"]: row["n"] for row in await self._reader.fetch(_CERTIFICATES_OF, list(subject_ids))}

    async def owned_by(self, subject_id: UUID) -> list[Row]:
        """What belongs to a subject with the last decision about each, the latest first."""
        return list(await self._reader.fetch(_OWNED, subject_id))

    async def standings(self) -> dict[str, int]:
        """How many present subjects have each standing."""
        return {row["standing"]: row["n"] for row in await self._reader.fetch(_STANDINGS)}

    async def issued_by(self) -> dict[str, int]:
        """How many certificates each authority has issued."""
        return {row["authority"]: row["n"] for row in await self._reader.fetch(_ISSUED_BY)}

    async def feed_activity(self, feed: str, since: datetime) -> tuple[datetime | None, int, int]:
        """(last signal, signals since, actions that wait) of a feed."""
        # Identifiers are UUIDv7, so "since" is a range of the index on (feed, id).
        first = UUID(int=int(since.timestamp() * 1000) << 80)
        return (
            await self._reader.fetchval(_LATEST_SIGNAL, feed),
            int(await self._reader.fetchval(_SIGNALS_SINCE, feed, first)),
            int(await self._reader.fetchval(_STAGED_OF, feed)),
        )

    async def roles(self) -> list[tuple[str, int, int]]:
        """(role, living processes, lapsed ones)."""
        return [(row["role"], row["live"], row["gone"]) for row in await self._reader.fetch(_ROLES)]
