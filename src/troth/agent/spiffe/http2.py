"""gRPC's HTTP/2 on a Unix socket, as much of it as the Workload API needs: unary requests, streams of answers.

A library of C would hide the peer's socket, by which callers are known; this is ``h2`` for the frames and below 300
lines for the rest. Everything a caller can make grow is bounded: connections (in all and of each user), streams of a
connection, octets of a request, octets of answers that wait for a reader who does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias, cast
from urllib.parse import quote

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from troth.kit.log import get_logger

log = get_logger("agent")

MAX_CONNECTIONS, MAX_OF_USER, MAX_STREAMS = 1024, 128, 32
MAX_REQUEST = 65_536
#: Octets that wait for a reader; an answer to one who reads is some 10 KiB.
MAX_WAITING = 1 << 20
#: A connection that has no stream open is closed after this; clients open another.
IDLE_SECONDS = 300.0

Headers: TypeAlias = Mapping[str, str]


class Code(IntEnum):
    """Status codes of gRPC, those that are used here."""

    OK = 0
    INVALID_ARGUMENT = 3
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class Status(Exception):
    """Ends a call with a code and a sentence for the caller."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"{code.name}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Attributes:
        method: ``/Service/Method``.
        headers: names lower-case.
        peer: the connection's socket, to be asked who is there.
    """

    method: str
    headers: Headers
    message: bytes
    peer: socket.socket


Handler: TypeAlias = Callable[[Call], AsyncGenerator[bytes, None]]


@dataclass(slots=True)
class _Stream:
    headers: Headers
    body: bytearray = field(default_factory=bytearray)
    task: asyncio.Task[None] | None = None
    waiting: bytearray = field(default_factory=bytearray)
    answered: bool = False


class GrpcServer:
    """Serves ``handler`` on sockets that listen. One for each process."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections: set[_Connection] = set()
        self._of_user: Counter[int] = Counter()

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    async def serve(self, listening: socket.socket, stop: asyncio.Event) -> None:
        """Answer on ``listening`` until ``stop``; then end every call with UNAVAILABLE."""
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(lambda: _Connection(self, self._handler), sock=listening)
        try:
            await stop.wait()
        finally:
            server.close()
            for connection in list(self._connections):
                connection.end()
            await server.wait_closed()

    def admit(self, connection: _Connection, uid: int) -> bool:
        """Whether one more connection of this user is taken."""
        if len(self._connections) >= MAX_CONNECTIONS or self._of_user[uid] >= MAX_OF_USER:
            log.warning("spiffe.too_many_connections", uid=uid, connections=len(self._connections))
            return False
        self._connections.add(connection)
        self._of_user[uid] += 1
        return True

    def forget(self, connection: _Connection, uid: int) -> None:
        """It is gone."""
        if connection in self._connections:
            self._connections.remove(connection)
            self._of_user[uid] -= 1


