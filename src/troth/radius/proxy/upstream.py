"""One server that is asked: over UDP, with retransmission, or over TLS, without.

Retransmission is between us and the server alone (RFC 5080 section 2.2.1): an access server that repeats itself makes
us repeat nothing, and one on TLS, which never repeats, still gets its answer from a server on UDP. The same octets go
again, under the same identifier and authenticator, so the server can tell that it has answered already.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias, cast

from troth.kit.log import get_logger
from troth.radius.proxy.errors import NO_SERVER, ProxyError
from troth.radius.radsec.client import RadsecClient
from troth.radius.radsec.errors import ExchangeFailed
from troth.radius.radsec.exchange import REPLIES
from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.packet import Attribute, Code, Packet, decode
from troth.radius.wire.signing import Protection, encode_request, verify_reply

log = get_logger("radius")

#: RFC 5080 section 2.2.1: IRT 2 s, doubled each time; here the caller's window ends it long before MRD.
_FIRST_SECONDS: Final = 2.0
#: Sockets to one server; each has 256 identifiers.
_MOST_PORTS: Final = 64

#: Attributes for a request, made from its authenticator and what hides values in it.
Making: TypeAlias = Callable[[bytes, Protection], Sequence[Attribute]]


@dataclass(frozen=True, slots=True)
class Answered:
    """A believed reply, and under what its values are hidden."""

    packet: Packet
    authenticator: bytes
    protection: Protection


class Silent(ProxyError):
    """The server did not answer in its window, or is not there."""


class Upstream(Protocol):
    """A server."""

    async def ask(self, code: int, attributes: Making, *, seconds: float) -> Answered:
        """Ask and wait. Raises Silent; PacketRefused for a request that is too long."""
        ...

    async def close(self) -> None:
        """Let go of sockets."""
        ...


class RadsecUpstream:
    """A server over TLS."""

    def __init__(self, client: RadsecClient) -> None:
        self._client = client

    async def ask(self, code: int, attributes: Making, *, seconds: float) -> Answered:
        try:
            return Answered(*await self._client.request(code, attributes, seconds=seconds))
        except ExchangeFailed as error:
            raise Silent(NO_SERVER, error.detail) from error

    async def close(self) -> None:
        await self._client.close()


class UdpUpstream:
    """A server over UDP. Belongs to one event loop.

    Args:
        secret: shared with it.
        accounting_port: where it takes accounting; 0: nowhere.
        refused: called for a reply that is not believed, with the reason.
        first_seconds: until the first repetition, give or take a tenth.
    """

    def __init__(
        self,
        host: str,
        port: int,
        secret: bytes,
        *,
        require_message_authenticator: bool = True,
        accounting_port: int = 0,
        refused: Callable[[str], None] = lambda _: None,
        first_seconds: float = _FIRST_SECONDS,
    ) -> None:
        self._host = host
        self._at = {"auth": port, "acct": accounting_port}
        self._protection = Protection(secret)
        self._require = require_message_authenticator
        self._refused = refused
        self._first_seconds = first_seconds
        self._ports: dict[str, list[_Port]] = {"auth": [], "acct": []}
        self._opening = asyncio.Lock()

    async def ask(self, code: int, attributes: Making, *, seconds: float) -> Answered:
        kind = "acct" if code == Code.ACCOUNTING_REQUEST else "auth"
        if not self._at[kind]:
            raise Silent(NO_SERVER, f"{self._name} takes no accounting")
        port = await self._port(kind)
        authenticator = secrets.token_bytes(16)
        made = attributes(authenticator, self._protection)
        waiting = _Waiting(code, b"", asyncio.get_running_loop().create_future())
        identifier = port.take(waiting)
        try:
            data = encode_request(code, identifier, made, self._protection, authenticator=authenticator)
            waiting.authenticator = data[4:20]
            async with asyncio.timeout(seconds):
                packet = await self._said(port, data, waiting)
            return Answered(packet, authenticator, self._protection)
        except TimeoutError:
            raise Silent(NO_SERVER, f"{self._name} gave no answer in {seconds:g} s") from None
        except OSError as error:
            raise Silent(NO_SERVER, f"{self._name}: {error.strerror or error}") from error
        finally:
            port.give_back(identifier)

    async def close(self) -> None:
        for port in [*self._ports["auth"], *self._ports["acct"]]:
            await port.close()

    @property
    def _name(self) -> str:
        return f"{self._host}:{self._at['auth']}"

    async def _said(self, port: _Port, data: bytes, waiting: _Waiting) -> Packet:
        pause = self._first_seconds * (0.9 + random.random() / 5)  # noqa: S311 -- jitter, no secret
        while True:
            port.send(data)
            try:
                async with asyncio.timeout(pause):
                    return await asyncio.shield(waiting.reply)
            except TimeoutError:
                pause *= 2

    async def _port(self, kind: str) -> _Port:
        """A socket with a free identifier. A name is looked up for each new one."""
        ports = self._ports[kind]
        for port in ports:
            if port.free:
                return port
        async with self._opening:
            for port in ports:
                if port.free:
                    return port
            if len(ports) >= _MOST_PORTS:
                raise Silent(NO_SERVER, f"{256 * _MOST_PORTS} requests to {self._name} are under way")
            try:
                _, made = await asyncio.get_running_loop().create_datagram_endpoint(
                    lambda: _Port(self), remote_addr=(self._host, self._at[kind])
                )
            except OSError as error:
                raise Silent(NO_SERVER, f"{self._name}: {error.strerror or error}") from error
            ports.append(made)
            return made

    def forget(self, port: _Port) -> None:
        """Its socket is of no more use: a new one is opened, and a name looked up again."""
        for ports in self._ports.values():
            if port in ports:
                ports.remove(port)

    def believe(self, packet: Packet, waiting: _Waiting) -> bool:
        """Whether ``packet`` answers what waits; what does not is counted and dropped: anybody can send it."""
        if packet.code != Code.PROTOCOL_ERROR and packet.code not in REPLIES[waiting.code]:
            self._refused("proxy.reply")
            return False
        try:
            require = self._require and waiting.code != Code.ACCOUNTING_REQUEST
            verify_reply(packet, waiting.authenticator, self._protection, require_message_authenticator=require)
        except PacketRefused as error:
            self._refused(error.code)
            log.warning("proxy.reply_refused", server=self._name, reason=error.code, detail=error.detail)
            return False
        return True


@dataclass(slots=True)
class _Waiting:
    code: int
    authenticator: bytes
    reply: asyncio.Future[Packet]


class _Port(asyncio.DatagramProtocol):
    """One connected socket: what another address sends never arrives here."""

    def __init__(self, owner: UdpUpstream) -> None:
        self._owner = owner
        self._waiting: dict[int, _Waiting] = {}
        self._next = secrets.randbelow(256)
        self._transport: asyncio.DatagramTransport | None = None
        self._gone = asyncio.Event()

    @property
    def free(self) -> bool:
        return len(self._waiting) < 256 and self._transport is not None and not self._transport.is_closing()

    def take(self, waiting: _Waiting) -> int:
        while self._next in self._waiting:
            self._next = (self._next + 1) & 0xFF
        taken, self._next = self._next, (self._next + 1) & 0xFF
        self._waiting[taken] = waiting
        return taken

    def give_back(self, identifier: int) -> None:
        waiting = self._waiting.pop(identifier, None)
        if waiting is not None and not waiting.reply.done():
            waiting.reply.cancel()

    def send(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("its socket is closed")
        self._transport.sendto(data)

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            await self._gone.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        try:
            packet = decode(data)
        except PacketRefused:
            return
        waiting = self._waiting.get(packet.identifier)
        if waiting is None or waiting.reply.done() or not self._owner.believe(packet, waiting):
            return
        waiting.reply.set_result(packet)

    def error_received(self, exc: Exception) -> None:
        # ICMP says that nobody listens there: waiting longer helps nobody.
        for waiting in self._waiting.values():
            if not waiting.reply.done():
                waiting.reply.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.forget(self)
        self._gone.set()
        for waiting in self._waiting.values():
            if not waiting.reply.done():
                waiting.reply.set_exception(exc or ConnectionError("its socket was closed"))
