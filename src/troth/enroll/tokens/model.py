"""What a token proves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Proof:
    """A verified token.

    Attributes:
        subject: whom it is about, in the issuer's words.
        claims: all that it says.
        digest: what is remembered so that it counts once.
        until: when it could not be shown any more.
    """

    subject: str
    claims: Mapping[str, Any]
    digest: bytes
    until: datetime


def claim(claims: Mapping[str, Any], name: str) -> object:
    """A claim by its name, or by a path with slashes into nested ones; None if it is not there."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("/"):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def as_text(value: object) -> str | None:
    """A claim's value as rules compare it: texts as they are, whole numbers and booleans in JSON's spelling."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else None
