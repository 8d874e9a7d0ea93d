"""CRLs at size: one million revoked certificates on a real PostgreSQL with fsync, and a real signer process.

    python -m bench.crl [--entries 1000000] [--shards 16]

Measured are whole publications: reading what changed, reserving the number durably, hashing and signing every entry
(the signer hashes them as a stream), verifying, storing durably. `crl_1m_change_s` is such a publication after one
more revocation, in one CRL of all entries; the peak is this process's memory above what it had before it knew any
entry. Beside it, in the same run: cryptography's CertificateRevocationListBuilder (building and signing alone, nothing
stored), and `openssl ca -gencrl`, at 10,000 and 100,000 entries. `revoke_to_ocsp_ms` and `revoke_to_crl_s` run from
before the commit of a revocation to the first answer over HTTP that tells of it, with the sequencer, a status worker
that holds all those entries, and the CRL duty of a worker, all in one more process. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import psutil
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp

from bench.issuers import root_certificate
from bench.support import child, make_authority, signer_client, signer_process
from tests.support.postgres import PostgresServer, run_apart
from troth.kit.clock import SystemClock, to_seconds
from troth.kit.ids import new_id
from troth.kit.log import configure
from troth.pki.catalogue import Catalogue
from troth.pki.clockguard import ClockGuard
from troth.pki.crl import CrlPublisher
from troth.pki.crl_der import crl_entry
from troth.pki.crl_store import CrlStore
from troth.pki.ocsp import build_request
from troth.pki.revocation import OfCertificate, revoke
from troth.pki.serial import new_serial
from troth.store.migrate import migrate
from troth.store.pool import Database
from troth.store.unit import Unit

_COLUMNS = (
    "id", "authority", "serial", "request_id", "profile", "profile_version", "spki_sha256", "names", "not_before",
    "not_after", "state", "der", "sha256", "instance", "reserved_at", "issued_at", "status", "status_version",
    "status_at", "revocation_reason", "crl_entry", "actor", "crl_shard",
)  # fmt: skip
_REVOKE_ROUNDS = 5


@dataclass
class Figures:
    """One line of the table."""

    what: str
    seconds: float
    entries: int

    def show(self) -> None:
        """Print it."""
        print(f"  {self.what:<58} {self.entries:>9,} {self.seconds * 1000:>10.1f} ms")


async def fill(url: str, count: int, revoked: int, *, shard: int = 0) -> list[UUID]:
    """Put ``count`` certificates into the database, the first ``revoked`` of them revoked; ids of the others."""
    connection = await asyncpg.connect(url)
    await connection.set_type_codec(
        "jsonb", encoder=lambda text: b"\x01" + text.encode(), decoder=bytes, schema="pg_catalog", format="binary"
    )
    now = SystemClock().now()
    instance, good = new_id(), []
    for at in range(0, count, 20_000):
        rows = []
        for number in range(at, min(at + 20_000, count)):
            # Issued over the last 300 days, as serial numbers say.
            serial = new_serial(now - timedelta(seconds=26_000_000 * (count - number) / count))
            certificate_id = new_id()
            entry = crl_entry(serial, to_seconds(now), 1) if number < revoked else None
            if entry is None:
                good.append(certificate_id)
            rows.append((
                certificate_id, "issuing", serial, str(certificate_id), "tls-server", 1, serial, "[]", now,
                now + timedelta(days=90), "issued", serial, serial, instance, now, now,
                "good" if entry is None else "revoked", 0 if entry is None else 1, now,
                None if entry is None else 1, entry, "bench", shard,
            ))  # fmt: skip
        await connection.copy_records_to_table("certificate", records=rows, columns=_COLUMNS)
    await connection.execute("ANALYZE certificate")
    await connection.close()
    return good


class Peak:
    """This process's memory above what it has now, sampled every few milliseconds by a thread."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.idle = self._process.memory_info().rss
        self.highest = self.idle
        self._stop = False

    async def __aenter__(self) -> Peak:
        self._task = asyncio.get_running_loop().run_in_executor(None, self._watch)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        await self._task

    def _watch(self) -> None:
        while not self._stop:
            self.highest = max(self.highest, self._process.memory_info().rss)
            time.sleep(0.005)

    @property
    def mib(self) -> float:
        """Above idle."""
        return (self.highest - self.idle) / 2**20


async def changes(
    database: Database, publisher: CrlPublisher, good: list[UUID], rounds: int
) -> tuple[list[float], int]:
    """Seconds of each publication after one more revocation, and the entries of the last."""
    clock, found, entries = SystemClock(), [], 0
    for _ in range(rounds):
        unit = revoke(Unit(), OfCertificate(good.pop()), reason=4, actor="bench", at=clock.now())
        await database.commit(unit)
        begun = time.perf_counter()
        crl = await publisher.publish("issuing", scheduled=False)
        found.append(time.perf_counter() - begun)
        entries = crl.entries
    return found, entries


