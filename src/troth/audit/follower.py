"""Following the ledger and missing nothing: what is made of a batch is committed together with how far it was read.

A follower that dies goes on where its last commit ended; one that was never here before begins at the end of the log.
Several processes may run the same follower: whoever commits a batch first has done it, and the others read on from
there (a guard on the place, so that a batch counts once).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from troth.audit import follower_store
from troth.audit.errors import FOLLOWER_OVERTAKEN, FollowerOvertaken
from troth.audit.event import StreamEvent
from troth.audit.store import LedgerStore
from troth.audit.stream import Batch, Stream
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("audit")

#: Adds to the unit what is to be done about the events; called again with the same ones if the commit fails.
Take: TypeAlias = Callable[[Unit, Sequence[StreamEvent]], Awaitable[None]]

#: Seconds after which a place that has moved past events of no interest is written down all the same.
_WRITE_DOWN = 15.0
_RETRY_SECONDS = 1.0


class Follower:
    """See the module.

    Args:
        name: under which its place is kept.
        kinds: the events that it takes, by their whole kind.
        take: see :data:`Take`.
        wakes: channel that is woken when a batch has changed something.
        lazily: a batch about which there was nothing to do is not written down at once, and is read again after a
            death: for who does not mind hearing of it a few seconds late.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        name: str,
        kinds: frozenset[str],
        take: Take,
        *,
        wakes: str = "",
        lazily: bool = False,
    ) -> None:
        self._database = database
        self._clock = clock
        self._name = name
        self._kinds = kinds
        self._take = take
        self._wakes = wakes
        self._lazily = lazily
        self._stream = Stream(database, clock)
        self._written_at = float("-inf")

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until ``stop`` is set. What is raised on the way is told, and the batch is read again."""
        while not stop.is_set():
            try:
                await self._follow(stop)
            except FollowerOvertaken:
                continue
            except TrothError as error:
                log.warning("follower.interrupted", follower=self._name, code=error.code, detail=error.detail)
            except Exception:
                log.exception("follower.failed", follower=self._name)
            try:
                async with asyncio.timeout(_RETRY_SECONDS):
                    await stop.wait()
            except TimeoutError:
                pass

    async def _follow(self, stop: asyncio.Event) -> None:
        place = await follower_store.place(self._database, self._name)
        if place is None:
            head = (await LedgerStore(self._database).head()).size
            place = await follower_store.begin(self._database, self._name, head)
        async for batch in self._stream.follow(place, stop, lambda: self._kinds):
            place = await self.taken(batch, place)

    async def taken(self, batch: Batch, place: int) -> int:
        """Take one batch that was read from ``place``; the place to go on from.

        Raises FollowerOvertaken where another process has taken it, and what ``take`` and the commit raise.
        """
        events = [event for event in batch.events if event.kind in self._kinds]
        due = self._clock.monotonic() - self._written_at >= _WRITE_DOWN
        if batch.next == place or not (events or due):
            # Nothing to do and nothing to write down yet: the place that is written lags behind, and the guard
            # asks for what is written.
            return place
        unit = Unit()
        if events:
            await self._take(unit, events)
        changes = bool(unit.writes or unit.steps or unit.events)
        if self._lazily and not (changes or due):
            return place
        refusal = FollowerOvertaken(FOLLOWER_OVERTAKEN, self._name)
        unit.guard(follower_store.STILL_AT, self._name, place, refuse=refusal, key=("follower", self._name))
        unit.write(follower_store.MOVE, self._name, batch.next)
        await self._database.commit(unit)
        self._written_at = self._clock.monotonic()
        if changes and self._wakes:
            self._database.wake(self._wakes)
        return batch.next
