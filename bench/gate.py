"""Issuances per second through the gate: real PostgreSQL with fsync, real signer process, P-256 throughout.

    python -m bench.gate [--seconds 5] [--concurrency 1,16,64,256]

Each issuance is the whole of the gate: shape, durable reservation, lint, signature in the signer process,
verification, durable store. Nothing in front of it (no ACME, no CSR check, no decision) and no sequencer behind it.
CPU is that of the gate's process, of the signer and of all of PostgreSQL's, per issuance. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bench.issuers import authority_under, root_certificate
from tests.support.mint import new_spki
from tests.support.postgres import PostgresServer, run_apart
from troth.kit.clock import SystemClock
from troth.kit.ids import new_id
from troth.kit.log import configure
from troth.pki.authorities import Authority
from troth.pki.catalogue import Catalogue, add_authority
from troth.pki.clockguard import ClockGuard
from troth.pki.gate import Gate
from troth.pki.keys.model import KeyPurpose
from troth.pki.model import IssuanceRequest
from troth.pki.profile import shipped_profiles
from troth.pki.signer.client import SignerClient
from troth.store.migrate import migrate
from troth.store.pool import Database
from troth.store.unit import Unit

_SIGNER = """
import sys, uvloop
from pathlib import Path
from troth.kit.log import configure
from troth.pki.signer.server import SignerSettings, serve
configure(role="signer", level="error")
data = Path(sys.argv[1])
uvloop.run(serve(SignerSettings(data, data / "s.sock", "bench.example/ledger"), lambda: print("ready", flush=True)))
"""


@dataclass(frozen=True)
class Figures:
    """One row of the table: per second, latency in ms, CPU in ms per issuance."""

    concurrency: int
    per_second: float
    p50: float
    p99: float
    gate: float
    signer: float
    postgres: float

    @property
    def cpu(self) -> float:
        """All CPU of one issuance, ms."""
        return self.gate + self.signer + self.postgres


def _cpu(pid: int) -> float:
    """CPU seconds of a process and its children, those included that have ended and were waited for (Linux)."""
    process = Path("/proc") / str(pid)
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        children = (process / "task" / str(pid) / "children").read_text().split()
    except FileNotFoundError:
        return 0.0
    # utime, stime, cutime and cstime: fields 14 to 17 of proc(5), counted behind the command's name.
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK") + sum(_cpu(int(c)) for c in children)


async def _run(gate: Gate, spkis: list[bytes], concurrency: int, seconds: float, pids: tuple[int, int]) -> Figures:
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        count = 0
        while time.perf_counter() < end:
            begun = time.perf_counter()
            names = (("dns", f"host-{number}-{count}.example"),)
            spki = spkis[(number + count) % len(spkis)]
            await gate.issue(
                IssuanceRequest(str(new_id()), "issuing", "tls-server", spki, names, "bench:gate"),
            )
            latencies.append(time.perf_counter() - begun)
            count += 1

    own, signer, postgres = time.process_time(), _cpu(pids[0]), _cpu(pids[1])
    begun = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(concurrency)))
    elapsed = time.perf_counter() - begun
    spent = (time.process_time() - own, _cpu(pids[0]) - signer, _cpu(pids[1]) - postgres)
    latencies.sort()
    n = len(latencies)
    return Figures(
        concurrency,
        n / elapsed,
        latencies[n // 2] * 1000,
        latencies[min(n - 1, n * 99 // 100)] * 1000,
        *(part * 1000 / n for part in spent),
    )


async def _bench(url: str, data: Path, pids: tuple[int, int], levels: list[int], seconds: float) -> list[Figures]:
    clock = SystemClock()
    database = await Database.open(url, clock=clock)
    async with SignerClient(data / "s.sock", "setup", data / "secrets") as setup:
        key = await setup.generate_key(KeyPurpose.ISSUING)
        root, root_key = root_certificate(clock.now())
        issuer = authority_under(root, root_key, key.public_key, clock.now())
        await setup.attach_authority(key.key_id, issuer.public_bytes(Encoding.DER))
    unit = Unit()
    for slug, kind, certificate, key_id in (("root", "root", root, None), ("issuing", "issuing", issuer, key.key_id)):
        base = f"http://pki.bench/{slug}"
        add_authority(
            unit,
            Authority(
                slug,
                f"Bench {slug}",
                "root" if kind == "root" else "issuing",
                None if kind == "root" else "root",
                certificate.public_bytes(Encoding.DER),
                key_id,
                "active",
                True,
                f"{base}.cer",
                f"{base}/ocsp",
                f"{base}.crl",
                clock.now(),
            ),
            actor="bench:gate",
        )
    await database.commit(unit)
    catalogue = Catalogue(database, clock)
    await catalogue.apply_profile(shipped_profiles()["tls-server"], actor="bench:gate")
    spkis = [new_spki() for _ in range(200)]
    async with SignerClient(data / "s.sock", "web", data / "secrets") as signer:
        gate = Gate(database, signer, catalogue, ClockGuard(database, clock), clock, instance=new_id())
        await _run(gate, spkis, 16, 1.0, pids)
        figures = [await _run(gate, spkis, level, seconds, pids) for level in levels]
    issued = await database.fetchval("SELECT count(*) FROM certificate WHERE state = 'issued' AND status = 'good'")
    rows = await database.fetch("SELECT der FROM certificate ORDER BY random() LIMIT 50")
    for row in rows:
        x509.load_der_x509_certificate(row["der"]).verify_directly_issued_by(issuer)
    print(f"{issued} certificates issued; 50 of them verified under the authority")
    await database.close()
    return figures


def _raw_signature_us() -> float:
    """One P-256 signature in this process, for scale."""
    key = ec.generate_private_key(ec.SECP256R1())
    scheme = ec.ECDSA(hashes.SHA256())
    begun = time.perf_counter()
    for _ in range(2000):
        key.sign(b"x" * 600, scheme)
    return (time.perf_counter() - begun) / 2000 * 1e6


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="per level of concurrency")
    parser.add_argument("--concurrency", default="1,16,64,256", help="levels, comma-separated")
    chosen = parser.parse_args()
    levels = [int(level) for level in chosen.concurrency.split(",")]
    configure(role="bench", level="error")
    server = PostgresServer.create(durable=True)
    try:
        run_apart(migrate(server.url()))
        with tempfile.TemporaryDirectory(prefix="troth-bench-") as directory:
            figures = _with_signer(server, Path(directory), levels, chosen.seconds)
    finally:
        server.destroy()
    raw = _raw_signature_us()
    print(f"{'at once':>8} {'per s':>8} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>8} {'gate':>7} {'signer':>7} {'pg':>7}")
    for f in figures:
        print(
            f"{f.concurrency:>8} {f.per_second:>8.0f} {f.p50:>8.1f} {f.p99:>8.1f} {f.cpu:>8.2f} {f.gate:>7.2f}"
            f" {f.signer:>7.2f} {f.postgres:>7.2f}"
        )
    print(f"one raw P-256 signature: {raw:.0f} us")
    best = max(figures, key=lambda f: f.per_second)
    print(
        json.dumps(
            {
                "gate_per_s": round(best.per_second),
                "gate_cpu_ms": round(best.cpu, 3),
                "gate_process_cpu_ms": round(best.gate, 3),
                "gate_signer_cpu_ms": round(best.signer, 3),
                "gate_postgres_cpu_ms": round(best.postgres, 3),
                "gate_concurrency": best.concurrency,
                "gate_single_p50_ms": round(figures[0].p50, 2),
                "raw_signature_us": round(raw, 1),
            }
        )
    )
    return 0


def _with_signer(server: PostgresServer, data: Path, levels: list[int], seconds: float) -> list[Figures]:
    with subprocess.Popen([sys.executable, "-c", _SIGNER, str(data)], stdout=subprocess.PIPE) as signer:
        try:
            if signer.stdout is None or signer.stdout.readline() != b"ready\n":
                raise RuntimeError("the signer did not start")
            if server.process is None:
                raise RuntimeError("PostgreSQL did not start")
            return uvloop.run(_bench(server.url(), data, (signer.pid, server.process.pid), levels, seconds))
        finally:
            signer.terminate()


if __name__ == "__main__":
    sys.exit(main())
