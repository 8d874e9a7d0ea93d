"""What tests of the agent work with: a root of their own, a source that remembers its orders, a keeper on a clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from tests.support.clocks import START
from troth.agent.keeper import Keeper, Ways
from troth.agent.keys.files import FileKeys
from troth.agent.keys.model import HeldKey
from troth.agent.settings import CertificateSettings
from troth.agent.source import Remember, Request, Suggestion
from troth.agent.state import StateDirectory
from troth.client.jose import PublicKey
from troth.client.transport import Transport
from troth.kit.clock import Clock, FakeClock
from troth.kit.errors import TrothError

LIFETIME = timedelta(days=90)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Root:
    """A root that issues what it is asked for."""

    def __init__(self, name: str = "Root of the tests") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        builder = x509.CertificateBuilder(_name(name), _name(name), self.key.public_key(), 1)
        builder = builder.not_valid_before(START - timedelta(days=4000)).not_valid_after(START + timedelta(days=40000))
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
        self.certificate = builder.sign(self.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(
        self, key: PublicKey, names: list[str], begins: datetime, *, lifetime: timedelta = LIFETIME,
        usage: x509.ObjectIdentifier | None = ExtendedKeyUsageOID.SERVER_AUTH, ocsp: str = "",
    ) -> bytes:  # fmt: skip
        """A leaf, PEM."""
        builder = x509.CertificateBuilder(
            self.certificate.subject, x509.Name([]), key, x509.random_serial_number()
        ).not_valid_before(begins).not_valid_after(begins + lifetime)  # fmt: skip
        if names:
            shown = [x509.IPAddress(ip_address(n)) if n[0].isdigit() else x509.DNSName(n) for n in names]
            builder = builder.add_extension(x509.SubjectAlternativeName(shown), critical=True)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if ocsp:
            access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp))
            builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


@lru_cache(maxsize=1)
def root() -> Root:
    """One root for all tests of a process."""
    return Root()


@dataclass
class CountingSource:
    """A source whose orders lie in a directory, so that they outlive a killed process.

    Attributes:
        fail: raised by the next call, if set. issued: what is issued in place of the right thing, if set.
        ocsp: the responder that certificates name. extra: what follows the leaf.
        alternates: chains that are offered before the right one.
    """

    directory: Path
    clock: Clock
    fail: TrothError | None = None
    issued: bytes | None = None
    suggestion: Suggestion | None = None
    lifetime: timedelta = LIFETIME
    ocsp: str = ""
    extra: bytes = b""
    alternates: list[bytes] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)

    @property
    def orders(self) -> int:
        return len(list(self.directory.glob("order-*")))

    async def obtain(
        self, request: Request, key: HeldKey, bookmark: Mapping[str, str], remember: Remember
    ) -> list[bytes]:
        self.asked.append(request)
        if self.fail is not None:
            raise self.fail
        place = self.directory / bookmark["order"] if "order" in bookmark else self._lost() if bookmark else None
        if place is None:
            remember({"ordering": "yes"})
            place = self.directory / f"order-{self.orders + 1}"
            place.write_text(json.dumps([one.value for one in request.identifiers]))
            remember({"order": place.name})
        made = place.with_name(place.name.replace("order", "chain"))
        if not made.exists():
            names = json.loads(place.read_text())
            of = (key.public_key, names, self.clock.now())
            chain = self.issued or root().issue(*of, lifetime=self.lifetime, ocsp=self.ocsp)
            made.write_bytes(chain + self.extra)
        return [*self.alternates, made.read_bytes()]

    def _lost(self) -> Path | None:
        unfinished = [one for one in self.directory.glob("order-*")
                      if not one.with_name(one.name.replace("order", "chain")).exists()]  # fmt: skip
        return unfinished[0] if unfinished else None

    async def suggest(self, leaf: x509.Certificate) -> Suggestion | None:
        if self.fail is not None:
            raise self.fail
        return self.suggestion


@dataclass
class Workshop:
    """A host on which one certificate is kept."""

    home: Path
    clock: FakeClock
    settings: CertificateSettings
    source: CountingSource = field(init=False)
    chances: float = 0.5
    transport: Callable[[], AbstractAsyncContextManager[Transport]] = Transport

    def __post_init__(self) -> None:
        (self.home / "source").mkdir(exist_ok=True)
        self.source = CountingSource(self.home / "source", self.clock)
        self.state = StateDirectory(self.home / "state")
        self.keys: Any = FileKeys(self.home / "state" / "keys")

    def keeper(self, settings: CertificateSettings | None = None) -> Keeper:
        """A keeper as a fresh process has it: all it knows is on the disk."""
        ways = Ways(self.source, self.keys, lambda: root().pem, self.transport, self.clock, lambda: self.chances)
        return Keeper("web", "troth", settings or self.settings, self.state, ways)

    @property
    def current(self) -> Path:
        return self.home / "state" / "certificates" / "web" / "current"


def fits(certificate: bytes, key: bytes) -> bool:
    """Whether a PEM certificate is for a PEM key."""
    loaded = load_pem_private_key(key, None)
    return x509.load_pem_x509_certificate(certificate).public_key() == loaded.public_key()
