"""OCSP answers per second and their CPU: one status worker, each answer signed live, beside ``openssl ocsp``.

    python -m bench.ocsp [--seconds 2] [--rounds 3] [--connections 32] [--certificates 500]

Real parts throughout: PostgreSQL, the signer process, certificates from the gate, a status worker that follows the
trust stream, the product's HTTP server on loopback. The load comes from this process over kept connections; a row says
when each request has a connection of its own, as ``openssl ocsp`` wants it. CPU is that of the serving process, per
answer. Rounds are interleaved and the median counts. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bench.issuers import root_certificate
from bench.support import child, cpu_seconds, make_authority, raw_signature_us, signer_client, signer_process
from tests.support.mint import new_spki
from tests.support.postgres import PostgresServer, run_apart
from troth.audit.sequencer import Sequencer
from troth.audit.store import LedgerStore
from troth.kit.clock import SystemClock
from troth.kit.ids import new_id
from troth.kit.log import configure
from troth.kit.status_settings import OcspSettings
from troth.pki.catalogue import Catalogue
from troth.pki.clockguard import ClockGuard
from troth.pki.gate import Gate
from troth.pki.model import IssuanceRequest
from troth.pki.ocsp import build_request
from troth.pki.responder import Responders
from troth.status.worker import StatusWorker
from troth.store.migrate import migrate
from troth.store.pool import Database
from troth.web.server import Listening, serve

_TYPE = b"content-type: application/ocsp-request\r\n"


@dataclass(frozen=True)
class Mode:
    """One row of the table: what is sent, and to whom. ``kept``: connections stay open."""

    name: str
    port: int
    pid: int
    requests: Sequence[bytes]
    kept: bool = True


@dataclass(frozen=True)
class Round:
    """One measurement."""

    per_second: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


def http_requests(bodies: Sequence[bytes], method: str) -> list[bytes]:
    """Whole HTTP requests around OCSP requests."""
    if method == "GET":
        paths = (quote(base64.b64encode(body).decode(), safe="") for body in bodies)
        return [f"GET /ocsp/issuing/{path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode() for path in paths]
    head = b"POST /ocsp/issuing HTTP/1.1\r\nhost: bench\r\n" + _TYPE
    return [head + b"content-length: %d\r\n\r\n" % len(body) + body for body in bodies]


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    at = head.index(b"content-length:") + 15
    return await reader.readexactly(int(head[at : head.index(b"\r", at)]))


async def measure(mode: Mode, connections: int, seconds: float) -> Round:
    """Load one server for ``seconds``; every connection's last answer is read by another parser."""
    latencies: list[float] = []
    last: list[bytes] = []
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        count, answer = number, b""
        wire: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while (begun := time.perf_counter()) < end:
            if wire is None or not mode.kept:
                wire = await asyncio.open_connection("127.0.0.1", mode.port)
            reader, writer = wire
            answer = await _exchange(reader, writer, mode.requests[count % len(mode.requests)])
            if not mode.kept:
                writer.close()
            latencies.append(time.perf_counter() - begun)
            count += 1
        if wire is not None:
            wire[1].close()
        last.append(answer)

    begun, spent = time.perf_counter(), cpu_seconds(mode.pid)
    await asyncio.gather(*(client(number) for number in range(connections)))
    elapsed, spent = time.perf_counter() - begun, cpu_seconds(mode.pid) - spent
    for answer in last:
        if ocsp.load_der_ocsp_response(answer).certificate_status is not ocsp.OCSPCertStatus.GOOD:
            raise RuntimeError(f"{mode.name}: an answer was not good")
    latencies.sort()
    n = len(latencies)
    return Round(n / elapsed, spent / n * 1e6, latencies[n // 2] * 1000, latencies[n * 99 // 100] * 1000)


async def prepare(url: str, data: Path, certificates: int) -> tuple[x509.Certificate, list[bytes]]:
    """Issue certificates and a responder; the authority and the serial numbers."""
    clock = SystemClock()
    database = await Database.open(url, clock=clock)
    stop = asyncio.Event()
    sequencing = asyncio.create_task(Sequencer(database, clock, new_id()).run(stop))
    issuer = await make_authority(database, data, clock, ("tls-server", "ocsp-responder"))
    catalogue = Catalogue(database, clock)
    await catalogue.refresh()
    async with signer_client(data, "worker") as signer:
        gate = Gate(database, signer, catalogue, ClockGuard(database, clock), clock, instance=new_id())
        await Responders(database, gate, signer, catalogue, clock).ensure("issuing")
        spki = new_spki()
        issued = await asyncio.gather(
            *(
                gate.issue(
                    IssuanceRequest(f"bench-{n}", "issuing", "tls-server", spki, (("dns", f"h{n}.example"),), "bench")
                )
                for n in range(certificates)
            )
        )
    ledger = LedgerStore(database)
    async with asyncio.timeout(30):
        while await ledger.oldest_unsequenced() is not None:  # noqa: ASYNC110 -- the sequencer has no one to tell
            await asyncio.sleep(0.05)
    stop.set()
    await sequencing
    await database.close()
    return issuer, [one.serial for one in issued]


async def run_status(url: str, data: Path, port: int) -> None:
    """The serving process: a status worker and its door, until it is ended."""
    configure(role="status", level="error")
    clock, stop = SystemClock(), asyncio.Event()
    database = await Database.open(url, clock=clock)
    listener = socket.create_server(("127.0.0.1", port), backlog=512)
    listener.setblocking(False)
    async with signer_client(data, "status") as signer:
        worker = StatusWorker(database, signer, clock, new_id(), OcspSettings())
        await asyncio.gather(
            worker.run(stop, lambda: print("ready", flush=True)),
            serve([Listening(app=worker.door.lane(), sockets=[listener])], stop=stop, ready=lambda: None),
        )


@contextmanager
def openssl_responder(directory: Path) -> Iterator[tuple[int, int, list[bytes]] | None]:
    """``openssl ocsp`` with a P-256 responder and one good certificate: port, pid, requests; None without it."""
    program = shutil.which("openssl")
    if program is None:
        yield None
        return
    now = SystemClock().now()
    root, root_key = root_certificate(now)
    key = ec.generate_private_key(ec.SECP256R1())
    responder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Bench OCSP")]))
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    serial = bytes.fromhex("40" + "11" * 15)
    (directory / "ca.pem").write_bytes(root.public_bytes(Encoding.PEM))
    (directory / "responder.pem").write_bytes(responder.public_bytes(Encoding.PEM))
    (directory / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (directory / "index.txt").write_text(f"V\t991231235959Z\t\t{serial.hex().upper()}\tunknown\t/CN=leaf\n")
    port = _free_port()
    process = subprocess.Popen(
        [
            program, "ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "responder.pem", "-rkey", "key.pem",
            "-port", str(port), "-nmin", "1",
        ],
        cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        body = build_request(serial, root)
        head = b"POST / HTTP/1.0\r\n" + _TYPE + b"content-length: %d\r\n\r\n" % len(body)
        _wait_for(port, head + body)
        yield port, process.pid, [head + body]
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, request: bytes) -> None:
    """Return once there is an answer. (A connection that sends nothing would hang ``openssl ocsp`` for good.)"""
    end = time.monotonic() + 10
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                connection.sendall(request)
                connection.recv(1)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def run(arguments: argparse.Namespace, data: Path, url: str) -> dict[str, list[Round]]:
    """All rows of all rounds."""
    issuer, serials = uvloop.run(prepare(url, data, arguments.certificates))
    plain = [build_request(serial, issuer) for serial in serials]
    nonced = [build_request(serial, issuer, nonce=os.urandom(32)) for serial in serials]
    port = _free_port()
    serving = (sys.executable, "-m", "bench.ocsp", "--serve", url, str(data), str(port))
    with child(*serving) as status, openssl_responder(data) as peer:
        modes = [
            Mode("GET", port, status.pid, http_requests(plain, "GET")),
            Mode("POST", port, status.pid, http_requests(plain, "POST")),
            Mode("GET, nonce", port, status.pid, http_requests(nonced, "GET")),
            Mode("POST, nonce", port, status.pid, http_requests(nonced, "POST")),
            Mode("POST, new connection", port, status.pid, http_requests(plain, "POST"), kept=False),
        ]
        if peer is not None:
            modes.append(Mode("openssl ocsp (new connection)", *peer, kept=False))
        uvloop.run(measure(modes[1], arguments.connections, 1.0))  # every serial number has been looked up then
        rounds: dict[str, list[Round]] = {mode.name: [] for mode in modes}
        for _ in range(arguments.rounds):
            for mode in modes:
                # openssl ocsp serves one connection at a time and drops what its short backlog does not hold.
                at_once = arguments.connections if mode.port == port else 2
                rounds[mode.name].append(uvloop.run(measure(mode, at_once, arguments.seconds)))
    return rounds


def report(rounds: dict[str, list[Round]], raw: float) -> None:
    """The table, and the line of JSON."""

    def median(name: str, field: str) -> float:
        values: list[float] = [getattr(one, field) for one in rounds[name]]
        return statistics.median(values)

    print(f"{'request':<32} {'per s':>8} {'CPU us':>8} {'x raw':>6} {'p50 ms':>8} {'p99 ms':>8}")
    for name in rounds:
        cpu = median(name, "cpu_us")
        print(
            f"{name:<32} {median(name, 'per_second'):>8.0f} {cpu:>8.1f} {cpu / raw:>6.1f}"
            f" {median(name, 'p50_ms'):>8.2f} {median(name, 'p99_ms'):>8.2f}"
        )
    print(f"{'one raw P-256 signature':<32} {1e6 / raw:>8.0f} {raw:>8.1f} {1:>6.1f}")
    figures = {
        "ocsp_cpu_us": round(median("POST", "cpu_us"), 1),
        "ocsp_per_s": round(median("POST", "per_second")),
        "ocsp_get_cpu_us": round(median("GET", "cpu_us"), 1),
        "ocsp_get_per_s": round(median("GET", "per_second")),
        "ocsp_nonce_cpu_us": round(median("POST, nonce", "cpu_us"), 1),
        "ocsp_p99_ms": round(median("POST", "p99_ms"), 2),
        "ocsp_new_connection_cpu_us": round(median("POST, new connection", "cpu_us"), 1),
        "raw_signature_us": round(raw, 1),
    }
    peer = "openssl ocsp (new connection)"
    if peer in rounds:
        figures["openssl_ocsp_cpu_us"] = round(median(peer, "cpu_us"), 1)
        pairs = zip(rounds[peer], rounds["POST, new connection"], strict=True)
        figures["openssl_vs_ocsp_cpu"] = round(statistics.median(a.cpu_us / b.cpu_us for a, b in pairs), 2)
    print(json.dumps(figures))


def main() -> int:
    """Run the benchmark, or (``--serve``) be its serving process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--certificates", type=int, default=500)
    parser.add_argument("--serve", nargs=3, metavar=("URL", "DATA", "PORT"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        url, data, port = chosen.serve
        uvloop.run(run_status(url, Path(data), int(port)))
        return 0
    configure(role="bench", level="error")
    server = PostgresServer.create(durable=True)
    try:
        run_apart(migrate(server.url()))
        with tempfile.TemporaryDirectory(prefix="troth-bench-") as directory, signer_process(Path(directory)):
            rounds = run(chosen, Path(directory), server.url())
    finally:
        server.destroy()
    report(rounds, raw_signature_us())
    return 0


if __name__ == "__main__":
    sys.exit(main())
