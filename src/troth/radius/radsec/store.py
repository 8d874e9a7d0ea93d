"""SQL of RadSec: how the certificates of peers stand in the record."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from troth.store.unit import Reader

_STATUS = "SELECT sha256, status FROM certificate WHERE sha256 = ANY($1::bytea[]) AND state = 'issued'"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One certificate of ours."""

    status: str


async def recorded(reader: Reader, digests: Collection[bytes]) -> Mapping[bytes, Recorded]:
    """Those that we have issued, by SHA-256. Raises Unavailable."""
    rows = await reader.fetch(_STATUS, list(digests))
    return {bytes(row["sha256"]): Recorded(row["status"]) for row in rows}
