"""A whole Troth to be killed, in parts and as a whole, and what must be true of it afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tests.chaos.applicant import Applicant
from tests.chaos.invariants import Seen, broken, unsequenced, unwitnessed
from tests.support.dns import DnsServer
from tests.support.running import RunningTroth, free_port
from tests.support.webroot import ChallengeWebRoot
from troth.assembly.layout import Layout
from troth.assembly.names import ISSUING
from troth.assembly.postgres.server import url as embedded_url
from troth.client.acme import AcmeClient, AcmeError
from troth.client.errors import TransportError
from troth.client.jose import SigningKey
from troth.client.transport import Transport, trusting

_TREE = Path(__file__).parents[2]


@dataclass
class Ruin(RunningTroth):
    """A Troth with trapdoors (see ``killable``), below ``home``."""

    home: Path = field(default_factory=Path)

    @property
    def program(self) -> list[str]:
        return [sys.executable, "-m", "tests.chaos.killable"]

    @property
    def signed(self) -> list[bytes]:
        """What the signer has signed, or was about to sign."""
        return [bytes.fromhex(line) for line in (self.home / "signed").read_text().split()]

    def arm(self, point: str, needle: str = "", *, victim: int | None = None) -> None:
        """Let the next process that comes to ``point`` with ``needle`` die, or ``victim`` in its place."""
        partial = self.home / "partial"
        partial.write_text(needle if victim is None else f"{needle}\n{victim}")
        partial.rename(self.home / "armed" / point)

    async def pid(self, what: str) -> int:
        """The process of a role, or of the ``database``; it may be just coming back."""
        if what == "database":
            return int((Layout.at(self.data).database / "postmaster.pid").read_text().split()[0])
        await self.until(lambda: self.role(what), f"no {what}")
        return self.role(what)[0].pid

    def kill_supervisor(self) -> None:
        """Kill the supervisor alone; what is below it is left to itself."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self._close()

    async def fired(self, point: str) -> None:
        """Wait until a process has died there."""
        fired = self.home / "fired" / point
        await self.until(fired.exists, f"nobody came to {point}")
        fired.unlink()

    async def until(self, holds: Callable[[], Any], otherwise: str, seconds: float = 300.0) -> None:
        """Wait until ``holds()``. Raises AssertionError with the log's end."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"{otherwise}\n{self.log()[-6000:]}"
            await asyncio.sleep(0.01)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Any]:
        """A connection to the embedded database, which may be just coming back."""
        connection: Any = None
        async with asyncio.timeout(120):
            while connection is None:
                try:
                    connection = await asyncpg.connect(embedded_url(Layout.at(self.data)))
                except (OSError, asyncpg.PostgresError):
                    await asyncio.sleep(0.05)
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def account(self) -> AsyncIterator[AcmeClient]:
        """A client with an account of its own."""
        async with Transport(trusting(str(self.root)), timeout=120.0) as transport:
            client = await AcmeClient.open(self.directory, key=SigningKey.generate(), transport=transport)
            await client.register()
            yield client

    async def issuers(self) -> dict[str, x509.Certificate]:
        """The issuing authorities' certificates."""
        found = {}
        async with httpx.AsyncClient() as http:
            for slug in (one.slug for one in ISSUING):
                answer = await http.get(f"{self.summary['http_url']}/ca/{slug}.cer")
                found[slug] = x509.load_der_x509_certificate(answer.content)
        return found


def make_ruin(home: Path, web_root: ChallengeWebRoot, dns: DnsServer) -> Ruin:
    """A configured one, not started."""
    for name in ("armed", "fired"):
        (home / name).mkdir(parents=True)
    (home / "signed").touch()
    environment = {"TROTH_CHAOS": str(home), "PYTHONPATH": str(_TREE)}
    ruin = Ruin(home / "data", web_root, dns, free_port(), environment=environment, home=home)
    ruin.configure("timeout_seconds = 3\n")
    return ruin