async def sized(server: PostgresServer, data: Path, entries: int, rounds: int) -> dict[str, float]:
    """Change figures of a database with ``entries`` revoked certificates in one CRL."""
    clock = SystemClock()
    url = await _database(server)
    database = await Database.open(url, clock=clock)
    try:
        issuer = await make_authority(database, data, clock, ("tls-server",))
        good = await fill(url, entries + 50, entries)
        catalogue = Catalogue(database, clock)
        await catalogue.refresh()
        async with signer_client(data, "worker") as signer:
            guard = ClockGuard(database, clock)
            publisher = CrlPublisher(database, signer, catalogue, guard, clock)
            async with Peak() as peak:
                begun = time.perf_counter()
                await publisher.publish("issuing")
                first = time.perf_counter() - begun
                taken, shown = await changes(database, publisher, good, rounds)
                publisher.forget()
                begun = time.perf_counter()
                await publisher.publish("issuing", scheduled=False)
                restart = time.perf_counter() - begun
        Figures("first CRL: every entry read, hashed, signed, stored", first, shown).show()
        Figures("after one more revocation, median", statistics.median(taken), shown).show()
        Figures("after a restart: runs loaded, one more CRL", restart, shown).show()
        crl = await CrlStore(database).newest("issuing")
        if crl is None or crl.entries != shown:
            raise RuntimeError("the CRL was not published")
        if entries <= 100_000:
            parsed = x509.load_der_x509_crl(crl.der)
            if len(parsed) != shown or not parsed.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type]
                raise RuntimeError("the CRL is not what it should be")
        return {"change": statistics.median(taken), "first": first, "peak": peak.mib, "restart": restart}
    finally:
        await database.close()


