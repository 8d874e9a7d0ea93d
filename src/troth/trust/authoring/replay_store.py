"""SQL of replays: decisions as they were made, and the certificates that are out now. Keyset pages, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from troth.pki.model import CertificateRecord
from troth.pki.store import COLUMNS, record
from troth.store.unit import Reader
from troth.trust.model import Snapshot, decode_snapshot

# Of several certificates of one profile the newest speaks for its subject. One that the quarantine profile was put in
# place of is asked about as what was asked for, which its decision knows.
_FLEET = f"""
SELECT {COLUMNS}, b.subject_id, d.snapshot AS made_from
FROM certificate c JOIN certificate_subject b ON b.certificate_id = c.id AND b.role = 'subject'
LEFT JOIN decision d ON d.id = c.decision_id
WHERE c.state = 'issued' AND c.not_after > $1 AND c.profile = ANY($2::text[])
  AND ($3::uuid IS NULL OR c.id < $3)
  AND NOT EXISTS (SELECT 1 FROM certificate_subject b2 JOIN certificate c2 ON c2.id = b2.certificate_id
                  WHERE b2.subject_id = b.subject_id AND b2.role = 'subject' AND c2.profile = c.profile
                  AND c2.state = 'issued' AND c2.id > c.id)
ORDER BY c.id DESC LIMIT $4"""


@dataclass(frozen=True, slots=True)
class Held:
    """One certificate that is out, with the subject it speaks for and what was known when it was issued."""

    certificate: CertificateRecord
    subject_id: UUID
    made_from: Snapshot | None


async def fleet(
    reader: Reader, profiles: Sequence[str], at: datetime, *, before: UUID | None, limit: int
) -> list[Held]:
    """A page of certificates of ``profiles`` that have not expired at ``at``, with ids below ``before``."""
    rows = await reader.fetch(_FLEET, at, list(profiles), before, limit)
    return [_held(dict(row)) for row in rows]


def _held(row: dict[str, Any]) -> Held:
    subject_id, made_from = row.pop("subject_id"), row.pop("made_from")
    return Held(record(row), subject_id, decode_snapshot(made_from) if made_from else None)
