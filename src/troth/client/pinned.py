"""Keys that two of our own processes know each other by: pinned by digest, with no authority in between.

What checks an authority's work must not hang on that authority, and there is nothing to renew. A pin is the SHA-256 of
the SubjectPublicKeyInfo in hexadecimal, as HPKP had it (RFC 7469, 2.4) but for the encoding.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from troth.client.errors import JOSE_KEY, JoseError
from troth.client.jose import SigningKey
from troth.kit.files import made_once

#: No date ends a pin; whoever reads one looks at the key alone.
_SINCE, _UNTIL = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PinnedKey:
    """Our own.

    Attributes:
        path: the file with a self-signed certificate and the private key, PEM, as a TLS listener loads it.
        signing: the key, for JWS (ES256).
        pin: what the other side is told.
    """

    path: Path
    signing: SigningKey
    pin: str

    @classmethod
    def at(cls, path: Path) -> PinnedKey:
        """The key in the file at ``path`` (0600), made on first use. Raises JoseError for a file without one."""
        try:
            key = load_pem_private_key(made_once(path, _identity), None)
        except ValueError as error:
            raise JoseError(JOSE_KEY, f"{path} holds no private key") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise JoseError(JOSE_KEY, f"the key in {path} is on no curve")
        return cls(path, SigningKey.wrap(key), pin(key.public_key()))


def pin(key: ec.EllipticCurvePublicKey) -> str:
    """The pin of ``key``."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def pin_of(certificate: bytes) -> str:
    """The pin of the key in ``certificate`` (DER); empty for what is no certificate."""
    try:
        found = x509.load_der_x509_certificate(certificate)
        spki = found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except ValueError:
        return ""
    return hashlib.sha256(spki).hexdigest()


def by_pin() -> ssl.SSLContext:
    """A TLS context for clients that leaves all judgement to the pin (``Transport(pin=…)``)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _identity() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "known by its key")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_SINCE)
        .not_valid_after(_UNTIL)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM) + secret
