"""Lengths of time and moments as people write them, in documents and in conditions."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_PARTS = re.compile(r"([0-9]{1,9})(ms|s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:s|m|h|d|w))+\Z")


def parse_duration(text: str) -> timedelta | None:
    """``90s``, ``15m``, ``24h``, ``7d``, ``1h30m`` as a timedelta of at most ten years, or None."""
    if not _DURATION.match(text):
        return None
    seconds = sum(int(count) * _SECONDS[unit] for count, unit in _PARTS.findall(text))
    return timedelta(seconds=seconds) if seconds <= 315_360_000 else None


def parse_time(text: str) -> datetime | None:
    """``2026-11-23T10:00:00Z`` as an aware datetime, or None."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
