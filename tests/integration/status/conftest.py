"""A status worker on a real database, behind the product's own HTTP server, with a mint that issues and revokes."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp

from tests.support.mint import MemorySigner, Mint
from troth.audit.sequencer import Sequencer
from troth.audit.store import LedgerStore
from troth.kit.clock import FakeClock, SystemClock
from troth.kit.ids import new_id
from troth.kit.status_settings import OcspSettings
from troth.pki.model import IssuedCertificate
from troth.pki.responder import Responders
from troth.pki.revocation import OfCertificate, hold, release, revoke
from troth.status.worker import StatusWorker
from troth.store.unit import Unit
from troth.web.server import Listening, serve

#: Milliseconds: however slow this machine is, no answer of these tests waits for so long.
PATIENCE = 60_000
OCSP_TYPE = {"content-type": "application/ocsp-request"}


class Release:
    """What the signer's ``release_key`` does, over the keys of the test's signer."""

    def __init__(self, signer: MemorySigner) -> None:
        self.signer = signer
        self.released: list[str] = []

    async def release_key(self, key_id: str) -> bytes:
        self.released.append(key_id)
        return self.signer.keys[key_id].private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@dataclass
class StatusHouse:
    """A running status worker, and the means to change what it tells of."""

    mint: Mint
    release_key: Release
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    listeners: list[socket.socket] = field(default_factory=list)
    number: int = 0

    @property
    def responders(self) -> Responders:
        mint = self.mint
        return Responders(mint.database, mint.gate, mint.signer, mint.catalogue, mint.clock)

    def new_worker(self, **settings: int) -> StatusWorker:
        """One more worker on this database."""
        mint = self.mint
        return StatusWorker(
            mint.database, self.release_key, mint.clock, new_id(),
            OcspSettings(**{"patience_milliseconds": PATIENCE, **settings}), poll_seconds=0.05,
        )  # fmt: skip

    async def start(self, worker: StatusWorker) -> str:
        """Run ``worker`` and its door; returns the base URL."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        listener.setblocking(False)
        self.listeners.append(listener)
        ready = asyncio.Event()
        self.tasks.append(asyncio.create_task(worker.run(self.stop, ready.set)))
        app = Listening(app=worker.door.lane(), sockets=[listener])
        self.tasks.append(asyncio.create_task(serve([app], stop=self.stop, ready=lambda: None)))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with asyncio.timeout(120):
            await ready.wait()
        return url

    async def close(self) -> None:
        self.stop.set()
        try:
            await asyncio.gather(*self.tasks)
        finally:
            for listener in self.listeners:
                listener.close()

    async def issue(self, **changes: object) -> IssuedCertificate:
        self.number += 1
        return await self.mint.gate.issue(self.mint.request(f"request-{self.number}", **changes))

    async def hold(self, certificate_id: UUID, cause: str = "edr:infected") -> None:
        await self._change(
            hold(Unit(), OfCertificate(certificate_id), cause=cause, actor="feed:edr", at=self.mint.clock.now())
        )

    async def release(self, certificate_id: UUID, cause: str = "edr:infected") -> None:
        await self._change(
            release(Unit(), OfCertificate(certificate_id), cause=cause, actor="feed:edr", at=self.mint.clock.now())
        )

    async def revoke(self, certificate_id: UUID, reason: int = 1) -> None:
        await self._change(
            revoke(Unit(), OfCertificate(certificate_id), reason=reason, actor="admin:a", at=self.mint.clock.now())
        )

    async def _change(self, unit: Unit) -> None:
        await self.mint.database.commit(unit)

    async def effective(self) -> None:
        """Return when everything committed so far has been applied by every decision point."""
        ledger = LedgerStore(self.mint.database)
        async with asyncio.timeout(120):
            while await ledger.oldest_unsequenced() is not None:
                await asyncio.sleep(0.01)
            index = (await ledger.head()).size - 1
            while not await ledger.is_effective(index):
                await asyncio.sleep(0.01)


@dataclass
class Client:
    """An OCSP client on cryptography's builders and parsers, independent of the code under test."""

    http: httpx.AsyncClient
    issuer: x509.Certificate

    def request(
        self,
        der: bytes,
        *,
        issuer: x509.Certificate | None = None,
        nonce: bytes | None = None,
        algorithm: object = None,
    ) -> bytes:
        builder = ocsp.OCSPRequestBuilder().add_certificate(
            x509.load_der_x509_certificate(der),
            issuer or self.issuer,
            algorithm or hashes.SHA1(),  # type: ignore[arg-type]
        )
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        return builder.build().public_bytes(Encoding.DER)

    async def post(self, body: bytes, authority: str = "issuing") -> httpx.Response:
        return await self.http.post(f"/ocsp/{authority}", content=body, headers=OCSP_TYPE)

    async def get(self, body: bytes, authority: str = "issuing") -> httpx.Response:
        return await self.http.get(f"/ocsp/{authority}/{quote(base64.b64encode(body), safe='')}")

    async def told(self, der: bytes) -> str:
        """The status, once there is one to be told."""
        async with asyncio.timeout(120):
            while (told := await self.status(der)) == "try_later":
                await asyncio.sleep(0.05)
        return told

    async def status(self, der: bytes) -> str:
        """``good``, ``revoked:certificate_hold``, ``unknown``, or the unsigned error; the signature is verified."""
        answer = await self.post(self.request(der))
        assert answer.status_code == 200
        parsed = ocsp.load_der_ocsp_response(answer.content)
        if parsed.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return parsed.response_status.name.lower()
        self.verify(parsed)
        if parsed.certificate_status is not ocsp.OCSPCertStatus.REVOKED:
            return parsed.certificate_status.name.lower()
        reason = parsed.revocation_reason
        return f"revoked:{reason.name if reason else 'unspecified'}"

    def verify(self, parsed: ocsp.OCSPResponse) -> None:
        """The responder was certified by the authority, for this, and signed these bytes."""
        responder = parsed.certificates[0]
        responder.verify_directly_issued_by(self.issuer)
        usage = responder.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [x509.oid.ExtendedKeyUsageOID.OCSP_SIGNING]
        key = responder.public_key()
        algorithm = parsed.signature_hash_algorithm
        assert algorithm is not None
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(parsed.signature, parsed.tbs_response_bytes, ec.ECDSA(algorithm))


#: The same for all tests of a process, so that they share what is made ready for that time.
_BEGIN = SystemClock().now()


@pytest.fixture
def clock() -> FakeClock:
    """Stands still, a while ago."""
    return FakeClock(_BEGIN)


@pytest.fixture
async def quiet_house(mint: Mint) -> AsyncIterator[StatusHouse]:
    """The house with a sequencer, and no worker and no responder yet."""
    made = StatusHouse(mint, Release(mint.signer))
    made.tasks.append(asyncio.create_task(Sequencer(mint.database, mint.clock, new_id()).run(made.stop)))
    yield made
    await made.close()


@pytest.fixture
async def house(quiet_house: StatusHouse) -> StatusHouse:
    """The same with a responder for ``issuing``."""
    await quiet_house.responders.ensure("issuing")
    return quiet_house


@pytest.fixture
def patience() -> int:
    """Of the running worker, in milliseconds: little for tests in which it waits in vain."""
    return PATIENCE


@pytest.fixture
async def client(house: StatusHouse, patience: int) -> AsyncIterator[Client]:
    """A client of a running worker."""
    url = await house.start(house.new_worker(patience_milliseconds=patience))
    async with httpx.AsyncClient(base_url=url, timeout=120) as http:
        yield Client(http, house.mint.issuer)
