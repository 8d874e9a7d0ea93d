"""SQL that finds contradictions: a standing against its causes, a certificate against its subjects' standing."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from troth.store.unit import Reader

# Subjects whose standing, or whose number of open causes, is not what the last assessment left. One that was never
# assessed (by an earlier Troth) stands where its strictest cause says.
_STANDING = """
SELECT s.id FROM (SELECT id FROM subject WHERE standing <> 'trusted'
                  UNION SELECT subject_id FROM hold_cause WHERE cleared_at IS NULL) AS i(id)
JOIN subject s ON s.id = i.id LEFT JOIN subject_state t ON t.subject_id = s.id
CROSS JOIN LATERAL (
    SELECT count(*) AS n,
           max(array_position(ARRAY['trusted', 'restricted', 'quarantined', 'distrusted'], c.level)) AS place
    FROM hold_cause c WHERE c.subject_id = s.id AND c.cleared_at IS NULL AND NOT c.shadow) AS c
WHERE CASE WHEN t.subject_id IS NULL
           THEN array_position(ARRAY['trusted', 'restricted', 'quarantined', 'distrusted'], s.standing)
                <> COALESCE(c.place, 1)
           ELSE s.standing <> t.standing OR c.n <> t.open_causes END
LIMIT $1"""

# Live certificates that should be held for a subject and are not.
_UNHELD = """
SELECT DISTINCT s.id FROM subject s
JOIN certificate_subject b ON b.subject_id = s.id JOIN certificate c ON c.id = b.certificate_id
WHERE s.standing IN ('quarantined', 'distrusted') AND c.state <> 'burnt' AND c.status <> 'revoked'
AND c.not_after >= $1 AND NOT (s.standing = 'quarantined' AND c.profile = ANY($2::text[]))
AND NOT EXISTS (SELECT FROM certificate_hold h WHERE h.certificate_id = c.id AND h.cause = 'standing:' || s.id::text)
LIMIT $3"""

# Live certificates that are held for the standing of a subject that does not ask for it.
_HELD = """
SELECT DISTINCT s.id FROM certificate_hold h
JOIN subject s ON h.cause = 'standing:' || s.id::text JOIN certificate c ON c.id = h.certificate_id
WHERE c.not_after >= $1 AND (s.standing IN ('trusted', 'restricted')
                             OR (s.standing = 'quarantined' AND c.profile = ANY($2::text[])))
LIMIT $3"""

# Certificates whose status and set of causes disagree. Locks nothing: what is found is looked at again.
_INCOHERENT = """
SELECT c.id FROM certificate c WHERE c.status = 'held' AND c.not_after >= $1
AND NOT EXISTS (SELECT FROM certificate_hold h WHERE h.certificate_id = c.id)
UNION SELECT h.certificate_id FROM certificate_hold h JOIN certificate c ON c.id = h.certificate_id
WHERE c.status = 'good' AND c.not_after >= $1
LIMIT $2"""


async def subjects_astray(
    reader: Reader, *, at: datetime, quarantine_profiles: Collection[str], limit: int
) -> list[UUID]:
    """Subjects for which standing, causes and certificates do not fit together, by id."""
    profiles = sorted(quarantine_profiles)
    found: set[UUID] = set()
    for rows in (
        await reader.fetch(_STANDING, limit),
        await reader.fetch(_UNHELD, at, profiles, limit),
        await reader.fetch(_HELD, at, profiles, limit),
    ):
        found.update(row["id"] for row in rows)
    return sorted(found)[:limit]


async def incoherent_certificates(reader: Reader, *, at: datetime, limit: int) -> list[UUID]:
    """Certificates whose status does not follow from their own causes; only a damaged database has such."""
    return [row["id"] for row in await reader.fetch(_INCOHERENT, at, limit)]
