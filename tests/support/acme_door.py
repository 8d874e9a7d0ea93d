"""The ACME door of a test: the product's own wiring on a fresh database, a key in memory, and no sockets in front.

Requests go straight into the lane; validations are run when the test says so, against a real web root and DNS.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.attesting import roots
from tests.support.dns import DnsServer
from tests.support.enrolling import EnrollingDesks, enrolling_for
from tests.support.mint import Mint
from tests.support.policies import apply_shipped
from tests.support.webroot import ChallengeWebRoot
from troth.client.acme import AcmeClient
from troth.client.acme_objects import Order
from troth.client.acme_session import sign_jws
from troth.client.csr import certificate_request
from troth.client.jose import SigningKey
from troth.client.transport import HttpAnswer, Transport
from troth.enroll.acme.account_store import AccountStore
from troth.enroll.acme.accounts import AccountDesk, AccountRules
from troth.enroll.acme.attested import AttestedOrders, Devices
from troth.enroll.acme.attesting import AttestationDesk
from troth.enroll.acme.caa_recheck import CaaRecheck
from troth.enroll.acme.device_admission import DeviceAdmission
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.finalize import Finalizer
from troth.enroll.acme.jwk import AccountKeys
from troth.enroll.acme.lately import Lately
from troth.enroll.acme.nonce import NonceMap
from troth.enroll.acme.orders import VALIDATE_JOB, OrderDesk, OrderRules
from troth.enroll.acme.preauthorization import PreAuthorizations
from troth.enroll.acme.renewal import Renewals
from troth.enroll.acme.results import Results
from troth.enroll.acme.revoke import RevocationDesk
from troth.enroll.acme.routes import AcmeDoor, Desks
from troth.enroll.acme.standing import StandingProofs
from troth.enroll.acme.store import AcmeStore
from troth.enroll.acme.validate.validator import build_validator
from troth.enroll.acme.validation import ValidationJobs
from troth.enroll.attest.anchors import merged, shipped_roots
from troth.enroll.attest.service import Attestations
from troth.enroll.issuance import Issuance
from troth.enroll.tpm.store import TpmStore
from troth.kit.acme_settings import AcmeSettings
from troth.kit.lane import Lane, plain_refusal
from troth.store.jobs import JobQueue
from troth.trust.authoring.service import PolicyService
from troth.trust.decision.decide import Judge
from troth.trust.policy.cache import PolicyCache
from troth.trust.policy.store import PolicyStore
from troth.trust.subjects.facts import StoredFacts
from troth.trust.subjects.store import SubjectStore
from troth.trust.subjects.whom import Subjects

BASE = "https://acme.test:8443"
#: Two directories, so that one can be held against the other.
DIRECTORIES = ("tls-server", "quarantine")
JOSE = "application/jose+json"


class LaneTransport(Transport):
    """The client's transport with the lane in the place of a network. ``answers`` keeps all that was said.

    Attributes:
        origin: the page whose script asks; empty: a program does, as most clients are.
    """

    def __init__(self, lane: Lane, origin: str = "") -> None:
        super().__init__()
        self.lane = lane
        self.origin = origin
        self.answers: list[HttpAnswer] = []

    async def request(
        self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        parts = urlsplit(url)
        assert url.startswith(BASE), url
        headers = {**(headers or {}), **({"origin": self.origin} if self.origin else {})}
        sent: list[Any] = []
        scope = {
            "type": "http",
            "method": method,
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("192.0.2.7", 40000),
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.lane(scope, receive, send)
        said: dict[str, list[str]] = {}
        for name, value in sent[0]["headers"]:
            said.setdefault(name.decode(), []).append(value.decode())
        answer = HttpAnswer(sent[0]["status"], {k: tuple(v) for k, v in said.items()}, sent[1]["body"], url)
        self.answers.append(answer)
        return answer


@dataclass
class Door:
    """What a test of the ACME door works with."""

    mint: Mint
    lane: Lane
    acme: AcmeDoor
    nonces: NonceMap
    jobs: ValidationJobs
    desks: Desks
    policies: PolicyService
    cache: PolicyCache
    web_root: ChallengeWebRoot
    dns: DnsServer
    enrolling: EnrollingDesks
    attestations: Attestations
    clients: list[AcmeClient] = field(default_factory=list)

    def reopen(self, desks: Desks | None = None, *directories: Directory, **more: Any) -> None:
        """Another door in this one's place, with the same nonces; clients made from now on speak to it."""
        self.desks = desks or self.desks
        more.setdefault("secrets", self.enrolling.enrolments)
        self.acme, self.lane = opened(self.desks, self.nonces, *directories, **more)
        self.jobs._directories = {one.name: one for one in directories}

    def directory(self, profile: str = "tls-server") -> str:
        """The directory's URL."""
        return f"{BASE}/acme/{profile}/directory"

    async def client(self, *, key: SigningKey | None = None, profile: str = "tls-server") -> AcmeClient:
        """A client with a registered account."""
        transport = LaneTransport(self.lane)
        client = await AcmeClient.open(self.directory(profile), key=key or SigningKey.generate(), transport=transport)
        await client.register()
        self.clients.append(client)
        return client

    async def post(
        self, url: str, body: bytes, *, content_type: str | None = JOSE, method: str = "POST"
    ) -> tuple[int, dict[str, Any], HttpAnswer]:
        """Whatever bytes to ``url``: status, the JSON said, the answer."""
        headers = {} if content_type is None else {"Content-Type": content_type}
        answer = await LaneTransport(self.lane).request(method, url, body=body, headers=headers)
        said = msgspec.json.decode(answer.body) if answer.body and b"json" in _type(answer) else {}
        return answer.status, said, answer

    def signed(self, client: AcmeClient, url: str, payload: object, /, **header: object) -> bytes:
        """A request as ``client`` would sign it, with a fresh nonce; ``header`` changes members, None removes one."""
        protected: dict[str, Any] = {
            "alg": client.key.public.algorithm,
            "nonce": self.nonces.issue(),
            "url": url,
            "kid": client.account_url,
        }
        protected = {name: value for name, value in (protected | header).items() if value is not None}
        octets = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        return sign_jws(client.key, protected, octets)

    async def validate(self) -> int:
        """Run every validation that is due now; how many there were."""
        queue = JobQueue(self.mint.database, self.mint.clock)
        due = await queue.claim([VALIDATE_JOB], limit=200, lease=timedelta(seconds=60))
        await asyncio.gather(*(self.jobs.run(job) for job in due))
        return len(due)

    def serve(self, client: AcmeClient, token: str) -> None:
        """Put the key authorization of ``token`` on the web server."""
        self.web_root.tokens[token] = client.key_authorization(token)

    async def prove(self, client: AcmeClient, order: Order, kind: str = "http-01") -> Order:
        """Answer and validate every pending authorization of ``order``; the order as it is then."""
        for url in order.authorizations:
            authz = await client.authorization(url)
            if authz.status != "pending":
                continue
            chosen = authz.challenge("dns-01" if authz.wildcard else kind)
            assert chosen is not None
            if chosen.type == "dns-01":
                name = f"_acme-challenge.{authz.identifier.value}"
                said = [value.strip('"') for value in self.dns.values(name, "TXT")]
                self.dns.set_txt(name, *said, client.dns_value(chosen.token))
            self.serve(client, chosen.token)
            await client.answer(chosen)
        await self.validate()
        return await client.order(order.url)

    async def ready(self, client: AcmeClient, *names: str) -> Order:
        """An order for ``names`` with everything proved."""
        order = await self.prove(client, await client.new_order([identifier(name) for name in names]))
        assert order.status == "ready", order
        return order

    async def issued(self, client: AcmeClient, *names: str, key: ec.EllipticCurvePrivateKey | None = None) -> Order:
        """A finalized order for ``names``."""
        order = await self.ready(client, *names)
        order = await client.finalize(order, csr_for(names, key))
        assert order.status == "valid", order
        return order

    async def count(self, table: str) -> int:
        """Rows of ``table``."""
        return int(await self.mint.database.fetchval(f"SELECT count(*) FROM {table}"))

    async def everything(self) -> dict[str, int]:
        """Rows of each table in which a request could leave something."""
        tables = (
            "acme_account", "acme_order", "acme_authz", "certificate", "certificate_name", "certificate_subject",
            "decision", "job", "ledger_inbox", "subject",
        )  # fmt: skip
        return {table: await self.count(table) for table in tables}

    async def events(self, prefix: str = "") -> list[str]:
        """Kinds of the ledger's waiting events, in order."""
        rows = await self.mint.database.fetch(
            "SELECT convert_from(payload, 'UTF8')::jsonb ->> 'kind' AS kind FROM ledger_inbox ORDER BY id"
        )
        return [row["kind"] for row in rows if row["kind"].startswith(prefix)]


