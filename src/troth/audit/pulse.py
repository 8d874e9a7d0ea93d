"""Knowing that nothing has come: asked once for all processes of a machine, and shared by them in memory.

A decision point vouches for what it holds for a second at a time (:class:`~troth.audit.stream.StreamPoint`), and every
process says that it lives. Each of them asking the database would keep an idle machine busy. So whoever finds the
answer in the common page older than :data:`BEAT` asks, in one statement for all:

* which processes live: the rows of all that were seen in the page of late are renewed;
* how far the log is, and what waits for its index;
* which points have applied all of it: their rows are renewed, and they may vouch for another second from before the
  statement. A point that is behind is not renewed, and stops vouching.

There is no leader that could fail: processes look in turn, and the first that finds the answer old asks; whoever has
begun and does not come to an end (it died, or its connection leads nowhere) is not waited for. A point that was
suspended finds by the clock that its second is over. What one point is granted names it and nobody else, is counted
from before the database was asked, and was written only after the database had said that this point, by the index that
it has itself told, had applied all there was. So whatever goes wrong here, no point vouches for longer than one that
asks for itself; and it does ask for itself, as if there were no pulse, from when the last grant has lapsed. Whenever it
has applied something it does so anyway: on a busy machine little hangs on the pulse.

What is learnt here makes up for wake-ups that were lost, too: followers are rung for when the log has moved and nobody
said so, the sequencer when something goes on waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from troth.audit.pulse_memory import ALIVE, VOUCHED, Answer, Memory, Slot
from troth.audit.sequencer import STREAM_CHANNEL
from troth.audit.store import PULSE
from troth.audit.stream import LEASE_SECONDS, Arrears
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.kit.rhythm import Rhythm
from troth.store.errors import StoreError
from troth.store.failures import BROKEN
from troth.store.lease import INSTANCE_SECONDS, Instance
from troth.store.pool import INBOX_CHANNEL, Database
from troth.store.wire import Ask, Wire

log = get_logger("audit")

#: How old an answer may become while there are points: less than half of their lease, so that one that is late or lost
#: does no harm. The statement is counted once for the machine, at the role that always is there.
BEAT = Rhythm("pulse.ask", 0.45, "status")
#: How often who vouches for nothing looks; it asks where nobody else has.
LOOK = Rhythm("pulse.look", 1.0, "web", "worker", statements=0)
#: How often a point that need not ask looks.
POINT_LOOK = Rhythm("pulse.point", 0.5, "radius", statements=0)
#: Slots come to look one after the other, so that the second finds what the first has asked.
_TURN: Final = 0.05
_TURNS: Final = 5
#: Rows of processes are renewed this often; of those seen within so many seconds.
_LIVES: Final = 0.9
_SEEN: Final = 2.5
_SEEN_POINT: Final = BEAT.seconds * 2
#: What has not come to an end after so many seconds is given up: its connection leads nowhere.
_PATIENCE: Final = 3.0
_NEVER: Final = float("-inf")


class Pulse:
    """This process's part. Run it beside all else; belongs to one event loop."""

    def __init__(self, database: Database, clock: Clock, instance: Instance, path: Path) -> None:
        self._database = database
        self._clock = clock
        self._instance = instance
        self._memory = _memory(path, database.url)
        self._number = self._memory.join(instance.id, instance.role, clock.monotonic())
        self._index = -1
        self._wire: Wire | None = None
        self._last: Answer | None = None
        self._beaten_at = _NEVER
        self._tried_at = _NEVER
        self._told_at = _NEVER
        self._ringing = False
        self._look_over: Callable[[], None] = lambda: None
        #: Whether the log has moved and nobody said so: then it is better to look often, until one is told again.
        self.deaf = False

    # --- for points --------------------------------------------------------------------------------------------------

    def attend(self, looked: Callable[[], None]) -> None:
        """Call ``looked`` after each look: a lease may have been granted."""
        self._look_over = looked

    def reached(self, index: int) -> None:
        """This process has applied everything below ``index``; -1: it vouches for nothing."""
        self._index = index
        self._seen()

    def vouched_at(self) -> float:
        """From when on this point's lease runs: from before it was last said that it had applied everything, and that
        nothing waited for too long. Minus infinity: it was not said."""
        answer = self._answer()
        if self._number is None or self._index < 0 or answer is None or answer.stalled:
            return _NEVER
        at = self._memory.granted(VOUCHED, self._number, self._instance.id)
        return at if at <= self._clock.monotonic() else _NEVER

    # --- its life ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look, and ask where it is time, until cancelled."""
        await self._database.listen(STREAM_CHANNEL, self._hear)
        try:
            while True:
                await self.look()
                await asyncio.sleep(self._pause())
        finally:
            self._database.forget(STREAM_CHANNEL, self._hear)

    def close(self) -> None:
        """This process ends."""
        if self._number is not None:
            self._memory.leave(self._number)
        if self._wire is not None:
            self._wire.close()
        self._memory.close()

    def _hear(self) -> None:
        if not self._ringing:
            self._told_at = self._clock.monotonic()
            self.deaf = False

    def _pause(self) -> float:
        """Until this slot's turn."""
        every = BEAT.seconds if self._index >= 0 else LOOK.seconds
        turn = _TURN * min(self._number or 0, _TURNS)
        answer, now = self._last, self._clock.monotonic()
        if answer is None or answer.asked_at > now:
            return every / 4
        return max(_TURN, answer.asked_at + every + turn - now) if self._index >= 0 else every + turn

    async def look(self) -> None:
        """See whether the answer is old; ask, if it is; make up for what was not said."""
        now = self._clock.monotonic()
        self._seen()
        answer = self._answer()
        every = BEAT.seconds if self._index >= 0 else LOOK.seconds
        if (answer is None or now - answer.asked_at >= every) and self._memory.claim(now):
            try:
                async with asyncio.timeout(_PATIENCE):
                    answer = await self._ask(answer)
                self._memory.settle()
            except (*BROKEN, StoreError) as error:
                log.warning("pulse.missed", error=str(error))  # the next asks in a moment, not at once
        if answer is not None:
            self._make_up(answer)
        self._look_over()
        await self._say_alive()

    def _seen(self) -> None:
        now, id = self._clock.monotonic(), self._instance.id
        # A slot that nobody was seen in for long is another's now; so is one that two have taken at once.
        if self._number is None or self._memory.holder(self._number) not in {id, None}:
            self._number = self._memory.join(id, self._instance.role, now)
        if self._number is not None:
            self._memory.see(Slot(self._number, id, self._instance.role, self._index, now))

    def _answer(self) -> Answer | None:
        answer = self._memory.answer()
        return answer if answer is not None and answer.asked_at <= self._clock.monotonic() else None

    async def _ask(self, before: Answer | None) -> Answer:
        asked = self._clock.monotonic()
        living = [one for one in self._memory.slots() if 0 <= asked - one.seen_at < _SEEN]
        points = [one for one in living if one.index >= 0 and asked - one.seen_at < _SEEN_POINT]
        if before is not None and before.stalled:
            points = []
        beaten = _NEVER if before is None else before.beaten_at
        beating = living if asked - beaten >= _LIVES else []
        if self._wire is None or self._wire.closed:
            self._wire = await self._database.open_wire("troth-pulse")
        values = (
            [one.id for one in beating],
            # From when it was seen: whoever has died since counts as dead no later for being asked for.
            [INSTANCE_SECONDS - (asked - one.seen_at) for one in beating],
            LEASE_SECONDS,
            [one.id for one in points],
            [one.name for one in points],
            [one.index for one in points],
        )
        outcome = await self._wire.exchange([Ask(PULSE, values)])
        if outcome.error is not None:
            raise outcome.error
        ((head, oldest, newest, lives, renewed),) = outcome.rows[0]
        arrears = Arrears(LEASE_SECONDS)
        if before is not None:
            arrears.mark, arrears.since = before.watched, before.since
        stalled = arrears.too_long(None if oldest is None else (oldest, newest), asked)
        answer = Answer(
            asked, asked if beating else beaten, head, oldest, newest, arrears.mark, arrears.since, stalled
        )  # fmt: skip
        if stalled and not (before is not None and before.stalled):
            log.warning("stream.stalled", index=head)
        self._memory.tell(answer)
        for one in beating:
            if one.id in (lives or ()):
                self._memory.grant(ALIVE, one, asked)
        for one in points:
            if one.id in (renewed or ()) and not stalled:
                self._memory.grant(VOUCHED, one, asked)
        return answer

    def _make_up(self, answer: Answer) -> None:
        """Ring for what nobody has rung for."""
        last, self._last = self._last, answer
        if last is None:
            return
        moved = answer.head > last.head or 0 <= self._index < answer.head
        if moved and self._told_at < last.asked_at:
            self.deaf = self._ringing = True
            self._database.heard(STREAM_CHANNEL)
            self._ringing = False
        if answer.oldest is not None and answer.oldest == last.oldest and answer.asked_at > last.asked_at:
            self._database.heard(INBOX_CHANNEL)

    async def _say_alive(self) -> None:
        """Renew this process's own row where nobody else has: it is new, or there is no slot for it."""
        now = self._clock.monotonic()
        if self._number is not None:
            at = self._memory.granted(ALIVE, self._number, self._instance.id)
            self._beaten_at = max(self._beaten_at, at if at <= now else _NEVER)
        if now - self._beaten_at < _LIVES * 2 or now - self._tried_at < _LIVES:
            return
        self._tried_at = now
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._instance.beat()
            self._beaten_at = now
        except (StoreError, TimeoutError) as error:
            log.warning("heartbeat.missed", error=str(error))


def _memory(path: Path, of: str) -> Memory:
    try:
        return Memory(path, of)
    except OSError as error:
        log.warning("pulse.alone", path=str(path), error=str(error))  # it asks by itself then
        return Memory(None)
