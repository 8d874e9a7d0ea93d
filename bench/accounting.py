"""A month of a campus's accounting replayed: every packet answered once durable, every session as it must be.

    python -m bench.accounting [--share 1.0] [--at-once 512] [--boxes 64] [--seed 1]

At full size 64 controllers and switch stacks tell of about 260,000 sessions within 31 days by two million records:
interim updates every half hour, a tenth sent twice, a twentieth lost, reboots with and without a word, names of
sessions used again after each, and within a minute any order. ``--share`` takes so much of the controllers.

The records go through what a RADIUS worker runs (proof, reading, commit, answer), and are folded by what the worker
runs, beside each other on a durable PostgreSQL. At the end the table is compared with a plain model of what happened.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

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


async def _replay(url: str, options: argparse.Namespace) -> dict[str, Any]:
    clock = SystemClock()
    database = await Database.open(url, clock=clock)
    begins = clock.now().replace(microsecond=0) - timedelta(days=32)
    then = FakeClock(begins)
    desk, folder = SessionDesk(database, then), Folder(database, clock, new_id(), Ages())
    stop = asyncio.Event()
    folding = asyncio.create_task(folder.run(stop))
    records = 0
    seconds = cpu = 0.0
    rows: list[Row] = []
    for start in range(0, max(1, round(options.boxes * options.share)), _GROUP):
        boxes = min(_GROUP, max(1, round(options.boxes * options.share)) - start)
        made = month(replace(_PLAN, boxes=boxes, first=start), options.seed + start, begins)
        rows += expected(made)
        arrivals = enumerate(arriving(made, options.seed, _JITTER))
        waiting = iter([(at, packet(told, number % 256, _SECRET), told.where) for number, (at, told) in arrivals])

        async def server(waiting: Any = waiting) -> None:
            for at, raw, where in waiting:
                then.set_wall(at)
                await desk.account(decode(raw), where.nas, where.source, [_SECRET])

        begun, used = time.perf_counter(), cpu_seconds(os.getpid())
        await asyncio.gather(*(server() for _ in range(options.at_once)))
        while (await inbox_store.waiting(database))[0]:  # noqa: ASYNC110 -- the folder beside us
            await asyncio.sleep(0.02)
        seconds += time.perf_counter() - begun
        cpu += cpu_seconds(os.getpid()) - used
        records += len(made)
        print(f"{records:>9} records, {records / seconds:.0f}/s", file=sys.stderr)
    stop.set()
    await folding
    found = await _table(database)
    await database.close()
    if in_order(found) != in_order(rows):
        raise SystemExit(f"the table is not the model's: {len(found)} sessions, {len(rows)} expected")
    return {"records": records, "sessions": len(found), "seconds": seconds, "cpu": cpu}


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
    parser.add_argument("--at-once", type=int, default=512, help="packets under way")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    configure(role="bench", level="error")
    server = PostgresServer.create(durable=True)
    try:
        run_apart(migrate(server.url()))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = uvloop.run(_replay(server.url(), options))
    finally:
        server.destroy()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    database = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    each = 1e6 / found["records"]
    print(
        f"{found['records']} records of {found['sessions']} sessions in {found['seconds']:.1f} s "
        f"({found['records'] / found['seconds']:.0f}/s): {found['cpu'] * each:.0f} µs of CPU each in this process, "
        f"{database * each:.0f} µs in PostgreSQL; the table is the model's"
    )
    print(
        json.dumps(
            {
                "accounting_month_records": found["records"],
                "accounting_month_s": round(found["seconds"], 1),
                "accounting_month_per_s": round(found["records"] / found["seconds"]),
                "accounting_month_cpu_us": round(found["cpu"] * each),
                "accounting_month_database_cpu_us": round(database * each),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
