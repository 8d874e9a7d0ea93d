"""Whole ACME orders per second, and what one costs the server, beside step-ca and Debian's pebble in the same run.

    python -m bench.acme [--seconds 6] [--rounds 1] [--clients 16 64] [--few 3]

A whole Troth is started on a temporary directory (``troth up``, embedded PostgreSQL with fsync, real signer) and
served by client processes with the product's own client library: newOrder, authorization, real http-01 through a DNS
and a web server, finalize, download, each certificate checked; and the same with names that an enrolment vouches for
(an account bound by EAB), whose orders are born ready. CPU is that of every process below the supervisor, by role.

All servers run at the same time and are loaded in turn, ``--rounds`` times over, so that each ratio is of neighbours on
one machine. Like is set beside like:

- orders with http-01 beside orders with the same http-01: those of step-ca (its own embedded database, a P-256 key) at
  the same number of clients, and those of a pebble that really validates (everything in memory; it asks the web server
  three times an order, as if from three places) at ``--few``, since pebble hangs above a handful of clients;
- orders that need no validation beside those of a pebble that validates nothing (``PEBBLE_VA_ALWAYS_VALID``), at
  ``--few`` too.

The other ratios are printed as well, apart: http-01 beside the pebble that validates nothing, and orders without
validation beside the peers' http-01. The last line is JSON, with the ratios of like with like.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.acme_load import Clients, Result, account_keys, answering
from bench.acme_peers import pebble, step_ca
from bench.acme_server import Server
from troth.client.jose import SigningKey

_START_SECONDS = 90
#: Rows whose orders are validated end so.
_VALIDATED = " http-01"


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
    words = " ".join(words).split()  # a forked role writes its title as one word
    return words[words.index("--role") + 1] if "--role" in words[:-1] else "supervisor"


def _enrolment(data: Path) -> tuple[str, str]:
    """Key id and HMAC key of a new enrolment that vouches for all names here."""
    command = [
        sys.executable, "-m", "troth", "enrolment", "create", "bench", "--suffix", "bench.test", "--vouch",
        "--accounts", "100000", "--data", str(data), "--output", "json",
    ]  # fmt: skip
    told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return told["key_id"], told["secret"]


@contextmanager
def troth(directory: Path, dns_port: int, http_port: int) -> Iterator[Server]:
    """A Troth of our own that validates against the given ports, or takes an enrolment's word."""
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
            _enrolment(data),
        )
    finally:
        process.terminate()
        process.wait(60)


def measure(server: Server, name: str, keys: list[SigningKey], seconds: float, *, ready: bool = False) -> Figures:
    """Load ``server`` with one client per key; ``ready``: under an enrolment that vouches for the names."""
    clients = Clients(
        server.directory, server.trust, keys, processes=2, seconds=seconds,
        binding=server.binding if ready else ("", ""),
    )  # fmt: skip
    clients.warm()
    before = server.cpu()
    result = clients.run()
    after = server.cpu()
    for error in result.errors[:5]:
        print(f"{name}: {error}", file=sys.stderr)
    if not result.latencies:
        raise SystemExit(f"{name}: no order was finished")
    orders = len(result.latencies)
    parts = {part: (spent - before.get(part, 0.0)) * 1000 / orders for part, spent in after.items()}
    return Figures(name, len(keys), result, parts)


def merged(rows: list[Figures]) -> list[Figures]:
    """Rows of all rounds, one per server and number of clients, in their order."""
    found: dict[tuple[str, int], Figures] = {}
    for row in rows:
        known = found.setdefault((row.server, row.clients), Figures(row.server, row.clients, Result(), {}))
        before, now = known.orders, row.orders
        for part in {*known.cpu, *row.cpu}:
            known.cpu[part] = (known.cpu.get(part, 0.0) * before + row.cpu.get(part, 0.0) * now) / (before + now)
        wall = known.result.wall + row.result.wall
        known.result.add(row.result)
        known.result.wall = wall
    return list(found.values())


