"""Pushing (RFC 8935): each stream's tokens in order, one after the other, until its receiver has them.

202 (or any 2xx) is taken. A 400 with an error code is the receiver's last word on that token: it is kept for a person,
and the next one goes. Anything else is tried again, more and more rarely; after a day of failures the stream is paused,
which its receiver is told, and an alarm raised. One process pushes a stream, by lease.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec

from troth.audit.event import Event
from troth.connect.proof import Fetches
from troth.connect.ssf.model import PUSH
from troth.connect.ssf.secevent import MEDIA_TYPE
from troth.connect.ssf.transmitter import queue_store, store
from troth.connect.ssf.transmitter.definitions import may_push_to
from troth.connect.ssf.transmitter.model import INACTIVITY, TOKENS_CHANNEL, OutStream, QueuedToken, plain
from troth.connect.ssf.transmitter.sending import Sender
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.kit.rhythm import Rhythm
from troth.kit.sealing import SecretBox
from troth.store.bell import Bell
from troth.store.errors import StoreError
from troth.store.lease import Leases
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("connect")

_AT_ONCE: Final = 50
_LOOK_SECONDS: Final = 1.0
#: Where there is no stream to push to.
_QUIET: Final = Rhythm("ssf.push_quiet", 30.0, "worker")
_LONGEST: Final = timedelta(minutes=15)
#: Failures in a row after which a stream is paused: about a day.
MOST_FAILURES: Final = 100


class _Refused(msgspec.Struct):
    """RFC 8935, 2.3."""

    err: str = ""
    description: str = ""


class Pusher:
    """Pushes every stream that is to be pushed, in the background of a worker."""

    def __init__(
        self, database: Database, clock: Clock, holder: UUID, http: Fetches, sender: Sender, box: SecretBox
    ) -> None:
        self._database = database
        self._clock = clock
        self._http = http
        self._sender = sender
        self._box = box
        self._leases = Leases(database, clock, holder)
        self._bell = Bell(_QUIET, database, TOKENS_CHANNEL)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set. A database that is away is waited for."""
        async with self._bell.heeding(stop):
            while not stop.is_set():
                self._bell.hush()
                done, wanted = 0, True
                try:
                    streams = {f"ssf-push:{one.id}": one for one in await store.streams(self._database) if _pushed(one)}
                    wanted = bool(streams)
                    held = await self._leases.acquire(streams.keys()) if streams else {}
                    done = sum(await asyncio.gather(*(self._tried(streams[name]) for name in held)))
                except StoreError as error:
                    log.warning("ssf.pushing_interrupted", error=str(error))
                except Exception:
                    log.exception("ssf.pushing_broken")
                if not done:
                    # While there are streams, one may be due again.
                    await self._bell.wait(_LOOK_SECONDS if wanted else None)

    async def _tried(self, stream: OutStream) -> int:
        """:meth:`push`; what goes wrong with one stream holds up no other."""
        try:
            return await self.push(stream)
        except StoreError:
            raise
        except Exception:
            log.exception("ssf.pushing_broken", stream=stream.id)
            await self._failed(stream, "it went wrong here; the log tells how")
            return 0

    async def push(self, stream: OutStream) -> int:
        """Push what waits for ``stream``, up to 50; how many were taken or refused for good."""
        now = self._clock.now()
        if stream.retry_at is not None and now < stream.retry_at:
            return 0
        silent, ended = stream.status != "enabled", 0
        tokens = await queue_store.waiting(self._database, stream.id, only_itself=silent, limit=_AT_ONCE)
        if tokens and not await self._granted(stream):
            await self._failed(stream, "its receiver may no longer have pushed there")
            return 0
        for one in tokens:
            if not await self._one(stream, one):
                break
            ended += 1
        return ended

    async def _granted(self, stream: OutStream) -> bool:
        """Whether the address is still one that the receiver may have: what it was granted may have shrunk."""
        receiver = await store.find_receiver(self._database, stream.receiver)
        if receiver is None:
            return False
        return stream.endpoint == receiver.definition.push_url or may_push_to(receiver.definition, stream.endpoint)

    async def _one(self, stream: OutStream, one: QueuedToken) -> bool:
        headers = {"content-type": MEDIA_TYPE, "accept": "application/json", "user-agent": "Troth"}
        if stream.header is not None:
            headers["authorization"] = self._box.open(f"header:{stream.receiver}", stream.header).decode()
        unit, now = Unit(), self._clock.now()
        try:
            answer = await self._http.request("POST", stream.endpoint, headers=headers, body=one.token.encode())
        except TrothError as error:
            await self._failed(stream, f"{error.code}: {error.detail}")
            return False
        if 200 <= answer.status < 300:
            queue_store.taken(unit, stream.id, one.jti)
            store.pushed(unit, stream.id, now)
            await self._database.commit(unit)
            return True
        said = _said(answer.body) if answer.status == 400 else None
        if said is None or not said.err:
            await self._failed(stream, f"status {answer.status}")
            return False
        why = plain(f"{said.err[:100]}: {said.description[:400]}")
        queue_store.refuse(unit, stream.id, one.jti, why)
        unit.record(_event("ssf.out_refused", stream, jti=one.jti, why=plain(said.err[:100])))
        await self._database.commit(unit)
        log.warning("ssf.out_refused", receiver=stream.receiver, stream=stream.id, why=why[:200])
        return True

    async def _failed(self, stream: OutStream, error: str) -> None:
        now, failures = self._clock.now(), stream.failures + 1
        pause = min(timedelta(seconds=2 ** min(failures, 12)), _LONGEST)
        unit = Unit()
        store.failed(unit, stream.id, error, now + pause)
        if failures >= MOST_FAILURES and stream.status == "enabled":
            await self._pause(unit, stream, f"{failures} deliveries in a row failed: {error}")
        await self._database.commit(unit)

    async def _pause(self, unit: Unit, stream: OutStream, reason: str) -> None:
        receiver = await store.find_receiver(self._database, stream.receiver)
        if receiver is not None:
            await self._sender.updated(unit, receiver, stream, "paused", reason[:200])
        store.set_status(unit, stream.id, "paused", reason)
        unit.record(_event("ssf.out_paused", stream, why=reason[:300]))
        log.error("ssf.out_paused", receiver=stream.receiver, stream=stream.id, reason=reason)

    async def run_due(self) -> None:
        """Pause streams whose receivers have been silent for too long (SSF 1.0, 8.1.1); drop what nobody fetches."""
        now = self._clock.now()
        for stream in await store.streams(self._database):
            await queue_store.trim(self._database, stream.id)
            silent = now - stream.active_at > timedelta(seconds=INACTIVITY)
            if silent and stream.status == "enabled" and stream.method != PUSH:
                unit = Unit()
                await self._pause(unit, stream, "the receiver has not asked for anything for two weeks")
                await self._database.commit(unit)
        await queue_store.forget(self._database, now - timedelta(days=30))


def _pushed(stream: OutStream) -> bool:
    """One that is stopped too: of what is about itself it is still told."""
    return stream.method == PUSH


def _said(body: bytes) -> _Refused | None:
    try:
        return msgspec.json.decode(body, type=_Refused)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _event(kind: str, stream: OutStream, **data: str) -> Event:
    known = {"receiver": stream.receiver, "stream": stream.id}
    return Event(kind, "system:ssf", (f"ssf_receiver:{stream.receiver}",), {**known, **data})
