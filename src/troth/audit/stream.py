"""Following the ledger by index: the trust tables of status and RADIUS workers, the dashboard, later the sinks.

Polling is the truth and NOTIFY only a wake-up. A batch carries the monotonic time from *before* it was asked for:
whoever vouches for being up to date counts its lease from there (see :class:`StreamPoint`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from troth.audit.event import StreamEvent
from troth.audit.sequencer import STREAM_CHANNEL
from troth.audit.store import LedgerStore
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.kit.rhythm import Rhythm
from troth.store.bell import BUSY_SECONDS, Bell
from troth.store.errors import StoreError
from troth.store.pool import Database

log = get_logger("audit")

_LIMIT = 1000
#: The sequencer wakes who follows, and the pulse does (``pulse.py``); this is for neither. About four follow in each.
LOOK = Rhythm("stream.look", 60.0, "web", "worker", "status", "radius", statements=4)
#: How often who vouches for being up to date asks whether it still is.
LEASE_POLL = 0.2
#: For how long a point vouches (DESIGN, rule 5).
LEASE_SECONDS = 1.0
#: At the end of a lease that others renew it is looked again so soon at the earliest.
_GLANCE = 0.02


@dataclass(frozen=True, slots=True)
class Batch:
    """What one poll found.

    Attributes:
        events: in order, perhaps none.
        next: the index to ask for next; everything below has been seen.
        asked_at: monotonic seconds before the poll.
        complete: whether the poll reached the end of the log.
        rooms: the kinds, or first words of kinds, that ``events`` is confined to, or None.
    """

    events: tuple[StreamEvent, ...]
    next: int
    asked_at: float
    complete: bool
    rooms: frozenset[str] | None = None


class Stream:
    """A follower of the ledger. Several may follow over one database.

    Args:
        poll: asked after each batch for how many seconds to wait for the next at most: for who vouches for being up to
            date, and so has to know that nothing has come. None: for who only wants to hear of what has.
        spared: asked when that time is over and nobody has rung: whether it is known otherwise that nothing has come.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        poll: Callable[[], float] | None = None,
        spared: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._store = LedgerStore(database)
        self._clock = clock
        self._poll = poll or LOOK.pause
        self._spared = spared

    async def follow(
        self, start: int, stop: asyncio.Event, rooms: Callable[[], frozenset[str] | None] = lambda: None
    ) -> AsyncIterator[Batch]:
        """Batches from index ``start`` on until ``stop`` is set; an empty one where a poll has found nothing.

        ``rooms`` is asked before each poll for the kinds, or first words of kinds, that matter to the follower; None:
        all. Events are many, and each one that is read is parsed by every follower.

        While the database does not answer nothing is yielded: the follower's lease lapses, as it must.
        """
        index = start
        async with Bell(LOOK, self._database, STREAM_CHANNEL).heeding(stop) as bell:
            while not stop.is_set():
                bell.hush()
                asked = self._clock.monotonic()
                try:
                    wanted = rooms()
                    events, following = await self._store.read_on(index, _LIMIT, wanted)
                except StoreError as error:
                    log.warning("stream.interrupted", error=str(error))
                    await asyncio.sleep(min(self._poll(), BUSY_SECONDS))
                    continue
                complete = following - index < _LIMIT
                index = following
                yield Batch(tuple(events), index, asked, complete, wanted)
                while complete and not await bell.wait(self._poll()) and self._spared():
                    pass


class Vouching(Protocol):
    """``troth.audit.pulse.Pulse``."""

    deaf: bool

    def attend(self, looked: Callable[[], None]) -> None:
        """Call ``looked`` when there may be another grant."""
        ...

    def reached(self, index: int) -> None:
        """This process has applied everything below ``index``; -1: it vouches for nothing."""
        ...

    def vouched_at(self) -> float:
        """From when on the lease of a point that had applied everything runs."""
        ...


