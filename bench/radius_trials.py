"""Nobody is let in once it is effective that nobody is to be: tens of thousands of attempts around holds and releases.

A few devices are put on hold and released all the time, through the API, while all of them join as fast as one client
can, most by resumed TLS sessions. An attempt counts as a *trial* if its last request was sent within 50 ms of the
acknowledgement of a hold or a release of its own certificate. It is a *wrong accept* if that request was sent after
the hold was effective (every decision point of this installation has acknowledged its event, or its lease has lapsed,
as the database says) and before its release was asked for. In between, workers are killed, and the sequencer and the
workers' connections to the database are cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg
import psutil

from bench.radius_house import SSID, Holder, House
from tests.support.radius_load import Ended, Load, Manner

_WINDOW = 0.05
_STATIONS = 8
_EVENT = "SELECT max(coalesce(more[cardinality(more)], idx)) FROM ledger_subject WHERE ref = $1"
_BEHIND = "SELECT count(*) FROM stream_point WHERE lease_until > now() AND idx <= $1"


@dataclass
class Change:
    """One hold and its release; monotonic seconds, infinite while it has not come."""

    held_at: float = float("inf")
    effective_at: float = float("inf")
    release_asked_at: float = float("inf")
    released_at: float = float("inf")


@dataclass
class Trials:
    """What came of it."""

    trials: int = 0
    wrong: list[str] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    holds: int = 0
    never_effective: int = 0
    resumed: int = 0
    killed: int = 0
    cut: int = 0
    effective_ms: list[float] = field(default_factory=list)


class _Authority:
    """Holds and releases, in a thread of its own, until told to stop."""

    def __init__(self, house: House, holders: list[Holder], seed: int) -> None:
        self._house = house
        self._holders = holders
        self._chance = random.Random(seed)
        self.changes: dict[str, list[Change]] = {one.name: [] for one in holders}
        self.stop = threading.Event()
        self.trouble: list[str] = []
        #: Devices whose hold or release is being asked for, or was acknowledged a moment ago: until when.
        self.hot: dict[str, float] = {}
        self.killed = self.cut = 0
        self._threads = [threading.Thread(target=self._run, args=(part,)) for part in range(4)]
        self._threads.append(threading.Thread(target=self._disturb))

    @contextlib.contextmanager
    def acting(self) -> Iterator[None]:
        """For as long as the block runs."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in self._threads:
                thread.join()

    def _run(self, part: int) -> None:
        mine = self._holders[part::4]
        asyncio.run(self._toggle(mine))

    async def _toggle(self, mine: list[Holder]) -> None:
        database = await asyncpg.connect(host=self._house.database, user="troth", database="troth")
        try:
            while not self.stop.is_set():
                for holder in mine:
                    await self._once(database, holder)
        except (OSError, asyncpg.PostgresError, AssertionError) as error:
            self.trouble.append(repr(error))
            self.stop.set()
        finally:
            await database.close()

    async def _once(self, database: Any, holder: Holder) -> None:
        ref, change = f"certificate:{holder.id}", Change()
        before = await database.fetchval(_EVENT, ref)
        self.changes[holder.name].append(change)
        await self._act(holder, "hold", {"note": "trial"})
        change.held_at = time.monotonic()
        until = change.held_at + 0.15 + self._chance.random() * 0.1
        while time.monotonic() < until or (change.effective_at == float("inf") and time.monotonic() < until + 3):
            if change.effective_at == float("inf"):
                index = await database.fetchval(_EVENT, ref)
                if index != before and await database.fetchval(_BEHIND, index) == 0:
                    change.effective_at = time.monotonic()
            await asyncio.sleep(0.005)
        change.release_asked_at = time.monotonic()
        await self._act(holder, "release", {})
        change.released_at = time.monotonic()
        await asyncio.sleep(0.1 + self._chance.random() * 0.1)

    def hottest(self, now: float) -> list[str]:
        """Those that are worth an attempt now."""
        return [name for name, until in list(self.hot.items()) if now < until]

    async def _act(self, holder: Holder, what: str, body: dict[str, str]) -> None:
        self.hot[holder.name] = float("inf")
        answer = await asyncio.to_thread(self._house.api.post, f"/certificates/{holder.id}/{what}", json=body)
        self.hot[holder.name] = time.monotonic() + _WINDOW
        assert answer.status_code in (200, 201, 202, 204), answer.text

    def _disturb(self) -> None:
        """Every few seconds a worker is killed, or the sequencer stands still, or connections are cut."""
        turn = 0
        while not self.stop.wait(3.0 + 2 * self._chance.random()):
            turn += 1
            try:
                if turn % 3 == 0:
                    self._chance.choice(self._house.workers()).send_signal(signal.SIGKILL)
                    self.killed += 1
                elif turn % 3 == 1:
                    (worker,) = self._house.processes("worker")
                    worker.send_signal(signal.SIGSTOP)
                    self.stop.wait(1.5)
                    worker.send_signal(signal.SIGCONT)
                    self.cut += 1
                else:
                    asyncio.run(self._cut())
                    self.cut += 1
            except (psutil.Error, OSError, asyncpg.PostgresError) as error:
                self.trouble.append(repr(error))

    async def _cut(self) -> None:
        database = await asyncpg.connect(host=self._house.database, user="troth", database="troth")
        try:
            await database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ILIKE '%ledger_event%' "
                "AND pid <> pg_backend_pid() AND datname = current_database() AND backend_type = 'client backend'"
            )
        finally:
            await database.close()


