"""Whole ACME orders per second, and what one costs the server, beside Debian's pebble in the same run.

    python -m bench.acme [--seconds 8] [--clients 16] [--few 3] [--few-seconds 5]

A whole Troth is started on a temporary directory (``troth up``, embedded PostgreSQL with fsync, real signer) and
served by client processes with the product's own client library: newOrder, authorization, real http-01 through a DNS
and a web server, finalize, download, each certificate checked. CPU is that of every process below the supervisor.
Pebble keeps everything in memory and validates nothing (``PEBBLE_VA_ALWAYS_VALID``); it hangs above a handful of
clients, so both are measured at ``--few``, too. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.acme_load import Clients, Result, account_keys, answering
from troth.client.jose import SigningKey

_START_SECONDS = 90


@dataclass(frozen=True)
class Server:
    """Something to load.

    Attributes:
        trust: PEM file of the root that its https certificate verifies to.
        cpu: CPU seconds spent so far, by part.
    """

    name: str
    directory: str
    trust: str
    cpu: Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Figures:
    """One row: latencies in ms, CPU in ms per order by part."""

    server: str
    clients: int
    result: Result
    cpu: dict[str, float]

    @property
    def orders(self) -> int:
        """Finished in the measured seconds."""
        return len(self.result.latencies)

    @property
    def per_second(self) -> float:
        """Orders."""
        return self.orders / self.result.wall

    def percentile(self, share: float) -> float:
        """Latency, ms."""
        return sorted(self.result.latencies)[min(self.orders - 1, int(self.orders * share))] * 1000

    @property
    def total(self) -> float:
        """All CPU of an order, ms."""
        return sum(self.cpu.values())

    @property
    def own(self) -> float:
        """CPU of an order without the database's, ms."""
        return self.total - self.cpu.get("postgres", 0.0)


def tree_cpu(pid: int) -> dict[str, float]:
    """CPU seconds of everything below ``pid``, by role; what has ended and was waited for counts with its parent."""
    spent: dict[str, float] = {}
    top = psutil.Process(pid)
    for process in [top, *top.children(recursive=True)]:
        try:
            times, words = process.cpu_times(), process.cmdline()
            part = "postgres" if "postgres" in process.name() else _role(words)
        except psutil.Error:
            continue
        spent[part] = spent.get(part, 0.0) + times.user + times.system + times.children_user + times.children_system
    return spent


def _role(words: list[str]) -> str:
    return words[words.index("--role") + 1] if "--role" in words[:-1] else "supervisor"


