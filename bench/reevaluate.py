"""Standings of a whole fleet evaluated anew after another standing document: how long, and what of it is arithmetic.

    python -m bench.reevaluate [--subjects 100000] [--moving 2000]

A PostgreSQL of its own (fsync on) holds the subjects, each with two open causes, an event and a level, and with what is
remembered of it. The new document moves ``--moving`` of them; all others are looked at and left. Measured is the job
itself (``standing.reevaluate``) from its beginning to the event that ends it, then a look without writing. The last
line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import datetime, timedelta

import uvloop

from tests.support.postgres import PostgresServer, run_apart
from troth.kit.clock import SystemClock
from troth.kit.log import configure
from troth.store.jobs import JobQueue
from troth.store.migrate import migrate
from troth.store.pool import Database
from troth.trust.enforcement.enforce import Enforcer
from troth.trust.enforcement.reevaluation import REEVALUATE_JOB, Reevaluation
from troth.trust.standings.service import RulesService

_ID = "('01900000-0000-7000-8000-' || lpad(to_hex(g), 12, '0'))::uuid"
_FILL = (
    f"""INSERT INTO subject (id, kind, name, origin, standing_since, created_at, confirmed_at)
        SELECT {_ID}, 'device', 'bench-' || g, 'bench', $3, $3, $3 FROM generate_series($1::int, $2::int) AS g""",
    f"""INSERT INTO hold_cause (subject_id, feed, key, level, observed_at, raised_at, signal_id, kind, severity,
                                confidence, peak, effective_at)
        SELECT {_ID}, 'edr', 'edr.alert', 'quarantined', $3, $3, {_ID}, 'edr.alert', 20 + g % 10, 80,
               (20 + g % 10) * 80, $3
        FROM generate_series($1::int, $2::int) AS g""",
    f"""INSERT INTO hold_cause (subject_id, feed, key, level, observed_at, raised_at, signal_id, kind, severity,
                                confidence, peak, effective_at)
        SELECT {_ID}, 'mdm', 'mdm.compliance', 'restricted', $3, $3, {_ID}, 'mdm.noncompliant', 10, 90, 900, $3
        FROM generate_series($1::int, $2::int) AS g""",
    f"""INSERT INTO subject_state (subject_id, state, standing, open_causes, score, rules_version, assessed_at)
        SELECT {_ID}, '{{"scored": "trusted", "since": "1970-01-01T00:00:00Z", "merit": 0,
                        "merit_at": "1970-01-01T00:00:00Z", "suppressed": false, "fallen": false,
                        "quarantined_since": null, "proposed": false}}', 'trusted', 2, 0, 0, $3
        FROM generate_series($1::int, $2::int) AS g""",
)
# Restricted by an old rule; the new document lets go of these.
_RESTRICT = f"""WITH s AS (UPDATE subject SET standing = 'restricted'
                           WHERE id IN (SELECT {_ID} FROM generate_series(1, $1::int) AS g) RETURNING id)
    UPDATE subject_state t SET standing = 'restricted',
        state = jsonb_set(t.state, '{{scored}}', '"restricted"') FROM s WHERE t.subject_id = s.id"""


async def _fill(database: Database, subjects: int, moving: int, at: datetime) -> None:
    for first in range(1, subjects + 1, 20_000):
        for statement in _FILL:
            await database.fetchval(statement, first, min(first + 19_999, subjects), at)
    await database.fetchval(_RESTRICT, moving)
    await database.fetchval("ANALYZE subject, hold_cause, subject_state")


async def _bench(url: str, subjects: int, moving: int) -> dict[str, float]:
    clock = SystemClock()
    database = await Database.open(url, clock=clock)
    try:
        await _fill(database, subjects, moving, clock.now() - timedelta(hours=1))
        rules = RulesService(database, clock)
        await rules.apply(await rules.plan("standing:\n  weights: {'mdm.*': 50}\n"), actor="admin:bench")
        anew = Reevaluation(database, clock, Enforcer())
        begun, cpu = time.perf_counter(), time.process_time()
        await anew.begin(actor="admin:bench")
        queue = JobQueue(database, clock)
        while found := await queue.claim([REEVALUATE_JOB], lease=timedelta(seconds=60)):
            for job in found:
                await anew.run(job)
        whole, spent = time.perf_counter() - begun, time.process_time() - cpu
        begun = time.perf_counter()
        outlook = await anew.outlook()
        looked = time.perf_counter() - begun
        left = int(await database.fetchval("SELECT count(*) FROM subject WHERE standing <> 'trusted'"))
        if outlook.subjects != subjects or outlook.moves or left:
            raise SystemExit(f"looked at {outlook.subjects}, {left} left as they were, {outlook.moves} to move")
        return {"whole": whole, "cpu": spent, "look": looked}
    finally:
        await database.close()


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description="evaluating the standings of a fleet anew")
    parser.add_argument("--subjects", type=int, default=100_000)
    parser.add_argument("--moving", type=int, default=2_000)
    options = parser.parse_args()
    configure(role="bench", level="error")
    server = PostgresServer.create(durable=True)
    try:
        run_apart(migrate(server.url()))
        found = uvloop.run(_bench(server.url(), options.subjects, options.moving))
    finally:
        server.destroy()
    print(f"{options.subjects} subjects with two causes each, {options.moving} of them move\n")
    print(f"{'evaluated anew, moved and recorded':<44}{found['whole']:>8.1f} s")
    print(f"{'  of it CPU of this process':<44}{found['cpu']:>8.1f} s")
    print(f"{'a look without writing':<44}{found['look']:>8.1f} s")
    name = "reevaluate_100k_s" if options.subjects == 100_000 else "reevaluate_s"
    figures = {
        name: round(found["whole"], 1), "reevaluate_cpu_s": round(found["cpu"], 1),
        "reevaluate_look_s": round(found["look"], 1), "subjects": options.subjects, "moved": options.moving,
    }  # fmt: skip
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
