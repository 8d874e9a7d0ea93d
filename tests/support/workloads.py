"""A node with its own certificate, workloads in the directory, and the workload door without sockets in front."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.support.mint import Mint
from tests.support.policies import apply_shipped

if TYPE_CHECKING:
    from troth.client.jose import SigningKey
    from troth.client.transport import Transport
    from troth.enroll.acme.nonce import NonceMap
    from troth.enroll.workload.node import NodeDesk
    from troth.kit.clock import FakeClock
    from troth.kit.lane import Lane
    from troth.pki.keys.model import KeyMetadata
    from troth.trust.enforcement.orders import Orders
    from troth.trust.subjects.directory_plan import Directory
    from troth.trust.subjects.store import SubjectStore

BASE = "https://troth.test:8443"
JOSE = "application/jose+json"
DIRECTORY = """\
devices:
  - {name: node-1, groups: [web-nodes]}
  - {name: node-2}
workloads:
  - {name: shop, trust_domain: corp.example, environment: production, nodes: [node-1]}
  - {name: cart, trust_domain: corp.example, nodes: [web-nodes]}
  - {name: vault, trust_domain: corp.example, nodes: [node-2]}
  - {name: homeless, trust_domain: corp.example}
  - {name: plain}
"""


@dataclass
class Agent:
    """A key and a certificate that Troth issued for it.

    Attributes:
        der: the certificate.
    """

    key: SigningKey
    der: bytes

    @property
    def thumbprint(self) -> str:
        """As it stands in ``x5t#S256``."""
        from troth.client.jose import b64url_encode

        return b64url_encode(hashlib.sha256(self.der).digest())

    def signed(self, url: str, nonce: str, payload: object, /, **header: object) -> bytes:
        """A request as the agent signs it; ``header`` changes members, None removes one."""
        from troth.client.acme_session import sign_jws

        protected: dict[str, Any] = {
            "alg": self.key.public.algorithm, "x5t#S256": self.thumbprint, "url": url, "nonce": nonce,
        }  # fmt: skip
        protected = {name: value for name, value in (protected | header).items() if value is not None}
        octets = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        return sign_jws(self.key, protected, octets)


class TokenSigner:
    """Keys of tokens where the signer process would be; what is signed is held against the signer's own rule.

    ``away``: raise as if the signer did not answer.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.away = False
        self.held: list[tuple[KeyMetadata, Any]] = []
        self.signed = 0

    async def list_keys(self, purpose: Any = None) -> list[KeyMetadata]:
        self._answer()
        return [metadata for metadata, _ in self.held]

    async def generate_key(self, purpose: Any, algorithm: Any) -> KeyMetadata:
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        from troth.kit.ids import new_id
        from troth.pki.jwt_svid import FORGOTTEN
        from troth.pki.keys.model import KeyMetadata

        self._answer()
        private, now = ec.generate_private_key(ec.SECP256R1()), self.clock.now()
        spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        made = KeyMetadata(f"jwt-{new_id()}", purpose, algorithm, spki, now, use_until=now + FORGOTTEN)
        self.held.append((made, private))
        return made

    async def sign_jwt(self, key_id: str, claims: bytes) -> bytes:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        from troth.pki.jwt_svid import read_claims, signing_input

        self._answer()
        read_claims(claims, self.clock.now())
        (private,) = [private for metadata, private in self.held if metadata.key_id == key_id]
        self.signed += 1
        return bytes(private.sign(signing_input(key_id, claims), ec.ECDSA(hashes.SHA256())))

    def _answer(self) -> None:
        from troth.pki.signer.errors import UNAVAILABLE, SignerUnavailable

        if self.away:
            raise SignerUnavailable(UNAVAILABLE, "as the test wishes")


@dataclass
class Workloads:
    """What a test of the workload door works with."""

    mint: Mint
    lane: Lane
    nodes: NodeDesk
    nonces: NonceMap
    subjects: SubjectStore
    orders: Orders
    directory: Directory
    agent: Agent
    tokens: TokenSigner

    async def enrolled(
        self, name: str, *, profile: str = "client-device", kind: str = "device", key: SigningKey | None = None
    ) -> Agent:
        """An agent of the subject called ``name``, with a certificate of a day."""
        from troth.client.jose import SigningKey
        from troth.pki.model import Binding
        from troth.store.unit import Unit
        from troth.trust.model import Kind

        key = key or SigningKey.generate()
        subject = await self.subjects.find(Kind(kind), name)
        assert subject is not None
        request = self.mint.request(
            f"agent:{name}:{profile}:{key.public.thumbprint}",
            profile=profile,
            spki=key.public.spki(),
            names=(("dns", f"{name}.corp.example"),),
            subjects=(Binding(subject.id),),
        )
        issued = await self.mint.gate.issue(request, with_reserve=Unit(), with_store=lambda _: Unit())
        return Agent(key, issued.der)

    async def call(
        self, path: str, body: bytes, *, method: str = "POST", kind: str = JOSE
    ) -> tuple[int, dict[str, Any]]:
        """Whatever bytes to ``path``: status, and the JSON said."""
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"content-type", kind.encode())]
        scope = {"type": "http", "method": method, "path": path, "headers": headers, "client": ("192.0.2.7", 1)}
        await self.lane(scope, receive, send)
        said = sent[1]["body"]
        return sent[0]["status"], msgspec.json.decode(said) if said else dict(sent[0]["headers"])

    async def ask(self, path: str, payload: object, *, agent: Agent | None = None) -> tuple[int, dict[str, Any]]:
        """A request signed as it should be."""
        return await self.call(path, (agent or self.agent).signed(BASE + path, self.nonces.issue(), payload))

    async def svid(self, workload: str, **more: object) -> tuple[int, dict[str, Any]]:
        """Ask for a certificate for ``workload`` with a fresh key."""
        from troth.client.csr import certificate_request
        from troth.client.jose import SigningKey, b64url_encode
        from troth.enroll.workload.routes import SVID

        agent = more.pop("agent", None)
        csr = b64url_encode(certificate_request(SigningKey.generate().private_key))
        assert agent is None or isinstance(agent, Agent)
        return await self.ask(SVID, {"workload": workload, "csr": csr, **more}, agent=agent)

    async def hold(self, kind: str, name: str) -> None:
        """Quarantine a subject, as a person would."""
        from troth.trust.model import Kind

        found = await self.subjects.find(Kind(kind), name)
        assert found is not None
        await self.orders.hold_by_person(found.id, person="alice", reason="a look")

    def transport(self) -> Transport:
        """The client's transport with the lane in the place of a network."""
        from urllib.parse import urlsplit

        from troth.client.transport import HttpAnswer, Transport

        lane = self.lane

        class Straight(Transport):
            async def request(
                self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
            ) -> HttpAnswer:
                sent: list[Any] = []

                async def receive() -> dict[str, Any]:
                    return {"type": "http.request", "body": body, "more_body": False}

                async def send(message: Any) -> None:
                    sent.append(message)

                named = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
                path = urlsplit(url).path
                await lane({"type": "http", "method": method, "path": path, "headers": named}, receive, send)
                said = {name.decode(): (value.decode(),) for name, value in sent[0]["headers"]}
                return HttpAnswer(sent[0]["status"], said, sent[1]["body"], url)

        return Straight()