def _type(answer: HttpAnswer) -> bytes:
    return (answer.header("content-type") or "").encode()


def identifier(name: str) -> tuple[str, str]:
    """``dns`` or ``ip`` with ``name``."""
    return ("ip" if name.replace(".", "").isdigit() or ":" in name else "dns", name)


def csr_for(names: Sequence[str], key: ec.EllipticCurvePrivateKey | None = None, **more: Any) -> bytes:
    """A DER certificate request for ``names`` with a fresh key, unless one is given."""
    return certificate_request(
        key or ec.generate_private_key(ec.SECP256R1()),
        dns=[name for name in names if identifier(name)[0] == "dns"],
        ip=[name for name in names if identifier(name)[0] == "ip"],
        **more,
    )


@dataclass
class Lines:
    """What the rooms logged, before anything was redacted."""

    lines: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def __getattr__(self, level: str) -> Any:
        def line(event: str, **values: object) -> None:
            error = values.get("exc_info")
            shown = "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else ""
            self.lines.append((event, {**values, "traceback": shown}))

        return line

    def text(self) -> str:
        """All of it in one text."""
        return "\n".join(f"{event} {values}" for event, values in self.lines)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Every logger of Troth's rooms, replaced by one that remembers."""
    lines = Lines()
    for name, module in list(sys.modules.items()):
        if name.startswith("troth.") and hasattr(module, "log") and not name.endswith("kit.log"):
            monkeypatch.setattr(module, "log", lines)
    return lines


