"""The admin application on a test's own database: real rooms, real log-ins, and a fleet invented for the occasion."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
from argon2 import PasswordHasher
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from tests.support.judging import DeskInProcess
from tests.support.policies import apply_shipped
from tests.support.signals import Trust
from tests.support.vendors.harness import EGRESS, FakeSleep

if TYPE_CHECKING:
    from litestar import Litestar

    from troth.access.model import Principal
    from troth.access.roles import Role
    from troth.access.service import Access
    from troth.audit.note import NoteKey
    from troth.kit.clock import Clock
    from troth.kit.lane import Asgi
    from troth.store.pool import Database
    from troth.web.books.shared_signals import StreamBook
    from troth.web.services import AdminServices

HOST = "localhost"
ORIGIN = f"https://{HOST}:8444"
PASSWORD = "correct horse battery staple"

FLEET = """
users:
  - {name: alice, enabled: true, email: alice@corp.example, groups: [engineering, wifi-users]}
  - {name: bob, enabled: true, email: bob@corp.example, groups: [sales]}
  - {name: carol, enabled: false, email: carol@corp.example, groups: [sales]}
devices:
"""


def new_csr(*names: str) -> str:
    """A CSR in PEM for DNS ``names``, with a fresh key."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


class Browser(httpx.AsyncClient):
    """A client that behaves like a page of ours: it keeps cookies and says where a request comes from.

    With ``headers`` of its own, or as a local process (``peer_uid``), it is a program, which says nothing of the kind.
    """

    def __init__(
        self, app: Asgi, *, peer_uid: int | None = None, headers: Mapping[str, str] | None = None, **changes: Any
    ) -> None:
        async def marked(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("state", {})
            if peer_uid is not None:
                scope["state"]["peer_uid"] = peer_uid
            await app(scope, receive, send)

        transport = httpx.ASGITransport(app=marked, raise_app_exceptions=False, client=("192.0.2.7", 4711))
        if headers is None:
            headers = {} if peer_uid is not None else {"sec-fetch-site": "same-origin"}
        super().__init__(transport=transport, base_url=ORIGIN, headers=headers, **changes)


@dataclass
class House:
    """What a test of the faces works with."""

    trust: Trust
    access: Access
    services: AdminServices
    app: Asgi
    admin: Principal
    notary: ed25519.Ed25519PrivateKey
    notary_key: NoteKey
    signer: DeskInProcess
    browsers: dict[str, Browser] = field(default_factory=dict)

    async def account(self, role: Role, name: str) -> None:
        """Make an account with PASSWORD."""
        from troth.access.model import Visitor

        secret, _ = await self.access.invitations.invite(self.admin, role=role, name=name)
        await self.access.invitations.redeem_password(secret, name, PASSWORD, Visitor("192.0.2.1"))

    async def logged_in(self, role: Role) -> Browser:
        """A browser of somebody in ``role``, logged in through the page."""
        if role.value not in self.browsers:
            await self.account(role, f"{role.value}-1")
            browser = Browser(self.app)
            answer = await browser.post("/login", data={"name": f"{role.value}-1", "password": PASSWORD, "next": "/"})
            assert answer.status_code == 303, answer.text
            self.browsers[role.value] = browser
        return self.browsers[role.value]

    async def apply(self, documents: str) -> None:
        """Apply documents as the local administrator."""
        await self.services.configuration.apply(documents, self.admin, dry_run=False)

    async def issue(self, subject: str, *names: str, profile: str = "tls-server") -> UUID:
        """A certificate for ``subject``, the way ``troth cert issue`` gets one."""
        from troth.web.views import IssueCommand

        command = IssueCommand(profile=profile, subject=subject, csr=new_csr(*names))
        return (await self.services.certificates.issue(command, self.admin)).id

    async def subject(self, name: str) -> UUID:
        """A subject's id."""
        found = await self.services.subjects.find(name)
        assert found is not None
        return found

    async def sign_checkpoint(self) -> int:
        """Sign the ledger as it is, the way the notary does; returns its size."""
        from troth.audit.note import CheckpointText, sign_note
        from troth.audit.store import Checkpoint, LedgerStore

        ledger = LedgerStore(self.trust.database)
        head = await ledger.head()
        text = CheckpointText(self.notary_key.name, head.size, head.root).encode()
        note = sign_note(text, self.notary_key, self.notary.sign)
        await ledger.add_checkpoint(Checkpoint(head.size, head.root, note, self.trust.clock.now()))
        return head.size

    async def fleet(self, devices: int = 14) -> Mapping[str, UUID]:
        """A small invented fleet with certificates, signals, a held, a revoked and a staged one. Names → ids."""
        clock = self.trust.clock
        made: dict[str, UUID] = {}
        rows = [
            f"  - {{name: laptop-{n:02}, owner: {'alice' if n % 3 else 'bob'}, managed: true, platform: linux, "
            f"names: [laptop-{n:02}.corp.example], posture: [{{source: mdm, observed_at: "
            f"{(clock.now() - timedelta(minutes=n)).isoformat()}, "
            f"values: {{posture.compliant: {'true' if n != 5 else 'false'}, risk.score: {n * 3}}}}}]}}"
            for n in range(1, devices + 1)
        ]
        await self.apply(FLEET + "\n".join(rows) + "\n")
        await self.trust.feed("edr", kinds=["edr.*"], cap={"percent": 0, "subjects": 2})
        await self.trust.feed("mdm", kinds=["mdm.*"], greatest_effect="restricted")
        for n in range(1, devices + 1):
            clock.advance(timedelta(minutes=3))
            # The fifth is not compliant: it gets no more than the quarantine profile.
            name = f"laptop-{n:02}"
            made[name] = await self.issue(name, f"{name}.corp.example", profile="client-device")
        for host in ("www.example.org", "mail.example.org"):
            made[host] = await self.issue(host, host)
        clock.advance(timedelta(minutes=4))
        await self.trust.take("edr.contained", "laptop-03")
        clock.advance(timedelta(minutes=6))
        await self.trust.take("edr.contained", "laptop-02")
        await self.trust.take("edr.contained", "laptop-04")
        await self.services.certificates.revoke(made["laptop-06"], self.admin, 4, "replaced by a new laptop")
        await self.services.certificates.hold(made["mail.example.org"], self.admin, "moved, until the new one is up")
        return made


@asynccontextmanager
async def sequencing(house: House) -> AsyncIterator[None]:
    """A sequencer at work while the block runs."""
    from troth.audit.sequencer import Sequencer
    from troth.kit.ids import new_id

    stop = asyncio.Event()
    task = asyncio.create_task(Sequencer(house.trust.database, house.trust.clock, new_id()).run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


class KeysInMemory:
    """The signer as the key pages see it: one key in a token that has been pulled, one that can be used."""

    def __init__(self) -> None:
        from troth.pki.keys.algorithm import KeyAlgorithm, generate_private_key, public_key_info
        from troth.pki.keys.model import KeyMetadata, KeyPurpose

        at = datetime(2026, 1, 1, tzinfo=UTC)
        self.keys = [
            KeyMetadata(key_id, KeyPurpose.ISSUING, KeyAlgorithm.P256, public_key_info(private), at,
                        custodian=custodian, evidence=evidence)
            for key_id, custodian, evidence in (
                ("issuing-1", "software", ()),
                ("issuing-2", "pkcs11:hsm", (("NEVER_EXTRACTABLE", "true"),)),
            )
            for private in (generate_private_key(KeyAlgorithm.P256),)
        ]  # fmt: skip

    async def list_keys(self, purpose: object = None) -> list[Any]:
        return self.keys

    async def public_key(self, key_id: str) -> Any:
        from troth.pki.keys.errors import KEY_UNKNOWN
        from troth.pki.signer.errors import SignerRefused

        for key in self.keys:
            if key.key_id == key_id:
                return key
        raise SignerRefused(KEY_UNKNOWN)

    async def custody(self) -> Any:
        from troth.pki.keys.algorithm import KeyAlgorithm
        from troth.pki.keys.keyring import CustodianState, KeyTrouble
        from troth.pki.signer.custody_protocol import CustodyReport

        code, detail = "keys.custodian_unavailable", "the token was pulled"
        return CustodyReport(
            1,
            [
                CustodianState("software", tuple(KeyAlgorithm), 1, "ready"),
                CustodianState("pkcs11:hsm", (KeyAlgorithm.P256,), 1, "down", code, detail),
            ],
            [KeyTrouble("issuing-2", code, detail)],
        )

    async def health(self, key_id: str | None = None) -> Any:
        from troth.pki.keys.errors import CUSTODIAN_UNAVAILABLE
        from troth.pki.signer.errors import SignerRefused

        if key_id == "issuing-2":
            raise SignerRefused(CUSTODIAN_UNAVAILABLE, "the token was pulled")
        await self.public_key(key_id or "")
        return None


def streams_of(database: Database, clock: Clock) -> StreamBook:
    """Shared signals, with transmitters on loopback alone."""
    from troth.connect.ssf.managing import StreamManager
    from troth.connect.ssf.streams import StreamDesk
    from troth.connect.ssf.transmitter.desk import ReceiverDesk
    from troth.connect.ssf.transmitter.keys import TransmitterKeyring
    from troth.connect.ssf.transmitter.sending import Sender
    from troth.connect.ssf.wide import WideDesk
    from troth.kit.http import HttpClient
    from troth.kit.sealing import SecretBox
    from troth.kit.settings import EgressSettings
    from troth.trust.intake.inbox import Inbox
    from troth.web.books.receivers import ReceiverBook
    from troth.web.books.shared_signals import StreamBook

    http = HttpClient(EgressSettings(networks=("127.0.0.0/8",), plain_http=True, timeout_seconds=2))
    desk = StreamDesk(database, clock, SecretBox(b"s" * 32, purpose="ssf"))
    manager = StreamManager(database, clock, http, desk, push_url=lambda name: f"https://troth.test/ssf/receive/{name}")
    keyring = TransmitterKeyring(database, clock, SecretBox(b"s" * 32, purpose="ssf key"))
    sender = Sender(clock, keyring, "https://troth.test")
    receivers = ReceiverBook(
        clock, ReceiverDesk(database, clock, sender, SecretBox(b"s" * 32, purpose="ssf transmitter"))
    )
    return StreamBook(database, clock, desk, manager, WideDesk(database, clock, Inbox(database, clock)), receivers)


@pytest.fixture(scope="session")
def litestar() -> Litestar:
    """All the routes, made once; each house stands behind them in its turn."""
    from troth.web.app import make_litestar

    return make_litestar()


@pytest.fixture
async def house(trust: Trust, tmp_path: Path, litestar: Litestar) -> AsyncIterator[House]:
    """The admin application over real rooms, with the shipped policies in force and one administrator."""
    from tests.support.enrolling import enrolling_for
    from troth.access.passkeys import RelyingParty
    from troth.access.passwords import Passwords
    from troth.access.service import Access
    from troth.assembly.ways import place_desk
    from troth.audit.note import NoteKey
    from troth.connect.desk import ConnectorDesk
    from troth.connect.vendors import Workshop
    from troth.enroll.acme.pausing import Patience
    from troth.enroll.est.model import Label
    from troth.enroll.issuance import Issuance
    from troth.kit.sealing import SecretBox
    from troth.radius.admission.desk import NetworkDesk
    from troth.radius.methods.desk import ListDesk
    from troth.radius.nas.desk import NasDesk
    from troth.radius.proxy.desk import PoolDesk
    from troth.trust.decision.decide import Judge
    from troth.trust.outbox.desk import EffectDesk
    from troth.trust.policy.cache import PolicyCache
    from troth.trust.policy.store import PolicyStore
    from troth.trust.subjects.facts import StoredFacts
    from troth.trust.subjects.store import SubjectStore
    from troth.trust.subjects.whom import Subjects
    from troth.web.app import make_admin_app
    from troth.web.books import Rooms, build

    database, clock, mint = trust.database, trust.clock, trust.mint
    await apply_shipped(database, clock)
    cache = PolicyCache(PolicyStore(database))
    await cache.refresh()
    store = SubjectStore(database)
    judge = Judge(cache, [StoredFacts(store)], clock)
    issuance = Issuance(database, Subjects(store), judge, mint.gate, mint.catalogue)
    # Costs that a test suite can bear; everything else is as in production.
    passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    access = Access.build(database, clock, RelyingParty(HOST, (ORIGIN,)), passwords)
    admin = access.local(os.getuid(), os.getuid())
    assert admin is not None
    notary = ed25519.Ed25519PrivateKey.generate()
    notary_key = NoteKey("troth.test/ledger", notary.public_key().public_bytes_raw())
    enrolling = enrolling_for(database, clock, patience=Patience())
    signer = DeskInProcess(tmp_path / "signer", clock)
    box = SecretBox(b"c" * 32, purpose="connector")
    connectors = ConnectorDesk(database, clock, box, Workshop(clock, EGRESS, sleep=FakeSleep(clock)))
    networks = NetworkDesk(database, clock)
    pools = PoolDesk(database, clock, SecretBox(b"p" * 32, purpose="proxy"), users=networks.handing_to)
    services = build(
        Rooms(
            database=database, clock=clock, access=access, issuance=issuance, catalogue=mint.catalogue,
            interlock=mint.interlock, orders=trust.orders, feeds=trust.feeds,
            connectors=connectors, streams=streams_of(database, clock),
            pools=pools,
            lists=ListDesk(database, clock),
            places=place_desk(database, clock, networks, pools), networks=networks,
            access_servers=NasDesk(database, clock, SecretBox(b"n" * 32, purpose="nas")),
            effects=EffectDesk(database, clock, SecretBox(b"e" * 32, purpose="effect")),
            notary_key=notary_key, owner_uid=os.getuid(), keys=KeysInMemory(),
            judge=signer, enrolments=enrolling.enrolments, pausing=enrolling.pausing,
            directories={"tls-server": ("tls-server",)}, est={"hosts": Label("hosts", "mutual-tls")},
            est_default="hosts", public_url="https://acme.test:8443", radius_steering=tmp_path / "radius-steering.json",
        )
    )  # fmt: skip
    app = make_admin_app(services, hosts={HOST}, litestar=litestar)
    made = House(trust, access, services, app, admin, notary, notary_key, signer)
    yield made
    for browser in made.browsers.values():
        await browser.aclose()
    signer.close()
