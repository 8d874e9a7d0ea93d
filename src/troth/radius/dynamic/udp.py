"""Dynamic authorization over UDP: sent, sent again, and believed only where the secret proves it.

RFC 5176 section 2.3 with the timers of RFC 5080 section 2.2.1: 2 seconds, doubled each time, a tenth more or less; a
retransmission is the same packet under the same identifier, so that an access server that has done it answers from
memory. Each access server is spoken to from a port of its own, connected, so that the kernel drops what comes from
elsewhere, and an ICMP error is heard of.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.radius.dynamic.errors import SILENT, UNREACHABLE, DynamicError
from troth.radius.dynamic.model import Equipment, Request
from troth.radius.wire.errors import MESSAGE_AUTHENTICATOR_MISSING, PacketRefused
from troth.radius.wire.packet import Attribute, Packet, decode
from troth.radius.wire.signing import encode_request, verify_reply

log = get_logger("radius")

FIRST: Final = 2.0
TRIES: Final = 5
_LONGEST: Final = 16.0
_IDLE: Final = 60.0
EVENT_TIMESTAMP: Final = 55


@dataclass(slots=True)
class _Waiting:
    """One request on its way: what proves its reply, and who waits for it."""

    authenticator: bytes
    secret: bytes
    signed: bool
    #: It was answered without Message-Authenticator, by whoever: the answer was left aside.
    unsigned: bool = False
    answered: asyncio.Future[Packet] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class UdpTransport:
    """See the module. Belongs to one event loop.

    Args:
        first: seconds before the first retransmission. tries: how often a packet is sent in all.
    """

    def __init__(self, clock: Clock, *, first: float = FIRST, tries: int = TRIES) -> None:
        self._clock = clock
        self._first = first
        self._tries = tries
        self._channels: dict[tuple[str, int], _Channel] = {}
        #: Access server → the secret that it answered to last.
        self._answered: dict[str, bytes] = {}

    async def send(self, equipment: Equipment, request: Request) -> Packet:
        """See :class:`~troth.radius.dynamic.model.Transport`.

        While a secret is replaced nobody knows which of the two the access server has; with the wrong one it is silent.
        So the one that it answered to last is tried first, twice, and then the other.
        """
        known = self._answered.get(equipment.name)
        secrets = sorted(equipment.secrets, key=lambda one: one != known)
        silent = DynamicError(UNREACHABLE, f"{equipment.name} has no secret")
        for number, secret in enumerate(secrets):
            tries = self._tries if number == len(secrets) - 1 else min(2, self._tries)
            try:
                reply = await self._once(equipment, request, secret, tries)
            except DynamicError as error:
                silent = error
                continue
            self._answered[equipment.name] = secret
            return reply
        raise silent

    async def _once(self, equipment: Equipment, request: Request, secret: bytes, tries: int) -> Packet:
        channel = await self._channel(request.address, request.port)
        # Replays are refused by it (RFC 5176, 6.3): whole seconds of the moment it was made, kept when sent again.
        now = int(self._clock.now().timestamp()).to_bytes(4, "big")
        stamped: Sequence[Attribute] = [
            (kind, now if kind == EVENT_TIMESTAMP and not value else value) for kind, value in request.attributes
        ]
        identifier = channel.identifier()
        data = encode_request(request.code, identifier, stamped, secret)
        waiting = _Waiting(data[4:20], secret, equipment.require_message_authenticator)
        channel.waiting[identifier] = waiting
        try:
            return await self._exchange(channel, data, waiting, tries)
        finally:
            channel.waiting.pop(identifier, None)
            channel.used_at = self._clock.monotonic()

    async def _exchange(self, channel: _Channel, data: bytes, waiting: _Waiting, tries: int) -> Packet:
        pause = self._first * random.uniform(0.9, 1.1)  # noqa: S311 -- jitter is no secret
        for _ in range(tries):
            channel.send(data)
            done, _pending = await asyncio.wait({waiting.answered}, timeout=pause)
            if done:
                return waiting.answered.result()
            pause = min(_LONGEST, pause * random.uniform(1.9, 2.1))  # noqa: S311 -- jitter is no secret
        if channel.error:
            raise DynamicError(UNREACHABLE, channel.error)
        refused = f"; {channel.refused} answers were not believed: {channel.why}" if channel.refused else ""
        if waiting.unsigned:
            refused += " (coa: {unsigned_answers: true} is for one that cannot sign them)"
        raise DynamicError(SILENT, f"{tries} packets to {channel.name}{refused}")

    async def _channel(self, address: str, port: int) -> _Channel:
        await self._tidy()
        known = self._channels.get((address, port))
        if known is not None and not known.closed and len(known.waiting) < 256:
            return known
        try:
            _, channel = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Channel(f"{address} port {port}"), remote_addr=(address, port),
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
            )  # fmt: skip
        except OSError as error:
            raise DynamicError(UNREACHABLE, f"{address} port {port}: {error.strerror or error}") from error
        channel.used_at = self._clock.monotonic()
        self._channels[address, port] = channel
        return channel

    async def _tidy(self) -> None:
        """Let go of sockets that nobody has used for a while."""
        now = self._clock.monotonic()
        for key, channel in list(self._channels.items()):
            if channel.closed or (not channel.waiting and now - channel.used_at > _IDLE):
                channel.close()
                del self._channels[key]

    async def close(self) -> None:
        """Let go of all sockets."""
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()


class _Channel(asyncio.DatagramProtocol):
    """One connected socket, and the requests that wait on it, by identifier."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting: dict[int, _Waiting] = {}
        self.used_at = 0.0
        self.closed = False
        self.error = ""
        self.refused = 0
        self.why = ""
        self._next = random.randrange(256)  # noqa: S311 -- what proves a reply is its authenticator
        self._transport: asyncio.DatagramTransport | None = None

    def identifier(self) -> int:
        """One that nothing waits under."""
        for _ in range(256):
            self._next = (self._next + 1) % 256
            if self._next not in self.waiting:
                return self._next
        raise DynamicError(UNREACHABLE, f"256 requests wait for {self.name}")

    def send(self, data: bytes) -> None:
        """Send one datagram; what the network says of it is heard later."""
        if self._transport is not None:
            self._transport.sendto(data)

    def close(self) -> None:
        """Let go of the socket."""
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    # --- asyncio's ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True

    def error_received(self, exc: Exception) -> None:
        self.error = f"{self.name}: {getattr(exc, 'strerror', None) or exc}"

    def datagram_received(self, data: bytes, addr: Any) -> None:
        waiting: _Waiting | None = None
        try:
            reply = decode(data)
            waiting = self.waiting.get(reply.identifier)
            if waiting is None or waiting.answered.done():
                return  # a late second answer
            verify_reply(reply, waiting.authenticator, waiting.secret, require_message_authenticator=waiting.signed)
        except PacketRefused as refused:
            # Anybody can send one: the true answer may still come.
            self.refused += 1
            self.why = refused.code
            if waiting is not None and refused.reason is MESSAGE_AUTHENTICATOR_MISSING:
                waiting.unsigned = True
            if self.refused in (1, 10, 100, 1000):
                log.warning("dynamic.answer_refused", access_server=self.name, code=refused.code, times=self.refused)
            return
        self.error, self.refused = "", 0
        waiting.answered.set_result(reply)
