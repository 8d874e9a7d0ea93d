"""How a signal is written down until it is acted on: JSON, its kind by name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from troth.trust.signals.model import Effect, Signal, Verified, Whom, kind_named
from troth.trust.standing import Standing


class _Stored(msgspec.Struct, frozen=True):
    """A signal as JSON: the kind by name, which may have another meaning in the version that reads it."""

    feed: str
    message_id: str
    digest: bytes
    kind: str
    whom: Whom
    effect: Effect
    level: Standing
    cause: str
    observed_at: datetime
    evidence: str
    severity: int
    confidence: int
    expires_at: datetime | None
    sequence: str | None
    verified: Verified
    fields: dict[str, Any]


def encode(signal: Signal) -> str:
    """``signal`` as JSON text."""
    stored = _Stored(
        **{name: getattr(signal, name) for name in _Stored.__struct_fields__ if name not in {"kind", "fields"}},
        kind=signal.kind.name,
        fields=dict(signal.fields),
    )
    return msgspec.json.encode(stored).decode()


def urgency(signal: Signal) -> int:
    """By which signals are acted on in order: raises by severity; clears after them, since nothing is hurt by them."""
    return signal.severity if signal.effect is Effect.RAISE else -1


def decode(text: str) -> Signal:
    """The signal that :func:`encode` wrote. Raises SignalError for a kind that is known no more, ValueError."""
    stored = msgspec.json.decode(text, type=_Stored)
    values: Mapping[str, Any] = {name: getattr(stored, name) for name in _Stored.__struct_fields__}
    return Signal(**{**values, "kind": kind_named(stored.kind)})
