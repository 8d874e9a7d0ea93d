"""SQL of rollovers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from troth.ops.rollover.model import Alive, Attestation, Measure, Rollover
from troth.store.statement import Claim, Guard, Write
from troth.store.unit import Reader

ADD = Claim(
    "rollover_add",
    """WITH i AS (
           SELECT * FROM unnest($1::int[], $2::text[], $3::uuid[], $4::text[], $5::int[], $6::int[],
               $7::timestamptz[], $8::text[])
           AS t(n, outgoing, id, incoming, threshold, drain_days, at, actor)
       ), w AS (
           INSERT INTO rollover (id, outgoing, incoming, stage, threshold, drain_days, started_at, changed_at, actor)
           SELECT id, outgoing, incoming, 'trust', threshold, drain_days, at, at, actor FROM i
           ON CONFLICT DO NOTHING RETURNING id
       ) SELECT i.n FROM i JOIN w USING (id)""",
    ("text", "uuid", "text", "int", "int", "timestamptz", "text"),
)

#: It is in the stage in which it was seen, and locked.
IN_STAGE = Guard(
    "rollover_in_stage",
    """SELECT i.n FROM unnest($1::int[], $2::uuid[], $3::text[]) AS i(n, id, stage)
       JOIN rollover r ON r.id = i.id AND r.stage = i.stage ORDER BY r.id FOR UPDATE OF r""",
    ("uuid", "text"),
)

SET_STAGE = Write(
    "rollover_set_stage",
    """UPDATE rollover r SET stage = i.stage, changed_at = i.at, renew_by = i.renew_by
       FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[]) AS i(id, stage, at, renew_by)
       WHERE r.id = i.id""",
    ("uuid", "text", "timestamptz", "timestamptz"),
)

ATTEST = Write(
    "rollover_attest",
    """INSERT INTO rollover_attestation (id, rollover_id, percent, reason, actor, attested_at)
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::timestamptz[])""",
    ("uuid", "uuid", "int", "text", "text", "timestamptz"),
)

_ALL = """SELECT id, outgoing, incoming, stage, threshold, drain_days, started_at, changed_at, renew_by, actor
    FROM rollover ORDER BY id DESC LIMIT 200"""
_ATTESTED = """SELECT percent, reason, actor, attested_at FROM rollover_attestation WHERE rollover_id = $1
    ORDER BY id DESC LIMIT 1"""
_DEVICES = """SELECT count(*) AS total, count(*) FILTER (WHERE EXISTS (
        SELECT 1 FROM fact f WHERE f.subject_id = s.id AND f.name = 'device.trusts_roots' AND f.value @> $1::jsonb
    )) AS covered FROM subject s WHERE s.kind = 'device' AND s.removed_at IS NULL"""
_ALIVE = """SELECT profile, count(*) AS count, min(not_after) AS first, max(not_after) AS last FROM certificate
    WHERE authority = $1 AND state = 'issued' AND status <> 'revoked' AND not_after > $2 AND profile <> $3
    GROUP BY profile ORDER BY profile"""
_ISSUED = """SELECT EXISTS (SELECT 1 FROM certificate
    WHERE authority = $1 AND state = 'issued' AND profile <> $2 AND issued_at >= $3)"""
_PULLED = "SELECT outgoing, renew_by FROM rollover WHERE stage = 'drain' AND renew_by IS NOT NULL"


class RolloverStore:
    """Reading rollovers and what their gates look at."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def all(self) -> list[Rollover]:
        """Latest first."""
        return [Rollover(**dict(row)) for row in await self._reader.fetch(_ALL)]

    async def attestation(self, rollover: UUID) -> Attestation | None:
        """The latest."""
        row = await self._reader.fetchrow(_ATTESTED, rollover)
        return None if row is None else Attestation(**dict(row))

    async def devices(self, root_sha256: str) -> Measure:
        """Devices whose facts say that they trust the root with this digest (hexadecimal)."""
        row = await self._reader.fetchrow(_DEVICES, f'["{root_sha256}"]')
        return Measure("devices", row["covered"], row["total"]) if row is not None else Measure("devices", 0, 0)

    async def alive(self, authority: str, at: datetime, responders: str) -> tuple[Alive, ...]:
        """Live certificates of ``authority`` by profile, those of its responders (a profile) aside."""
        return tuple(Alive(**dict(row)) for row in await self._reader.fetch(_ALIVE, authority, at, responders))

    async def has_issued(self, authority: str, responders: str, since: datetime) -> bool:
        """Whether ``authority`` has issued anything but certificates of its responders since then."""
        return bool(await self._reader.fetchval(_ISSUED, authority, responders, since))

    async def pulled_forward(self) -> Mapping[str, datetime]:
        """Authorities that are drained, and until when what they have issued should be renewed."""
        return {row["outgoing"]: row["renew_by"] for row in await self._reader.fetch(_PULLED)}
