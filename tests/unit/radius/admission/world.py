"""A network, an authority, devices and a trust table in memory, for the tests of this room."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import structs

from troth.audit.event import StreamEvent
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id
from troth.pki.authorities import Authority
from troth.radius.admission.chains import Anchors
from troth.radius.admission.model import Attempt, Match, Network, Networks
from troth.radius.admission.records import CertificateRow, SubjectRow, microseconds
from troth.radius.admission.service import Decider, Ground
from troth.radius.admission.table import TrustTable
from troth.trust.model import Outcome
from troth.trust.policy.cache import PolicyCache
from troth.trust.policy.compiled import Policy
from troth.trust.policy.grammar import parse_policy
from troth.trust.subjects.facts import Observation
from troth.trust.vocabulary import GATHERED_ROOTS

AT = datetime(2026, 12, 1, 10, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
POLICY = """
policy: wifi
profiles: [wifi-device, quarantine]
standing: {quarantined: {profile: quarantine, lifetime: 4h}}
rules:
  - rule: healthy
    moments: [connect]
    require:
      compliant:
        check: posture.compliant && age(posture.compliant) < duration("24h")
    then: allow
    else: {quarantine: {say: "Mend it first."}}
    unknown: {restrict: {session_time: 1h}}
"""
PLACES = ((Outcome.ALLOW, "staff"), (Outcome.RESTRICT, "limited"), (Outcome.QUARANTINE, "healing"))


@dataclass(frozen=True)
class Nas:
    name: str = "ap-1"
    site: str | None = None


@dataclass(frozen=True)
class Facts:
    chain: tuple[bytes, ...]
    tls_version: str = "1.3"
    cipher: str = "TLS_AES_128_GCM_SHA256"
    resumed: bool = False
    identity: str = "@corp.example"

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.chain[0]).digest()


class Lease:
    """A lease that the test ends. Whoever waits for it lets the clock run: until ``renews``, or for all of the time."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.until = float("inf")
        #: Seconds after which a wait renews it; None: it stays lapsed.
        self.renews: float | None = None
        self.waits: list[float] = []

    @property
    def live(self) -> bool:
        return self._clock.monotonic() < self.until

    def lapse(self) -> None:
        self.until = self._clock.monotonic()

    async def current(self, seconds: float) -> bool:
        self.waits.append(seconds)
        renewed = self.renews is not None and self.renews <= seconds
        self._clock.advance(timedelta(seconds=self.renews if renewed and self.renews is not None else seconds))
        if renewed:
            self.until = float("inf")
        return renewed


class Policies(PolicyCache):
    """Policies that were parsed here, without a database."""

    def __init__(self, *texts: str) -> None:
        self.set(*texts)

    def set(self, *texts: str) -> None:
        made = [parse_policy(text, version=1) for text in texts]
        self._policies = {one.name: one for one in made}
        self._by_profile: Mapping[str, Policy] = {profile: one for one in made for profile in one.profiles}


