"""From a signal's request to OCSP's answer: how long until *every* status worker says revoked (certificateHold).

    python -m bench.signal [--troth SUMMARY.json] [--devices 60] [--rate 15] [--seconds 20] [--ocsp-load 150]

Without ``--troth`` (the JSON that ``troth up --output json`` prints) a Troth of its own is started, with two status
workers. Signed signals go out at a steady rate, each about another device, alternately an intrusion and its clearing.
From the moment the request is sent, a poller on a connection of its own to each status worker asks OCSP for that
device's certificate until the answer has changed; the slowest worker counts. Beside that, a steady load of OCSP
requests for all certificates. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from bench.signed import post_signal

_POLL_SECONDS = 0.004
_GIVE_UP_SECONDS = 20.0
_POLICY = """policy: bench
description: Certificates for the devices of a benchmark.
profiles: [client-device]
standing:
  quarantined: {profile: quarantine, lifetime: 4h}
rules:
  - rule: everyone
    then: allow
    unknown: deny
"""


@dataclass
class Wire:
    """One kept-alive HTTP/1.1 connection: a request at a time, nothing in between."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    host: str
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    async def open(cls, url: str, tls: ssl.SSLContext | None = None) -> Wire:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port, ssl=tls, server_hostname=parts.hostname if tls else None
        )
        return cls(reader, writer, parts.netloc)

    @property
    def local_port(self) -> int:
        return int(self.writer.get_extra_info("sockname")[1])

    async def post(self, path: str, body: bytes, headers: str) -> tuple[int, bytes]:
        """Status and body."""
        async with self.busy:
            head = f"POST {path} HTTP/1.1\r\nhost: {self.host}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
            self.writer.write(head.encode() + body)
            answer = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = next(line[15:] for line in answer.splitlines() if line.startswith("content-length:"))
            return int(answer[9:12]), await self.reader.readexactly(int(length))

    def close(self) -> None:
        self.writer.close()


@dataclass
class Device:
    """A device with one certificate."""

    name: str
    request: bytes = b""
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class Figures:
    """What was measured, in seconds."""

    held: list[float] = field(default_factory=list)
    released: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    load_answers: int = 0
    wrong: int = 0


