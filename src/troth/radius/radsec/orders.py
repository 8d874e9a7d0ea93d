"""Reverse CoA: a Disconnect or CoA of the worker goes down the access server's own connection to us.

draft-ietf-radext-reverse-coa: an access server behind NAT or a firewall cannot be sent anything at its UDP port; its
RadSec connection is there already. That connection is one process's, and the worker that has the order is another,
often on another machine. So the request is left in the database, every process that holds a connection of this access
server is woken, and one of them takes it. What must not be lost is the order itself, and that is in the outbox: a
request here lives for seconds, and a process that dies with it answers nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.radius.radsec import order_store
from troth.radius.radsec.errors import CLOSED, NO_REPLY, NOT_CONNECTED, ExchangeFailed
from troth.radius.radsec.order_store import Answer, Left
from troth.radius.radsec.server import RadsecServer
from troth.radius.wire.packet import Attribute, Packet, decode, encode_attributes
from troth.store.errors import StoreError
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("radius")

#: Wakes processes with connections, and the worker for answers.
ORDERS: Final = "troth_radsec_orders"
ANSWERS: Final = "troth_radsec_answers"
#: Looked for this often whatever wakes.
_POLL: Final = 0.5
_FORGET_EVERY: Final = 60.0
_HEADER: Final = 20


class ReverseOrders:
    """The worker's side. Belongs to one event loop."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._waiting: dict[UUID, asyncio.Future[Answer]] = {}
        self._said = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._listening = False

    async def send(self, nas: str, code: int, attributes: Sequence[Attribute], *, seconds: float) -> Packet:
        """Send a request to an access server by whatever process holds its connection; the verified reply.

        ``attributes``: nothing in them may need hiding. Raises ExchangeFailed (``radsec.not_connected``: nobody holds
        one; ``radsec.no_reply``), StoreError.
        """
        if not self._listening:
            self._listening = True
            await self._database.listen(ANSWERS, self._said.set)
        left = Left(
            new_id(), nas, code, encode_attributes(list(attributes)), self._clock.now() + timedelta(seconds=seconds)
        )
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[left.id] = answer
        try:
            await self._database.commit(order_store.leave(Unit(), left))
            self._database.wake(ORDERS)
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read())
            async with asyncio.timeout(seconds + _POLL):
                found = await answer
        except TimeoutError:
            raise ExchangeFailed(NOT_CONNECTED, f"nobody took it for {nas} in {seconds:g} s") from None
        finally:
            del self._waiting[left.id]
            await self._database.commit(order_store.forget(Unit(), left.id))
        if found.reply_code is None:
            raise ExchangeFailed(NO_REPLY if found.failed == NO_REPLY.code else CLOSED, found.detail)
        body = found.reply or b""
        return decode(bytes((found.reply_code, 0)) + (_HEADER + len(body)).to_bytes(2, "big") + bytes(16) + body)

    async def _read(self) -> None:
        while self._waiting:
            self._said.clear()
            try:
                for one in await order_store.answers(self._database, list(self._waiting)):
                    waiting = self._waiting.get(one.id)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(one)
            except StoreError as error:
                log.warning("radsec.answers_unread", error=str(error))
            try:
                async with asyncio.timeout(_POLL):
                    await self._said.wait()
            except TimeoutError:
                pass


class ReverseDesk:
    """The side of a process that holds connections. Belongs to one event loop."""

    def __init__(self, database: Database, clock: Clock, server: RadsecServer) -> None:
        self._database = database
        self._clock = clock
        self._server = server
        self._said = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self.sent = 0

    async def run(self) -> None:
        """Take requests and send them, until cancelled."""
        await self._database.listen(ORDERS, self._said.set)
        forget_at = self._clock.monotonic() + _FORGET_EVERY
        try:
            while True:
                self._said.clear()
                await self._take()
                if self._clock.monotonic() > forget_at:
                    forget_at = self._clock.monotonic() + _FORGET_EVERY
                    await self._forget()
                try:
                    async with asyncio.timeout(_POLL):
                        await self._said.wait()
                except TimeoutError:
                    pass
        finally:
            for task in self._under_way:
                task.cancel()

    async def _take(self) -> None:
        holding = {one.nas.name for one in self._server.connections}
        if not holding:
            return
        try:
            taken = await order_store.take(self._database, holding, self._clock.now())
        except StoreError as error:
            log.warning("radsec.orders_unread", error=str(error))
            return
        for left in taken:
            task = asyncio.create_task(self._send(left))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _send(self, left: Left) -> None:
        try:
            reply = await self._asked(left)
            answer = Answer(left.id, reply.code, encode_attributes(reply.attributes), None, "")
        except TrothError as error:
            answer = Answer(left.id, None, None, error.code, error.detail[:300])
        try:
            await self._database.commit(order_store.done(Unit(), answer))
        except StoreError as error:
            log.warning("radsec.answer_lost", nas=left.nas, error=str(error))
            return
        self._database.wake(ANSWERS)

    async def _asked(self, left: Left) -> Packet:
        connection = self._server.connection_of(left.nas)
        if connection is None:  # it has ended between the look and now
            raise ExchangeFailed(NOT_CONNECTED, left.nas)
        attributes = decode(_framed(left.attributes)).attributes
        seconds = max(0.1, (left.until - self._clock.now()).total_seconds())
        self.sent += 1
        return await connection.exchange.request(left.code, lambda _: attributes, seconds=seconds)

    async def _forget(self) -> None:
        try:
            before = self._clock.now() - timedelta(minutes=5)
            await self._database.commit(order_store.forget_old(Unit(), before))
        except StoreError as error:
            log.warning("radsec.orders_kept", error=str(error))


def _framed(attributes: bytes) -> bytes:
    return bytes((1, 0)) + (_HEADER + len(attributes)).to_bytes(2, "big") + bytes(16) + attributes