def run(house: House, trials: int, *, seed: int = 1, most_seconds: float = 3600.0) -> Trials:
    """Until there were so many trials."""
    holders = house.holders
    authority = _Authority(house, holders, seed)
    found = Trials()
    chance = random.Random(seed)
    # Each station has an address of its own, so that several may show one device's certificate at the same time.
    devices = [replace(one, mac="") for one in house.devices("1.3")]
    by_identity = {one.identity: holder.name for one, holder in zip(devices, holders, strict=True)}
    attempts: list[tuple[str, str, float]] = []
    began = time.monotonic()

    def watch(ended: Ended) -> None:
        attempts.append((by_identity[ended.device.identity], ended.how, ended.asked_at))

    by_name = {holder.name: one for one, holder in zip(devices, holders, strict=True)}

    def choose(_station: int, _run: int) -> Any:
        hot = authority.hottest(time.monotonic())
        return by_name[chance.choice(hot)] if hot else chance.choice(devices)

    manner = Manner(ports=4, resume=True, timeout=0.7, tries=2, ssid=SSID)
    with Load(
        house.address, house.secret, devices, stations=_STATIONS, manner=manner, choose=choose, watch=watch
    ) as load:
        load.run(4 * len(devices))
        attempts.clear()
        with authority.acting():
            while found.trials < trials and not authority.stop.is_set() and time.monotonic() - began < most_seconds:
                outcome = load.run(500)
                found.resumed += outcome.resumed
                found.ended.update(outcome.ended)
                if outcome.cheats:
                    raise SystemExit(f"the server cheated: {dict(outcome.cheats)}")
                # The last ones are judged with what is known of their changes a little later.
                ripe = [one for one in attempts if one[2] < time.monotonic() - 5]
                del attempts[: len(ripe)]
                _judge(found, authority.changes, ripe)
        _judge(found, authority.changes, attempts)
    if authority.trouble:
        raise SystemExit(f"the trials were disturbed by something else: {authority.trouble[:3]}")
    every = [one for changes in authority.changes.values() for one in changes]
    found.holds = len(every)
    found.killed, found.cut = authority.killed, authority.cut
    ends = [one for one in every if one.released_at != float("inf")]
    found.never_effective = sum(one.effective_at == float("inf") for one in ends)
    found.effective_ms = [1000 * (one.effective_at - one.held_at) for one in ends if one.effective_at != float("inf")]
    return found


def _judge(found: Trials, changes: dict[str, list[Change]], attempts: list[tuple[str, str, float]]) -> None:
    for name, how, asked_at in attempts:
        near = [one for one in list(changes[name]) if one.held_at == float("inf") or abs(asked_at - one.held_at) < 30]
        if any(min(abs(asked_at - one.held_at), abs(asked_at - one.released_at)) <= _WINDOW for one in near):
            found.trials += 1
        if how == "accept":
            wrong = next((one for one in near if one.effective_at <= asked_at < one.release_asked_at), None)
            if wrong is not None:
                late = 1000 * (asked_at - wrong.effective_at)
                found.wrong.append(f"{name}: asked {late:.1f} ms after the hold was effective")
