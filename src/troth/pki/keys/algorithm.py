"""The kinds of key that Troth holds, and how each signs.

A key has one way to sign, so a signature algorithm is never chosen by who asks: the AlgorithmIdentifier that must
stand in the bytes follows from the key.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from troth.pki import der
from troth.pki.algorithms import PrivateKey, sign_with


class KeyAlgorithm(StrEnum):
    """A kind of key together with its one signature algorithm."""

    P256 = "p256"
    P384 = "p384"
    RSA3072 = "rsa3072"
    ED25519 = "ed25519"

    @property
    def signature_algorithm(self) -> bytes:
        """The AlgorithmIdentifier, DER, of this key's signatures."""
        return _IDENTIFIERS[self]

    @property
    def signature_size(self) -> int:
        """Octets of the longest signature: what a dummy of the right shape has."""
        return _SIZES[self]


_IDENTIFIERS = {
    KeyAlgorithm.P256: der.sequence(der.oid("1.2.840.10045.4.3.2")),  # ecdsa-with-SHA256 (RFC 5758, 3.2)
    KeyAlgorithm.P384: der.sequence(der.oid("1.2.840.10045.4.3.3")),  # ecdsa-with-SHA384
    KeyAlgorithm.RSA3072: der.sequence(der.oid("1.2.840.113549.1.1.11"), der.NULL_VALUE),  # sha256WithRSAEncryption
    KeyAlgorithm.ED25519: der.sequence(der.oid("1.3.101.112")),  # no parameters (RFC 8410, 3)
}
_SIZES = {KeyAlgorithm.P256: 72, KeyAlgorithm.P384: 104, KeyAlgorithm.RSA3072: 384, KeyAlgorithm.ED25519: 64}


def generate_private_key(algorithm: KeyAlgorithm) -> PrivateKey:
    """A fresh key of that kind."""
    match algorithm:
        case KeyAlgorithm.P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyAlgorithm.P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyAlgorithm.RSA3072:
            return rsa.generate_private_key(public_exponent=65537, key_size=3072)
        case KeyAlgorithm.ED25519:
            return ed25519.Ed25519PrivateKey.generate()


def algorithm_of(key: object) -> KeyAlgorithm:
    """The kind of ``key``. Raises ValueError for kinds that Troth does not hold."""
    match key:
        case ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()):
            return KeyAlgorithm.P256
        case ec.EllipticCurvePrivateKey(curve=ec.SECP384R1()):
            return KeyAlgorithm.P384
        case rsa.RSAPrivateKey(key_size=3072):
            return KeyAlgorithm.RSA3072
        case ed25519.Ed25519PrivateKey():
            return KeyAlgorithm.ED25519
    raise ValueError("a private key of this kind is not held here")


def signing_function(key: PrivateKey) -> Callable[[bytes], bytes]:
    """The function that signs a message in the key's one way."""
    return partial(sign_with, key)


def public_key_info(key: PrivateKey) -> bytes:
    """The SubjectPublicKeyInfo, DER."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def to_pkcs8(key: PrivateKey) -> bytes:
    """PrivateKeyInfo, DER, in the clear: for sealing only, never for a file."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def from_pkcs8(content: bytes) -> PrivateKey:
    """The key in a PrivateKeyInfo. Raises ValueError."""
    key = load_der_private_key(content, password=None)
    algorithm_of(key)
    return key  # type: ignore[return-value]  # algorithm_of has just refused every other kind