@contextmanager
def troth(directory: Path, dns_port: int, http_port: int) -> Iterator[Server]:
    """A Troth of our own that validates against the given ports."""
    data = directory / "data"
    data.mkdir(mode=0o700)
    (data / "troth.toml").write_text(f'[acme]\nhttp_port = {http_port}\nresolver = "127.0.0.1:{dns_port}"\n')
    command = [
        sys.executable, "-m", "troth", "up", "--data", str(data), "--https", "localhost:0", "--http", "127.0.0.1:0",
        "--admin", "localhost:0", "--output", "json",
    ]  # fmt: skip
    with (directory / "troth.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    try:
        line = process.stdout.readline() if process.stdout is not None else b""
        if not line:
            raise SystemExit(f"troth up did not start:\n{(directory / 'troth.log').read_text()[-3000:]}")
        summary = json.loads(line)
        yield Server(
            "troth",
            summary["acme_directories"]["tls-server"],
            summary["root_certificate"],
            lambda: tree_cpu(process.pid),
        )
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def pebble(directory: Path) -> Iterator[Server | None]:
    """Debian's pebble, without its deliberate obstacles; None where it is not installed."""
    program = shutil.which("pebble", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        yield None
        return
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
         "pebble.key", "-out", "pebble.pem", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=IP:127.0.0.1"], cwd=directory, check=True, capture_output=True,
    )  # fmt: skip
    port = _free_port()
    config = {
        "listenAddress": f"127.0.0.1:{port}", "managementListenAddress": f"127.0.0.1:{_free_port()}",
        "certificate": "pebble.pem", "privateKey": "pebble.key", "httpPort": 5002, "tlsPort": 5001,
    }  # fmt: skip
    (directory / "pebble.json").write_text(json.dumps({"pebble": config}))
    environment = {"PEBBLE_VA_ALWAYS_VALID": "1", "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    log = directory / "pebble.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [program, "-config", "pebble.json"],
            cwd=directory, env={**os.environ, **environment}, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        while b"Listening on" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"pebble did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield Server(
            "pebble",
            f"https://127.0.0.1:{port}/dir",
            str(directory / "pebble.pem"),
            lambda: {"pebble": sum(psutil.Process(process.pid).cpu_times()[:2])},
        )
    finally:
        process.kill()
        process.wait()


def measure(server: Server, keys: list[SigningKey], seconds: float, *, processes: int = 1) -> Figures:
    """Load ``server`` with one client per key."""
    clients = Clients(server.directory, server.trust, keys, processes=processes, seconds=seconds)
    clients.warm()
    before = server.cpu()
    result = clients.run()
    after = server.cpu()
    for error in result.errors[:5]:
        print(f"{server.name}: {error}", file=sys.stderr)
    if not result.latencies:
        raise SystemExit(f"{server.name}: no order was finished")
    orders = len(result.latencies)
    parts = {part: (spent - before.get(part, 0.0)) * 1000 / orders for part, spent in after.items()}
    return Figures(server.name, len(keys), result, parts)


def table(rows: list[Figures]) -> None:
    """Print ``rows``."""
    print(
        f"{'server':<8}{'clients':>8}{'orders':>8}{'per s':>8}{'p50 ms':>8}{'p99 ms':>8}{'CPU ms':>8}{'w/o pg':>8}"
        f"{'requests':>9}{'errors':>8}   CPU ms by part"
    )
    for row in rows:
        parts = "  ".join(f"{part} {spent:.2f}" for part, spent in sorted(row.cpu.items()) if spent >= 0.005)
        print(
            f"{row.server:<8}{row.clients:>8}{row.orders:>8}{row.per_second:>8.1f}{row.percentile(0.5):>8.0f}"
            f"{row.percentile(0.99):>8.0f}{row.total:>8.2f}{row.own:>8.2f}"
            f"{row.result.requests / row.orders:>9.1f}{len(row.result.errors):>8}   {parts}"
        )


def figures(many: Figures, few: Figures, other: Figures | None) -> dict[str, float | int | None]:
    """The JSON object."""
    return {
        "acme_orders_per_s": round(many.per_second, 1),
        "acme_cpu_ms": round(many.total, 2),
        "acme_cpu_without_postgres_ms": round(many.own, 2),
        "acme_p50_ms": round(many.percentile(0.5), 1),
        "acme_p99_ms": round(many.percentile(0.99), 1),
        "acme_clients": many.clients,
        "acme_requests_per_order": round(many.result.requests / many.orders, 2),
        "acme_errors": len(many.result.errors) + len(few.result.errors),
        "acme_few_clients": few.clients,
        "acme_few_orders_per_s": round(few.per_second, 1),
        "acme_few_cpu_ms": round(few.total, 2),
        "acme_few_p50_ms": round(few.percentile(0.5), 1),
        "pebble_orders_per_s": None if other is None else round(other.per_second, 1),
        "pebble_cpu_ms": None if other is None else round(other.total, 2),
        "pebble_p50_ms": None if other is None else round(other.percentile(0.5), 1),
        "acme_vs_pebble": None if other is None else round(few.total / other.total, 2),
    }


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="at --clients")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--processes", type=int, default=2, help="client processes that share --clients")
    parser.add_argument("--few", type=int, default=3, help="clients of the comparison with pebble")
    parser.add_argument("--few-seconds", type=float, default=5.0, help="at --few, for each server")
    chosen = parser.parse_args()
    keys = account_keys(chosen.clients + chosen.few)
    many, few = keys[: chosen.clients], keys[chosen.clients :]
    with tempfile.TemporaryDirectory(prefix="troth-bench-") as name:
        directory = Path(name)
        # The few are clients 0, 1, 2 of their own run: the web server must know whose thumbprint that is.
        with answering([key.public.thumbprint for key in many]) as ports, troth(directory, *ports) as server:
            rows = [measure(server, many, chosen.seconds, processes=chosen.processes)]
            rows.append(measure(server, many[: chosen.few], chosen.few_seconds))
        with pebble(directory) as other:
            if other is not None:
                rows.append(measure(other, few, chosen.few_seconds))
    table(rows)
    if len(rows) == 2:
        print("pebble is not installed: no comparison")
    print(json.dumps(figures(rows[0], rows[1], rows[2] if len(rows) > 2 else None)))
    return 1 if any(row.result.errors for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
