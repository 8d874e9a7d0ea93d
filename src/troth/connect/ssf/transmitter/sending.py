"""Putting tokens on their way: claims, signature, queue. A token is signed once, and sent as it is however often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from troth.connect.ssf.events import SSF, STREAM_UPDATED, VERIFICATION
from troth.connect.ssf.subjects import matches, parse_subject
from troth.connect.ssf.transmitter import queue_store
from troth.connect.ssf.transmitter.keys import TransmitterKeyring
from troth.connect.ssf.transmitter.model import OutStream, Receiver
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.store.unit import Unit


class Sender:
    """Queues tokens. ``issuer``: ours, as the metadata have it."""

    def __init__(self, clock: Clock, keys: TransmitterKeyring, issuer: str) -> None:
        self._clock = clock
        self._keys = keys
        self.issuer = issuer

    async def queue(
        self,
        unit: Unit,
        receiver: Receiver,
        stream: OutStream,
        type: str,
        event: Mapping[str, Any],
        subject: Mapping[str, Any],
        *,
        cause: str,
        transaction: str | None = None,
    ) -> bool:
        """Add a token to ``unit``; whether the stream is to get it."""
        itself = type.startswith(SSF)
        if not itself and (stream.status == "disabled" or _removed(stream, subject)):
            return False
        now, id = self._clock.now(), new_id()
        claims: dict[str, Any] = {
            "iss": self.issuer, "jti": id.hex, "iat": int(now.timestamp()), "aud": list(receiver.definition.audience),
            "sub_id": dict(subject), "events": {type: dict(event)},
        }  # fmt: skip
        if transaction is not None:
            claims["txn"] = transaction
        token = await self._keys.token(claims)
        queue_store.queue(unit, queue_store.new(id, stream.id, id.hex, type, token, now, itself=itself), cause)
        return True

    async def verification(self, unit: Unit, receiver: Receiver, stream: OutStream, state: str | None) -> None:
        """Add a verification event (SSF 1.0, 8.1.4.1)."""
        event = {} if state is None else {"state": state}
        itself = {"format": "opaque", "id": stream.id}
        await self.queue(unit, receiver, stream, VERIFICATION, event, itself, cause=f"verification:{new_id()}")

    async def updated(self, unit: Unit, receiver: Receiver, stream: OutStream, status: str, reason: str) -> None:
        """Add a stream-updated event (SSF 1.0, 8.1.5)."""
        event = {"status": status} | ({"reason": reason} if reason else {})
        itself = {"format": "opaque", "id": stream.id}
        await self.queue(unit, receiver, stream, STREAM_UPDATED, event, itself, cause=f"status:{new_id()}")


def _removed(stream: OutStream, subject: Mapping[str, Any]) -> bool:
    if not stream.removed:
        return False
    about = parse_subject(dict(subject))
    return any(matches(parse_subject(one), about) for one in stream.removed)
