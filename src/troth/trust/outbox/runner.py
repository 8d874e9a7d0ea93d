"""Doing effects: claims what is due, target by target, tries it through its port, and writes down how it went.

At least once: a try that nobody wrote the end of (a killed worker) is made again when its lease has lapsed, with the
same effect id. In the order of the subject's changes at each target; targets do not wait for each other. A target that
fails is asked more and more rarely; what it refuses, or what has failed too long, is dead until a person looks.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.kit.rhythm import Rhythm
from troth.store.bell import BUSY_SECONDS, Bell
from troth.store.errors import StoreError
from troth.store.pool import URGENT_CHANNEL, Database
from troth.store.unit import Unit
from troth.trust.feeds.feed_store import SWITCH_CHANNEL
from troth.trust.outbox import store
from troth.trust.outbox.breaker import Turnstile
from troth.trust.outbox.document_store import DocumentStore
from troth.trust.outbox.errors import TargetUnknown
from troth.trust.outbox.model import Effect, EffectPort, EffectState, EffectSubject, Outcome, Result
from troth.trust.standing import Standing

log = get_logger("effects")

#: Milliseconds; the last catches everything.
BOUNDS: Final = (50, 100, 250, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000, 3_600_000)

#: Who plans an effect wakes us; this is for one whose process died before it could.
_LOOK: Final = Rhythm("effects.look", 30.0, "worker", statements=2)
_LEASE: Final = timedelta(seconds=60)
_ACTOR: Final = "system:effects"
#: A dead letter has had at least this many tries, however old it is: a freeze or an outage here is not its fault.
_TRIES: Final = 5
_ENDS: Final = {
    Result.DONE: EffectState.DONE, Result.REFUSED: EffectState.DEAD, Result.UNAVAILABLE: EffectState.UNAVAILABLE,
}  # fmt: skip


class _Gone(Exception):
    """The try is not ours any more."""


class EffectRunner:
    """Runs effects until told to stop. Several workers may; each effect is tried by one at a time.

    Args:
        ports: port → who does it; a name without its last part (``crowdstrike``) stands for all ports of that system.
        timeout: for one try.
        give_up: after a failing effect has been planned that long, it is dead.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ports: Mapping[str, EffectPort],
        *,
        timeout: timedelta = timedelta(seconds=20),
        give_up: timedelta = timedelta(hours=24),
        at_once: int = 64,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ports = ports
        self._timeout = timeout
        self._give_up = give_up
        self._at_once = at_once
        self._documents = DocumentStore(database)
        self._targets: dict[str, Turnstile] = {}
        self._rates: Mapping[str, int] = {}
        self._running: set[asyncio.Task[None]] = set()
        # What is planned with a change of standing has an urgent event beside it, of which is told without pace.
        self._bell = Bell(_LOOK, database, URGENT_CHANNEL, store.EFFECTS_CHANNEL, SWITCH_CHANNEL)

    def set_rates(self, rates: Mapping[str, int]) -> None:
        """Effects a minute, by target; others keep the default."""
        self._rates = dict(rates)
        for name, turnstile in self._targets.items():
            turnstile.per_minute = self._rates.get(name, Turnstile().per_minute)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set. What is running then may end; what does not is made again by another."""
        async with self._bell.heeding(stop):
            while not stop.is_set():
                self._bell.hush()
                try:
                    if await self.claim_due():
                        # Where there was one there soon is another: when the next is due is asked when there was none.
                        await self._bell.wait(BUSY_SECONDS)
                    else:
                        await self._bell.wait_until(await store.next_due(self._database), self._clock)
                except StoreError as error:
                    log.warning("effects.interrupted", error=str(error))
                    await self._bell.wait(BUSY_SECONDS)
        if self._running:
            await asyncio.wait(self._running, timeout=self._timeout.total_seconds())

    async def drain(self) -> None:
        """Do what is due now, and what becomes due by its end: for tests."""
        while await self.claim_due() or self._running:
            if self._running:
                await asyncio.wait(set(self._running))

    async def claim_due(self) -> int:
        """Begin what may be begun now; returns how much that is. Raises StoreError."""
        now = self._clock.now()
        begun = 0
        for name, ports in (await store.targets_due(self._database, now)).items():
            missing = [port for port in ports if self._port(port) is None]
            for port in missing:
                detail = f"nothing is configured here that does {port}"
                await store.end_unavailable(self._database, name, port, at=now, detail=detail)
            if len(missing) == len(ports):
                continue
            turnstile = await self._turnstile(name)
            room = min(turnstile.room(now, self._clock.monotonic()), self._at_once - len(self._running))
            if room <= 0:
                continue
            claimed = await store.claim(self._database, name, now=now, lease_until=now + _LEASE, limit=room)
            turnstile.begin(len(claimed))
            begun += len(claimed)
            for effect in claimed:
                task = asyncio.create_task(self._one(effect, turnstile))
                self._running.add(task)
                task.add_done_callback(self._finished)
        return begun

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._bell.ring()  # the next of this subject at this target may be waiting for it

    async def _turnstile(self, name: str) -> Turnstile:
        known = self._targets.get(name)
        if known is None:
            known = Turnstile(per_minute=self._rates.get(name, Turnstile().per_minute))
            for state in await self._documents.targets():
                if state.name == name:
                    known.failures, known.open_until = state.failures, state.open_until
            self._targets[name] = known
        return known

    def _port(self, name: str) -> EffectPort | None:
        return self._ports.get(name) or self._ports.get(name.partition(".")[0])

    # --- one try -----------------------------------------------------------------------------------------------------

    async def _one(self, effect: Effect, turnstile: Turnstile) -> None:
        try:
            outcome = await self._try(effect)
            await self._settle(effect, outcome, turnstile)
        except _Gone:
            turnstile.ended()
        except StoreError as error:
            turnstile.ended()
            log.warning("effect.unsettled", effect=str(effect.id), error=str(error))  # its lease lapses
        except BaseException:
            turnstile.ended()
            raise

    async def _try(self, effect: Effect) -> Outcome:
        port = self._port(effect.port)
        if port is None:
            return Outcome.unavailable(f"nothing is configured here that does {effect.port}")
        subject = await self._about(effect)
        if subject is None:
            return Outcome.refused("the subject is not known any more")
        if effect.acting and subject.protected and not effect.notice.relieved:
            return Outcome.refused("the subject has been protected meanwhile")
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                return await port.execute(effect, subject)
        except TimeoutError:
            return Outcome.retry(f"no answer in {self._timeout.total_seconds():.0f} s")
        except StoreError:
            raise
        except TargetUnknown as error:
            return Outcome.unavailable(error.detail)
        except TrothError as error:
            return Outcome.retry(str(error))
        except Exception as error:
            log.exception("effect.failed", effect=str(effect.id), port=effect.port)
            return Outcome.retry(f"failed inside: {type(error).__name__}")

    async def _about(self, effect: Effect) -> EffectSubject | None:
        notice = effect.notice
        if notice.alarm is not None:
            return EffectSubject(effect.subject_id, notice.kind, notice.name, False)
        return await DocumentStore(self._database.lookups).subject(effect.subject_id)

    async def _settle(self, effect: Effect, outcome: Outcome, turnstile: Turnstile) -> None:
        now = self._clock.now()
        state, detail = _ENDS.get(outcome.result), outcome.detail
        if outcome.result in (Result.RETRY, Result.PENDING):
            standing = await store.standing_of(self._database, effect.subject_id)
            if effect.acting and not effect.notice.relieved and standing < Standing(effect.notice.after):
                state, detail = EffectState.SUPERSEDED, f"the subject became {standing.value}; the last try: {detail}"
            elif effect.attempts >= _TRIES and now - effect.planned_at >= self._give_up:
                state, detail = EffectState.DEAD, f"given up after {effect.attempts} tries; the last: {detail}"
        unit = Unit().guard(store.LOCK_TRY, effect.id, effect.attempts, refuse=_Gone(), key=("effect", effect.id))
        if state is None:
            asked_again = outcome.after if outcome.result is Result.PENDING else None
            due = now + (asked_again or self._pause(effect.attempts, outcome.after))
            store.again(unit, effect.id, due=due, detail=detail)
        else:
            self._end(unit, effect, state, detail, now)
        self._judge(unit, effect, outcome, turnstile, now)
        await self._database.commit(unit)

    def _end(self, unit: Unit, effect: Effect, state: EffectState, detail: str, now: datetime) -> None:
        store.end(unit, effect.id, state, at=now, detail=detail)
        milliseconds = max(0, int((now - effect.accepted_at).total_seconds() * 1000))
        if state is EffectState.DONE:
            bound = next((bound for bound in BOUNDS if milliseconds <= bound), -1)
            store.measure(unit, effect.port, bound, milliseconds)
            if effect.acting:
                store.take_back(unit, effect.id)
        if state is EffectState.UNAVAILABLE:
            return  # told by the plan; nothing has happened that the ledger should know
        if state is EffectState.DEAD:
            log.error(
                "effect.dead", effect=str(effect.id), port=effect.port, target=effect.target,
                subject=str(effect.subject_id), attempts=effect.attempts, detail=detail,
            )  # fmt: skip
        unit.record(
            Event(
                f"effect.{state.value}",
                _ACTOR,
                effect.refs,
                {"effect_id": str(effect.id), "port": effect.port, "target": effect.target, "attempts": effect.attempts,
                 "latency_ms": milliseconds, "detail": detail[:500], "standing": effect.notice.after},
            )
        )  # fmt: skip

    def _judge(self, unit: Unit, effect: Effect, outcome: Outcome, turnstile: Turnstile, now: datetime) -> None:
        """What the try says of the target."""
        if outcome.result in (Result.UNAVAILABLE, Result.PENDING):
            turnstile.ended()
        elif outcome.result is Result.RETRY:
            was_open = turnstile.open_until is not None
            turnstile.failed(now)
            if turnstile.open_until is not None and not was_open:
                log.error("target.failing", target=effect.target, until=str(turnstile.open_until), error=outcome.detail)
            store.tell_target(
                unit, effect.target, failures=turnstile.failures, open_until=turnstile.open_until,
                error=outcome.detail, failed_at=now,
            )  # fmt: skip
        elif turnstile.succeeded():
            store.tell_target(unit, effect.target, failures=0, open_until=None, done_at=now)

    def _pause(self, attempts: int, asked: timedelta | None) -> timedelta:
        """Two seconds, four, … to a quarter of an hour, a fifth more or less; never less than the target asked for."""
        seconds = min(900.0, 2.0 ** min(attempts, 12)) * random.uniform(0.8, 1.2)  # noqa: S311 -- jitter is no secret
        return max(timedelta(seconds=seconds), min(asked or timedelta(0), timedelta(hours=1)))
