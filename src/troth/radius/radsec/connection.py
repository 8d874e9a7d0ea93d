"""One access server's connection: its requests go to the desk, its replies to whoever asked it.

Many requests are under way at once and are answered in any order. What arrives beyond the limit waits in the kernel:
nothing is read while as many as allowed are under way, so that a peer that asks too much slows down itself. A request
that is under way already is not begun again (the same number and authenticator), and one that takes its number over
leaves the former unanswered (RFC 5080 section 2.2.2). When the connection ends, what was under way ends with it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol, cast

from troth.kit.clock import Clock
from troth.kit.errors import Reason, TrothError
from troth.kit.log import get_logger
from troth.radius.nas.model import Nas
from troth.radius.radsec.errors import CLOSED, PACKET, VERSION, PeerRefused, RadsecError
from troth.radius.radsec.exchange import IS_REPLY, Exchange
from troth.radius.radsec.framing import Framer
from troth.radius.radsec.names import PeerCertificate, read
from troth.radius.radsec.peers import Peers
from troth.radius.radsec.tls import chain_of
from troth.radius.radsec.versions import Version, agreed
from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.packet import MESSAGE_AUTHENTICATOR, Code, Packet, decode
from troth.radius.wire.signing import Protection, encode_reply, message_authenticator_ok

log = get_logger("radius")

#: RFC 6614 section 2.3: "radsec", for what RADIUS/1.0 computes with a secret.
SECRET: Final = b"radsec"
_ORIGINAL_PACKET_CODE: Final = (241, 4)  # extended: 241, and its type in the value's first octet (RFC 7930 section 4)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, for the desk.

    Attributes:
        address, port: where its connection comes from.
        protection: how its packets are protected, and what hides their values.
    """

    nas: Nas
    address: str
    port: int
    protection: Protection


#: What a request is answered with, encoded for the caller's protection; None: with nothing.
Answer = Callable[[Packet, Caller], Awaitable[bytes | None]]


@dataclass(slots=True)
class Tally:
    """What was seen, for metrics; counted over all connections of a process."""

    opened: int = 0
    requests: int = 0
    duplicates: int = 0
    superseded: int = 0
    probes: int = 0
    closed: dict[str, int] = field(default_factory=dict)

    def count_closed(self, why: str) -> None:
        """One more that was closed, or never let in, for that reason."""
        self.closed[why] = self.closed.get(why, 0) + 1


class House(Protocol):
    """What a connection needs of the server it belongs to."""

    clock: Clock
    tally: Tally
    answer: Answer
    peers: Peers
    versions: tuple[Version, ...]
    pending: int

    def met(self, connection: Connection) -> None:
        """Its handshake is done and it has a name: ask whether its certificate is believed, then welcome it."""
        ...

    def joined(self, connection: Connection) -> None:
        """It is let in. Raises PeerRefused where there are too many."""
        ...

    def left(self, connection: Connection) -> None:
        """It has ended."""
        ...


@dataclass(slots=True)
class _Pending:
    authenticator: bytes
    task: asyncio.Task[None]


