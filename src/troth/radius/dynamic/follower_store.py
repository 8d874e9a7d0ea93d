"""SQL of what the follower of the ledger asks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

from troth.store.unit import Reader

_PROTECTED: Final = "SELECT id FROM subject WHERE id = ANY($1::uuid[]) AND protected"


async def protected(reader: Reader, subjects: Collection[UUID]) -> set[UUID]:
    """Those that automation leaves alone."""
    return {row["id"] for row in await reader.fetch(_PROTECTED, list(subjects))}