def builder(entries: int) -> float:
    """Seconds that cryptography's builder takes for the same list."""
    clock = SystemClock()
    root, key = root_certificate(clock.now())
    begun = time.perf_counter()
    listed = [
        x509.RevokedCertificateBuilder()
        .serial_number(int.from_bytes(new_serial(clock.now()), "big"))
        .revocation_date(clock.now())
        .add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
        .build()
        for _ in range(entries)
    ]
    (
        x509.CertificateRevocationListBuilder(revoked_certificates=listed)
        .issuer_name(root.subject)
        .last_update(clock.now())
        .next_update(clock.now() + timedelta(days=1))
        .add_extension(x509.CRLNumber(1), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    return time.perf_counter() - begun


def openssl(entries: int, directory: Path) -> float:
    """Seconds that `openssl ca -gencrl` takes for as many entries in its index."""
    clock = SystemClock()
    root, key = root_certificate(clock.now())
    (directory / "ca.pem").write_bytes(root.public_bytes(Encoding.PEM))
    (directory / "ca.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    ends = (clock.now() + timedelta(days=90)).strftime("%y%m%d%H%M%SZ")
    at = clock.now().strftime("%y%m%d%H%M%SZ")
    with (directory / "index.txt").open("w") as index:
        for number in range(entries):
            serial = new_serial(clock.now()).hex().upper()
            index.write(f"R\t{ends}\t{at},keyCompromise\t{serial}\tunknown\t/CN={number}\n")
    (directory / "crlnumber").write_text("01\n")
    (directory / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=c\n[c]\ndatabase={directory}/index.txt\ncrlnumber={directory}/crlnumber\n"
        f"certificate={directory}/ca.pem\nprivate_key={directory}/ca.key\ndefault_md=sha256\ndefault_crl_days=1\n"
        "unique_subject=no\n"
    )
    begun = time.perf_counter()
    subprocess.run(
        ["openssl", "ca", "-gencrl", "-config", str(directory / "ca.cnf"), "-out", str(directory / "crl.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    return time.perf_counter() - begun


async def told(url: str, data: Path, entries: int, shards: int) -> tuple[float, float]:
    """(milliseconds to OCSP, seconds to the CRL) from before a revocation is committed, medians."""
    clock = SystemClock()
    database = await Database.open(url, clock=clock)
    issuer = await make_authority(database, data, clock, ("tls-server", "ocsp-responder"))
    await database.fetch("UPDATE authority SET crl_shards = $1 WHERE slug = 'issuing'", shards)
    good = []
    for shard in range(shards):
        good += (await fill(url, entries // shards + 5, entries // shards, shard=shard))[:1]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    to_ocsp, to_crl = [], []
    with child(sys.executable, "-m", "bench.crl_house", url, str(data), str(port)):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            for number, certificate_id in enumerate(good[:_REVOKE_ROUNDS]):
                row = await database.fetchrow("SELECT serial FROM certificate WHERE id = $1", certificate_id)
                if row is None:
                    raise RuntimeError("the certificate is gone")
                path = f"/crl/issuing/{number}.crl" if number else "/crl/issuing.crl"
                begun = time.perf_counter()
                at = clock.now()
                await database.commit(revoke(Unit(), OfCertificate(certificate_id), reason=4, actor="bench", at=at))
                to_ocsp.append(await _until_ocsp(client, row["serial"], issuer) - begun)
                to_crl.append(await _until_crl(client, path, row["serial"]) - begun)
    await database.close()
    return statistics.median(to_ocsp) * 1000, statistics.median(to_crl)


async def _until_ocsp(client: httpx.AsyncClient, serial: bytes, issuer: x509.Certificate) -> float:
    body = build_request(serial, issuer)
    for _ in range(6000):
        answer = await client.post("/ocsp/issuing", content=body, headers={"content-type": "application/ocsp-request"})
        parsed = ocsp.load_der_ocsp_response(answer.content)
        successful = parsed.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL
        if successful and parsed.certificate_status is ocsp.OCSPCertStatus.REVOKED:
            return time.perf_counter()
        await asyncio.sleep(0.01)
    raise RuntimeError("OCSP never told of the revocation")


async def _until_crl(client: httpx.AsyncClient, path: str, serial: bytes) -> float:
    tag = ""
    for _ in range(3000):
        answer = await client.get(path, headers={"if-none-match": tag} if tag else {})
        if answer.status_code == 200:
            tag = answer.headers["etag"]
            if serial in answer.content:
                return time.perf_counter()
        await asyncio.sleep(0.02)
    raise RuntimeError("the CRL never listed the certificate")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9, help="revocations that are each followed by a CRL")
    chosen = parser.parse_args()
    configure(role="bench", level="error")
    peers = {}
    print(f"  {'':<58} {'entries':>9} {'time':>13}")
    for size in (10_000, 100_000):
        with tempfile.TemporaryDirectory(prefix="troth-bench-") as directory:
            peers[size] = builder(size), openssl(size, Path(directory))
        Figures("cryptography's builder", peers[size][0], size).show()
        Figures("openssl ca -gencrl", peers[size][1], size).show()
    server = PostgresServer.create(durable=True)
    try:
        results = {}
        for size in (10_000, 100_000, chosen.entries):
            with tempfile.TemporaryDirectory(prefix="troth-bench-") as directory, signer_process(Path(directory)):
                results[size] = uvloop.run(sized(server, Path(directory), size, chosen.rounds))
        with tempfile.TemporaryDirectory(prefix="troth-bench-") as directory, signer_process(Path(directory)):
            url = run_apart(_database(server))
            to_ocsp, to_crl = uvloop.run(told(url, Path(directory), chosen.entries, chosen.shards))
    finally:
        server.destroy()
    largest = results[chosen.entries]
    print(f"  memory above idle at {chosen.entries:,} entries, at its peak: {largest['peak']:.0f} MiB")
    print(f"  revocation to OCSP: {to_ocsp:.0f} ms; to the CRL of its shard (1 of {chosen.shards}): {to_crl:.2f} s")
    print(
        json.dumps({
            "crl_1m_change_s": round(largest["change"], 3),
            "crl_1m_first_s": round(largest["first"], 2),
            "crl_1m_restart_s": round(largest["restart"], 2),
            "crl_1m_peak_mib": round(largest["peak"]),
            "crl_100k_build_s": round(results[100_000]["change"], 3),
            "crl_10k_build_s": round(results[10_000]["change"], 3),
            "revoke_to_ocsp_ms": round(to_ocsp),
            "revoke_to_crl_s": round(to_crl, 2),
            "builder_100k_ratio": round(peers[100_000][0] / results[100_000]["change"], 1),
            "openssl_100k_ratio": round(peers[100_000][1] / results[100_000]["change"], 1),
            "builder_10k_ratio": round(peers[10_000][0] / results[10_000]["change"], 1),
            "openssl_10k_ratio": round(peers[10_000][1] / results[10_000]["change"], 1),
        })
    )  # fmt: skip
    return 0


async def _database(server: PostgresServer) -> str:
    """A fresh database with its schema."""
    name = f"bench_{new_id().hex}"
    await server.execute(f"CREATE DATABASE {name}")
    await migrate(server.url(name))
    return server.url(name)


if __name__ == "__main__":
    sys.exit(main())