class _Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, server: GrpcServer, handler: Handler) -> None:
        self._server = server
        self._handler = handler
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self._h2 = h2.connection.H2Connection(config)
        self._streams: dict[int, _Stream] = {}
        self._uid = -1
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._uid = int.from_bytes(
            self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[4:8], "little", signed=True
        )
        if not self._server.admit(self, self._uid):
            self._transport.abort()
            return
        self._h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 16_384,
            },
        )
        self._h2.initiate_connection()
        self._flush()
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle is not None:
            self._idle.cancel()
        for stream in self._streams.values():
            if stream.task is not None:
                stream.task.cancel()
        self._streams.clear()
        self._server.forget(self, self._uid)

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._h2.receive_data(data):
                self._take(event)
        except h2.exceptions.ProtocolError as error:
            log.info("spiffe.protocol_error", uid=self._uid, error=str(error)[:200])
            self._flush()
            self._transport.close()
            return
        self._flush()

    def end(self) -> None:
        """End every call and the connection."""
        for number in list(self._streams):
            self._finish(number, Code.UNAVAILABLE, "the agent stops")
        self._h2.close_connection()
        self._flush()
        self._transport.close()

    # --- what comes ---------------------------------------------------------------------------------------------------

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            headers = {str(name): str(value) for name, value in event.headers or ()}
            self._streams[event.stream_id or 0] = _Stream(headers)
            self._busy()
        elif isinstance(event, h2.events.DataReceived):
            self._take_data(event)
        elif isinstance(event, h2.events.StreamEnded):
            self._begin(event.stream_id or 0)
        elif isinstance(event, h2.events.StreamReset):
            self._drop(event.stream_id or 0)
        elif isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
            for number in list(self._streams):
                self._push(number)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self._transport.close()

    def _take_data(self, event: h2.events.DataReceived) -> None:
        number = event.stream_id or 0
        self._h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
        stream = self._streams.get(number)
        if stream is None:
            return
        stream.body += event.data or b""
        if len(stream.body) > MAX_REQUEST:
            self._finish(number, Code.RESOURCE_EXHAUSTED, "the request is too large")

    def _begin(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is None or stream.task is not None:
            return
        if stream.headers.get(":method") != "POST" or not stream.headers.get("content-type", "").startswith(
            "application/grpc"
        ):
            self._h2.send_headers(number, [(":status", "415")], end_stream=True)
            self._drop(number)
            return
        stream.task = asyncio.get_running_loop().create_task(self._run(number, stream))

    async def _run(self, number: int, stream: _Stream) -> None:
        try:
            call = Call(stream.headers.get(":path", ""), stream.headers, _message(bytes(stream.body)), self._socket)
            # Closed here and not by the garbage collector: whoever answers counts those who wait.
            async with contextlib.aclosing(self._handler(call)) as answers:
                async for answer in answers:
                    await self._send(number, stream, answer)
            self._finish(number, Code.OK, "")
        except Status as status:
            self._finish(number, status.code, status.detail)
        except Exception:
            log.exception("spiffe.call_failed")
            self._finish(number, Code.INTERNAL, "the agent failed; its log says how")

    # --- what goes ----------------------------------------------------------------------------------------------------

    async def _send(self, number: int, stream: _Stream, message: bytes) -> None:
        """Queue one message. Raises Status when too much waits already."""
        if len(stream.waiting) + len(message) > MAX_WAITING:
            raise Status(Code.RESOURCE_EXHAUSTED, "the caller does not read")
        if not stream.answered:
            stream.answered = True
            self._h2.send_headers(number, [(":status", "200"), ("content-type", "application/grpc")])
        stream.waiting += b"\x00" + len(message).to_bytes(4, "big") + message
        self._push(number)
        self._flush()
        await asyncio.sleep(0)

    def _push(self, number: int) -> None:
        """As much of what waits as the windows let through."""
        stream = self._streams.get(number)
        while stream is not None and stream.waiting:
            room = min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
            if room <= 0:
                return
            self._h2.send_data(number, bytes(stream.waiting[:room]))
            del stream.waiting[:room]

    def _finish(self, number: int, code: Code, detail: str) -> None:
        """The end of a call: trailers, and nothing after them."""
        stream = self._streams.get(number)
        if stream is None:
            return
        trailers = [("grpc-status", str(int(code)))]
        if detail:
            trailers.append(("grpc-message", quote(detail, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~")))
        try:
            if stream.answered:
                if stream.waiting:
                    # A reader that has not read its last answer is cut off: trailers cannot overtake it.
                    self._h2.reset_stream(number)
                else:
                    self._h2.send_headers(number, trailers, end_stream=True)
            else:
                head = [(":status", "200"), ("content-type", "application/grpc")]
                self._h2.send_headers(number, head + trailers, end_stream=True)
        except h2.exceptions.ProtocolError as error:
            log.debug("spiffe.stream_gone", error=str(error)[:200])
        self._flush()
        self._drop(number)

    def _drop(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None and stream.task is not None and stream.task is not asyncio.current_task():
            stream.task.cancel()
        if not self._streams:
            self._rest()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)
            if self._transport.get_write_buffer_size() > MAX_WAITING:
                self._transport.abort()  # it sends and does not read

    def _rest(self) -> None:
        self._busy()
        self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.end)

    def _busy(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None


def _message(body: bytes) -> bytes:
    """The one message of a request. Raises Status."""
    if len(body) < 5 or body[0] != 0 or int.from_bytes(body[1:5], "big") != len(body) - 5:
        raise Status(Code.INVALID_ARGUMENT, "the request is no single, uncompressed gRPC message")
    return body[5:]