@pytest.fixture
def applicant_servers(tmp_path: Path) -> Iterator[tuple[ChallengeWebRoot, DnsServer]]:
    """A web root and a DNS in which every name under ``test`` leads to 127.0.0.1."""
    web_root, dns = ChallengeWebRoot(tmp_path / "webroot"), DnsServer()
    web_root.start()
    dns.start()
    dns.set_a("*.test", "127.0.0.1")
    yield web_root, dns
    web_root.stop()
    dns.stop()


@pytest.fixture
async def door(
    mint: Mint, tmp_path: Path, applicant_servers: tuple[ChallengeWebRoot, DnsServer]
) -> AsyncIterator[Door]:
    """The door over the mint, with the shipped policies in force."""
    web_root, dns = applicant_servers
    database, clock = mint.database, mint.clock
    policies = PolicyService(database, clock)
    await apply_shipped(database, clock)
    cache = PolicyCache(PolicyStore(database))
    await cache.refresh()
    subject_store = SubjectStore(database)
    judge = Judge(cache, [StoredFacts(subject_store)], clock)
    issuance = Issuance(database, Subjects(subject_store), judge, mint.gate, mint.catalogue)
    enrolling = enrolling_for(database, clock)
    settings = AcmeSettings(http_port=web_root.port, resolver=dns.address, timeout_seconds=5)
    validator = build_validator(settings, own_listeners=[])
    renewals = Renewals(database, mint.catalogue, clock)
    standing = StandingProofs(validator, clock, timedelta(hours=8), AccountStore(database).former_thumbprints)
    devices = Devices(subject_store, enrolling.enrolments, TpmStore(database))
    attestations = Attestations(database, clock, shipped=merged(shipped_roots(), {}, roots()))
    lately = Lately(clock)
    orders = OrderDesk(
        database,
        clock,
        OrderRules(),
        enrolling.admission,
        renewals,
        DeviceAdmission(database, devices, issuance),
        standing,
        lately=lately,
    )
    nonces = NonceMap(tmp_path / "nonces.map", clock=clock)
    desks = Desks(
        accounts=AccountDesk(database, clock, AccountRules(), enrolling.enrolments, enrolling.meters),
        orders=orders,
        finalizer=Finalizer(
            database,
            clock,
            issuance,
            enrolling.admission,
            AttestedOrders(attestations.store, devices),
            CaaRecheck(validator, clock),
            lately,
        ),
        revocations=RevocationDesk(database, clock),
        results=Results(database, patience=0),
        store=AcmeStore(database),
        lately=lately,
        catalogue=mint.catalogue,
        renewals=renewals,
        preauthorizations=PreAuthorizations(database, clock, OrderRules(), enrolling.admission),
        attesting=AttestationDesk(database, clock, orders, attestations, devices, issuance),
    )
    acme, lane = opened(desks, nonces, secrets=enrolling.enrolments)
    named = {name: Directory(name, (name,)) for name in DIRECTORIES}
    jobs = ValidationJobs(database, orders, validator, clock, named, base=BASE)
    yield Door(mint, lane, acme, nonces, jobs, desks, policies, cache, web_root, dns, enrolling, attestations)
    nonces.close()


def opened(desks: Desks, nonces: NonceMap, *directories: Directory, **more: Any) -> tuple[AcmeDoor, Lane]:
    """A door with these directories (else :data:`DIRECTORIES`), and the lane that it answers on."""
    named = {one.name: one for one in directories or [Directory(name, (name,)) for name in DIRECTORIES]}
    acme = AcmeDoor(BASE, named, desks, nonces, AccountKeys(), **more)

    async def on_error(request: Any, error: Exception) -> Any:
        return acme.failed(request, error)

    def refusal(request: Any, status: int, detail: str) -> Any:
        return (acme.refusal if request.path.startswith("/acme/") else plain_refusal)(request, status, detail)

    return acme, Lane(acme.routes(), on_error=on_error, refusal=refusal)