@pytest.fixture
async def workloads(mint: Mint, tmp_path: Path) -> AsyncIterator[Workloads]:
    """The door over the mint, the shipped policies, ``DIRECTORY``, and an agent on ``node-1``."""
    from troth.client.jose import SigningKey
    from troth.enroll.acme.nonce import NonceMap
    from troth.enroll.issuance import Issuance
    from troth.enroll.workload.desk import SvidDesk
    from troth.enroll.workload.jwt import JwtDesk
    from troth.enroll.workload.jwt_keys import JwtKeys
    from troth.enroll.workload.node import NodeDesk
    from troth.enroll.workload.routes import WorkloadDoor
    from troth.inventory.routes import ReportDoor
    from troth.inventory.service import Reports
    from troth.kit.lane import Lane
    from troth.pki.profile import shipped_profiles
    from troth.trust.decision.decide import Judge
    from troth.trust.enforcement.enforce import Enforcer
    from troth.trust.enforcement.orders import Orders
    from troth.trust.policy.cache import PolicyCache
    from troth.trust.policy.store import PolicyStore
    from troth.trust.subjects.directory_plan import Directory
    from troth.trust.subjects.facts import StoredFacts
    from troth.trust.subjects.store import SubjectStore
    from troth.trust.subjects.whom import Subjects

    database, clock = mint.database, mint.clock
    await mint.catalogue.apply_profile(shipped_profiles()["spiffe-workload"], actor="test:mint")
    await apply_shipped(database, clock)
    cache = PolicyCache(PolicyStore(database))
    await cache.refresh()
    directory = Directory(database, clock)
    await directory.apply(await directory.plan(DIRECTORY), actor="admin:test")
    subjects = SubjectStore(database)
    judge = Judge(cache, [StoredFacts(subjects)], clock)
    issuance = Issuance(database, Subjects(subjects), judge, mint.gate, mint.catalogue)
    nonces = NonceMap(tmp_path / "nonces.map", clock=clock)
    nodes = NodeDesk(database, clock, nonces, profiles=("client-device",))
    desk = SvidDesk(database, clock, issuance, mint.catalogue, longest=timedelta(minutes=15))
    tokens = TokenSigner(clock)
    jwts = JwtDesk(
        database, clock, issuance, tokens, JwtKeys(tokens, clock), mint.interlock, longest=timedelta(minutes=5)
    )
    door = WorkloadDoor(BASE, nodes, desk, jwts, clock, per_minute=20)

    reports = ReportDoor(BASE, nodes, Reports(database, clock), clock)

    async def fail(request: Any, error: Exception) -> Any:
        raise error

    lane = Lane([*door.routes(), *reports.routes()], on_error=fail)
    nobody, orders = Agent(SigningKey.generate(), b""), Orders(database, clock, Enforcer())
    made = Workloads(mint, lane, nodes, nonces, subjects, orders, directory, nobody, tokens)
    made.agent = await made.enrolled("node-1")
    yield made
    nonces.close()