class Bench:
    """One run against one Troth."""

    def __init__(self, summary: dict[str, Any], devices: int) -> None:
        self.summary = summary
        self.devices = [Device(f"bench-{os.urandom(3).hex()}-{number}") for number in range(devices)]
        self.feed = f"bench-{os.urandom(4).hex()}"
        self.secret = b""
        self.ocsp_path = ""
        self.pollers: list[Wire] = []
        self.figures = Figures()
        self._numbers = iter(range(1 << 30))

    # --- setting the stage -------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """A feed, devices, and a certificate for each, by way of the administrator's socket."""
        socket = str(self.summary.get("admin_socket") or Path(self.summary["data_dir"]) / "run" / "admin.sock")
        transport = httpx.AsyncHTTPTransport(uds=socket)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1", timeout=60) as admin:
            await self._policy(admin)
            feed = (
                f"feeds:\n  - name: {self.feed}\n    kinds: [edr.*]\n    scope: {{subjects: [device]}}\n"
                "    cap: {percent: 100, subjects: 1000000}\n"
            )
            (change,) = (await self._apply(admin, feed))["changes"]
            self.secret = base64.b64decode(change["secret"].removeprefix("whsec_"))
            listed = "".join(f"  - {{name: {device.name}, names: [{device.name}.test]}}\n" for device in self.devices)
            await self._apply(admin, f"source: {self.feed}\ndevices:\n{listed}")
            key = ec.generate_private_key(ec.SECP256R1())
            for device in self.devices:
                await self._certify(admin, device, key)

    async def _policy(self, admin: httpx.AsyncClient) -> None:
        """Let anyone have a device certificate: what is measured is what happens to it afterwards."""
        text = _POLICY
        for policy in (await admin.get("/policies")).raise_for_status().json():
            if "client-device" in policy["text"].split("profiles:")[1].splitlines()[0]:
                text = _POLICY.replace("policy: bench", f"policy: {policy['name']}")
        await self._apply(admin, text)

    async def _apply(self, admin: httpx.AsyncClient, text: str) -> dict[str, Any]:
        answer = await admin.post("/apply", content=text.encode(), headers={"content-type": "application/yaml"})
        if answer.status_code != 200:
            raise SystemExit(f"cannot prepare the benchmark: {answer.text}")
        found: dict[str, Any] = answer.json()
        return found

    async def _certify(self, admin: httpx.AsyncClient, device: Device, key: ec.EllipticCurvePrivateKey) -> None:
        names = x509.SubjectAlternativeName([x509.DNSName(f"{device.name}.test")])
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, critical=False)
        pem = csr.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
        order = {"profile": "client-device", "subject": f"device:{device.name}", "csr": pem}
        answer = await admin.post("/certificates", json=order)
        if answer.status_code != 201:
            raise SystemExit(f"cannot issue to {device.name}: {answer.text}")
        issued = answer.json()
        certificate = x509.load_pem_x509_certificate(issued["certificate"].encode())
        issuer = x509.load_pem_x509_certificate(issued["chain"][0].encode())
        asked = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1()).build()  # noqa: S303
        device.request = asked.public_bytes(serialization.Encoding.DER)
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        (url,) = (
            one.access_location.value for one in access if one.access_method == AuthorityInformationAccessOID.OCSP
        )
        self.ocsp_path = urlsplit(url).path

    async def connect(self) -> int:
        """One polling connection to each status worker. Returns how many workers there are."""
        by_worker: dict[int, Wire] = {}
        port = urlsplit(self.summary["http_url"]).port
        fruitless = 0
        while fruitless < 40:
            wire = await Wire.open(self.summary["http_url"])
            await self._ask(wire, self.devices[0])
            worker = _owner(port or 0, wire.local_port)
            if worker is None or worker in by_worker:
                wire.close()
                fruitless += 1
            else:
                by_worker[worker] = wire
                fruitless = 0
        self.pollers = list(by_worker.values())
        return len(self.pollers)

    # --- the run -----------------------------------------------------------------------------------------------------

    async def run(self, *, rate: float, seconds: float, load: float) -> None:
        """Send for ``seconds``, under load, and wait until everything that was sent has shown."""
        tls = ssl.create_default_context(cafile=self.summary["root_certificate"])
        senders = [await Wire.open(self.summary["https_url"], tls) for _ in range(4)]
        loading = [asyncio.create_task(self._load(load / 4)) for _ in range(4)]
        walks: list[asyncio.Task[None]] = []
        start = time.perf_counter()
        # One walk is two signals: an intrusion and its clearing.
        for number in range(int(rate / 2 * seconds)):
            await asyncio.sleep(max(0.0, start + number / (rate / 2) - time.perf_counter()))
            device = self.devices[number % len(self.devices)]
            walks.append(asyncio.create_task(self._walk(device, senders[number % len(senders)])))
        await asyncio.gather(*walks)
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, return_exceptions=True)
        for wire in (*senders, *self.pollers):
            wire.close()

    async def _walk(self, device: Device, sender: Wire) -> None:
        async with device.busy:
            for kind, held, found in (
                ("edr.intrusion", True, self.figures.held),
                ("edr.cleared", False, self.figures.released),
            ):
                try:
                    found.append(await self._signal(device, sender, kind, held))
                except (TimeoutError, OSError, AssertionError) as error:
                    self.figures.failures.append(f"{kind} {device.name}: {error!r}")

    async def _signal(self, device: Device, sender: Wire, kind: str, held: bool) -> float:
        """Seconds from the request sent to the last worker's changed answer."""
        start = time.perf_counter()
        polling = [asyncio.create_task(self._poll(wire, device, held)) for wire in self.pollers]
        number = next(self._numbers)
        status, answer = await post_signal(sender, self.feed, self.secret, number, device.name, kind)
        self.figures.accepted.append(time.perf_counter() - start)
        assert status == 202, answer
        return max(await asyncio.gather(*polling)) - start

    async def _poll(self, wire: Wire, device: Device, held: bool) -> float:
        """When this worker's answer had changed."""
        async with asyncio.timeout(_GIVE_UP_SECONDS):
            while await self._ask(wire, device) is not held:  # noqa: ASYNC110 -- the other end is another program
                await asyncio.sleep(_POLL_SECONDS)
        return time.perf_counter()

    async def _ask(self, wire: Wire, device: Device) -> bool:
        """Whether OCSP says revoked (certificateHold) rather than good."""
        status, answer = await wire.post(self.ocsp_path, device.request, "content-type: application/ocsp-request\r\n")
        assert status == 200, status
        response = ocsp.load_der_ocsp_response(answer)
        assert response.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL, response.response_status
        if response.certificate_status is ocsp.OCSPCertStatus.REVOKED:
            assert response.revocation_reason is x509.ReasonFlags.certificate_hold
            return True
        assert response.certificate_status is ocsp.OCSPCertStatus.GOOD
        return False

    async def _load(self, rate: float) -> None:
        """OCSP requests for all certificates in turn, ``rate`` a second."""
        if rate <= 0:
            return
        wire = await Wire.open(self.summary["http_url"])
        try:
            start = time.perf_counter()
            for number in range(1 << 30):
                await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
                await self._ask(wire, self.devices[number % len(self.devices)])
                self.figures.load_answers += 1
        finally:
            wire.close()


