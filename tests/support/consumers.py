"""Certificates of the shipped profiles, for the programs that will meet them: the product's gate over a real database.

The hierarchy is RSA throughout, because every consumer here reads that (Samba's KDC reads no ECDSA signatures, not even
the root's), with one issuing authority for each class, as a first start makes them.
"""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.issuers import CLASSES, authority_certificate, authority_row
from tests.support.mint import OpenInterlock
from tests.support.postgres import PostgresServer, run_apart
from troth.kit.clock import SystemClock

if TYPE_CHECKING:
    from troth.pki.algorithms import PrivateKey
    from troth.pki.model import IssuedCertificate

T = TypeVar("T")


class _KeysInMemory:
    """Where the signer process would be."""

    def __init__(self, keys: Mapping[str, PrivateKey]) -> None:
        self._keys = keys

    async def certify(self, key_id: str, tbs: bytes, reservation_id: object) -> bytes:
        from troth.pki.algorithms import sign_with

        return sign_with(self._keys[key_id], tbs)


@dataclass(frozen=True)
class Credential:
    """One issued certificate with its key, as files.

    Attributes:
        certificate: PEM, the leaf alone; ``chain`` has the issuing authority behind it.
        authority: PEM of the issuing authority.
    """

    x509: x509.Certificate
    certificate: Path
    chain: Path
    key: Path
    authority: Path


