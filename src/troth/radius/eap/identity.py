"""Who this RADIUS server is: its certificate, what stands above it, and the key. Read from memory or from files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID

from troth.radius.eap.errors import UNUSABLE_IDENTITY, IdentityUnusable

_MAX_FILE = 256 * 1024
_MAX_CHAIN = 8


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """A certificate that devices are shown, and its key.

    Attributes:
        chain: DER, leaf first, then intermediates; never the root, which the device has or does not trust.
        key: PKCS#8, DER.
        not_before, not_after: of the leaf, UTC.
        names: the leaf's DNS names: what `domain_match` on a device is held against.
        second: for devices that do not take the leaf's kind of key; of another kind, with a chain of its own.
    """

    chain: tuple[bytes, ...]
    key: bytes = field(repr=False)
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]
    second: ServerIdentity | None = None

    @property
    def each(self) -> tuple[ServerIdentity, ...]:
        """This one and the second."""
        return (self,) if self.second is None else (self, self.second)

    @property
    def kind(self) -> str:
        """Of its key: ``rsa``, ``ec``, or ``other``."""
        key = x509.load_der_x509_certificate(self.chain[0]).public_key()
        return "rsa" if isinstance(key, RSAPublicKey) else "ec" if isinstance(key, EllipticCurvePublicKey) else "other"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the leaf, hexadecimal."""
        return sha256(self.chain[0]).hexdigest()

    def in_force(self, now: datetime) -> bool:
        """Whether devices would accept its dates."""
        return self.not_before <= now <= self.not_after


def identity_of(chain: tuple[bytes, ...], key: bytes) -> ServerIdentity:
    """Put a chain (DER, leaf first; roots in it are left out) and a key (PKCS#8, DER) together.

    Raises IdentityUnusable: the key is not the leaf's, the chain does not follow, or it is no server certificate.
    """
    try:
        certificates = [x509.load_der_x509_certificate(one) for one in chain]
        private = serialization.load_der_private_key(key, password=None)
    except (ValueError, TypeError) as error:
        raise IdentityUnusable(UNUSABLE_IDENTITY, "certificate or key cannot be read") from error
    if not certificates or len(certificates) > _MAX_CHAIN:
        raise IdentityUnusable(UNUSABLE_IDENTITY, f"a chain has one to {_MAX_CHAIN} certificates")
    leaf, *above = certificates
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise IdentityUnusable(UNUSABLE_IDENTITY, "the key is not the certificate's")
    try:
        for issued, issuer in zip(certificates, above, strict=False):
            issued.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise IdentityUnusable(UNUSABLE_IDENTITY, "the certificates do not lead one to the next, leaf first") from error
    kept = [leaf, *(one for one in above if one.issuer != one.subject)]
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise IdentityUnusable(UNUSABLE_IDENTITY, "a server certificate has serverAuth and DNS names") from error
    if ExtendedKeyUsageOID.SERVER_AUTH not in usages:
        raise IdentityUnusable(UNUSABLE_IDENTITY, "the certificate is not one for servers (serverAuth)")
    return ServerIdentity(
        tuple(one.public_bytes(serialization.Encoding.DER) for one in kept),
        key,
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
        tuple(names.get_values_for_type(x509.DNSName)),
    )


def with_second(first: ServerIdentity, second: ServerIdentity | None) -> ServerIdentity:
    """``first``, and ``second`` for those who do not take its kind of key.

    OpenSSL keeps one certificate of each kind of key: a second of the same kind would take the first one's place.
    Raises IdentityUnusable.
    """
    if second is not None and _kind(second) == _kind(first):
        raise IdentityUnusable(UNUSABLE_IDENTITY, "both certificates have the same kind of key")
    return first if second is None else replace(first, second=second)


def _kind(identity: ServerIdentity) -> str:
    return x509.load_der_x509_certificate(identity.chain[0]).public_key_algorithm_oid.dotted_string


def identity_from_files(certificate: Path, key: Path) -> ServerIdentity:
    """As :func:`identity_of`, from PEM files: leaf and intermediates in one, the unencrypted key in the other."""
    try:
        chain = x509.load_pem_x509_certificates(_read(certificate))
        private = serialization.load_pem_private_key(_read(key), password=None)
    except (ValueError, TypeError) as error:
        raise IdentityUnusable(UNUSABLE_IDENTITY, f"{certificate} or {key} cannot be read as PEM") from error
    pkcs8 = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return identity_of(tuple(one.public_bytes(serialization.Encoding.DER) for one in chain), pkcs8)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise IdentityUnusable(UNUSABLE_IDENTITY, f"{path}: {error.strerror or error}") from error
    if len(content) > _MAX_FILE:
        raise IdentityUnusable(UNUSABLE_IDENTITY, f"{path} is larger than {_MAX_FILE // 1024} KiB")
    return content
