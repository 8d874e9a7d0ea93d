"""SQL of issuances that wait for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.store.unit import Reader

_LATEST = """SELECT id, state, expires_at, settled_at, settled_why FROM proposal WHERE act_hash = $1
             ORDER BY proposed_at DESC, id DESC LIMIT 1"""
_ISSUED = """SELECT EXISTS (SELECT 1 FROM certificate_subject s JOIN certificate c ON c.id = s.certificate_id
             WHERE s.subject_id = ANY($1::uuid[]) AND c.profile = $2 AND c.actor = $3 AND c.reserved_at >= $4
             AND c.state <> 'burnt')"""
_WAITING = """SELECT count(*), count(*) FILTER (WHERE actor = $2) AS own FROM proposal
              WHERE state = 'waiting' AND kind = $1"""


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest proposal of one act. ``why``: what whoever settled it said."""

    id: UUID
    state: str
    expires_at: datetime
    settled_at: datetime | None
    why: str


async def latest_proposal(reader: Reader, act_hash: bytes) -> Latest | None:
    """The latest proposal of exactly this act."""
    row = await reader.fetchrow(_LATEST, act_hash)
    if row is None:
        return None
    return Latest(row["id"], row["state"], row["expires_at"], row["settled_at"], row["settled_why"] or "")


async def waiting(reader: Reader, kind: str, actor: str) -> tuple[int, int]:
    """How many proposals of that kind wait, and how many of them are this actor's."""
    row = await reader.fetchrow(_WAITING, kind, actor)
    return (0, 0) if row is None else (row["count"], row["own"])


async def issued_since(
    reader: Reader, subjects: Sequence[UUID], profile: str, actor: str, since: datetime
) -> bool:  # fmt: skip
    """Whether ``actor`` was given a certificate of ``profile`` for one of ``subjects`` from ``since`` on."""
    return bool(await reader.fetchval(_ISSUED, list(subjects), profile, actor, since))