class Bureau:
    """Issues through the gate, for tests that are not async: it has a loop and a thread of its own.

    Attributes:
        root: PEM of the root.
    """

    def __init__(self, url: str, home: Path) -> None:
        self._url, self._home = url, home
        self._numbers = itertools.count(1)
        self._keys: dict[str, Any] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bureau", daemon=True)
        self._thread.start()
        self.root = home / "root.pem"
        self._run(self._open())

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    async def _open(self) -> None:
        from troth.kit.ids import new_id
        from troth.pki.catalogue import Catalogue, add_authority
        from troth.pki.gate import Gate
        from troth.store.pool import Database
        from troth.store.unit import Unit

        clock = SystemClock()
        self._database = await Database.open(self._url, clock=clock)
        keys = self._keys = {name: _rsa() for name in ("root", *CLASSES)}
        root = authority_certificate("Consumers Root", keys["root"])
        self.root.write_bytes(root.public_bytes(Encoding.PEM))
        unit = Unit()
        add_authority(unit, authority_row("root", None, root), actor="test:consumers")
        for slug in CLASSES:
            certificate = authority_certificate(f"Consumers {slug}", keys[slug], (root, keys["root"]))
            self.authority(slug).write_bytes(certificate.public_bytes(Encoding.PEM))
            add_authority(unit, authority_row(slug, "root", certificate), actor="test:consumers")
        await self._database.commit(unit)
        self._catalogue = Catalogue(self._database, clock)
        await self._catalogue.refresh()
        self._gate = Gate(
            self._database, _KeysInMemory(keys), self._catalogue, OpenInterlock(), clock, instance=new_id()
        )

    def authority(self, slug: str) -> Path:
        """PEM of the issuing authority of one class (issuing, people, infrastructure, radius), or of the root."""
        return self.root if slug == "root" else self._home / f"authority-{slug}.pem"

    def issue(
        self,
        profile: str,
        facts: Mapping[str, str] | None = None,
        *names: tuple[str, str],
        key: str = "rsa2048",
        assurance: Any = "unproven",
        common_name: str | None = None,
    ) -> Credential:
        """A certificate of a shipped profile, named by ``facts`` and proved ``names``. Raises what the gate raises."""
        secret: PrivateKey = _rsa(int(key[3:])) if key.startswith("rsa") else ec.generate_private_key(ec.SECP256R1())
        issued = self._run(self._issue(profile, facts or {}, names, secret, assurance, common_name))
        authority = b"".join(x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in issued.chain)
        return self._written(profile, x509.load_der_x509_certificate(issued.der), authority, _pem(secret))

    def crl(self, slug: str, *revoked: Credential) -> Path:
        """A fresh CRL of one authority, PEM, for consumers that want one at hand."""
        issuer, now = x509.load_pem_x509_certificate(self.authority(slug).read_bytes()), SystemClock().now()
        builder = x509.CertificateRevocationListBuilder(
            issuer.subject, now - timedelta(minutes=5), now + timedelta(days=1)
        )
        for one in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder(one.x509.serial_number, now - timedelta(minutes=5)).build()
            )
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
        signed = builder.add_extension(identifier, False).sign(self._keys[slug], hashes.SHA256())
        path = self._home / f"{next(self._numbers)}.crl.pem"
        path.write_bytes(signed.public_bytes(Encoding.PEM))
        return path

    def forge(self, genuine: Credential, slug: str) -> Credential:
        """``genuine`` as somebody would make it who has the key of another issuing authority and can sign anything."""
        issuer = x509.load_pem_x509_certificate(self.authority(slug).read_bytes())
        model, now = genuine.x509, SystemClock().now()
        builder = (
            x509.CertificateBuilder()
            .subject_name(model.subject)
            .issuer_name(issuer.subject)
            .public_key(model.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
        )
        for extension in model.extensions:
            if not isinstance(extension.value, x509.AuthorityKeyIdentifier):
                builder = builder.add_extension(extension.value, extension.critical)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
        signed = builder.add_extension(identifier, False).sign(self._keys[slug], hashes.SHA256())
        return self._written("forged", signed, self.authority(slug).read_bytes(), genuine.key.read_bytes())

    def _written(self, name: str, certificate: x509.Certificate, authority: bytes, key: bytes) -> Credential:
        stem = self._home / f"{next(self._numbers)}-{name}"
        leaf = certificate.public_bytes(Encoding.PEM)
        files = {"crt": leaf, "chain.crt": leaf + authority, "key": key, "issuer.crt": authority}
        paths = {ending: stem.with_suffix(f".{ending}") for ending in files}
        for ending, path in paths.items():
            path.write_bytes(files[ending])
            path.chmod(0o600)
        return Credential(certificate, paths["crt"], paths["chain.crt"], paths["key"], paths["issuer.crt"])

    async def _issue(
        self,
        name: str,
        facts: Mapping[str, str],
        proved: tuple[tuple[str, str], ...],
        secret: PrivateKey,
        assurance: Any,
        common_name: str | None,
    ) -> IssuedCertificate:
        from troth.kit.ids import new_id
        from troth.pki.algorithms import spki_of
        from troth.pki.model import IssuanceRequest
        from troth.pki.names import canonical_names
        from troth.pki.profile import shipped_profiles
        from troth.pki.rendering import render

        if name not in self._catalogue.profiles:
            await self._catalogue.apply_profile(shipped_profiles()[name], actor="test:consumers")
        rendered = render(self._catalogue.profile(name), facts, canonical_names(proved), common_name)
        request = IssuanceRequest(
            request_id=f"consumers:{new_id()}",
            authority=self._catalogue.issuer_for(name).slug,
            profile=name,
            spki=spki_of(secret.public_key()),
            names=rendered.names,
            actor="test:consumers",
            subject=rendered.subject,
            common_name=rendered.common_name,
            sid=rendered.sid,
            key_assurance=assurance,
        )
        return await self._gate.issue(request)

    def close(self) -> None:
        """End the loop."""
        self._run(self._database.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@dataclass(frozen=True)
class Consumer:
    """Runs the programs that consume certificates.

    Attributes:
        home: an empty directory, where they run.
    """

    home: Path
    program: Callable[[str], Path]

    def run(self, name: str, *arguments: str | Path, fails: bool = False, given: str = "") -> str:
        """Run a program; what it said on both outputs. Raises AssertionError unless it ended as expected."""
        done = subprocess.run(
            [str(self.program(name)), *map(str, arguments)],
            cwd=self.home,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        if (done.returncode != 0) != fails:
            raise AssertionError(f"{name} ended with {done.returncode}:\n{done.stdout[-4000:]}")
        return done.stdout


def _rsa(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def _pem(key: PrivateKey) -> bytes:
    # The traditional form: GnuTLS in Samba and MIT's PKINIT read it everywhere.
    return key.private_bytes(Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())


@pytest.fixture(scope="session")
def bureau(
    postgres: PostgresServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bureau]:
    """The issuing authorities of all classes, on a database of their own."""
    run_apart(postgres.execute(f"CREATE DATABASE consumers TEMPLATE {migrated_template}"))
    opened = Bureau(postgres.url("consumers"), tmp_path_factory.mktemp("bureau"))
    yield opened
    opened.close()


@pytest.fixture
def consumer(tmp_path: Path, program: Callable[[str], Path]) -> Consumer:
    """Real programs, in an empty directory."""
    return Consumer(tmp_path, program)
