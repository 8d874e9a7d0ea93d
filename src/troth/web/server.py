"""HTTP servers on sockets that are bound already: several in one process, on one event loop.

Lanes are served by a protocol of their own (``hot``), everything else by uvicorn; here stands what that leaves open. A
request carries the peer's TLS certificate and, on a Unix
socket, its uid; a client that dribbles its request or sends an endless head is cut off; the server's name is not
told; signals belong to the process, not to the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import uvicorn

from troth.kit.clock import SystemClock
from troth.kit.lane import Asgi, Lane
from troth.web import hot
from troth.web.heads import Dated
from troth.web.hot import HotProtocol
from troth.web.peercred import PeerCredProtocol
from troth.web.tls import ServerTls

_STOP_SECONDS = 8
_BACKLOG = 1024


class Protocol(PeerCredProtocol):
    """HTTP/1.1 with the DER of the client's certificate in ``scope["state"]["tls_client_cert"]``, and with limits."""

    _deadline: asyncio.TimerHandle | None = None
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Read the peer's certificate once for all requests of the connection."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.app_state = {**self.app_state, "tls_client_cert": tls.getpeercert(binary_form=True)}
        self._await_request()

    def on_message_begin(self) -> None:
        """A request has begun."""
        super().on_message_begin()
        self._head = 0
        self._await_request()

    def on_url(self, url: bytes) -> None:
        """A part of the request line."""
        self._measure(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._measure(len(name) + len(value))
        super().on_header(name, value)

    def on_message_complete(self) -> None:
        """The request is here whole."""
        self._stop_waiting()
        super().on_message_complete()

    def shutdown(self) -> None:
        """The server is stopping: an idle connection is closed, and not waited for if the peer says nothing more."""
        super().shutdown()
        if self.transport.is_closing():
            # TLS waits for the peer's close_notify, half a minute if it has gone to sleep.
            self.loop.call_later(hot.LINGER_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_request(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(hot.READ_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _measure(self, octets: int) -> None:
        self._head += octets
        if self._head > hot.MAX_HEAD:
            raise ValueError("request head too large")  # the parser turns it into a 400 and the end


@dataclass(frozen=True, kw_only=True)
class Listening:
    """One application on some sockets.

    Attributes:
        tls: None for plain HTTP and Unix sockets.
        lifespan: whether the application wants to be told of start and end (ASGI lifespan).
        keep_alive_seconds: an idle connection is closed after this.
    """

    app: Asgi
    sockets: Sequence[socket.socket]
    tls: ServerTls | None = None
    lifespan: bool = False
    keep_alive_seconds: int = 30


async def serve(listenings: Sequence[Listening], *, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Answer on all of ``listenings`` until ``stop`` is set; ``ready`` is called when all of them do.

    On a stop, requests that are under way are finished, within a few seconds. Raises RuntimeError when a server ends
    by itself.
    """
    servers = [_HotServer(one, one.app) if isinstance(one.app, Lane) else _Server(_config(one)) for one in listenings]
    tasks = [
        asyncio.create_task(server.serve(sockets=list(one.sockets)))
        for server, one in zip(servers, listenings, strict=True)
    ]
    stopping = asyncio.create_task(stop.wait())
    try:
        for server, task in zip(servers, tasks, strict=True):
            up = asyncio.create_task(server.up.wait())
            await asyncio.wait((up, task, stopping), return_when=asyncio.FIRST_COMPLETED)
            up.cancel()
        if not stop.is_set() and not any(task.done() for task in tasks):
            ready()
            await asyncio.wait((stopping, *tasks), return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in tasks if task.done()]
    finally:
        stopping.cancel()
        for server in servers:
            server.should_exit = True
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    if ended and not stop.is_set():
        raise RuntimeError(f"an HTTP server ended by itself: {next(filter(None, outcomes), 'without a reason')}")


class _HotServer:
    """A lane on its sockets, in the manner of ``uvicorn.Server``."""

    def __init__(self, listening: Listening, lane: Lane) -> None:
        self._listening = listening
        self._lane = lane
        self._connections: set[HotProtocol] = set()
        self._end = asyncio.Event()
        self.up = asyncio.Event()

    @property
    def should_exit(self) -> bool:
        """Set to stop."""
        return self._end.is_set()

    @should_exit.setter
    def should_exit(self, wanted: bool) -> None:
        if wanted:
            self._end.set()

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Answer until told to stop; then finish what is under way."""
        loop, one = asyncio.get_running_loop(), self._listening
        context = one.tls.context if one.tls is not None else None
        dated = Dated(SystemClock())

        def connected() -> HotProtocol:
            return HotProtocol(self._lane, self._connections, dated, one.keep_alive_seconds)

        listeners = [
            await loop.create_server(connected, sock=listener, ssl=context, backlog=_BACKLOG) for listener in sockets
        ]
        self.up.set()
        try:
            await self._end.wait()
        finally:
            for listener in listeners:
                listener.close()
        for connection in list(self._connections):
            connection.shutdown()
        if self._connections:
            await asyncio.wait([one.ended for one in self._connections], timeout=_STOP_SECONDS)
        for connection in list(self._connections):
            connection.abort()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


def _config(one: Listening) -> uvicorn.Config:
    context = one.tls.context if one.tls is not None else None
    return uvicorn.Config(
        one.app,
        http=Protocol,
        ws="none",
        lifespan="on" if one.lifespan else "off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=one.keep_alive_seconds,
        timeout_graceful_shutdown=_STOP_SECONDS,
        ssl_context_factory=(lambda _config, _default: context) if context is not None else None,
    )
