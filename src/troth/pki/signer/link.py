"""The client's end of one connection to the signer: handshake, pipelining, and what was sent when it broke."""

from __future__ import annotations

import asyncio
from typing import cast

import msgspec

from troth.pki.signer import handshake, protocol
from troth.pki.signer.errors import HANDSHAKE, UNAVAILABLE, SignerUnavailable


class LinkLost(ConnectionError):
    """The connection ended before the answer. ``sent`` says whether the request had left by then."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__("the connection to the signer ended")
        self.sent = sent


class Link(asyncio.Protocol):
    """One connection. Requests of one turn of the loop leave in one write, so that the signer batches them too."""

    def __init__(self, role: str, secret: bytes) -> None:
        self._role = role
        self._secret = secret
        self._frames = protocol.Frames(protocol.MAX_ANSWER)
        self._transport: asyncio.Transport | None = None
        self._nonce = handshake.new_nonce()
        self._expected = b""
        self._last = 0
        self._unsent: dict[int, bytes] = {}
        self._pending: dict[int, asyncio.Future[protocol.Answer]] = {}
        self._scheduled = False
        self._paused = False
        self._drained = asyncio.Event()
        loop = asyncio.get_running_loop()
        #: Done when the handshake is; fails with SignerUnavailable.
        self.proved: asyncio.Future[None] = loop.create_future()
        #: Done when the connection has ended.
        self.ended: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._frames.feed(data):
                if self.proved.done():
                    self._receive(protocol.decode_answer(body))
                else:
                    self._greet(protocol.decode_greeting(body))
        except (protocol.FrameTooLarge, msgspec.MsgspecError):
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.proved.done():
            self.proved.set_exception(SignerUnavailable(UNAVAILABLE, "the signer ended the connection"))
        for n, future in self._pending.items():
            if not future.done():
                future.set_exception(LinkLost(sent=n not in self._unsent))
        self._pending.clear()
        self._unsent.clear()
        self._drained.set()
        if not self.ended.done():
            self.ended.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._drained.set()
        self._schedule()

    @property
    def alive(self) -> bool:
        """Whether a request could be sent now."""
        return self._transport is not None and not self._transport.is_closing()

    def next_number(self) -> int:
        """A number for the next request."""
        self._last += 1
        return self._last

    def send(self, request: protocol.Request) -> asyncio.Future[protocol.Answer]:
        """Send ``request`` with this turn of the loop; the future gets its answer or LinkLost."""
        future: asyncio.Future[protocol.Answer] = asyncio.get_running_loop().create_future()
        if not self.alive:
            future.set_exception(LinkLost(sent=False))
            return future
        self._pending[request.n] = future
        self._unsent[request.n] = protocol.frame(request)
        self._schedule()
        return future

    async def push(self, message: protocol.Request) -> None:
        """Send a message that has no answer, once the peer has taken what was sent before. Raises LinkLost."""
        while self._paused and self.alive:
            self._drained.clear()
            await self._drained.wait()
        if not self.alive or self._transport is None:
            raise LinkLost(sent=True)
        self._flush()
        self._transport.write(protocol.frame(message))

    def withdraw(self, n: int) -> bool:
        """Nobody waits for request ``n`` any more. True when it had not left, so that it never will."""
        self._pending.pop(n, None)
        return self._unsent.pop(n, None) is not None

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _schedule(self) -> None:
        if self._unsent and not self._scheduled and not self._paused:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if self._paused or not self._unsent or self._transport is None or self._transport.is_closing():
            return
        data = b"".join(self._unsent.values())
        self._unsent.clear()
        self._transport.write(data)

    def _receive(self, answer: protocol.Answer) -> None:
        future = self._pending.pop(answer.n, None)
        if future is not None and not future.done():
            future.set_result(answer)

    def _greet(self, message: protocol.Hello | protocol.Welcome | protocol.Failure) -> None:
        if self._transport is None:
            return
        match message:
            case protocol.Hello(version=protocol.VERSION, nonce=nonce) if not self._expected:
                proof = handshake.client_proof(self._secret, self._role, nonce, self._nonce)
                self._expected = handshake.server_proof(self._secret, self._role, nonce, self._nonce)
                self._transport.write(protocol.frame(protocol.Prove(self._role, self._nonce, proof)))
            case protocol.Welcome(mac=mac) if self._expected and handshake.equal(mac, self._expected):
                self.proved.set_result(None)
            case protocol.Failure(detail=detail):
                self.proved.set_exception(SignerUnavailable(HANDSHAKE, detail))
                self.close()
            case _:
                self.proved.set_exception(SignerUnavailable(HANDSHAKE, "the peer is not the signer"))
                self.close()
