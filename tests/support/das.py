"""An access server's side of dynamic authorization (RFC 5176), scripted: it verifies, remembers and answers as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from troth.radius.dynamic.model import Equipment, Transport
from troth.radius.dynamic.udp import UdpTransport
from troth.radius.wire.packet import Attribute, Code, Packet, decode
from troth.radius.wire.signing import encode_reply, message_authenticator_ok, request_authenticator_ok

_ACKS = {Code.DISCONNECT_REQUEST: Code.DISCONNECT_ACK, Code.COA_REQUEST: Code.COA_ACK}
_NAKS = {Code.DISCONNECT_REQUEST: Code.DISCONNECT_NAK, Code.COA_REQUEST: Code.COA_NAK}

#: ACK, an Error-Cause, or no answer.
ACK, SILENCE = 0, -1


@dataclass
class Das(asyncio.DatagramProtocol):
    """One access server.

    Attributes:
        answers: given in turn, then ACK (0: ACK, -1: silence, else the Error-Cause of a NAK).
        judge: in place of ``answers``, if there is one.
        delay: seconds before it answers.
    """

    name: str = "nas"
    secret: bytes = b"a secret of access servers"
    vendor: str = "hostapd"
    answers: list[int] = field(default_factory=list)
    judge: Callable[[Packet], int] | None = None
    delay: float = 0.0
    signed: bool = True
    requests: list[Packet] = field(default_factory=list)
    repeated: int = 0
    waiting: int = 0
    most_waiting: int = 0
    port: int = 0
    _answered: dict[bytes, bytes | None] = field(default_factory=dict)
    _transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        packet = decode(data)
        assert request_authenticator_ok(packet, self.secret)
        assert message_authenticator_ok(packet, self.secret) is True
        if packet.authenticator in self._answered:
            self.repeated += 1
            reply = self._answered[packet.authenticator]
        else:
            self.requests.append(packet)
            reply = self._reply(packet)
            self._answered[packet.authenticator] = reply
        if reply is None:
            return
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        asyncio.get_running_loop().call_later(self.delay, self._answer, reply, addr)

    def _answer(self, reply: bytes, addr: Any) -> None:
        self.waiting -= 1
        if not self._transport.is_closing():
            self._transport.sendto(reply, addr)

    def _reply(self, packet: Packet) -> bytes | None:
        said = self.judge(packet) if self.judge is not None else self.answers.pop(0) if self.answers else ACK
        if said == SILENCE:
            return None
        code = Code(packet.code)
        cause: list[Attribute] = [] if said == ACK else [(101, said.to_bytes(4, "big"))]
        made = _ACKS[code] if said == ACK else _NAKS[code]
        return encode_reply(packet, made, cause, self.secret, message_authenticator=self.signed)

    @property
    def equipment(self) -> Equipment:
        """How it is known."""
        return Equipment(
            name=self.name, vendor=self.vendor, secrets=(self.secret,), address="127.0.0.1", port=self.port
        )

    def named(self) -> list[tuple[int, dict[int, bytes]]]:
        """What it was asked: code and attributes, without what every packet has."""
        return [
            (packet.code, {kind: value for kind, value in packet.attributes if kind not in (80, 55)})
            for packet in self.requests
        ]


class Fleet:
    """Access servers of a test: :class:`troth.radius.dynamic.model.Fleet`."""

    def __init__(self, *servers: Das, udp: UdpTransport) -> None:
        self.servers = list(servers)
        self.more: dict[str, Equipment] = {}
        self.udp = udp

    async def equipment(self) -> Mapping[str, Equipment]:
        return {one.name: one.equipment for one in self.servers} | self.more

    def transport(self, equipment: Equipment) -> Transport:
        return self.udp


@asynccontextmanager
async def listening(das: Das) -> AsyncIterator[Das]:
    """``das`` on a port of loopback's."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: das, local_addr=("127.0.0.1", 0))
    try:
        yield das
    finally:
        transport.close()
