"""Effects that are told once an hour: their id is made of what they say and of the hour, and what is there stays."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final
from uuid import UUID

_HOUR: Final = 3_600


def once_an_hour(at: datetime, *said: str) -> UUID:
    """A UUIDv7 (RFC 9562, 5.7) whose time is the hour's of ``at`` and whose rest is what would be told."""
    hour = int(at.timestamp()) // _HOUR * _HOUR
    words = "\0".join((*said, str(hour)))
    rest = int.from_bytes(hashlib.sha256(f"troth notify\0{words}".encode()).digest()[:10], "big")
    value = (hour * 1000) << 80 | rest
    value = value & ~(0xF << 76) | 0x7 << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)
