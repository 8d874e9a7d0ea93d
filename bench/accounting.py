"""A month of a campus's accounting replayed: every packet answered once durable, every session as it must be.

    python -m bench.accounting [--share 1.0] [--at-once 512] [--boxes 64] [--group 8] [--seed 1]

At full size 64 controllers and switch stacks tell of about 260,000 sessions within 31 days by two million records:
interim updates every half hour, a tenth sent twice, a twentieth lost, reboots with and without a word, names of
sessions used again after each, and within a minute any order. ``--share`` takes so much of the controllers.

The records go through what a RADIUS worker runs (proof, reading, commit, answer), and are folded by what the worker
runs, beside each other on a durable PostgreSQL. At the end the table is compared with a plain model of what happened.
The last line is JSON.

Records are told no faster than they are folded: with more than 10,000 waiting, the boxes wait, so that nothing is put
off. What a record costs must not depend on how many were told before it: every 20,000 records a line says what the last
ones cost here and in PostgreSQL, how large this process is (the records that are still to be told, and the model, are
in it) and how large the tables are. ``accounting_month_growth`` is the CPU of a record in the last fifth, of both
together, over that in the second fifth; null below 400,000 records, when the beginning is still in it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import psutil
import uvloop

from bench.support import cpu_seconds
from tests.support.accounting_month import Plan, Row, arriving, expected, in_order, month, packet
from tests.support.postgres import PostgresServer, run_apart
from troth.kit.clock import FakeClock, SystemClock
from troth.kit.ids import new_id
from troth.kit.log import configure
from troth.radius.sessions import inbox_store, store
from troth.radius.sessions.desk import SessionDesk
from troth.radius.sessions.folding import Folder
from troth.radius.sessions.model import Ages
from troth.radius.sessions.store import Meant
from troth.radius.wire.packet import decode
from troth.store.migrate import migrate
from troth.store.pool import Database

_SECRET = b"between-campus-and-troth"
#: Controllers whose month is made and told at a time: their records fit into memory.
_GROUP = 8
_PLAN = Plan(sessions=1_350, days=31.0, lost=0.05, doubled=0.1, reboots=2, interim_seconds=1_800)
_JITTER = 60.0
_PAGE = 5_000
_SLICE = 20_000
_WAITING = 10_000
#: Slices in a fifth.
_LEAST = 4
_SIZES = """
SELECT (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('radius_session'))::bigint AS sessions,
       pg_total_relation_size('radius_inbox') AS inbox"""


@dataclass(frozen=True, slots=True)
class Slice:
    """What some records cost: CPU in microseconds each; sizes in MiB when the last of them was answered."""

    records: int
    here: float
    database: float
    memory: float
    sessions: float
    inbox: float


class Meter:
    """Looks every so many records at what they cost."""

    def __init__(self, database: Database, server: PostgresServer) -> None:
        self._database = database
        if server.process is None:
            raise ValueError("the server does not run")
        self._server = psutil.Process(server.process.pid)
        self._counted = self._slice = 0
        self._here, self._there = self._spent()
        self.slices: list[Slice] = []

    def begin(self) -> None:
        """What was spent since the last record was on making the next month, not on telling it."""
        self._slice = self._counted
        self._here, self._there = self._spent()

    async def answered(self) -> None:
        """One more."""
        self._counted += 1
        if self._counted - self._slice < _SLICE:
            return
        number, self._slice = self._counted - self._slice, self._counted
        (before, below), (self._here, self._there) = (self._here, self._there), self._spent()
        [sizes] = await self._database.fetch(_SIZES)
        one = Slice(
            self._counted, (self._here - before) / number * 1e6, (self._there - below) / number * 1e6,
            psutil.Process().memory_info().rss / 2**20, sizes["sessions"] / 2**20, sizes["inbox"] / 2**20,
        )  # fmt: skip
        self.slices.append(one)
        print(
            f"{one.records:>9} records: {one.here:.0f} + {one.database:.0f} µs each; {one.memory:.0f} MiB here, "
            f"sessions {one.sessions:.0f} MiB, inbox {one.inbox:.0f} MiB",
            file=sys.stderr,
        )

    @property
    def growth(self) -> float | None:
        """CPU of a record in the last fifth over that in the second; None: too few were told."""
        fifth = len(self.slices) // 5
        if fifth < _LEAST:
            return None
        early, late = self.slices[fifth : 2 * fifth], self.slices[-fifth:]
        return sum(one.here + one.database for one in late) / sum(one.here + one.database for one in early)

    def _spent(self) -> tuple[float, float]:
        """CPU seconds, here and of PostgreSQL with its ended backends."""
        times = self._server.cpu_times()
        there = times.user + times.system + times.children_user + times.children_system
        for child in self._server.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                there += sum(child.cpu_times()[:2])
        return cpu_seconds(os.getpid()), float(there)


async def _replay(server: PostgresServer, options: argparse.Namespace) -> dict[str, Any]:
    clock = SystemClock()
    database = await Database.open(server.url(), clock=clock)
    meter = Meter(database, server)
    begins = clock.now().replace(microsecond=0) - timedelta(days=32)
    then = FakeClock(begins)
    desk, folder = SessionDesk(database, then), Folder(database, clock, new_id(), Ages())
    stop = asyncio.Event()
    folding = asyncio.create_task(folder.run(stop))
    may = asyncio.Event()

    async def pace() -> None:
        """Let the boxes tell while few records wait."""
        while True:
            (may.set if (await inbox_store.waiting(database))[0] < _WAITING else may.clear)()
            await asyncio.sleep(0.1)

    pacing = asyncio.create_task(pace())
    records = 0
    seconds = cpu = 0.0
    rows: list[Row] = []
    whole = max(1, round(options.boxes * options.share))
    for start in range(0, whole, options.group):
        boxes = min(options.group, whole - start)
        made = month(replace(_PLAN, boxes=boxes, first=start), options.seed + start, begins)
        rows += expected(made)
        arrivals = enumerate(arriving(made, options.seed, _JITTER))
        waiting = iter([(at, packet(told, number % 256, _SECRET), told.where) for number, (at, told) in arrivals])

        async def tell(waiting: Any = waiting) -> None:
            for at, raw, where in waiting:
                then.set_wall(at)
                await may.wait()
                await desk.account(decode(raw), where.nas, where.source, [_SECRET])
                await meter.answered()

        meter.begin()
        begun, used = time.perf_counter(), cpu_seconds(os.getpid())
        await asyncio.gather(*(tell() for _ in range(options.at_once)))
        while (await inbox_store.waiting(database))[0]:  # noqa: ASYNC110 -- the folder beside us
            await asyncio.sleep(0.02)
        seconds += time.perf_counter() - begun
        cpu += cpu_seconds(os.getpid()) - used
        records += len(made)
        print(f"{records:>9} records, {records / seconds:.0f}/s", file=sys.stderr)
    stop.set()
    pacing.cancel()
    await asyncio.gather(folding, pacing, return_exceptions=True)
    found = await _table(database)
    await database.close()
    if in_order(found) != in_order(rows):
        raise SystemExit(f"the table is not the model's: {len(found)} sessions, {len(rows)} expected")
    return {"records": records, "sessions": len(found), "seconds": seconds, "cpu": cpu, "growth": meter.growth}


async def _table(database: Database) -> list[Row]:
    found: list[Row] = []
    before = None
    while page := await store.meant(database, Meant(open=False), before=before, limit=_PAGE):
        found += [Row.of(one) for one in page]
        before = page[-1].id
    return found


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description="a month of accounting")
    parser.add_argument("--share", type=float, default=1.0, help="of the controllers")
    parser.add_argument("--boxes", type=int, default=64)
    parser.add_argument("--group", type=int, default=_GROUP, help="controllers whose month is told at a time")
    parser.add_argument("--at-once", type=int, default=512, help="packets under way")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    configure(role="bench", level="error")
    server = PostgresServer.create(durable=True)
    try:
        run_apart(migrate(server.url()))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = uvloop.run(_replay(server, options))
    finally:
        server.destroy()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    database = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    each = 1e6 / found["records"]
    growth = f"; one of the last fifth costs {found['growth']:.2f} times one of the second" if found["growth"] else ""
    print(
        f"{found['records']} records of {found['sessions']} sessions in {found['seconds']:.1f} s "
        f"({found['records'] / found['seconds']:.0f}/s): {found['cpu'] * each:.0f} µs of CPU each in this process, "
        f"{database * each:.0f} µs in PostgreSQL{growth}; the table is the model's"
    )
    print(
        json.dumps(
            {
                "accounting_month_records": found["records"],
                "accounting_month_s": round(found["seconds"], 1),
                "accounting_month_per_s": round(found["records"] / found["seconds"]),
                "accounting_month_cpu_us": round(found["cpu"] * each),
                "accounting_month_database_cpu_us": round(database * each),
                "accounting_month_growth": None if found["growth"] is None else round(found["growth"], 2),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
