"""Doing orders. One process at a time does (a lease), and another goes on at once where it stopped.

An order is claimed, its session looked at, and the rungs of the ladder climbed until one holds. What an access server
has answered is written down with the end of the order, and a session that is over is closed with it. One that does not
answer is asked again and again, more and more rarely, until the session ends by itself or a day is over.

A sender whose lease has lapsed by its own clock sends nothing more; whoever takes over claims what it has left. An
access server may then be asked twice for the same, which says of the second that the session is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID

from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.kit.rhythm import Rhythm
from troth.radius.dynamic import effect_store, ending
from troth.radius.dynamic.errors import DynamicError
from troth.radius.dynamic.model import Equipment, Fleet
from troth.radius.dynamic.pacing import Gate
from troth.radius.dynamic.steps import Attempt, attempts, meaning_of
from troth.radius.places.naks import Meaning
from troth.radius.sessions import order_store, store
from troth.radius.sessions.model import EndedBy, Session
from troth.radius.sessions.orders import EFFECT, ORDERS_CHANNEL, Order
from troth.radius.wire.errors import PacketRefused
from troth.store.bell import BUSY_SECONDS, Bell
from troth.store.errors import StoreError
from troth.store.lease import Held, Lease
from troth.store.pool import Database
from troth.trust.feeds.feed_store import SWITCH_CHANNEL

log = get_logger("radius")

LEASE: Final = "radius:sender"
_LEASE_SECONDS: Final = 5.0
#: Who plans an order wakes us; this is for one whose process died before it could.
_LOOK: Final = Rhythm("orders.look", 30.0, "worker", statements=3)
_AT_ONCE: Final = 512
_FLEET_SECONDS: Final = 2.0
#: How often it is looked for what has slipped through: while there is something to do or was lately, and else.
_SWEEP_SECONDS: Final = 2.0
_LATELY_SECONDS: Final = 60.0
_SWEEP: Final = Rhythm("orders.sweep", 30.0, "worker", statements=2)
_FRESH: Final = timedelta(milliseconds=250)
_LONGEST_PAUSE: Final = timedelta(minutes=15)


class Stopped(Exception):
    """The lease is not ours any more."""


class Endings:
    """Tells those of this process who wait for the end of what one origin has ordered."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Event] = {}

    @contextlib.contextmanager
    def of(self, origin: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever an order of that origin has ended."""
        event = self._waiting.setdefault(origin, asyncio.Event())
        try:
            yield event
        finally:
            self._waiting.pop(origin, None)

    def waited(self, origin: str) -> bool:
        """Whether somebody of this process waits for it."""
        return origin in self._waiting

    def tell(self, origin: str) -> None:
        """One has."""
        if origin in self._waiting:
            self._waiting[origin].set()


class Sender:
    """See the module. Several may run; one at a time works."""

    def __init__(
        self, database: Database, clock: Clock, holder: UUID, fleet: Fleet, endings: Endings | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._fleet = fleet
        self.endings = endings or Endings()
        self._lease = Lease(database, clock, LEASE, holder, seconds=_LEASE_SECONDS)
        #: The lease as it is now; None while it is another's.
        self._holding: Callable[[], Held | None] = lambda: None
        self._known: Mapping[str, Equipment] = {}
        self._known_at = float("-inf")
        self._gates: dict[str, Gate] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._under_way: set[UUID] = set()
        self._swept_at = float("-inf")
        self._stirred_at = clock.monotonic()
        self._bell = Bell(_LOOK, database, ORDERS_CHANNEL, SWITCH_CHANNEL)
        #: What access servers answered in this process: ``ack``, ``nak``, ``silent``.
        self.counts: Counter[str] = Counter()

    async def run(self, stop: asyncio.Event) -> None:
        """Do orders until ``stop`` is set. A database that is away is waited for."""
        async with self._bell.heeding(stop), self._lease.kept(self._bell.ring, self._lost) as tenure:
            self._holding = lambda: tenure.held
            try:
                while not stop.is_set():
                    self._bell.hush()
                    await self._turn()
            finally:
                self._lost()
                await asyncio.gather(*self._running, return_exceptions=True)

    async def _turn(self) -> None:
        """Begin what is due, or wait for something."""
        try:
            held = self._holding()
            if held is None:
                await self._bell.wait()
                return
            sweep_in = await self._sweep()
            if await self.claim_due():
                # Where there was one there soon is another: when the next is due is asked when there was none.
                await self._bell.wait(BUSY_SECONDS)
                return
            due = await order_store.next_due(self._database, held.epoch)
            if due is not None:
                sweep_in = min(sweep_in, max(BUSY_SECONDS, (due - self._clock.now()).total_seconds()))
            await self._bell.wait(sweep_in)
            return
        except StoreError as error:
            log.warning("dynamic.interrupted", error=str(error))
        except Exception:
            log.exception("dynamic.broken")
        await self._bell.wait(BUSY_SECONDS)

    def _lost(self) -> None:
        for task in self._running:
            task.cancel()  # whoever has the lease now may be speaking to the same devices

    def _ours(self, held: Held) -> bool:
        """Whether the lease under which something was begun is in force, and has not been another's meanwhile."""
        now = self._holding()
        return now is not None and now.epoch == held.epoch and self._clock.monotonic() < now.until

    async def drain(self) -> None:
        """Do what is due now, and what becomes due by its end: for tests and benchmarks."""
        held = await self._lease.acquire()
        self._holding = lambda: held
        while await self.claim_due() or self._running:
            if self._running:
                await asyncio.wait(set(self._running), return_when=asyncio.FIRST_COMPLETED)

    async def claim_due(self) -> int:
        """Begin what may be begun now; returns how much that is. Raises StoreError."""
        held = self._holding()
        if held is None:
            return 0
        await self._learn()
        now = self._clock.now()
        room = {name: gate.room(self._clock.monotonic()) for name, gate in self._gates.items()}
        left = _AT_ONCE - len(self._running)
        claimed = (
            await order_store.claim(self._database, now=now, epoch=held.epoch, limit=left, room=room) if left else []
        )
        for order in claimed:
            self._stirred_at = self._clock.monotonic()
            self._gate(order.nas).begin()
            self._under_way.add(order.id)
            task = asyncio.create_task(self._one(order, held))
            self._running.add(task)
            task.add_done_callback(self._finished)
        return len(claimed)

    async def _sweep(self) -> float:
        """Look for what has slipped through, if it is time; returns when it will be again, in seconds."""
        now = self._clock.monotonic()
        lately = self._running or now - self._stirred_at < _LATELY_SECONDS
        every = _SWEEP_SECONDS if lately else _SWEEP.seconds
        if now - self._swept_at >= every:
            self._swept_at = now
            await self.sweep()
        return max(BUSY_SECONDS, self._swept_at + every - now)

    async def sweep(self) -> None:
        """Take up what has slipped through: orders whose end could not be written down, and effects that were just
        being looked at when the last of their orders ended. Raises StoreError."""
        held = self._holding()
        if held is not None:
            await order_store.unclaim(self._database, held.epoch, but=list(self._under_way))
            await effect_store.hurry_ended(self._database, self._clock.now())

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._stirred_at = self._clock.monotonic()
        self._bell.ring()  # the next of this device may be waiting for it

    async def _learn(self) -> None:
        if self._clock.monotonic() - self._known_at >= _FLEET_SECONDS:
            self._known = await self._fleet.equipment()
            self._known_at = self._clock.monotonic()
            for name, equipment in self._known.items():
                self._gate(name).limit(equipment)

    def _gate(self, name: str) -> Gate:
        return self._gates.setdefault(name, Gate())

    # --- one order ---------------------------------------------------------------------------------------------------

    async def _one(self, order: Order, held: Held) -> None:
        gate = self._gate(order.nas)
        try:
            result = await self._try(order, held, gate)
            waited = self.endings.waited(order.origin)
            await ending.settle(self._database, self._clock, order, result, waited=waited)
            self.endings.tell(order.origin)
        except Stopped:
            log.warning("dynamic.lease_lost", order=str(order.id))
        except ending.Overtaken:
            pass  # another sender has it
        except StoreError as error:
            log.warning("dynamic.unsettled", order=str(order.id), error=str(error))  # taken up again, see `_sweep`
        finally:
            gate.end()
            self._under_way.discard(order.id)

    async def _try(self, order: Order, held: Held, gate: Gate) -> ending.Result:
        """Climb. What is not known to have been done is tried again."""
        session = await store.find(self._database, order.session_id)
        if session is None or not session.open:
            by = "is not known any more" if session is None else f"has ended ({session.ended_by})"
            return ending.Result("gone", detail=f"the session {by}")
        # An effect is not withdrawn while it is being tried, as it is when it has just planned this.
        late = order.attempts > 1 or self._clock.now() - order.planned_at > _FRESH
        if late and order.origin.startswith(f"{EFFECT}:") and await ending.withdrawn(self._database, order):
            return ending.Result("dropped", detail="what asked for it has been superseded")
        equipment = self._known.get(order.nas)
        if equipment is None or not equipment.enabled:
            why = "is not known any more" if equipment is None else "takes no dynamic authorization (`coa:`)"
            return ending.Result("refused", detail=f"{order.nas} {why}; {_bounded(session)}")
        tried = attempts(order.kind, session, equipment)
        if not tried:
            return ending.Result(
                "refused", detail=f"nothing is known to do it on {equipment.vendor}; {_bounded(session)}"
            )
        return await self._climb(order, session, equipment, tried, held, gate)

    async def _climb(
        self, order: Order, session: Session, equipment: Equipment, tried: list[Attempt], held: Held, gate: Gate
    ) -> ending.Result:
        transport, heard = self._fleet.transport(equipment), list[str]()
        wrong = False
        for attempt in tried:
            if not self._ours(held):
                raise Stopped
            try:
                async with asyncio.timeout(60):
                    reply = await transport.send(equipment, attempt.request)
            except (DynamicError, PacketRefused, TimeoutError) as error:
                self.counts["silent"] += 1
                gate.silent()
                detail = error.detail if isinstance(error, TrothError) else "no answer in 60 s"
                return self._later(order, session, detail)
            except ValueError as error:
                heard.append(f"{attempt.step}: {error}")
                continue
            gate.answered()
            meaning, cause = meaning_of(reply, attempt.ladder)
            self.counts["ack" if meaning is Meaning.DONE else "nak"] += 1
            if meaning is Meaning.DONE:
                note = f"; {attempt.ladder.caches.note}" if attempt.lets_back else ""
                closes: EndedBy = "disconnect" if attempt.ends else ""
                return ending.Result("done", attempt.step, f"{_called(attempt)}{note}", closes=closes, session=session)
            if meaning is Meaning.GONE:
                return ending.Result("gone", attempt.step, f"{equipment.name} has no such session ({cause})",
                                     closes="gone", session=session)  # fmt: skip
            if meaning is Meaning.BUSY:
                return self._later(order, session, f"{equipment.name} cannot now ({cause})")
            heard.append(f"{attempt.step}: {meaning} ({cause if cause is not None else 'no Error-Cause'})")
            wrong = wrong or meaning in (Meaning.WRONG, Meaning.FORBIDDEN)
            if meaning is Meaning.FORBIDDEN:
                break
        return ending.Result("refused", tried[-1].step, f"{'; '.join(heard)}; {_bounded(session)}", wrong=wrong)

    def _later(self, order: Order, session: Session, detail: str) -> ending.Result:
        now = self._clock.now()
        pause = min(_LONGEST_PAUSE, timedelta(seconds=15 * 2 ** min(order.attempts - 1, 10)))
        if now + pause >= order.give_up_at:
            return ending.Result(
                "failed", detail=f"given up after {order.attempts} rounds: {detail}; {_bounded(session)}"
            )
        return ending.Result("waiting", detail=detail, due=now + pause)


def _bounded(session: Session) -> str:
    """What bounds a session that nothing else ends."""
    if session.until is None:
        return "no Session-Timeout bounds it"
    return f"Session-Timeout ends it at {session.until:%Y-%m-%d %H:%M} UTC"


def _called(attempt: Attempt) -> str:
    return {"disconnect": "disconnected", "reauthenticate": "asked to authenticate anew", "bounce": "port bounced"}[
        attempt.step
    ]
