"""Times, lengths, values and lists as a sentence has them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any


def stamp(moment: datetime) -> str:
    """``2026-11-23 10:00:00 UTC``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(length: timedelta) -> str:
    """``3 hours``, ``2 days``, ``1 hour 30 minutes``: at most two units."""
    seconds = int(length.total_seconds())
    if seconds < 0:
        return f"minus {span(-length)}"
    parts: list[str] = []
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}{'s' if count > 1 else ''}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 seconds"


def show(value: Any) -> str:
    """A value as a sentence has it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value if len(value) <= 80 else value[:79] + '…'}'"
    if isinstance(value, (list, tuple)):
        shown = ", ".join(show(item) for item in value[:10])
        return f"[{shown}{f' and {len(value) - 10} more' if len(value) > 10 else ''}]"
    return str(value)


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; ``nothing`` for none."""
    if not words:
        return "nothing"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
