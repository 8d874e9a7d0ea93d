"""What a Troth costs that nobody asks anything.

    python -m bench.idle [--seconds 60] [--settle 60] [--quick] [--statements]

A ``troth up`` of its own, and another with RADIUS (two workers), each on a clean directory. After it has settled, for
so many seconds: CPU of every process (user and system, from ``/proc``), its context switches (each wake-up is one), and
transactions of the database (``pg_stat_database``; a statement outside a transaction is one). Our own question of them
is left out. ``--statements`` also has PostgreSQL log each statement, and prints the most frequent.

The last line is JSON: ``idle_cpu_pct`` (of one core) and ``idle_statements_per_s``, and the same with RADIUS.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from bench.signal import started

_COUNT = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
#: PostgreSQL tells its statistics after at most this long without a transaction.
_TOLD_SECONDS = 11.0
_LOGGED = re.compile(r"^(\S+ \S+) UTC \[\d+\] (\S*) LOG:  (?:statement|execute [^:]*): (.*(?:\n\t.*)*)", re.MULTILINE)
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Found:
    """What one Troth did meanwhile, each a second."""

    cpu_pct: float = 0.0
    statements: float = 0.0
    wakes: float = 0.0
    processes: list[tuple[str, float, float]] = field(default_factory=list)
    frequent: list[tuple[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class _Spent:
    name: str
    ticks: int
    switches: int


def _looked(pid: int) -> dict[int, _Spent]:
    """Ticks and context switches of ``pid`` and everything below it."""
    whole = {}
    root = psutil.Process(pid)
    for one in (root, *root.children(recursive=True)):
        try:
            words = Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split()
            told = Path(f"/proc/{one.pid}/status").read_text()
            name = " ".join(one.cmdline())
        except (OSError, psutil.Error):
            continue
        switches = sum(int(line.split()[1]) for line in told.splitlines() if "ctxt_switches" in line)
        whole[one.pid] = _Spent(_named(name), int(words[11]) + int(words[12]), switches)
    return whole


def _named(command: str) -> str:
    if "postgres" in command and "troth" not in command.split()[0]:
        return "postgres " + command.removeprefix("postgres: ").partition(": ")[2][:40].strip()
    found = re.search(r"--role (\w+)(?:.* (worker \d+))?", command)
    return " ".join(filter(None, found.groups())) if found else command.rpartition("/")[2][:40]


async def _transactions(url: str, seconds: float) -> float:
    """Transactions a second that others made."""
    connection = await asyncpg.connect(url)
    try:
        before, begun = await connection.fetchval(_COUNT), time.monotonic()
        await asyncio.sleep(seconds)
        after, ended = await connection.fetchval(_COUNT), time.monotonic()
    finally:
        await connection.close()
    return float(after - before) / (ended - begun)


def _measured(summary: dict[str, Any], settle: float, seconds: float) -> Found:
    time.sleep(settle)
    socket = Path(summary["data_dir"]) / "run" / "postgres"
    url = f"postgresql://troth@/troth?host={socket}&port=5432"
    before, begun = _looked(summary["bench_pid"]), time.monotonic()
    statements = asyncio.run(_transactions(url, max(seconds, _TOLD_SECONDS)))
    after, passed = _looked(summary["bench_pid"]), time.monotonic() - begun
    found = Found(statements=statements)
    for pid, spent in after.items():
        was = before.get(pid, _Spent(spent.name, 0, 0))
        share = (spent.ticks - was.ticks) / _TICK / passed * 100
        wakes = (spent.switches - was.switches) / passed
        found.processes.append((spent.name, share, wakes))
        found.cpu_pct += share
        found.wakes += wakes
    found.processes.sort(key=lambda one: -one[1])
    return found


def _logged(data: Path, begun: float) -> Iterator[str]:
    """Statements that PostgreSQL logged after ``begun``."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(begun))
    for path in (data / "pg" / "log").glob("*.log"):
        for at, who, statement in _LOGGED.findall(path.read_text(errors="replace")):
            if at >= since:
                yield f"{who}: {' '.join(statement.split())[:100]}"


def _one(configuration: str, options: argparse.Namespace) -> Found:
    with started(configuration) as summary:
        data = Path(summary["data_dir"])
        found = _measured(summary, options.settle, options.seconds)
        if options.statements:
            _ask_for_statements(data)
            begun = time.time()
            time.sleep(options.seconds)
            passed = time.time() - begun
            counted = Counter(_logged(data, begun))
            found.frequent = [(text, count / passed) for text, count in counted.most_common(80)]
    return found


def _ask_for_statements(data: Path) -> None:
    for cluster in [data / "pg" / "PG_VERSION"]:
        local = cluster.with_name("postgresql.local.conf")
        local.write_text("log_statement = 'all'\n")
        os.chown(local, cluster.stat().st_uid, cluster.stat().st_gid)
        os.kill(int(cluster.with_name("postmaster.pid").read_text().split()[0]), 1)


def _told(title: str, found: Found) -> None:
    print(f"\n{title}\n{'process':<44}{'CPU %':>8}{'switches/s':>12}")
    for name, share, wakes in found.processes:
        print(f"{name:<44}{share:>8.2f}{wakes:>12.1f}")
    print(f"{'together':<44}{found.cpu_pct:>8.2f}{found.wakes:>12.1f}")
    print(f"transactions a second: {found.statements:.1f}")
    for text, rate in found.frequent:
        print(f"{rate:8.2f}/s  {text}")


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--settle", type=float, default=60.0, help="seconds between ready and the measurement")
    parser.add_argument("--quick", action="store_true", help="15 seconds, after 40")
    parser.add_argument("--statements", action="store_true", help="and say which statements they are")
    parser.add_argument("--only", choices=("plain", "radius"))
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.settle = 15.0, 40.0
    figures = {}
    for name, title, configuration in (
        ("plain", "idle", ""),
        ("radius", "idle, with RADIUS and two workers", '[radius]\nlisten = "127.0.0.1:0"\nworkers = 2\n'),
    ):
        if options.only in (None, name):
            found = _one(configuration, options)
            _told(title, found)
            prefix = "idle" if name == "plain" else "idle_radius"
            figures[f"{prefix}_cpu_pct"] = round(found.cpu_pct, 2)
            figures[f"{prefix}_statements_per_s"] = round(found.statements, 1)
            figures[f"{prefix}_wakes_per_s"] = round(found.wakes, 1)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
