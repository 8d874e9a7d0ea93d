"""HTTP/1.1 over TLS for the ACME client: asyncio and httptools, connections kept alive, nothing followed or decoded.

Small and under our control, since the load generator and the benchmarks measure servers with it. It goes where its
caller says; connections to places that somebody else names are given a judge of them (``guarded``) or belong in
``kit``'s guarded client.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import SplitResult, urljoin, urlsplit

import httptools

from troth.client.errors import TRANSPORT, TransportError
from troth.client.guarded import Beside
from troth.client.pinned import pin_of

_MAX_ANSWER = 16 * 1024 * 1024
#: Octets of an answer beside its body.
_MAX_BESIDE = 256 * 1024
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_LINK = re.compile(r'<([^>]*)>\s*((?:;\s*[^,;="]+(?:="[^"]*"|=[^",;]*)?\s*)*)')
_REL = re.compile(r';\s*rel=(?:"([^"]*)"|([^",;\s]*))', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer, read whole.

    Attributes:
        status: HTTP status.
        headers: lower-case name → every value, in order.
        body: as sent.
        url: where it came from.
    """

    status: int
    headers: Mapping[str, tuple[str, ...]]
    body: bytes
    url: str

    def header(self, name: str) -> str | None:
        """The first value of the header ``name`` (lower case), or None."""
        found = self.headers.get(name)
        return found[0] if found else None

    def links(self, rel: str) -> list[str]:
        """Absolute targets of the Link headers with relation ``rel`` (RFC 8288)."""
        found = []
        for value in self.headers.get("link", ()):
            for target, parameters in _LINK.findall(value):
                named = _REL.search(parameters)
                if named and rel in (named[1] or named[2] or "").split():
                    found.append(urljoin(self.url, target))
        return found


