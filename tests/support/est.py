"""The EST door without sockets in front, over a mint, the shipped policies and a small directory."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates
from cryptography.x509.oid import AttributeOID, NameOID

from tests.support.enrolling import EnrollingDesks, enrolling_for
from tests.support.mint import Mint, ca_certificate
from tests.support.policies import apply_shipped

if TYPE_CHECKING:
    from troth.enroll.est.model import Label
    from troth.enroll.est.routes import EstDoor
    from troth.enroll.est.tally import Tally
    from troth.kit.lane import Lane, Response
    from troth.trust.enforcement.orders import Orders
    from troth.trust.policy.cache import PolicyCache
    from troth.trust.subjects.store import SubjectStore

DIRECTORY = """\
users:
  - {name: ada, enabled: true}
devices:
  - name: printer-1
    serial: SN-0001
    managed: true
    owner: ada
    names: [printer-1.corp.example]
    posture: [{source: mdm, values: {posture.compliant: true, risk.score: 3}}]
  - {name: printer-2, serial: SN-0002}
"""
ADDRESS = "192.0.2.9"


@dataclass
class Answer:
    """What the door said."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def code(self) -> str | None:
        """The stable code of a refusal."""
        return self.headers.get("troth-code")

    @property
    def certificates(self) -> list[x509.Certificate]:
        """Those of a certs-only answer."""
        assert self.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only", self.body
        return load_der_pkcs7_certificates(base64.b64decode(self.body))

    @property
    def leaf(self) -> x509.Certificate:
        """The one certificate of an enrolment."""
        assert self.status == 200, (self.status, self.body)
        [one] = self.certificates
        return one


