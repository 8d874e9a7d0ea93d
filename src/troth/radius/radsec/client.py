"""Our own connection to another RadSec server: opened when first needed, watched, and opened anew after it ended.

A connection on which nothing was heard for a while is asked with a Status-Server (RFC 3539 section 3.4, RFC 6614
section 2.4 by way of RFC 6613): a peer behind a broken path would otherwise be noticed by lost requests alone.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Final, cast

import msgspec

from troth.kit.clock import Clock
from troth.kit.errors import Reason
from troth.kit.log import get_logger
from troth.radius.radsec.connection import SECRET
from troth.radius.radsec.errors import (
    CLOSED,
    NO_REPLY,
    PACKET,
    UNREACHABLE,
    ExchangeFailed,
    PeerRefused,
    RadsecError,
)
from troth.radius.radsec.exchange import IS_REPLY, Exchange
from troth.radius.radsec.framing import Framer
from troth.radius.radsec.names import matches, read
from troth.radius.radsec.tls import chain_of
from troth.radius.radsec.versions import BOTH, Version, agreed
from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.packet import Attribute, Code, Packet, decode
from troth.radius.wire.signing import Protection

log = get_logger("radius")

_CONNECT_SECONDS: Final = 10.0
#: Between two tries to connect, at most; it begins with a quarter of a second and doubles.
_MOST_PAUSE: Final = 30.0


class Server(msgspec.Struct, frozen=True):
    """A RadSec server that we ask.

    Attributes:
        host, port: where it is.
        names: what its certificate must carry, one of them, as in :mod:`troth.radius.radsec.names`; empty: ``host``.
        versions: what we offer.
    """

    host: str
    port: int
    names: tuple[str, ...] = ()
    versions: tuple[Version, ...] = BOTH


class RadsecClient:
    """See the module. Belongs to one event loop.

    Args:
        context: a client's (``by_host`` unless ``server.names`` says otherwise), whatever is in force.
        watch_seconds: silence after which the peer is probed.
    """

    def __init__(
        self, server: Server, context: Callable[[], ssl.SSLContext], clock: Clock, *, watch_seconds: float = 30.0
    ) -> None:
        self.server = server
        self._context = context
        self._clock = clock
        self._watch_seconds = watch_seconds
        self._link: _Link | None = None
        self._opening = asyncio.Lock()
        self._failed_at = float("-inf")
        self._pause = 0.0
        self._last = ""
        self._watching: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether there is an open connection just now."""
        return self._link is not None and self._link.open

    @property
    def version(self) -> Version | None:
        """What is spoken on it; None: there is none."""
        return self._link.version if self._link is not None and self._link.open else None

    async def request(
        self, code: int, attributes: Callable[[bytes, Protection], Sequence[Attribute]], *, seconds: float
    ) -> tuple[Packet, bytes, Protection]:
        """Ask; the verified reply, and under which authenticator and protection its values are hidden.

        ``attributes``: made from the Request Authenticator and the protection of the connection. Raises ExchangeFailed,
        also (``radsec.unreachable``) where there is no connection to be had; PacketRefused for what is too long.
        """
        link = await self._open()
        used = [b""]

        def made(authenticator: bytes) -> Sequence[Attribute]:
            used[0] = authenticator
            return attributes(authenticator, link.exchange.protection)

        reply = await link.exchange.request(code, made, seconds=seconds)
        return reply, used[0], link.exchange.protection

    async def close(self) -> None:
        """End it, and do not open it again by itself."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._link is not None:
            self._link.end(CLOSED, "closed by us")

    async def _open(self) -> _Link:
        async with self._opening:
            if self._link is not None and self._link.open:
                return self._link
            wait = self._failed_at + self._pause - self._clock.monotonic()
            if wait > 0:
                raise ExchangeFailed(UNREACHABLE, f"{self._last}; tried again in {wait:.1f} s")
            try:
                self._link = await self._connect()
            except (OSError, ssl.SSLError, RadsecError) as error:
                self._failed_at = self._clock.monotonic()
                self._pause = min(max(self._pause * 2, 0.25), _MOST_PAUSE)
                self._last = str(error)[:200] or type(error).__name__
                log.warning("radsec.unreachable", server=self.server.host, port=self.server.port, error=self._last)
                raise ExchangeFailed(UNREACHABLE, self._last) from error
            self._pause = 0.0
            if self._watching is None or self._watching.done():
                self._watching = asyncio.create_task(self._watch())
            return self._link

    async def _connect(self) -> _Link:
        server = self.server
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, link = await asyncio.get_running_loop().create_connection(
                lambda: _Link(server, self._clock),
                server.host,
                server.port,
                ssl=self._context(),
                server_hostname=server.host,
                ssl_handshake_timeout=_CONNECT_SECONDS,
                ssl_shutdown_timeout=1.0,
            )
        if not link.open:
            raise PeerRefused(link.why, link.detail)
        log.info("radsec.connected", server=server.host, port=server.port, version=link.version.value)
        return link

    async def _watch(self) -> None:
        while self._link is not None and self._link.open:
            link = self._link
            silent = self._clock.monotonic() - link.heard_at
            if silent < self._watch_seconds:
                await asyncio.sleep(max(self._watch_seconds - silent, 0.05))
                continue
            try:
                await link.exchange.request(Code.STATUS_SERVER, lambda _: (), seconds=self._watch_seconds)
            except (ExchangeFailed, PacketRefused) as error:
                link.end(NO_REPLY, f"no answer to a Status-Server: {error.detail}")


class _Link(asyncio.Protocol):
    """One TLS connection of ours."""

    exchange: Exchange

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self.version = Version.ONE_0
        self.open = False
        self.heard_at = clock.monotonic()
        self.why: Reason = CLOSED
        self.detail = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
        try:
            self.version = agreed(tls.selected_alpn_protocol(), tls.version(), self._server.versions)
            if self._server.names:
                certificate = read(chain_of(tls))
                if matches(certificate, self._server.names) is None:
                    shown = ", ".join(sorted(certificate.names)[:8])
                    raise PeerRefused(UNREACHABLE, f"its certificate is for {shown or 'no name'}")
        except RadsecError as error:
            self.end(error.reason, error.detail)
            return
        protection = Protection(SECRET, bare=self.version is Version.ONE_1)
        self.exchange = Exchange(self._transport.write, protection)
        self.open = True

    def data_received(self, data: bytes) -> None:
        if not self.open:
            return
        self.heard_at = self._clock.monotonic()
        try:
            for frame in self._framer.feed(data):
                packet = decode(frame)
                if packet.code in IS_REPLY:
                    self.exchange.take(packet)
        except RadsecError as error:
            self.end(error.reason, error.detail)
        except PacketRefused as error:
            self.end(PACKET, error.detail)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(CLOSED, str(exc) if exc is not None else "the server ended it")

    def end(self, why: Reason, detail: str) -> None:
        """Close it; whoever waits for a reply is told."""
        self.why, self.detail = why, detail
        if self.open:
            self.open = False
            self.exchange.close(detail)
            log.info("radsec.disconnected", server=self._server.host, reason=why.code, detail=detail)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
