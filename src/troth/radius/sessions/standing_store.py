"""SQL of what has changed about an admission's subjects and certificate since it was decided."""

from __future__ import annotations

from collections.abc import Sequence

from troth.radius.sessions.model import Admitted
from troth.store.unit import Reader

_MOVED = """
SELECT DISTINCT ON (i.class) i.class, i.what FROM (
    SELECT c.class, 'the certificate became ' || k.status AS what
    FROM unnest($1::bytea[], $2::uuid[], $6::text[]) AS c(class, id, outcome) JOIN certificate k ON k.id = c.id
    -- Whoever is in quarantine is there with a certificate on hold.
    AND (k.status = 'revoked' OR k.status = 'held' AND c.outcome <> 'quarantine')
    UNION ALL
    SELECT v.class, s.kind || ' ' || s.name || ' became ' || s.standing
    FROM unnest($3::bytea[], $4::uuid[], $5::int[]) AS v(class, id, version)
    JOIN subject s ON s.id = v.id AND s.standing_version <> v.version
) AS i ORDER BY i.class, i.what"""


async def moved(reader: Reader, admissions: Sequence[Admitted]) -> dict[bytes, str]:
    """Class → what has changed, in words, of those for which something has."""
    certified = [one for one in admissions if one.certificate_id is not None]
    about = [
        (one.class_, subject, version)
        for one in admissions
        for subject, version in zip(one.subject_ids, one.versions, strict=False)
    ]
    rows = await reader.fetch(
        _MOVED, [one.class_ for one in certified], [one.certificate_id for one in certified],
        [one[0] for one in about], [one[1] for one in about], [one[2] for one in about],
        [one.outcome for one in certified],
    )  # fmt: skip
    return {bytes(row["class"]): row["what"] for row in rows}
