"""HTTP/1.1 for lanes: bytes to a :class:`~troth.kit.lane.Request`, its answer to bytes, and nothing in between.

llhttp (httptools) reads; each answer leaves in one write, which under TLS is one record and one system call. Requests
of a connection are answered one after the other, in their order. Bounds: the head's octets, the time until a request
is here whole, the body (by its route, before it is kept), how many requests may wait, and how long a connection may
idle. Whatever cannot be read strictly is answered 400, and nothing after it is believed: where two readers could
disagree about where a request ends, the connection ends (RFC 9112, 11.2).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

import httptools
import msgspec

from troth.kit.lane import Lane, Request, Response, Route, with_body
from troth.kit.log import get_logger
from troth.web.heads import head_of
from troth.web.tls import NOBODY, peer_of

log = get_logger("web")

#: A request, head and body, has to be here in this time.
READ_SECONDS = 30.0
#: Octets of request line and headers together.
MAX_HEAD: Final = 64 * 1024
#: Requests of one connection that may wait for their turn; while they do, nothing is read.
_MAX_WAITING: Final = 8
#: How long a peer that was refused may go on sending before the connection ends: cut at once, the kernel would throw
#: the answer away together with what was not read.
LINGER_SECONDS: Final = 0.3

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_BAD: Final = Response(400, b"Invalid HTTP request received.", ((b"content-type", b"text/plain; charset=utf-8"),))
_FAILED: Final = Response(500, b"Internal Server Error", ((b"content-type", b"text/plain; charset=utf-8"),))


class _Waiting(msgspec.Struct):
    """A request that is here whole, or an answer that needs none."""

    route: Route | None
    request: Request
    refused: Response | None
    last: bool


class HotProtocol(asyncio.Protocol):
    """One connection to a lane."""

    def __init__(
        self, lane: Lane, connections: set[HotProtocol], dated: Callable[[], bytes], keep_alive_seconds: float
    ) -> None:
        self._lane = lane
        self._dated = dated
        self._connections = connections
        self._keep_alive = keep_alive_seconds
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._client: str | None = None
        self._peer = NOBODY
        self._tls = False
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[_Waiting] = deque()
        #: Answers; one for all requests of the connection, from its first on.
        self._serving: asyncio.Task[None] | None = None
        self._busy = False
        self._more: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._deadline: float | None = None
        self._deaf = False
        self._closing = False
        self._halted = False
        self._paused = False
        self._writable = asyncio.Event()
        #: Done when the connection has ended.
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._begin()

    # --- what the transport calls --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._connections.add(self)
        peer = transport.get_extra_info("peername")
        self._client = peer[0] if isinstance(peer, tuple) else None
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._tls = True
            self._peer = peer_of(tls)
        self._expect_within(READ_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._waiting.clear()
        self._expect_nothing()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._deaf = True
        self._writable.set()
        self._wake()
        if not self.ended.done():
            self.ended.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True
        self._writable.clear()

    def resume_writing(self) -> None:
        self._paused = False
        self._writable.set()

    def eof_received(self) -> bool:
        """A client that says no more may still be answered, but half a request has no answer. TLS has no half-close."""
        self._deaf = self._closing = True
        return not self._tls and (bool(self._waiting) or self._busy)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # No other protocol is spoken here: the request is answered, and what follows is not read as HTTP.
            self._deaf = True
            if self._waiting:
                self._waiting[-1].last = True
        except httptools.HttpParserError:
            if not self._deaf:
                self._refuse(_BAD)
        if self._waiting and not self._busy:
            self._busy = True
            if self._serving is None:
                self._serving = self._loop.create_task(self._serve())
            self._wake()

    # --- what the parser calls -----------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._head = 0
        self._in_body = False
        self._route: Route | None = None
        self._request: Request | None = None
        self._refused: Response | None = None

    def on_message_begin(self) -> None:
        """A request has begun."""
        if self._deaf:
            return
        self._begin()
        self._expect_within(READ_SECONDS)

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        self._head += len(url)
        if self._head > MAX_HEAD:
            self._too_large()
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer: those mean nothing here."""
        self._head += len(name) + len(value)
        if self._head > MAX_HEAD:
            self._too_large()
        if not self._in_body:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def _too_large(self) -> None:
        if not self._deaf:
            raise ValueError("request head too large")  # the parser passes it on as its own error: 400, and the end

    def on_headers_complete(self) -> None:
        """The head is here: refuse now what needs no body to be refused."""
        if self._deaf:
            return
        self._in_body = True
        raw_path, query = _target(self._url)
        path = raw_path.decode("ascii")
        if "%" in path:
            path = unquote(path)
        found = self._lane.find(path)
        self._route = found[0] if found is not None else None
        self._request = request = Request(
            self._parser.get_method().decode("ascii"),
            path,
            raw_path,
            query,
            found[1] if found is not None else (),
            self._headers,
            b"",
            self._client,
            self._peer.certificate,
            self._peer.chain,
            self._peer.unique,
        )
        self._refused = refused = self._lane.refused(self._route, request)
        bodiless = "transfer-encoding" not in self._headers and self._headers.get("content-length", "0") == "0"
        if refused is not None and not bodiless:
            self._refuse(refused)
        elif (
            self._headers.get("expect", "").lower() == "100-continue"
            and not bodiless
            and not self._busy
            and not self._waiting
        ):
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._deaf or self._route is None or self._request is None:
            return
        self._size += len(body)
        if self._size > self._route.max_body:
            self._refuse(self._lane.too_large(self._route, self._request))
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is here whole."""
        if self._deaf or self._request is None:
            return
        self._expect_nothing()
        request = self._request
        if self._body:
            request = with_body(request, b"".join(self._body))
        last = not self._parser.should_keep_alive()
        self._waiting.append(_Waiting(self._route, request, self._refused, last))
        self._request = None
        if last:
            self._deaf = True
        elif len(self._waiting) >= _MAX_WAITING and not self._halted:
            self._halted = True
            self._transport.pause_reading()

    def _refuse(self, response: Response) -> None:
        """Answer the request that is not here whole, and read nothing more."""
        self._deaf = True
        self._expect_nothing()
        request = self._request or Request("GET", "", b"", b"", (), {}, b"")
        self._waiting.append(_Waiting(None, request, response, last=True))

    # --- answers -------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Answer what waits, in order, for as long as the connection lasts: a task for each request costs more."""
        try:
            while not self.ended.done():
                while self._waiting:
                    one = self._waiting.popleft()
                    if self._halted and len(self._waiting) < _MAX_WAITING:
                        self._halted = False
                        self._transport.resume_reading()
                    await self._answer(one)
                self._busy = False
                if not self.ended.done():
                    self._more = self._loop.create_future()
                    await self._more
        finally:
            self._serving, self._busy = None, False

    def _wake(self) -> None:
        """There is something to answer, or nothing will come any more."""
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    async def _answer(self, one: _Waiting) -> None:
        response = one.refused
        last = one.last
        try:
            if response is None and one.route is not None:
                response = await self._lane.respond(one.route, one.request)
            if response is None:
                raise RuntimeError("a request without a route was not refused")
            last = last or (self._closing and not self._waiting)
            head = head_of(response, self._dated(), last=last)
        except Exception:
            # Not the path as it came: below /acme/{}/e/{} it holds an enrolment's secret.
            log.exception("http.failed", route=one.route.pattern if one.route is not None else "")
            response, last = _FAILED, True
            head = head_of(response, self._dated(), last=True)
        bare = one.request.method == "HEAD" or response.status in (204, 304)
        if not await self._write(head if bare else head + response.body):
            return
        if not bare:
            for piece in response.more:
                if not await self._write(piece):
                    return
        if last:
            self._end(refused=one.refused is not None)
        elif not self._waiting and self._deadline is None:
            self._expect_within(self._keep_alive)

    async def _write(self, data: bytes) -> bool:
        """Write, once the peer has taken what came before; False if it is gone, or takes nothing for too long."""
        if self._paused:
            self._expect_within(READ_SECONDS)
            await self._writable.wait()
            self._expect_nothing()
        if self._transport.is_closing():
            return False
        self._transport.write(data)
        return True

    def _end(self, *, refused: bool) -> None:
        self._deaf = True
        self._waiting.clear()
        self._expect_nothing()
        if refused:
            self._loop.call_later(LINGER_SECONDS, self._transport.close)
        else:
            self._transport.close()

    # --- time ----------------------------------------------------------------------------------------------------

    def _expect_within(self, seconds: float) -> None:
        """End the connection in ``seconds`` unless something else is expected until then.

        Most requests are here and answered within a millisecond: the timer of one serves those that follow, and
        looks when it is due what is expected by then.
        """
        self._deadline = due = self._loop.time() + seconds
        if self._timer is None or due < self._due:
            self._set_timer(due)

    def _expect_nothing(self) -> None:
        self._deadline = None

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._loop.call_at(due, self._look_at_time)

    def _look_at_time(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        # A timer's grain is a millisecond: it may be early by that.
        if self._loop.time() + 0.001 >= self._deadline:
            self._transport.abort()
        else:
            self._set_timer(self._deadline)

    def shutdown(self) -> None:
        """The server is stopping: what is under way is finished, what idles is closed."""
        self._closing = True
        if not self._busy and not self._waiting and not self._transport.is_closing():
            self._deaf = True
            self._expect_nothing()
            self._transport.close()
            # TLS waits for the peer's close_notify, half a minute if it has gone to sleep.
            self._loop.call_later(LINGER_SECONDS, self._transport.abort)

    def abort(self) -> None:
        """End at once."""
        self._transport.abort()


def _target(url: bytes) -> tuple[bytes, bytes]:
    """Path and query of a request's target. Raises ValueError for what is neither origin-form nor absolute-form."""
    if not url.startswith(b"/"):
        try:
            parsed = httptools.parse_url(url)
        except httptools.HttpParserInvalidURLError:
            raise ValueError("no target of a request") from None
        return parsed.path or b"/", parsed.query or b""
    path, _, query = url.partition(b"?")
    return path, query
