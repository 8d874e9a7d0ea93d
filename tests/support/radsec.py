"""Certificates of access servers and RADIUS servers, made on the spot: an authority, and who is below it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from troth.radius.radsec.tls import Identity


@dataclass(frozen=True)
class Files:
    """An identity on disk, for programs."""

    chain: Path
    key: Path


class TinyAuthority:
    """One CA and the certificates it makes; P-256, valid for a day around the machine's time."""

    def __init__(self, name: str = "Access servers") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        self._builder = (
            x509.CertificateBuilder()
            .issuer_name(self._name)
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
        )
        self.certificate = (
            self._builder.subject_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def der(self) -> bytes:
        """The CA's certificate."""
        return self.certificate.public_bytes(Encoding.DER)

    def issue(
        self,
        *dns: str,
        ips: Sequence[str] = (),
        uris: Sequence[str] = (),
        policies: Sequence[str] = (),
        usage: x509.ObjectIdentifier | None = None,
    ) -> Identity:
        """A leaf with these names; ``usage``: its one extended key usage, None: client and server."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(one) for one in dns]
        names += [x509.IPAddress(ipaddress.ip_address(one)) for one in ips]
        names += [x509.UniformResourceIdentifier(one) for one in uris]
        usages = [usage] if usage else [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = (
            self._builder.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, (*dns, "peer")[0])]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if policies:
            found = [x509.PolicyInformation(x509.ObjectIdentifier(one), None) for one in policies]
            builder = builder.add_extension(x509.CertificatePolicies(found), critical=False)
        leaf = builder.sign(self._key, hashes.SHA256())
        return Identity(
            leaf.public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )

    def write(self, directory: Path) -> Path:
        """The CA's certificate as a PEM file."""
        path = directory / "authority.pem"
        path.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        return path


def write(identity: Identity, directory: Path, name: str) -> Files:
    """An identity as two files of ``directory``."""
    files = Files(directory / f"{name}.pem", directory / f"{name}.key")
    files.chain.write_bytes(identity.chain)
    files.key.write_bytes(identity.key)
    files.key.chmod(0o600)
    return files
