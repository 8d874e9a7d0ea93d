"""``POST /ssf/poll``: a receiver fetches tokens and says which it has (RFC 8936). Until it has, they stay."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from troth.audit.event import Event
from troth.connect.ssf.transmitter import queue_store, store
from troth.connect.ssf.transmitter.access import MANAGE, READ, ReceiverAccess
from troth.connect.ssf.transmitter.errors import OUT_STREAM_UNKNOWN, REQUEST_INVALID, ReceiverRefused, refused
from troth.connect.ssf.transmitter.model import OutStream, QueuedToken
from troth.connect.ssf.transmitter.requests import is_stream_id, refusal, stream_named
from troth.kit.clock import Clock
from troth.kit.lane import Request, Response, Route
from troth.store.pool import Database
from troth.store.unit import Unit

_JSON: Final = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
MOST: Final = 100
_MAX_ACK = 1_000
#: Seconds that a long poll waits; how often it looks meanwhile. It holds no connection to the database.
WAIT, LOOK = 25.0, 0.25
#: Polls of one stream that one process lets wait; further ones are answered at once.
MOST_WAITING: Final = 4


class _Errors(msgspec.Struct, frozen=True):
    err: str = ""
    description: str = ""


class PollRequest(msgspec.Struct, frozen=True, rename="camel"):
    """RFC 8936, 2.2. Members that are not known are passed over."""

    max_events: int | None = None
    return_immediately: bool = False
    ack: tuple[str, ...] = ()
    set_errs: Mapping[str, _Errors] = {}


def read_poll_request(body: bytes) -> PollRequest:
    """The request in ``body``. Raises ReceiverRefused."""
    try:
        found = msgspec.json.decode(body or b"{}", type=PollRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise refused(REQUEST_INVALID, str(error)[:200]) from error
    named = [*found.ack, *found.set_errs]
    if len(named) > _MAX_ACK or any(len(jti) > 1_024 or "\x00" in jti for jti in named):
        raise refused(REQUEST_INVALID, f"at most {_MAX_ACK} tokens are acknowledged at once")
    if any("\x00" in one.err + one.description for one in found.set_errs.values()):
        raise refused(REQUEST_INVALID, "an error holds a NUL")
    if found.max_events is not None and found.max_events < 0:
        raise refused(REQUEST_INVALID, "maxEvents is negative")
    return found


class PollDoor:
    """The door for receivers that poll."""

    def __init__(
        self, database: Database, clock: Clock, access: ReceiverAccess, *, wait: float = WAIT, stop: asyncio.Event
    ) -> None:
        self._database = database
        self._clock = clock
        self._access = access
        self._wait = wait
        self._stop = stop
        self._waiting: Counter[str] = Counter()

    def routes(self) -> Sequence[Route]:
        """What to put on the https lane."""
        return (Route("/ssf/poll", {"POST": self.poll}, permission="public", max_body=262_144),)

    async def poll(self, request: Request) -> Response:
        """One poll."""
        try:
            return await self._poll(request)
        except ReceiverRefused as error:
            return refusal(request, error)

    async def _poll(self, request: Request) -> Response:
        receiver = await self._access.prove(request, READ)
        id = stream_named(request) or ""
        stream = await store.find_stream(self._database, id) if is_stream_id(id) else None
        if stream is None or stream.receiver != receiver.name or stream.endpoint:
            raise refused(OUT_STREAM_UNKNOWN)
        asked = read_poll_request(request.body)
        if asked.ack or asked.set_errs:
            await self._access.prove(request, MANAGE)
        await self._acknowledge(stream, asked)
        most = MOST if asked.max_events is None else min(asked.max_events, MOST)
        wait = not asked.return_immediately and self._waiting[stream.id] < MOST_WAITING
        self._waiting[stream.id] += 1
        try:
            found = await self._tokens(stream, most, wait=wait) if most else []
        finally:
            self._waiting[stream.id] -= 1
            if not self._waiting[stream.id]:
                del self._waiting[stream.id]
        told: dict[str, Any] = {"sets": {one.jti: one.token for one in found[:most]}}
        if len(found) > most:
            told["moreAvailable"] = True
        return Response(200, msgspec.json.encode(told), _JSON)

    async def _acknowledge(self, stream: OutStream, asked: PollRequest) -> None:
        """What the receiver names and never got is passed over (RFC 8936, 2.4)."""
        known = await queue_store.here(self._database, stream.id, [*asked.ack, *asked.set_errs])
        now, unit = self._clock.now(), Unit()
        store.active(unit, stream.id, now)
        for jti in dict.fromkeys(asked.ack):
            if jti in known and jti not in asked.set_errs:
                queue_store.taken(unit, stream.id, jti)
        for jti, said in asked.set_errs.items():
            if jti in known:
                queue_store.refuse(unit, stream.id, jti, f"{said.err}: {said.description}")
                unit.record(Event(
                    "ssf.out_refused", f"ssf-receiver:{stream.receiver}", (f"ssf_receiver:{stream.receiver}",),
                    {"receiver": stream.receiver, "stream": stream.id, "jti": jti[:100], "why": said.err[:100]},
                ))  # fmt: skip
        if asked.ack and known:
            store.pushed(unit, stream.id, now)
        await self._database.commit(unit)

    async def _tokens(self, stream: OutStream, most: int, *, wait: bool) -> list[QueuedToken]:
        """One more than ``most``, if there are more; a paused stream gives what is about itself alone."""
        looks = int(self._wait / LOOK)
        silent = stream.status != "enabled"
        while True:
            found = await queue_store.waiting(self._database, stream.id, only_itself=silent, limit=most + 1)
            if found or not wait or self._stop.is_set() or looks <= 0:
                return found
            looks -= 1
            await asyncio.sleep(LOOK)
            present = await store.find_stream(self._database, stream.id)
            if present is None:
                return []
            silent = present.status != "enabled"
