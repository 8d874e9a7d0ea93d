"""SQL of certificates whose good status a policy judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.pki.model import CertificateRecord
from troth.pki.store import COLUMNS, record
from troth.store.unit import Reader

#: Begins the cause of a hold that a policy has raised; its name follows.
CAUSE = "policy:"

_SELECT = f"""
SELECT {COLUMNS},
       ARRAY(SELECT b.subject_id FROM certificate_subject b
             WHERE b.certificate_id = c.id AND b.role = 'subject') AS whose,
       EXISTS (SELECT 1 FROM certificate_hold h WHERE h.certificate_id = c.id AND h.cause = $4) AS ours
FROM certificate c
WHERE c.state = 'issued' AND c.status <> 'revoked' AND c.not_after > $1 AND c.profile = ANY($2::text[])
  AND ($3::uuid IS NULL OR c.id > $3)"""
_LIVE = f"{_SELECT} ORDER BY c.id LIMIT $5"
# Whoever is bound by it, and who is asked about beside its subject: the owner as the directory has it now.
_LIVE_OF = f"""{_SELECT} AND c.id IN (
    SELECT b.certificate_id FROM certificate_subject b WHERE b.subject_id = ANY($6::uuid[])
    UNION ALL SELECT b.certificate_id FROM subject s JOIN certificate_subject b ON b.subject_id = s.id
    WHERE s.owner_id = ANY($6::uuid[]))
ORDER BY c.id LIMIT $5"""
_HELD = (
    f"SELECT certificate_id, cause FROM certificate_hold WHERE cause LIKE '{CAUSE}%' ORDER BY certificate_id LIMIT $1"
)


@dataclass(frozen=True, slots=True)
class Live:
    """A certificate that has not ended; ``ours``: the policy in question holds it."""

    certificate: CertificateRecord
    subjects: tuple[UUID, ...]
    ours: bool


async def live(
    reader: Reader,
    profiles: Sequence[str],
    policy: str,
    at: datetime,
    *,
    after: UUID | None,
    limit: int,
    of: Sequence[UUID] | None = None,
) -> list[Live]:
    """A page of live certificates of ``profiles``, by id; ``of``: only what has to do with these subjects."""
    asked = (at, list(profiles), after, f"{CAUSE}{policy}", limit)
    found = await (reader.fetch(_LIVE, *asked) if of is None else reader.fetch(_LIVE_OF, *asked, list(of)))
    rows = [dict(row) for row in found]
    return [Live(subjects=tuple(row.pop("whose")), ours=row.pop("ours"), certificate=record(row)) for row in rows]


async def held_by_policies(reader: Reader, limit: int) -> list[tuple[UUID, str]]:
    """(certificate, policy's name) of what policies hold."""
    rows = await reader.fetch(_HELD, limit)
    return [(row["certificate_id"], row["cause"].removeprefix(CAUSE)) for row in rows]