def trusting(root_certificate: str | None = None, *, insecure: bool = False) -> ssl.SSLContext:
    """A TLS context for clients that trusts the PEM file ``root_certificate``, or the system's roots.

    ``insecure`` verifies nothing, and is for measuring a server on this machine.
    """
    context = ssl.create_default_context(cafile=root_certificate)
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Transport:
    """Connections to any number of servers, at most ``per_origin`` kept idle for each.

    Args:
        tls: context for https; :func:`trusting` makes one, and also the one that is taken if there is none.
        timeout: seconds for one request, connecting included.
        user_agent: sent with each request; RFC 8555, 6.1 wants one.
        pin: SHA-256 of the only key that an https server may show, in hexadecimal (see ``pinned``). Nothing is sent
            to another.
        longest: octets of an answer's body, of which more are not read.
        judge: says which addresses a host may be reached at.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        *,
        timeout: float = 30.0,
        user_agent: str = "troth-client",
        per_origin: int = 4,
        pin: str = "",
        longest: int = _MAX_ANSWER,
        judge: Beside | None = None,
    ) -> None:
        self._judge = judge
        self._pin = pin
        self._longest = longest
        self._tls = tls
        self._timeout = timeout
        self._user_agent = user_agent
        self._per_origin = per_origin
        self._idle: dict[tuple[str, str, int], list[_Connection]] = {}
        self.requests = 0

    async def request(
        self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """One request. Raises TransportError when there is no answer in HTTP; every status is an answer."""
        parts = _split(url)
        tls = parts.scheme == "https"
        origin = (parts.scheme, parts.hostname or "", parts.port or (443 if tls else 80))
        lines = [
            f"{method} {parts.path or '/'}{'?' + parts.query if parts.query else ''} HTTP/1.1",
            f"Host: {parts.netloc.rpartition('@')[2]}",
            f"User-Agent: {self._user_agent}",
            *(f"{name}: {value}" for name, value in (headers or {}).items()),
        ]
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body)}")
        raw = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
        self.requests += 1
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(origin, method, url, raw)
        except TimeoutError:
            raise TransportError(TRANSPORT, f"{url}: no answer within {self._timeout:g} seconds") from None
        except ssl.SSLCertVerificationError as error:
            raise TransportError(TRANSPORT, f"{url}: the server's certificate: {error.verify_message}") from error
        except (OSError, httptools.HttpParserError) as error:
            raise TransportError(TRANSPORT, f"{url}: {str(error) or type(error).__name__}") from error

    async def _exchange(self, origin: tuple[str, str, int], method: str, url: str, raw: bytes) -> HttpAnswer:
        idle = self._idle.setdefault(origin, [])
        while idle:
            connection = idle.pop()
            if not connection.is_open:
                continue
            try:
                answer = await connection.exchange(method, url, raw)
            except _Stale:
                # The server closed an idle connection just as we used it. No octet of an answer came; should it have
                # read the request all the same, the request's nonce keeps it from acting twice.
                continue
            self._keep(idle, connection)
            return answer
        scheme = origin[0]
        connection = await self._connect(*origin)
        if self._pin and (scheme != "https" or connection.shown_key() != self._pin):
            connection.abort()
            raise ConnectionAbortedError("the server's key is not the pinned one")
        try:
            answer = await connection.exchange(method, url, raw)
        except _Stale:
            raise ConnectionResetError("the server closed the connection without an answer") from None
        self._keep(idle, connection)
        return answer

    async def _connect(self, scheme: str, host: str, port: int) -> _Connection:
        loop, tls = asyncio.get_running_loop(), self._context() if scheme == "https" else None
        failure = OSError(f"{host} has no address")
        for where in [host] if self._judge is None else await self._judge.judged(host, port):
            try:
                # To the address that was judged; the certificate is held against the name.
                _, connection = await loop.create_connection(
                    lambda: _Connection(self._longest), where, port, ssl=tls, server_hostname=host if tls else None
                )
            except OSError as error:
                failure = error
            else:
                return connection
        raise failure

    def _context(self) -> ssl.SSLContext:
        # Reading the system's roots takes 30 ms, and who speaks plain http or over a socket needs none of them.
        if self._tls is None:
            self._tls = trusting()
        return self._tls

    def _keep(self, idle: list[_Connection], connection: _Connection) -> None:
        if connection.is_open and len(idle) < self._per_origin:
            idle.append(connection)
        else:
            connection.abort()

    async def aclose(self) -> None:
        """Close every idle connection."""
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # let the transports see it, or they warn that they were forgotten

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(self, *_failure: object) -> None:
        await self.aclose()


class _Stale(Exception):
    """The connection ended before the first octet of an answer."""


@dataclass(slots=True)
class _Parsing:
    """httptools' callbacks for one answer."""

    is_head: bool
    done: asyncio.Future[None]
    longest: int
    headers: dict[str, list[str]] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    begun: bool = False
    received: int = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        if self.is_head:  # no body follows, whatever the headers say
            self.on_message_complete()

    def on_body(self, data: bytes) -> None:
        self.body += data
        if len(self.body) > self.longest and not self.done.done():
            self.done.set_exception(ConnectionAbortedError("the answer is too large"))

    def on_message_complete(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._transport: asyncio.Transport | None = None
        self._parsing: _Parsing | None = None
        self._parser: httptools.HttpResponseParser | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def shown_key(self) -> str:
        """The pin of the key that the server has proved to hold in the handshake; empty without TLS."""
        tls = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        return pin_of(certificate) if certificate else ""

    async def exchange(self, method: str, url: str, raw: bytes) -> HttpAnswer:
        if self._transport is None:
            raise _Stale
        parsing = _Parsing(method == "HEAD", asyncio.get_running_loop().create_future(), self._longest)
        parser = httptools.HttpResponseParser(parsing)
        self._parsing, self._parser = parsing, parser
        try:
            self._transport.write(raw)
            await parsing.done
        except BaseException:
            self.abort()  # half an answer may still come; nobody must read it as the next one
            raise
        finally:
            self._parsing = self._parser = None
        # Not the parser's should_keep_alive(): it tells the truth only while the message's end is being parsed.
        status = parser.get_status_code()
        framed = parsing.is_head or status in (204, 304) or not _FRAMING.isdisjoint(parsing.headers)
        closing = "close" in ",".join(parsing.headers.get("connection", ())).lower()
        if not framed or closing or parser.get_http_version() != "1.1":
            self.abort()
        headers = {name: tuple(values) for name, values in parsing.headers.items()}
        return HttpAnswer(status, headers, bytes(parsing.body), url)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not a check: uvloop's transports keep asyncio's promise without being its classes.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        parsing, parser = self._parsing, self._parser
        if parsing is None or parser is None:
            self.abort()  # an answer to nothing
            return
        parsing.begun = True
        # What is no body (a head without end, trailers, chunks' extensions) is kept by nobody's length.
        parsing.received += len(data)
        if parsing.received > 2 * self._longest + _MAX_BESIDE and not parsing.done.done():
            parsing.done.set_exception(ConnectionAbortedError("the answer is too large"))
            return
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not parsing.done.done():
                parsing.done.set_exception(ConnectionAbortedError(f"no HTTP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        parsing = self._parsing
        if parsing is None or parsing.done.done():
            return
        if not parsing.begun:
            parsing.done.set_exception(_Stale())
        elif not _FRAMING.isdisjoint(parsing.headers) or not parsing.headers:
            parsing.done.set_exception(ConnectionResetError("the connection broke off in the answer"))
        else:
            parsing.done.set_result(None)  # a body without length ends with the connection


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        sendable = url.isascii() and url.isprintable() and " " not in url
        if sendable and parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:
        pass
    raise TransportError(TRANSPORT, f"{url!r} is no http or https URL")
