"""Identifiers: UUIDv7 (RFC 9562, 5.7), so that rows made together lie together on disk."""

from __future__ import annotations

import os
import time
from uuid import UUID

_last_ns = 0


def new_id() -> UUID:
    """A fresh UUIDv7: 48 bits of Unix milliseconds, 12 bits of sub-millisecond order, 62 random bits.

    Identifiers made by one process sort in the order of their making.
    """
    global _last_ns
    ns = time.time_ns()
    if ns <= _last_ns:
        # Two calls within the clock's grain (or a clock that stepped back): keep the order anyway.
        ns = _last_ns + 250
    _last_ns = ns
    milliseconds, rest = divmod(ns, 1_000_000)
    order = (rest << 12) // 1_000_000
    tail = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    return UUID(int=(milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | order << 64 | 0b10 << 62 | tail)


def parse_id(text: str) -> UUID | None:
    """``text`` as a UUID in its canonical form, or None: a URL segment that is no identifier finds nothing."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text else None
