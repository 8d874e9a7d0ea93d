"""CRLs as pages and API show them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct


class CrlView(Struct, frozen=True, kw_only=True):
    """A CRL that is published now.

    Attributes:
        base_number: of the complete CRL that a delta starts from.
        size: octets.
        age_seconds: since thisUpdate.
        build_seconds: how long its making took, from reading to storing; None for one that was imported.
        waiting: status changes of this shard that no CRL shows yet.
    """

    authority: str
    shard: int
    kind: Literal["full", "delta"]
    number: int
    base_number: int | None
    this_update: datetime
    next_update: datetime
    entries: int
    size: int
    age_seconds: float
    build_seconds: float | None
    waiting: int
    url: str | None
