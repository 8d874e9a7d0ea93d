"""Events as they happen, for every open page of this process.

One follower reads the trust stream by index and hands each batch to all subscribers. A subscriber that does not keep up
loses its queue, is told so once, and then reads the list anew: a slow browser holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from troth.audit.event import StreamEvent
from troth.audit.store import LedgerStore
from troth.audit.stream import Stream

#: Events that one subscriber may lag behind; about 10 s of a busy installation.
_QUEUE = 1000
#: People see no difference, and the database is asked for a handful of events at once.
_PACE_SECONDS = 0.1


@dataclass(eq=False)
class Subscription:
    """One open page. ``take`` waits for the next events; ``lost`` says that some were dropped."""

    _events: asyncio.Queue[StreamEvent | None] = field(default_factory=lambda: asyncio.Queue(_QUEUE))
    lost: bool = False
    closed: bool = False

    def close(self) -> None:
        """This stream is over; whoever waits in :meth:`take` is woken."""
        self.closed = True
        with suppress(asyncio.QueueFull):
            self._events.put_nowait(None)

    def offer(self, event: StreamEvent) -> None:
        """Add an event, or give up on the queue."""
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            self.lost = True
            while not self._events.empty():
                self._events.get_nowait()

    async def take(self, wait: float) -> list[StreamEvent]:
        """At least one event, or none after ``wait`` seconds."""
        try:
            async with asyncio.timeout(wait):
                found = [await self._events.get()]
        except TimeoutError:
            return []
        while not self._events.empty() and len(found) < 100:
            found.append(self._events.get_nowait())
        return [event for event in found if event is not None]


class Live:
    """The follower. ``start`` and ``stop`` belong to the application's lifespan.

    ``ending`` is set when the process is told to end. A server waits for open answers before it ends the lifespan,
    and an event stream never ends by itself, so the streams are closed at that first word.
    """

    def __init__(self, stream: Stream, ledger: LedgerStore, ending: asyncio.Event | None = None) -> None:
        self._stream = stream
        self._ledger = ledger
        self._ending = ending or asyncio.Event()
        self._subscribers: set[Subscription] = set()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        #: The next index that was not handed out yet: a page that is made while this stands here has seen all below.
        self.position = 0

    async def start(self) -> None:
        """Begin at the end of the log."""
        self._stop.clear()
        self.position = (await self._ledger.head()).size
        self._tasks = [
            asyncio.create_task(self._follow(self.position)),
            asyncio.create_task(self._close_when_ending()),
        ]

    async def stop(self) -> None:
        """End the follower and every open stream."""
        self._stop.set()
        self._close_all()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _close_when_ending(self) -> None:
        await self._ending.wait()
        self._close_all()

    def _close_all(self) -> None:
        for subscriber in list(self._subscribers):
            subscriber.close()

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """A subscription for as long as the block runs."""
        subscription = Subscription(closed=self._ending.is_set())
        self._subscribers.add(subscription)
        try:
            yield subscription
        finally:
            self._subscribers.discard(subscription)

    def _wanted(self) -> frozenset[str] | None:
        """While nobody looks, only how far the log has come."""
        return None if self._subscribers else frozenset()

    async def _follow(self, start: int) -> None:
        async for batch in self._stream.follow(start, self._stop, self._wanted):
            events: Sequence[StreamEvent] = batch.events
            if batch.rooms is not None and self._subscribers and batch.next > self.position:
                # Whoever has just begun to look had not when the batch was read: nothing may be missing.
                events = await self._ledger.read(self.position, batch.next - self.position)
            self.position = batch.next
            for event in events:
                for subscriber in self._subscribers:
                    subscriber.offer(event)
            await asyncio.sleep(_PACE_SECONDS)
