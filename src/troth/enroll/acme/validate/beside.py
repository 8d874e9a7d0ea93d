"""A worker on the same machine is asked to validate, over a Unix socket that belongs to Troth's user.

The durable way to have something validated is a job: written, told of, claimed, ended, each with a commit. Where the
result is here before the client has to be answered, that is work for nothing; so a web process asks the worker at once
and writes the result itself. What stays the worker's is the network: only workers connect to strangers.

Frames: length of the body and number of the question (both 32 bits, big-endian), then the body. A question is a
:class:`~.outcome.Challenge` in MessagePack, and without a body it withdraws the one of that number; an answer is as
from a vantage, and without a body it says that there is no time for it. Whatever cannot be read ends the connection,
and whoever asked takes the durable way.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec

from troth.enroll.acme.validate.outcome import Challenge, Invalid, Valid
from troth.enroll.acme.validate.perspectives import Validating
from troth.enroll.acme.vantage import wire

_HEAD = struct.Struct(">II")
#: The longest body: that of a vantage's answer.
MAX_BODY = wire.MAX_ANSWER
#: Validations that a worker does at once for one web process; more take the durable way.
_AT_ONCE = 256
#: Seconds after a connection that could not be made, until the next try.
_PAUSE = 1.0

_questions = msgspec.msgpack.Decoder(Challenge)


class Unreadable(ValueError):
    """The peer says what is no frame, question or answer."""


class Frames:
    """Takes a stream apart. Raises Unreadable for a body that is too long."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(number, body) of each frame that is here whole."""
        data, at = self._rest + data, 0
        while len(data) - at >= _HEAD.size:
            size, number = _HEAD.unpack_from(data, at)
            if size > MAX_BODY:
                raise Unreadable("a frame is longer than any question or answer")
            end = at + _HEAD.size + size
            if end > len(data):
                break
            yield number, data[at + _HEAD.size : end]
            at = end
        self._rest = data[at:]


def frame(number: int, body: bytes) -> bytes:
    """One frame."""
    return _HEAD.pack(len(body), number) + body


def read_question(body: bytes) -> Challenge:
    """What is asked. Raises Unreadable."""
    try:
        return _questions.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable("no question") from error


class _Link(asyncio.Protocol, ABC):
    """What both ends have in common."""

    def __init__(self) -> None:
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            for number, body in self._frames.feed(data):
                self.received(number, body)
        except ValueError:
            self.close()

    @abstractmethod
    def received(self, number: int, body: bytes) -> None:
        """Take one frame. Raises ValueError for what cannot be read."""

    def say(self, number: int, body: bytes = b"") -> None:
        """Send one frame, if there is still a peer; those of one turn of the loop leave in one write."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(frame(number, body))

    def _flush(self) -> None:
        data, self._unsent = b"".join(self._unsent), []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()


class _Answering(_Link):
    """The worker's end of one connection."""

    def __init__(self, validator: Validating) -> None:
        super().__init__()
        self._validator = validator
        self._running: dict[int, asyncio.Task[None]] = {}

    def received(self, number: int, body: bytes) -> None:
        """A question, or the withdrawal of one."""
        if not body:
            running = self._running.get(number)
            if running is not None:
                running.cancel()
        elif number in self._running or len(self._running) >= _AT_ONCE:
            self.say(number)
        else:
            self._running[number] = asyncio.create_task(self._answer(number, read_question(body)))

    async def _answer(self, number: int, asked: Challenge) -> None:
        try:
            found = await self._validator.validate(asked)
            body = wire.told(found, at=0.0, version="")
            self.say(number, body if len(body) <= MAX_BODY else b"")
        finally:
            del self._running[number]

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for running in self._running.values():
            running.cancel()


async def answer_on(listener: socket.socket, validator: Validating) -> asyncio.AbstractServer:
    """Answer on ``listener``, a Unix socket that Troth's own user and root alone can connect to, until the server is
    closed."""
    return await asyncio.get_running_loop().create_unix_server(lambda: _Answering(validator), sock=listener)


class _Asking(_Link):
    """A web process's end."""

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[int, asyncio.Future[bytes]] = {}
        self._last = 0

    @property
    def alive(self) -> bool:
        """Whether a question could be sent now."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, body: bytes) -> bytes:
        """The answer's body; empty if there is none. Cancelling withdraws the question."""
        self._last = number = (self._last + 1) & 0xFFFF_FFFF
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._open[number] = answer
        self.say(number, body)
        try:
            return await answer
        except asyncio.CancelledError:
            self.say(number)
            raise
        finally:
            del self._open[number]

    def received(self, number: int, body: bytes) -> None:
        """An answer, wanted still or not."""
        answer = self._open.get(number)
        if answer is not None and not answer.done():
            answer.set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for answer in self._open.values():
            if not answer.done():
                answer.set_result(b"")


class Beside:
    """Asks the worker behind the socket at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._link: _Asking | None = None
        self._connecting: asyncio.Task[_Asking | None] | None = None
        self._not_before = 0.0

    async def validate(self, challenge: Challenge) -> Valid | Invalid | None:
        """The worker's answer; None if there is no worker, or none that has time. Cancelling withdraws the question."""
        link = self._link if self._link is not None and self._link.alive else await self._connected()
        if link is None:
            return None
        body = await link.ask(msgspec.msgpack.encode(challenge))
        try:
            return wire.outcome(wire.read_seen(body)) if body else None
        except ValueError:
            link.close()
            return None

    async def _connected(self) -> _Asking | None:
        loop = asyncio.get_running_loop()
        if self._connecting is None:
            if loop.time() < self._not_before:
                return None
            self._connecting = loop.create_task(self._connect())
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> _Asking | None:
        loop = asyncio.get_running_loop()
        try:
            _, self._link = await loop.create_unix_connection(_Asking, str(self._path))
            return self._link
        except OSError:
            self._not_before = loop.time() + _PAUSE
            return None
        finally:
            self._connecting = None

    def close(self) -> None:
        """Ask no more."""
        if self._link is not None:
            self._link.close()
