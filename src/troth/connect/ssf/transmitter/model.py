"""Receivers and their streams, seen from the transmitter's side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from troth.connect.ssf.model import POLL, PUSH
from troth.connect.ssf.transmitter.definitions import SUPPORTED, ReceiverDefinition

#: Woken when tokens were queued; pushers and waiting polls listen.
TOKENS_CHANNEL: Final = "troth_ssf_tokens"
#: Seconds that have to pass between two verifications, and after which a silent receiver's stream is paused.
MIN_VERIFICATION: Final = 30
INACTIVITY: Final = 14 * 86_400


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who may hear."""

    definition: ReceiverDefinition
    secret_digest: bytes | None
    generation: int
    applied_at: datetime
    actor: str

    @property
    def name(self) -> str:
        """Its name, which is its OAuth client id."""
        return self.definition.name


@dataclass(frozen=True, slots=True)
class OutStream:
    """A stream to a receiver.

    Attributes:
        method: PUSH or POLL. endpoint: where to push; empty for one that is polled.
        requested: types that the receiver asked for.
        header: sealed authorization header for pushes.
        held: a person paused or disabled it, and its receiver may not enable it.
        removed: subjects that the receiver took out.
        failures: pushes in a row that failed; ``retry_at``: when the next is due.
    """

    id: str
    receiver: str
    method: str
    endpoint: str
    requested: tuple[str, ...]
    description: str
    header: bytes | None
    status: str
    status_reason: str
    held: bool
    removed: tuple[Any, ...]
    made_at: datetime
    active_at: datetime
    verification_asked_at: datetime | None
    delivered_at: datetime | None
    failures: int
    error: str
    retry_at: datetime | None

    def delivered(self, definition: ReceiverDefinition) -> list[str]:
        """Types that it gets: asked for and granted."""
        return [uri for uri in SUPPORTED if uri in self.requested and uri in definition.events]

    def told(self, definition: ReceiverDefinition, issuer: str, poll_url: str) -> dict[str, Any]:
        """Its configuration as the receiver is shown it (SSF 1.0, 8.1.1). The header is never told back."""
        delivery = {"method": PUSH, "endpoint_url": self.endpoint}
        if self.method == POLL:
            delivery = {"method": POLL, "endpoint_url": poll_url}
        found: dict[str, Any] = {
            "stream_id": self.id,
            "iss": issuer,
            "aud": list(definition.audience),
            "events_supported": list(definition.events),
            "events_requested": list(self.requested),
            "events_delivered": self.delivered(definition),
            "delivery": delivery,
            "min_verification_interval": MIN_VERIFICATION,
            "inactivity_timeout": INACTIVITY,
        }
        return found | ({"description": self.description} if self.description else {})


@dataclass(frozen=True, slots=True)
class QueuedToken:
    """One token on its way."""

    id: UUID
    stream: str
    jti: str
    type: str
    token: str
    itself: bool
    queued_at: datetime


#: What is said: type and claims of an event, and a word that tells the events of one cause apart.
Saying = tuple[str, str, Mapping[str, Any]]


def plain(text: str) -> str:
    """``text`` of others without what controls a terminal, or a database takes amiss."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
