"""Polling (RFC 8936): one long poll after another for each stream, and an acknowledgement only of what is durable.

A token is acknowledged in the next request, after its commit; killed before that, it comes again and is answered from
what was written. A token that is no good is told as an error, so that its transmitter does not send it for ever. What
failed on our side is neither, and comes again. One process polls a stream, by lease.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID

from troth.audit.lull import Lull
from troth.connect.ssf import store
from troth.connect.ssf.errors import SET_MALFORMED, WIRE_CODES, SetRefused, refused
from troth.connect.ssf.model import Stream
from troth.connect.ssf.receiver import Taken
from troth.connect.ssf.remote import Polled, Transmitter
from troth.connect.ssf.secevent import parse
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.http import TIMEOUT, HttpFailed
from troth.kit.log import get_logger
from troth.kit.rhythm import Rhythm
from troth.kit.waiting import until_set
from troth.store.errors import StoreError
from troth.store.lease import Leases
from troth.store.pool import Database

log = get_logger("connect")

#: Tokens asked for at once.
MOST: Final = 100
#: Tokens of one answer whose acknowledgements are kept for the next request at most.
_MAX_PENDING: Final = 2_000
_LOOK_SECONDS: Final = 2.0
#: Where no stream is polled, and nothing happens by which one might be.
_QUIET: Final = Rhythm("ssf.quiet", 30.0, "worker")
_LONGEST_PAUSE: Final = 300.0
#: An empty answer within so many seconds came at once; how long to wait then, and while the stream is silent anyway.
_AT_ONCE, _EMPTY_PAUSE, _SILENT_PAUSE = 1.0, 2.0, 15.0


class Takes(Protocol):
    """Takes tokens in."""

    async def take(self, stream: Stream, token: str) -> Taken:
        """Take ``token`` in; what it returns is durable."""
        ...


class Managed(Protocol):
    """Knows who speaks with a stream's transmitter."""

    def transmitter(self, stream: Stream) -> Transmitter:
        """Who speaks with it; keeps its access token."""
        ...

    async def failed(self, name: str, error: TrothError) -> None:
        """Keep with the stream what failed."""
        ...


@dataclass(slots=True)
class Pending:
    """What the next request tells the transmitter."""

    ack: list[str] = field(default_factory=list)
    errors: dict[str, Mapping[str, str]] = field(default_factory=dict)


class Poller:
    """Polls every stream that is to be polled, in the background of a worker."""

    def __init__(self, database: Database, clock: Clock, holder: UUID, manager: Managed, receiver: Takes) -> None:
        self._database = database
        self._clock = clock
        self._manager = manager
        self._receiver = receiver
        self._leases = Leases(database, clock, holder)
        self._pending: dict[str, Pending] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set; then acknowledge what was taken. A database that is away is waited for."""
        async with Lull(_QUIET, self._database).noticed(stop) as lull:
            while not stop.is_set():
                await self._look(stop)
                if self._tasks:
                    await until_set(stop, _LOOK_SECONDS)
                else:
                    await lull.rest(_LOOK_SECONDS, stop)
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(5):
                await self._say_goodbye()

    async def _look(self, stop: asyncio.Event) -> None:
        """See which streams are to be polled, and by whom."""
        try:
            wanted = {_lease(one.name): one for one in await store.all_streams(self._database) if _polled(one)}
            held = await self._leases.acquire(wanted.keys()) if wanted else {}
            self._match({wanted[name].name: wanted[name] for name in held}, stop)
        except StoreError as error:
            log.warning("ssf.polling_interrupted", error=str(error))

    def _match(self, wanted: Mapping[str, Stream], stop: asyncio.Event) -> None:
        """One task for each stream that is ours to poll."""
        for name in self._tasks.keys() - wanted.keys():
            self._tasks.pop(name).cancel()
        for name in wanted:
            task = self._tasks.get(name)
            if task is None or task.done():
                self._tasks[name] = asyncio.create_task(self._poll_on(name, stop))

    async def _poll_on(self, name: str, stop: asyncio.Event) -> None:
        pause = 1.0
        while not stop.is_set():
            stream = await store.find_stream(self._database, name)
            if stream is None or not _polled(stream):
                return
            began = self._clock.monotonic()
            try:
                came = await self.poll_once(stream, wait=True)
                if came or self._clock.monotonic() - began >= _AT_ONCE:
                    pause = 1.0
                    continue
                # It does not wait for tokens as it was asked to: we do.
                pause = _EMPTY_PAUSE if stream.status == "enabled" else _SILENT_PAUSE
            except TrothError as error:
                log.warning("ssf.poll_failed", stream=name, code=error.code, detail=error.detail)
                with contextlib.suppress(StoreError):
                    await self._manager.failed(name, error)
            except Exception:
                log.exception("ssf.poll_broken", stream=name)
            await until_set(stop, pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def poll_once(self, stream: Stream, *, wait: bool) -> int:
        """One request and all that it brings; returns how many tokens came. Raises TrothError."""
        configuration = stream.configuration
        if configuration is None:
            return 0
        pending = self._pending.setdefault(stream.name, Pending())
        told, errors = list(pending.ack), dict(pending.errors)
        # Acknowledging cannot wait for tokens: the transmitter would send them again meanwhile.
        wait = wait and not told and not errors
        try:
            found = await self._manager.transmitter(stream).poll(
                configuration.endpoint_url, ack=told, errors=errors, most=MOST, wait=wait
            )
        except HttpFailed as error:
            if wait and error.reason is TIMEOUT:
                return 0  # nothing came as long as we waited
            raise
        del pending.ack[: len(told)]
        for jti in errors:
            pending.errors.pop(jti, None)
        # As it is now: while the poll waited, a verification may have been asked for, or the stream have ended.
        present = await store.find_stream(self._database, stream.name)
        if present is not None:
            await self._take(present, found, pending)
        return len(found.sets)

    async def _take(self, stream: Stream, found: Polled, pending: Pending) -> None:
        for jti, token in found.sets.items():
            if len(pending.ack) + len(pending.errors) >= _MAX_PENDING:
                return  # the rest comes again
            try:
                if not _says(token, jti):
                    raise refused(SET_MALFORMED, "it has another jti than it was delivered under")
                await self._receiver.take(stream, token)
            except SetRefused as refusal:
                code = WIRE_CODES.get(refusal.code, "invalid_request")
                pending.errors[jti] = {"err": code, "description": refusal.detail[:300]}
                continue
            pending.ack.append(jti)

    async def _say_goodbye(self) -> None:
        """Acknowledge what was taken, and ask for nothing (RFC 8936, 2.4.2)."""
        for name, pending in self._pending.items():
            stream = await store.find_stream(self._database, name) if pending.ack or pending.errors else None
            if stream is not None and stream.configuration is not None:
                try:
                    await self._manager.transmitter(stream).poll(
                        stream.configuration.endpoint_url, ack=pending.ack, errors=pending.errors, most=0, wait=False
                    )
                except TrothError as error:
                    log.info("ssf.goodbye_failed", stream=name, code=error.code)


def _lease(name: str) -> str:
    return f"ssf-poll:{name}"


def _polled(stream: Stream) -> bool:
    """A paused or disabled one is polled too: that is how it hears that it goes on, and keeps it from ending unused."""
    return stream.definition.delivery == "poll" and stream.configuration is not None


def _says(token: str, jti: str) -> bool:
    """Whether the token's own jti, believed or not, is the one that it was delivered under."""
    try:
        return parse(token).claims.get("jti") == jti
    except SetRefused:
        return True  # it will be refused for what is wrong with it
