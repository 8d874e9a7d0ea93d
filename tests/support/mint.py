"""A mint on a test's own database: an authority whose key is in memory, the shipped profiles, a gate.

The key sits where the signer process would be; everything else is the product.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from tests.support.postgres import PostgresServer, run_apart
from troth.kit.clock import Clock, FakeClock
from troth.kit.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from troth.pki.catalogue import Catalogue
    from troth.pki.crl_der import CrlFrame
    from troth.pki.gate import Gate
    from troth.pki.keys.model import KeyMetadata, KeyPurpose
    from troth.pki.model import IssuanceRequest
    from troth.store.pool import Database


def ca_certificate(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    name: str,
    now: datetime,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey] | None = None,
) -> x509.Certificate:
    """A self-signed root, or an issuing authority under ``issuer``; ten years."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0 if issuer else None), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer:
        issuer_id = issuer[0].extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False
        )
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


def new_spki() -> bytes:
    """DER SubjectPublicKeyInfo of a fresh P-256 key."""
    return (
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


class MemorySigner:
    """Keys in memory, and what was signed with them. ``fail`` is raised once in place of a signature."""

    def __init__(self) -> None:
        self.keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        #: Of authorities with an RSA key, and of what they certify.
        self.rsa_keys: dict[str, rsa.RSAPrivateKey] = {}
        self.certified: list[tuple[UUID, bytes]] = []
        self.fail: Exception | None = None
        self.spoil = False

    async def certify(self, key_id: str, tbs: bytes, reservation_id: UUID) -> bytes:
        if self.fail is not None:
            failure, self.fail = self.fail, None
            raise failure
        self.certified.append((reservation_id, tbs))
        if key_id in self.rsa_keys:
            return self.rsa_keys[key_id].sign(tbs, padding.PKCS1v15(), hashes.SHA256())
        return self.keys[key_id].sign(b"other" if self.spoil else tbs, ec.ECDSA(hashes.SHA256()))

    async def sign_crl_stream(
        self, key_id: str, frame: CrlFrame, runs: Iterable[bytes], commit: Callable[[], Awaitable[None]]
    ) -> bytes:
        tbs = frame.head + b"".join(runs) + frame.tail
        await commit()
        if self.fail is not None:
            failure, self.fail = self.fail, None
            raise failure
        return self.keys[key_id].sign(b"other" if self.spoil else tbs, ec.ECDSA(hashes.SHA256()))

    async def generate_key(self, purpose: KeyPurpose, algorithm: object = None) -> KeyMetadata:
        from troth.pki.keys.algorithm import KeyAlgorithm
        from troth.pki.keys.model import KeyMetadata

        key_id = f"{purpose}-{new_id()}"
        if algorithm is KeyAlgorithm.RSA3072:
            made = self.rsa_keys[key_id] = rsa.generate_private_key(65537, 3072)
            public = made.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            return KeyMetadata(key_id, purpose, algorithm, public, datetime.fromtimestamp(0).astimezone())
        key = ec.generate_private_key(ec.SECP256R1())
        self.keys[key_id] = key
        spki = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return KeyMetadata(key_id, purpose, KeyAlgorithm.P256, spki, datetime.fromtimestamp(0).astimezone())


class OpenInterlock:
    """Says yes, or raises what it is told to."""

    def __init__(self) -> None:
        self.refusal: Exception | None = None

    async def ensure(self) -> None:
        if self.refusal is not None:
            raise self.refusal


@dataclass
class Mint:
    """What a test of the mint works with."""

    database: Database
    clock: FakeClock
    signer: MemorySigner
    interlock: OpenInterlock
    catalogue: Catalogue
    gate: Gate
    root: x509.Certificate
    root_key: ec.EllipticCurvePrivateKey
    issuer: x509.Certificate
    instance: UUID = field(default_factory=new_id)

    def request(self, request_id: str = "request-1", **changes: object) -> IssuanceRequest:
        """A request for a server certificate of ``a.example``."""
        from troth.pki.model import IssuanceRequest

        values: dict[str, object] = {
            "request_id": request_id,
            "authority": "issuing",
            "profile": "tls-server",
            "spki": new_spki(),
            "names": (("dns", "a.example"),),
            "actor": "test:mint",
        }
        return IssuanceRequest(**(values | changes))  # type: ignore[arg-type]


#: Applied in every test's mint; a test that needs another applies it, so that the others need not lint it.
PROFILES = ("tls-server", "client-device", "quarantine", "ocsp-responder", "troth-service")


@dataclass(frozen=True)
class Minted:
    """A database in which a mint has been made, and what is not in it: its keys."""

    template: str
    root_key: ec.EllipticCurvePrivateKey
    issuing_key: ec.EllipticCurvePrivateKey

    @classmethod
    def named(cls, template: str) -> Minted:
        """With fresh keys; :func:`make_mint` does the rest."""
        return cls(template, ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session")
def mints_made() -> dict[datetime, Minted]:
    """One for each time at which a test began."""
    return {}


@pytest.fixture
def minted(
    clock: Clock, postgres: PostgresServer, migrated_template: str, mints_made: dict[datetime, Minted]
) -> Minted:
    """A database to copy, in which the clock stands where this test's does: linting profiles takes a while."""
    at = clock.now()
    if at not in mints_made:
        made = Minted.named(f"minted_{len(mints_made)}")
        run_apart(postgres.execute(f"CREATE DATABASE {made.template} TEMPLATE {migrated_template} STRATEGY file_copy"))
        run_apart(make_mint(postgres.url(made.template), made, clock))
        mints_made[at] = made
    return mints_made[at]


async def make_mint(url: str, made: Minted, clock: Clock) -> None:
    """Two authorities, of which ``issuing`` is served by the key in memory, and the profiles."""
    from troth.pki.authorities import Authority
    from troth.pki.catalogue import Catalogue, add_authority
    from troth.pki.profile import shipped_profiles
    from troth.store.pool import Database
    from troth.store.unit import Unit

    now, der, base = clock.now(), serialization.Encoding.DER, "http://pki.test"
    root = ca_certificate(made.root_key, "Test Root", now)
    issuer = ca_certificate(made.issuing_key, "Test Issuing", now, (root, made.root_key))
    authorities = (
        Authority(
            "root", "Test Root", "root", None, root.public_bytes(der), None, "active", True,
            None, None, f"{base}/crl/root.crl", now,
        ),
        Authority(
            "issuing", "Test Issuing", "issuing", "root", issuer.public_bytes(der), "issuing-key", "active", True,
            f"{base}/ca/issuing.cer", f"{base}/ocsp/issuing", f"{base}/crl/issuing.crl", now,
        ),
    )  # fmt: skip
    database = await Database.open(url, clock=clock)
    try:
        unit = Unit()
        for authority in authorities:
            add_authority(unit, authority, actor="test:mint")
        await database.commit(unit)
        catalogue = Catalogue(database, clock)
        for name in PROFILES:
            await catalogue.apply_profile(shipped_profiles()[name], actor="test:mint")
    finally:
        await database.close()


@pytest.fixture
async def mint(minted: Minted, database: Database, clock: FakeClock) -> Mint:
    """A root, an issuing authority named ``issuing``, the shipped profiles and a gate, on a fresh database."""
    from troth.pki.catalogue import Catalogue
    from troth.pki.gate import Gate

    signer = MemorySigner()
    signer.keys["issuing-key"] = minted.issuing_key
    catalogue = Catalogue(database, clock)
    await catalogue.refresh()
    interlock, instance = OpenInterlock(), new_id()
    gate = Gate(database, signer, catalogue, interlock, clock, instance=instance)
    root, issuer = catalogue.authority("root").x509, catalogue.authority("issuing").x509
    return Mint(database, clock, signer, interlock, catalogue, gate, root, minted.root_key, issuer, instance)


def sha256(data: bytes) -> bytes:
    """For comparing with stored digests."""
    return hashlib.sha256(data).digest()