class Connection(asyncio.Protocol):
    """See the module. Made for a TLS handshake that is under way; belongs to one event loop."""

    nas: Nas
    certificate: PeerCertificate
    version: Version
    exchange: Exchange
    since: datetime

    def __init__(self, house: House, address: str, port: int) -> None:
        self._house = house
        self.address = address
        self.port = port
        self.tls = ""
        self.heard_at = house.clock.monotonic()
        self.requests = 0
        self.open = False
        self._transport: asyncio.Transport | None = None
        self._protection = Protection(SECRET)
        self._framer = Framer()
        self._pending: dict[bytes, _Pending] = {}
        self._waiting: deque[Packet] = deque()
        self._paused = False
        self._clogged = False

    # --- asyncio ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        try:
            self._meet(transport.get_extra_info("ssl_object"))
        except RadsecError as error:
            self.close(error.reason, error.detail)

    def data_received(self, data: bytes) -> None:
        if not self.open:
            return
        self.heard_at = self._house.clock.monotonic()
        try:
            for frame in self._framer.feed(data):
                self._read(decode(frame))
        except RadsecError as error:
            self.close(error.reason, error.detail)
        except PacketRefused as error:
            # RFC 6613 section 2.6.4: TCP delivers what was sent, so the peer is broken or lies, and what it says next
            # is worth no more.
            self.close(PACKET, f"{error.detail} ({error.reason.code})")

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._clogged = True
        self._brake()

    def resume_writing(self) -> None:
        self._clogged = False
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(CLOSED, str(exc) if exc is not None else "the peer ended it")

    # --- beginning and end -------------------------------------------------------------------------------------

    def _meet(self, tls: ssl.SSLObject | None) -> None:
        """Who is it, what do we speak, and is it believed?"""
        if tls is None:
            raise PeerRefused(VERSION, "no TLS")
        house = self._house
        self.tls = tls.version() or ""
        self.version = agreed(tls.selected_alpn_protocol(), self.tls, house.versions)
        self.certificate = read(chain_of(tls))
        self.nas = house.peers.find(self.certificate, self.address)
        self._protection = Protection(SECRET, bare=self.version is Version.ONE_1)
        self.exchange = Exchange(self._send, self._protection)
        self.since = house.clock.now()
        # Nothing is read from it until its certificate has been asked about.
        self._brake()
        house.met(self)

    def welcome(self) -> None:
        """Its certificate is believed: read what it says. Raises PeerRefused where there are too many."""
        if self._transport is None or self._transport.is_closing():
            return
        self._house.joined(self)
        self.open = True
        self._house.tally.opened += 1
        log.info(
            "radsec.opened", nas=self.nas.name, address=self.address, version=self.version.value, tls=self.tls,
            certificate=self.certificate.subject,
        )  # fmt: skip
        self._go_on()

    def find_again(self) -> None:
        """The record of access servers has changed: close if it would not be let in any more."""
        try:
            self.nas = self._house.peers.find(self.certificate, self.address)
        except PeerRefused as error:
            self.close(error.reason, error.detail)

    def close(self, why: Reason, detail: str = "") -> None:
        """End it, and say why in the log; what was under way is dropped."""
        self._end(why, detail)
        if self._transport is not None:
            # With a close_notify, so that the peer's log says so; a peer that does not read has a second for it.
            self._transport.close()

    def _end(self, why: Reason, detail: str) -> None:
        if self.open:
            self.open = False
            self._house.left(self)
            self.exchange.close(detail)
            for pending in self._pending.values():
                pending.task.cancel()
            self._waiting.clear()
            self._house.tally.count_closed(why.code)
            log.info("radsec.closed", nas=self.nas.name, address=self.address, reason=why.code, detail=detail)
        elif why is not CLOSED:  # never let in
            self._house.tally.count_closed(why.code)
            log.warning("radsec.refused", address=self.address, reason=why.code, detail=detail)

    # --- packets -----------------------------------------------------------------------------------------------

    def _read(self, packet: Packet) -> None:
        if not self.open:  # closed by what came just before
            return
        if packet.code in IS_REPLY:
            self.exchange.take(packet)
            return
        if self._protection.bare:
            packet = _bare(packet)
        elif packet.code == Code.STATUS_SERVER or packet.first(MESSAGE_AUTHENTICATOR) is not None:
            self._verify(packet)
        if packet.code == Code.STATUS_SERVER:
            # Answered by the connection itself, also while its requests wait: that is what is being asked.
            self._house.tally.probes += 1
            self._send(encode_reply(packet, Code.ACCESS_ACCEPT, (), self._protection))
            return
        if len(self._pending) >= self._house.pending or self._clogged:
            self._waiting.append(packet)
            self._brake()
            return
        self._begin(packet)

    def _verify(self, packet: Packet) -> None:
        signed = message_authenticator_ok(packet, SECRET)
        if signed is None:
            raise RadsecError(PACKET, "a Status-Server without Message-Authenticator (RFC 5997 section 3)")
        if not signed:
            raise RadsecError(PACKET, "its Message-Authenticator was not made with the secret radsec")

    def _begin(self, packet: Packet) -> None:
        tally = self._house.tally
        key = packet.authenticator[:4] if self._protection.bare else bytes((packet.code, packet.identifier))
        former = self._pending.get(key)
        if former is not None:
            if former.authenticator == packet.authenticator:
                tally.duplicates += 1
                return
            tally.superseded += 1
            former.task.cancel()
        self.requests += 1
        tally.requests += 1
        task = asyncio.get_running_loop().create_task(self._ask(key, packet))
        self._pending[key] = _Pending(packet.authenticator, task)

    async def _ask(self, key: bytes, packet: Packet) -> None:
        try:
            caller = Caller(self.nas, self.address, self.port, self._protection)
            reply = await self._house.answer(packet, caller)
            if reply is not None and self.open:
                self._send(reply)
        except TrothError as error:
            log.warning("radsec.unanswered", nas=self.nas.name, reason=error.reason.code, detail=error.detail)
        finally:
            own = self._pending.get(key)
            if own is not None and own.task is asyncio.current_task():
                del self._pending[key]
            self._go_on()

    def _send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    # --- limits ------------------------------------------------------------------------------------------------

    def _brake(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _go_on(self) -> None:
        if not self.open or self._clogged:
            return
        while self._waiting and len(self._pending) < self._house.pending:
            self._begin(self._waiting.popleft())
        if self._paused and not self._waiting and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()


def _bare(packet: Packet) -> Packet:
    """A RADIUS/1.1 packet without what means nothing there (RFC 9765 sections 5.2, 5.3 and 5.5)."""
    dropped = {MESSAGE_AUTHENTICATOR}
    code, extended = _ORIGINAL_PACKET_CODE
    kept = tuple(
        (kind, value)
        for kind, value in packet.attributes
        if kind not in dropped and not (kind == code and value[:1] == bytes((extended,)))
    )
    token = packet.authenticator[:4] + bytes(12)
    return Packet(packet.code, 0, token, kept, packet.raw)