def request_of(
    key: ec.EllipticCurvePrivateKey | None = None,
    *names: str,
    common_name: str = "",
    challenge: bytes | None = None,
    subject: x509.Name | None = None,
    extensions: Any = (),
) -> bytes:
    """A PKCS#10 request, DER."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject or named)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False)
    for one in extensions:
        builder = builder.add_extension(one, False)
    if challenge is not None:
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def again(leaf: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bytes:
    """A request for the subject and the names of ``leaf``."""
    held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return request_of(key, subject=leaf.subject, extensions=[held])


@dataclass
class Foreign:
    """Somebody else's authority, and certificates of it."""

    key: ec.EllipticCurvePrivateKey
    root: x509.Certificate

    def issue(self, now: Any, *, serial: str = "", names: tuple[str, ...] = (), usage: Any = None) -> x509.Certificate:
        """A client's certificate; without ``usage`` it states none, as a device's first identity does."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, serial)] if serial else [])
        builder = x509.CertificateBuilder(self.root.subject, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=9000))
        builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(self.key, hashes.SHA256())


@dataclass
class Est:
    """What a test of the EST door works with."""

    mint: Mint
    enrolling: EnrollingDesks
    lane: Lane
    door: EstDoor
    tally: Tally
    subjects: SubjectStore
    orders: Orders
    labels: dict[str, Label]
    policies: PolicyCache
    foreign: Foreign = field(init=False)

    async def ask(
        self,
        operation: str,
        der: bytes | None = None,
        *,
        label: str = "",
        user: tuple[str, str] | None = None,
        certificate: x509.Certificate | None = None,
        chain: tuple[x509.Certificate, ...] = (),
        body: bytes | None = None,
        unique: bytes | None = None,
        method: str = "",
        **headers: str,
    ) -> Answer:
        """One request, as the listener would pass it on."""
        from troth.kit.lane import Request

        path = f"/.well-known/est/{label}/{operation}" if label else f"/.well-known/est/{operation}"
        sent = {"content-type": "application/pkcs10"} if der is not None or body is not None else {}
        if user is not None:
            sent["authorization"] = "Basic " + base64.b64encode(":".join(user).encode()).decode()
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        shown = None if certificate is None else certificate.public_bytes(Encoding.DER)
        found = self.lane.find(path)
        request = Request(
            method=method or ("GET" if der is None and body is None else "POST"),
            path=path,
            raw_path=path.encode(),
            query=b"",
            params=found[1] if found else (),
            headers=sent,
            body=body if body is not None else b"" if der is None else base64.b64encode(der),
            client=ADDRESS,
            tls_client_cert=shown,
            tls_client_chain=() if shown is None else (shown, *(one.public_bytes(Encoding.DER) for one in chain)),
            tls_unique=unique,
        )
        refused = self.lane.refused(found[0] if found else None, request)
        if refused is not None or found is None:
            assert refused is not None
            return _answer(refused)
        return _answer(await self.lane.respond(found[0], request))

    async def enrolment(self, **wanted: Any) -> tuple[str, str]:
        """User name and password of a new enrolment: by default one that vouches for names below corp.example."""
        from troth.enroll.credentials.model import NameRules, Wanted

        rules = NameRules(suffixes=("corp.example",)) if "rules" not in wanted else wanted.pop("rules")
        values: dict[str, Any] = {
            "kind": "external-account", "name": "test", "seconds": 3600, "rules": rules, "vouches": True,
            "directories": tuple(one.directory for one in self.labels.values()),
        }  # fmt: skip
        made = await self.enrolling.enrolments.create(Wanted(**(values | wanted)), by="admin:test")
        return str(made.enrolment.id), made.secret

    async def device(self, name: str) -> Any:
        """A device of the directory."""
        from troth.trust.model import Kind

        found = await self.subjects.find(Kind.DEVICE, name)
        assert found is not None
        return found

    async def report(self, device: str, **facts: Any) -> None:
        """What an MDM says of a device now: ``compliant=True`` is ``posture.compliant``."""
        from troth.store.unit import Unit
        from troth.trust.subjects.store import PUT_FACT, encoded

        subject, now, unit = await self.device(device), self.mint.clock.now(), Unit()
        for path, value in facts.items():
            unit.write(PUT_FACT, subject.id, "mdm", path.replace("__", "."), encoded(value), now, now)
        await self.mint.database.commit(unit)


def _answer(response: Response) -> Answer:
    headers = {name.decode().lower(): value.decode() for name, value in response.headers}
    return Answer(response.status, response.body, headers)


async def apply_unlinted(mint: Mint, *names: str) -> None:
    """Shipped profiles, as applied; linting them, which takes most of a second each, is for the tests of profiles."""
    from troth.pki.authority_store import ADD_PROFILE
    from troth.pki.profile import parse_profile, shipped_profiles
    from troth.store.unit import Unit

    unit = Unit()
    for name in names:
        text = shipped_profiles()[name]
        row = (name, 1, parse_profile(text).digest, text, mint.clock.now(), "test:mint")
        unit.claim(ADD_PROFILE, *row, refuse=AssertionError(name), key=name)
    await mint.database.commit(unit)
    await mint.catalogue.refresh()


@pytest.fixture
async def est(mint: Mint) -> AsyncIterator[Est]:
    """The door, with labels for every way in, and a foreign authority that is a trust anchor for clients."""
    from troth.enroll.acme.limits import Limit
    from troth.enroll.est.callers import Callers
    from troth.enroll.est.desk import EstDesk
    from troth.enroll.est.model import Label
    from troth.enroll.est.routes import EstDoor
    from troth.enroll.est.tally import Tally
    from troth.enroll.issuance import Issuance
    from troth.kit.lane import Lane
    from troth.pki.anchors import add_anchor, read_anchor
    from troth.store.unit import Unit
    from troth.trust.decision.decide import Judge
    from troth.trust.enforcement.enforce import Enforcer
    from troth.trust.enforcement.orders import Orders
    from troth.trust.policy.cache import PolicyCache
    from troth.trust.policy.store import PolicyStore
    from troth.trust.subjects.directory_plan import Directory
    from troth.trust.subjects.facts import StoredFacts
    from troth.trust.subjects.store import SubjectStore
    from troth.trust.subjects.whom import Subjects

    database, clock, catalogue = mint.database, mint.clock, mint.catalogue
    await apply_unlinted(mint, "mutual-tls", "wifi-device")
    await apply_shipped(database, clock)
    cache = PolicyCache(PolicyStore(database))
    await cache.refresh()
    directory = Directory(database, clock)
    await directory.apply(await directory.plan(DIRECTORY), actor="admin:test")
    key = ec.generate_private_key(ec.SECP256R1())
    foreign = Foreign(key, ca_certificate(key, "Maker Root", clock.now()))
    anchor = read_anchor(foreign.root.public_bytes(Encoding.DER), ["clientAuth"], "admin:test", clock.now())
    await database.commit(add_anchor(Unit(), anchor))

    subjects = SubjectStore(database)
    judge = Judge(cache, [StoredFacts(subjects)], clock)
    issuance = Issuance(database, Subjects(subjects), judge, mint.gate, catalogue)
    limits = {"orders_per_enrolment": Limit("new orders of this enrolment", 30, timedelta(hours=1))}
    enrolling = enrolling_for(database, clock, limits=limits)
    desk = EstDesk(
        database, clock, issuance, catalogue, enrolling.enrolments, enrolling.meters,
        repeat=timedelta(hours=1), retry_seconds=60,
    )  # fmt: skip
    labels = {
        one.name: one
        for one in (
            Label("mutual-tls", "mutual-tls"),
            Label("servers", "tls-server"),
            Label("wifi", "wifi-device", bootstrap="device", from_profiles=frozenset({"mutual-tls"})),
            Label("old-pki", "mutual-tls", bootstrap="names", adopt=True),
            Label("keygen", "mutual-tls", server_keygen=True),
            Label("bound", "mutual-tls", channel_binding="require"),
            Label("unbound", "mutual-tls", channel_binding="ignore"),
        )
    }
    callers = Callers(database, clock, catalogue, enrolling.enrolments)
    tally = Tally(database)
    door = EstDoor(labels, "mutual-tls", callers, desk, catalogue, tally, clock, per_minute=60)

    async def fail(request: Any, error: Exception) -> Any:
        raise error

    made = Est(
        mint, enrolling, Lane([*door.routes()], on_error=fail), door, tally, subjects,
        Orders(database, clock, Enforcer()), labels, cache,
    )  # fmt: skip
    made.foreign = foreign
    yield made
    await tally.close()
    await enrolling.meters.close()