class StreamPoint:
    """A decision point's promise: "I have applied everything below this index", good for ``lease_seconds``.

    A change is *effective* when every point has acknowledged it or its lease has lapsed; a point whose lease has
    lapsed by its own clock must follow its stated policy for that case (DESIGN, rule 5).

    To have read to the end of the log is not enough: without a sequencer the log stands still while events pile up in
    its inbox, a hold among them perhaps. Once one has waited there for a lease's length, nobody vouches any more.
    """

    def __init__(
        self,
        store: LedgerStore,
        clock: Clock,
        point: UUID,
        name: str,
        *,
        lease_seconds: float = LEASE_SECONDS,
        pulse: Vouching | None = None,
    ) -> None:
        """``pulse``: what this process shares with others of its machine; it renews the lease while nothing comes."""
        self._pulse = pulse
        self._store = store
        self._clock = clock
        self._point = point
        self._name = name
        self._seconds = lease_seconds
        self._until = float("-inf")
        self._renewed = asyncio.Event()
        self._acknowledged = -1
        self._written_at = -1.0
        self._arrears = Arrears(lease_seconds)
        if pulse is not None:
            pulse.attend(self._attended)

    @property
    def live(self) -> bool:
        """Whether this point may vouch for what it holds, by its own clock."""
        self._look()
        return self._clock.monotonic() < self._until

    def _look(self) -> None:
        """See whether others of this machine have had the lease renewed."""
        if self._pulse is not None and self._clock.monotonic() >= self._until:
            self._until = max(self._until, self._pulse.vouched_at() + self._seconds)

    def _attended(self) -> None:
        if self.live:
            self._tell()

    def _tell(self) -> None:
        self._renewed.set()  # for those who wait just now, and not for those who come
        self._renewed.clear()

    @property
    def spared(self) -> bool:
        """Whether others of this machine have asked of late, and nothing has come; one is told of what comes."""
        pulse = self._pulse
        if pulse is None or pulse.deaf:
            return False
        return self._clock.monotonic() < pulse.vouched_at() + self._seconds

    def poll(self, often: float = LEASE_POLL) -> float:
        """For how many seconds to wait for the next batch at most: ``often``; while others ask, as long as their last
        answer holds, so that it is noticed when they have ceased to."""
        return max(_GLANCE, self.until - self._clock.monotonic()) if self.spared else often

    @property
    def until(self) -> float:
        """Monotonic time at which the lease ends or has ended; minus infinity: there was none yet, or it was left."""
        self._look()
        return self._until

    async def current(self, seconds: float) -> bool:
        """Wait until this point may vouch; False: it could not within ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                while not self.live:
                    await self._renewed.wait()
        except TimeoutError:
            return self.live
        return True

    async def applied(self, batch: Batch) -> None:
        """The batch has been applied: renew the lease, and tell the others when there is something to tell."""
        if not batch.complete:
            return
        if self._pulse is not None:
            self._pulse.reached(batch.next)
        if batch.next == self._acknowledged and batch.asked_at - self._written_at < self._seconds / 3:
            return
        asked = self._clock.monotonic()
        if self._arrears.too_long(await self._store.waiting(), asked):
            if self.live:
                log.warning("stream.stalled", point=self._name, index=batch.next)
            return
        await self._store.acknowledge(self._point, self._name, batch.next, self._seconds)
        self._acknowledged = batch.next
        self._written_at = batch.asked_at
        # Counted from before the poll and renewed only together with the row that others read, so that the row
        # never says "lapsed" while this point still vouches.
        self._until = batch.asked_at + self._seconds
        self._tell()

    async def leave(self) -> None:
        """This point has stopped answering."""
        if self._pulse is not None:
            self._pulse.reached(-1)
            self._pulse = None
        self._until = float("-inf")
        await self._store.leave(self._point)


class Arrears:
    """Notices that events have waited for their index for longer than ``seconds``: by their order and the monotonic
    clock alone, since the clocks of those who recorded them may differ from ours."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.mark: UUID | None = None
        self.since = 0.0

    def too_long(self, waiting: tuple[UUID, UUID] | None, at: float) -> bool:
        """Judge what ``LedgerStore.waiting`` said at monotonic time ``at``."""
        if waiting is None:
            self.mark = None
            return False
        oldest, newest = waiting
        if self.mark is None or oldest > self.mark:
            # All that waited when the mark was set has moved on; whatever waits now is watched from now.
            self.mark, self.since = newest, at
            return False
        return at - self.since > self._seconds
