"""A pool of servers at work: a request finds its server, and silent servers are probed.

A request without State begins a conversation: when its server stays silent, the next one is asked. One with State goes
on with a conversation that a single server holds: nobody else could answer it, so a silent server ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.radius.proxy.definition import PoolDefinition
from troth.radius.proxy.errors import FULL, NO_SERVER, STATE_LOST, ProxyError
from troth.radius.proxy.health import Health, Standing
from troth.radius.proxy.upstream import Answered, Making, Silent, Upstream
from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.packet import STATE, Code

log = get_logger("radius")

#: Servers that are asked for one request: access servers give up after some 15 s.
_TRIES: Final = 3
_LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of a request. ``server``: who answered."""

    server: str
    answered: Answered


class Pool:
    """See the module. Belongs to one event loop; :meth:`close` ends its probes."""

    def __init__(self, definition: PoolDefinition, servers: Sequence[Upstream], clock: Clock) -> None:
        self.definition = definition
        self._servers = servers
        self._clock = clock
        self.health = Health(
            [Standing(one.address, one.status_server) for one in definition.servers],
            definition.spread,
            float(definition.dead_seconds),
        )
        self.under_way = 0
        self._probes: set[asyncio.Task[None]] = set()
        self._watching = asyncio.create_task(self._watch())

    async def hand_on(self, code: int, attributes: Making, *, state: bytes | None, affinity: bytes) -> Handed:
        """Ask the server that should answer. Raises ProxyError (``proxy.full``, ``proxy.no_server``,
        ``proxy.state_lost``), PacketRefused.

        ``state``: of the request. ``affinity``: names the device.
        """
        if self.under_way >= self.definition.max_in_flight:
            raise ProxyError(FULL, f"{self.under_way} requests to {self.definition.name}")
        self.under_way += 1
        try:
            bound = self.health.bound(state, self._clock.monotonic()) if state is not None else None
            order = [bound] if bound is not None else self.health.order(affinity)[:_TRIES]
            if state is not None:
                # Unknown here (another process began it, or we were started anew): the same device is sent to the same
                # server everywhere, as long as the same ones live.
                order = order[:1]
            last = ""
            for at in order:
                try:
                    return await self._ask(at, code, attributes)
                except Silent as error:
                    last = error.detail
            if state is not None:
                raise ProxyError(STATE_LOST, last)
            raise ProxyError(NO_SERVER, f"{self.definition.name}: {last}")
        finally:
            self.under_way -= 1

    async def close(self) -> None:
        """End probes and let go of the servers."""
        for task in (self._watching, *self._probes):
            task.cancel()
        await asyncio.gather(self._watching, *self._probes, return_exceptions=True)
        for one in self._servers:
            await one.close()

    async def _ask(self, at: int, code: int, attributes: Making) -> Handed:
        standing, definition = self.health.servers[at], self.definition.servers[at]
        standing.sent += 1
        standing.asked += 1
        try:
            answered = await self._servers[at].ask(code, attributes, seconds=float(self.definition.window_seconds))
        except Silent as error:
            was = standing.alive
            self.health.silent(at, self._clock.monotonic())
            if was:
                log.warning("proxy.silent", pool=self.definition.name, server=definition.address, detail=error.detail)
            raise
        finally:
            standing.asked -= 1
        self._heard(at)
        new = answered.packet.first(STATE)
        if answered.packet.code == Code.ACCESS_CHALLENGE and new is not None:
            self.health.bind(new, at, self._clock.monotonic())
        return Handed(definition.address, answered)

    def _heard(self, at: int, *, probe: bool = False) -> None:
        was = self.health.servers[at].alive
        self.health.answered(at, self._clock.monotonic(), probe=probe)
        if not was and self.health.servers[at].alive:
            log.info("proxy.alive", pool=self.definition.name, server=self.definition.servers[at].address)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for at in self.health.due(self._clock.monotonic()):
                task = asyncio.create_task(self._probe(at))
                self._probes.add(task)
                task.add_done_callback(self._probes.discard)

    async def _probe(self, at: int) -> None:
        try:
            seconds = float(self.definition.window_seconds)
            await self._servers[at].ask(Code.STATUS_SERVER, lambda *_: (), seconds=seconds)
        except (Silent, PacketRefused):
            self.health.silent(at, self._clock.monotonic())
        else:
            self._heard(at, probe=True)
