"""Receivers of our shared signals and the streams to them, as pages and API show them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from troth.access.model import Principal
from troth.connect.ssf.events import TYPES
from troth.connect.ssf.model import PUSH
from troth.connect.ssf.transmitter.desk import Going, ReceiverDesk
from troth.connect.ssf.transmitter.model import Receiver
from troth.kit.clock import Clock


class OutStreamView(Struct, frozen=True, kw_only=True):
    """A stream to a receiver.

    Attributes:
        waiting, refused: tokens. lag_seconds: how long the oldest has waited.
        delivered: tokens ever taken. failures: deliveries in a row that failed.
    """

    id: str
    receiver: str
    delivery: str
    endpoint: str
    status: str
    status_reason: str
    events: tuple[str, ...]
    waiting: int
    refused: int
    lag_seconds: int
    delivered: int
    delivered_at: datetime | None
    active_at: datetime
    failures: int
    error: str


class ReceiverView(Struct, frozen=True, kw_only=True):
    """A receiver and what it may hear. ``client_id``: its OAuth client id, where it has a secret."""

    name: str
    audience: tuple[str, ...]
    events: tuple[str, ...]
    subjects: tuple[str, ...]
    groups: tuple[str, ...]
    dialect: str
    push_hosts: tuple[str, ...]
    push_url: str
    client_id: str
    applied_at: datetime
    applied_by: str
    streams: tuple[OutStreamView, ...]


class ReceiverBook:
    """Looking at receivers, and what a person does with them. Raises what the rooms below raise."""

    def __init__(self, clock: Clock, desk: ReceiverDesk) -> None:
        self._clock = clock
        self.desk = desk

    async def list(self) -> Sequence[ReceiverView]:
        """Every receiver, by name, with its streams."""
        streams = await self.desk.streams()
        found = await self.desk.receivers()
        return [self._view(one, [going for going in streams if going.stream.receiver == one.name]) for one in found]

    async def new_secret(self, name: str, by: Principal) -> str:
        """A new client secret, told once."""
        return await self.desk.new_secret(name, actor=by.actor)

    async def set_header(self, name: str, header: str, by: Principal) -> None:
        """Keep the authorization header for a receiver that is pushed to without any stream of its making."""
        await self.desk.set_header(name, header, actor=by.actor)

    async def set_status(self, stream_id: str, status: str, reason: str, by: Principal) -> None:
        """Pause or enable a stream, and tell its receiver."""
        await self.desk.set_status(stream_id, status, actor=by.actor, reason=reason)

    async def remove(self, name: str, by: Principal) -> None:
        """End a receiver and its streams."""
        await self.desk.remove(name, actor=by.actor)

    def _view(self, one: Receiver, going: Sequence[Going]) -> ReceiverView:
        definition = one.definition
        return ReceiverView(
            name=one.name,
            audience=definition.audience,
            events=tuple(TYPES[uri].name for uri in definition.events),
            subjects=definition.scope.subjects,
            groups=definition.scope.groups,
            dialect=definition.dialect,
            push_hosts=definition.push_hosts,
            push_url=definition.push_url,
            client_id=one.name if one.secret_digest is not None else "",
            applied_at=one.applied_at,
            applied_by=one.actor,
            streams=tuple(self._stream(one, each) for each in going),
        )

    def _stream(self, receiver: Receiver, going: Going) -> OutStreamView:
        stream = going.stream
        lag = 0 if going.oldest is None else max(0, int((self._clock.now() - going.oldest).total_seconds()))
        return OutStreamView(
            id=stream.id,
            receiver=stream.receiver,
            delivery="push" if stream.method == PUSH else "poll",
            endpoint=stream.endpoint,
            status=stream.status,
            status_reason=stream.status_reason,
            events=tuple(TYPES[uri].name for uri in stream.delivered(receiver.definition)),
            waiting=going.waiting,
            refused=going.refused,
            lag_seconds=lag,
            delivered=going.delivered,
            delivered_at=stream.delivered_at,
            active_at=stream.active_at,
            failures=stream.failures,
            error=stream.error,
        )