def issue(
    name: str,
    issuer: x509.Certificate | None,
    *,
    key: ec.EllipticCurvePrivateKey = KEY,
    signer: ec.EllipticCurvePrivateKey = KEY,
    ca: bool = False,
    usages: tuple[x509.ObjectIdentifier, ...] | None = (ExtendedKeyUsageOID.CLIENT_AUTH,),
    begins: datetime = AT - timedelta(days=30),
    ends: datetime = AT + timedelta(days=30),
    names: tuple[x509.GeneralName, ...] = (),
    lists: tuple[x509.DistributionPoint, ...] = (),
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if lists:
        builder = builder.add_extension(x509.CRLDistributionPoints(lists), critical=False)
    if usages is not None and not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(signer, hashes.SHA256())


ROOT = issue("Root", None, ca=True, ends=AT + timedelta(days=900))
ISSUING = issue("Issuing", ROOT, ca=True, ends=AT + timedelta(days=600))


def authority(
    slug: str, certificate: x509.Certificate, *, kind: Any = "issuing", parent: str | None = None
) -> Authority:
    der = certificate.public_bytes(Encoding.DER)
    return Authority(slug, slug.title(), kind, parent, der, "key", "active", False, None, None, None, AT)


@dataclass
class Device:
    """One device: its certificate, its rows."""

    certificate: x509.Certificate
    row: CertificateRow
    subject: SubjectRow
    said: tuple[Observation, ...]

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


@dataclass
class World:
    """Everything, wired as in a worker but for the database."""

    clock: FakeClock = field(default_factory=lambda: FakeClock(AT))
    network: Network = field(
        default_factory=lambda: Network(
            "corp", Match(ssids=frozenset({"Corp"})), authorities=("root",), places=PLACES,
            profiles=frozenset({"wifi-device", "quarantine"}),
        )
    )  # fmt: skip

    def __post_init__(self) -> None:
        self.table = TrustTable(self.clock)
        self.policies = Policies(POLICY)
        self.lease = Lease(self.clock)
        self.decider = Decider(self.table, self.policies, self.lease, self.clock)
        self.index = 0
        self.set_network(self.network)
        policy = self.policies.governing("wifi-device")
        assert policy is not None
        self.table.want(self.decider.ground.networks.profiles, policy.wants(*GATHERED_ROOTS))
        self.table.loaded()

    def set_network(self, network: Network, **changes: Any) -> None:
        self.network = replaced(network, **changes)
        authorities = {
            "root": authority("root", ROOT, kind="root"),
            "issuing": authority("issuing", ISSUING, parent="root"),
        }
        self.decider.ground = Ground(Networks.of([self.network]), Anchors(authorities, {}))

    def device(
        self,
        name: str = "laptop-1",
        *,
        compliant: bool | None = True,
        profile: str = "wifi-device",
        standing: str = "trusted",
        seen: datetime | None = None,
        put: bool = True,
        subjects: tuple[UUID, ...] | None = None,
        **issued: Any,
    ) -> Device:
        certificate = issue(name, ISSUING, names=(x509.DNSName(f"{name}.corp.example"),), **issued)
        der, subject_id = certificate.public_bytes(Encoding.DER), new_id()
        row = CertificateRow(
            id=new_id(), sha256=hashlib.sha256(der).digest(), serial=certificate.serial_number.to_bytes(20, "big"),
            authority="issuing", profile=profile, not_before=int(certificate.not_valid_before_utc.timestamp()),
            not_after=int(certificate.not_valid_after_utc.timestamp()), issued_at=int(AT.timestamp()), status="good",
            version=0, held_by=(), held_beside=False, key_assurance="unproven",
            names=(("dns", f"{name}.corp.example"),), subjects=(subject_id,) if subjects is None else subjects,
        )  # fmt: skip
        said: tuple[Observation, ...] = ()
        if compliant is not None:
            said = (Observation(subject_id, "posture.compliant", compliant, "mdm", seen or AT - timedelta(minutes=5)),)
        subject = SubjectRow(
            id=subject_id, kind="device", name=name, origin="directory", standing=standing, version=0, since=None,
            protected=False, owner=None, attributes={}, groups=(), confirmed_at=microseconds(AT), removed=False,
        )  # fmt: skip
        made = Device(certificate, row, subject, said)
        if put:
            self.put(made)
        return made

    def subject_row(self, device: Device) -> SubjectRow:

        said = self.table.words.pack(device.said)
        return structs.replace(device.subject, said=said, paths=self.table.wish, read_at=self.clock.monotonic())

    def put(self, device: Device, turn: int | None = None) -> None:
        """As a read that begins and ends now."""
        turn = self.table.begin() if turn is None else turn
        self.table.put_subjects([self.subject_row(device)], turn)
        self.table.put_certificates([device.row], turn)
        self.table.end()

    def attempt(self, device: Device | bytes, **changes: Any) -> Attempt:
        leaf = device.der if isinstance(device, Device) else device
        attempt = Attempt(
            self.clock.now(), Nas(), self.network, "eap-tls", "@corp.example", "192.0.2.1", "02-00-00-00-00-01",
            ssid="Corp", nas_port_type="wireless", facts=Facts((leaf, ISSUING.public_bytes(Encoding.DER))),
        )  # fmt: skip
        return structs.replace(attempt, **changes)

    def event(self, kind: str, *refs: str, **data: Any) -> StreamEvent:
        self.index += 1
        return StreamEvent(self.index, new_id(), new_id(), self.clock.now(), kind, "system:test", refs, data)

    def told(self, kind: str, *refs: str, **data: Any) -> None:
        self.table.apply([self.event(kind, *refs, **data)])

    def standing(self, device: Device, to: str, version: int) -> None:
        self.told(
            "standing.changed", f"subject:{device.subject.id}", subject_id=str(device.subject.id), to=to,
            standing_version=version, **{"from": "trusted"},
        )  # fmt: skip

    def status(self, device: Device, kind: str, status: str, version: int, causes: tuple[str, ...] = ()) -> None:
        self.told(
            f"certificate.{kind}", f"certificate:{device.row.id}", certificate_id=str(device.row.id), status=status,
            status_version=version, causes=list(causes),
        )  # fmt: skip