def table(rows: list[Figures]) -> None:
    """Print ``rows``, each with its ratio to each peer."""
    print(
        f"{'server':<19}{'clients':>8}{'orders':>8}{'per s':>8}{'p50 ms':>8}{'p99 ms':>8}{'CPU ms':>8}{'client':>8}"
        f"{'requests':>9}{'errors':>7}   CPU ms by part; ratios of like with like; (others)"
    )
    for row in rows:
        parts = "  ".join(f"{part} {spent:.2f}" for part, spent in sorted(row.cpu.items()) if spent >= 0.005)
        same, other = (
            "  ".join(
                f"{row.total / peer.total:.2f} x {peer.server}@{peer.clients}"
                for peer in peers_of(row, rows)
                if alike(row, peer) == wanted
            )
            for wanted in (True, False)
        )
        print(
            f"{row.server:<19}{row.clients:>8}{row.orders:>8}{row.per_second:>8.1f}{row.percentile(0.5):>8.0f}"
            f"{row.percentile(0.99):>8.0f}{row.total:>8.2f}{row.result.cpu * 1000 / row.orders:>8.2f}"
            f"{row.result.requests / row.orders:>9.1f}{len(row.result.errors):>7}   {parts}; {same}; ({other})"
        )


def peers_of(row: Figures, rows: list[Figures]) -> list[Figures]:
    """The others that ``row`` is set beside: of as many clients, or of the few that are all a peer bears."""
    peers = [peer for peer in rows if not peer.server.startswith("troth")]
    return [peer for peer in peers if peer is not row and peer.clients in (row.clients, min(p.clients for p in peers))]


def alike(row: Figures, peer: Figures) -> bool:
    """Whether the orders of both are validated, or of neither."""
    return row.server.endswith(_VALIDATED) == peer.server.endswith(_VALIDATED)


def figures(rows: list[Figures]) -> dict[str, float | int]:
    """The JSON object: the figures of each row, and its ratios to those of its kind."""
    found: dict[str, float | int] = {}
    for row in rows:
        name = _json_name(row)
        found[f"{name}_per_s"] = round(row.per_second, 1)
        found[f"{name}_cpu_ms"] = round(row.total, 2)
        found[f"{name}_p50_ms"] = round(row.percentile(0.5), 1)
        found[f"{name}_errors"] = len(row.result.errors)
        if row.server.startswith("troth"):
            for peer in peers_of(row, rows):
                if alike(row, peer):
                    found[f"{name}_to_{_json_name(peer)}"] = round(row.total / peer.total, 3)
    return found


def _json_name(row: Figures) -> str:
    return f"{row.server.replace(' ', '_').replace('-', '_')}_{row.clients}"


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--clients", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--few", type=int, default=3, help="clients of each pebble")
    chosen = parser.parse_args()
    most = max(*chosen.clients, chosen.few)
    keys, bound = account_keys(most), account_keys(most)
    with tempfile.TemporaryDirectory(prefix="troth-bench-") as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        # The web server tells by a name's second label whose thumbprint is asked for: one list of keys for everyone.
        ports = stack.enter_context(answering([key.public.thumbprint for key in keys]))
        ours = stack.enter_context(troth(directory, *ports))
        step = stack.enter_context(step_ca(directory, *ports))
        checking = stack.enter_context(pebble(directory, ports))
        believing = stack.enter_context(pebble(directory))
        rows: list[Figures] = []
        for _ in range(chosen.rounds):
            for clients in chosen.clients:
                rows.append(measure(ours, "troth http-01", keys[:clients], chosen.seconds))
                if step is not None:
                    rows.append(measure(step, "step-ca http-01", keys[:clients], chosen.seconds))
                if checking is not None:
                    rows.append(measure(checking, "pebble http-01", keys[: chosen.few], chosen.seconds))
                rows.append(measure(ours, "troth ready", bound[:clients], chosen.seconds, ready=True))
                if believing is not None:
                    rows.append(measure(believing, "pebble unvalidated", keys[: chosen.few], chosen.seconds))
    rows = merged(rows)
    table(rows)
    for peer, missing in (("step-ca", step is None), ("pebble", believing is None)):
        if missing:
            print(f"{peer} is not here: no comparison")
    print(json.dumps(figures(rows)))
    return 1 if any(row.result.errors for row in rows if row.server.startswith("troth")) else 0


if __name__ == "__main__":
    sys.exit(main())