async def persist(applicant: Applicant, seconds: float = 300.0) -> None:
    """Do as a patient client does: what got no answer, or an answer that the server is not well, is asked again."""
    deadline = time.monotonic() + seconds
    while not applicant.pem:
        try:
            await applicant.obtain(patience=max(1.0, deadline - time.monotonic()))
        except (TransportError, AcmeError) as error:
            passes = isinstance(error, TransportError) or error.status >= 500
            if not passes or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


async def keep_ordering(
    client: AcmeClient, web_root: ChallengeWebRoot, prefix: str, stop: asyncio.Event, made: list[Applicant]
) -> None:
    """One order after the other until ``stop``, added to ``made`` as they begin.

    The last one is brought to its end, whatever happens meanwhile.
    """
    while not stop.is_set():
        made.append(Applicant(f"{prefix}-{len(made)}.load.test", client, web_root))
        await persist(made[-1])


async def nothing_is_broken(ruin: Ruin, applicants: Iterable[Applicant]) -> None:
    """Every promise, asked of the database, OCSP, the CRL and the ledger. Recovery may still be under way."""
    issuers = await ruin.issuers()
    issuer = issuers["issuing"]
    acknowledged: dict[str, set[bytes]] = {}
    for one in applicants:
        acknowledged.setdefault(one.name, set()).add(one.certificate.public_bytes(Encoding.DER))
    async with ruin.database() as database:
        await _settle(database)
        faults = await broken(database, Seen(ruin.signed, acknowledged, issuers))
        assert not faults, faults
        rows = await database.fetch("SELECT serial, state FROM certificate WHERE authority = 'issuing'")
    burnt = {int.from_bytes(row["serial"]) for row in rows if row["state"] == "burnt"}
    good = {int.from_bytes(row["serial"]) for row in rows if row["state"] == "issued"}
    async with httpx.AsyncClient() as http:
        for serial in burnt | good:
            want = ocsp.OCSPCertStatus.REVOKED if serial in burnt else ocsp.OCSPCertStatus.GOOD
            assert await _ocsp(http, ruin, issuer, serial) is want, f"{serial:x}"
        async with asyncio.timeout(120):
            while await _crl(http, ruin, issuer) != burnt:
                await asyncio.sleep(0.2)
    async with ruin.database() as database:
        await _settle(database)  # the CRL is in the ledger as well
    verified = await asyncio.to_thread(ruin.run, "audit", "verify")
    assert "not yet under" not in verified.stdout, verified.stdout


async def _settle(database: Any) -> None:
    """Wait until nobody has anything to do: no serial to burn, no event to place or to witness, no job."""
    async with asyncio.timeout(120):
        while (
            await database.fetchval("SELECT count(*) FROM certificate WHERE state = 'reserved'")
            or await database.fetchval("SELECT count(*) FROM job")
            or await unsequenced(database)
            or await unwitnessed(database)
        ):
            await asyncio.sleep(0.1)


async def _ocsp(http: httpx.AsyncClient, ruin: Ruin, issuer: x509.Certificate, serial: int) -> ocsp.OCSPCertStatus:
    """The status of ``serial``, from the responder."""
    name = hashlib.sha1(issuer.subject.public_bytes(), usedforsecurity=False).digest()
    key = x509.SubjectKeyIdentifier.from_public_key(issuer.public_key()).digest
    request = ocsp.OCSPRequestBuilder().add_certificate_by_hash(name, key, serial, hashes.SHA1()).build()
    answer = await http.post(
        f"{ruin.summary['http_url']}/ocsp/issuing",
        content=request.public_bytes(Encoding.DER),
        headers={"content-type": "application/ocsp-request"},
    )
    return ocsp.load_der_ocsp_response(answer.content).certificate_status


async def _crl(http: httpx.AsyncClient, ruin: Ruin, issuer: x509.Certificate) -> set[int]:
    """The serial numbers that the newest CRL lists."""
    found = await http.get(f"{ruin.summary['http_url']}/crl/issuing.crl")
    crl = x509.load_der_x509_crl(found.content)
    key = issuer.public_key()
    assert crl.is_signature_valid(key)  # type: ignore[arg-type]
    return {one.serial_number for one in crl}