def _owner(server_port: int, client_port: int) -> int | None:
    """The process at the other end of our connection."""
    for connection in psutil.net_connections("tcp"):
        here, there = connection.laddr, connection.raddr
        if here and there and (here.port, there.port) == (server_port, client_port):
            return None if connection.pid is None else int(connection.pid)
    return None


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1000


@contextlib.contextmanager
def started(configuration: str) -> Iterator[dict[str, Any]]:
    """A Troth of our own in a temporary directory; ``configuration`` is its troth.toml."""
    with tempfile.TemporaryDirectory(prefix="troth-bench-") as directory:
        data = Path(directory) / "data"
        data.mkdir(mode=0o700)
        (data / "troth.toml").write_text(configuration)
        log = Path(directory) / "log"
        command = [
            sys.executable, "-m", "troth", "up", "--data", str(data), "--https", "localhost:0",
            "--http", "127.0.0.1:0", "--admin", "localhost:0", "--output", "json",
        ]  # fmt: skip
        with log.open("wb") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"troth up did not start:\n{log.read_text()[-3000:]}")
            yield {**json.loads(line), "bench_pid": process.pid}
        finally:
            process.terminate()
            process.wait(60)
            kept = os.environ.get("TROTH_BENCH_LOG")
            if kept:
                Path(kept).write_bytes(log.read_bytes())


@contextlib.asynccontextmanager
async def _prepared(summary: dict[str, Any], devices: int) -> AsyncIterator[Bench]:
    bench = Bench(summary, devices)
    await bench.prepare()
    yield bench


async def _main(summary: dict[str, Any], options: argparse.Namespace) -> int:
    async with _prepared(summary, options.devices) as bench:
        workers = await bench.connect()
        print(f"{options.devices} devices, {workers} status workers, {options.rate:g} signals/s for "
              f"{options.seconds:g} s, {options.ocsp_load:g} OCSP requests/s beside the pollers\n")  # fmt: skip
        await bench.run(rate=options.rate, seconds=options.seconds, load=options.ocsp_load)
    figures = bench.figures
    for failure in figures.failures[:10]:
        print(failure, file=sys.stderr)
    if not figures.held or not figures.released:
        raise SystemExit("nothing was measured")
    rows = {
        "signal → 202": figures.accepted,
        "signal → OCSP revoked (hold)": figures.held,
        "clear  → OCSP good": figures.released,
    }
    print(f"{'from the request sent':<32}{'n':>6}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}")
    for name, values in rows.items():
        cells = [_percentile(values, 0.5), _percentile(values, 0.99), max(values) * 1000]
        print(f"{name:<32}{len(values):>6}" + "".join(f"{cell:>10.1f}" for cell in cells))
    result = {
        "signal_to_ocsp_p50_ms": round(_percentile(figures.held, 0.5), 1),
        "signal_to_ocsp_p99_ms": round(_percentile(figures.held, 0.99), 1),
        "signal_to_ocsp_max_ms": round(max(figures.held) * 1000, 1),
        "clear_to_ocsp_p99_ms": round(_percentile(figures.released, 0.99), 1),
        "signal_accepted_p99_ms": round(_percentile(figures.accepted, 0.99), 1),
        "signals": len(figures.accepted),
        "failures": len(figures.failures),
        "status_workers": workers,
        "ocsp_load_answers": figures.load_answers,
    }
    print(json.dumps(result))
    return 1 if figures.failures else 0


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description="latency from a signal to OCSP's answer, under load")
    parser.add_argument("--troth", help="file with the JSON of `troth up --output json`; else one is started")
    parser.add_argument("--devices", type=int, default=60)
    parser.add_argument("--rate", type=float, default=15, help="signals per second")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--ocsp-load", type=float, default=150, help="OCSP requests per second beside the pollers")
    parser.add_argument("--status-workers", type=int, default=2, help="of the Troth that is started")
    options = parser.parse_args()
    if options.troth:
        return uvloop.run(_main(json.loads(Path(options.troth).read_text()), options))
    with started(f"[processes]\nstatus = {options.status_workers}\n") as summary:
        return uvloop.run(_main(summary, options))


if __name__ == "__main__":
    raise SystemExit(main())
