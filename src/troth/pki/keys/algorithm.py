"""The kinds of key that Troth holds, and how each signs.

A key has one way to sign, so a signature algorithm is never chosen by who asks: the AlgorithmIdentifier that must
stand in the bytes follows from the key.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from troth.pki import der
from troth.pki.algorithms import PrivateKey, mldsa_kind, sign_with


class KeyAlgorithm(StrEnum):
    """A kind of key together with its one signature algorithm."""

    P256 = "p256"
    P384 = "p384"
    RSA3072 = "rsa3072"
    RSA4096 = "rsa4096"
    ED25519 = "ed25519"
    MLDSA44 = "mldsa44"
    MLDSA65 = "mldsa65"
    MLDSA87 = "mldsa87"

    @property
    def signature_algorithm(self) -> bytes:
        """The AlgorithmIdentifier, DER, of this key's signatures."""
        return _TRAITS[self].identifier

    @property
    def signature_size(self) -> int:
        """Octets of the longest signature: what a dummy of the right shape has at most."""
        return _TRAITS[self].signature_size


#: The kinds of FIPS 204.
MLDSA = frozenset({KeyAlgorithm.MLDSA44, KeyAlgorithm.MLDSA65, KeyAlgorithm.MLDSA87})


class _Traits(NamedTuple):
    identifier: bytes
    signature_size: int
    generate: Callable[[], PrivateKey]


def _rsa(size: int) -> Callable[[], PrivateKey]:
    return partial(rsa.generate_private_key, public_exponent=65537, key_size=size)


def _ec(curve: ec.EllipticCurve) -> Callable[[], PrivateKey]:
    return partial(ec.generate_private_key, curve)


_RSA_SHA256 = der.sequence(der.oid("1.2.840.113549.1.1.11"), der.NULL_VALUE)
_TRAITS = {
    # ecdsa-with-SHA256 and -SHA384 (RFC 5758, 3.2). A SEQUENCE of two INTEGERs, each at most one octet above its half.
    KeyAlgorithm.P256: _Traits(der.sequence(der.oid("1.2.840.10045.4.3.2")), 72, _ec(ec.SECP256R1())),
    KeyAlgorithm.P384: _Traits(der.sequence(der.oid("1.2.840.10045.4.3.3")), 104, _ec(ec.SECP384R1())),
    KeyAlgorithm.RSA3072: _Traits(_RSA_SHA256, 384, _rsa(3072)),
    KeyAlgorithm.RSA4096: _Traits(_RSA_SHA256, 512, _rsa(4096)),
    # No parameters (RFC 8410, 3).
    KeyAlgorithm.ED25519: _Traits(der.sequence(der.oid("1.3.101.112")), 64, ed25519.Ed25519PrivateKey.generate),
    # No parameters (RFC 9881, 2); sizes of FIPS 204, table 2.
    KeyAlgorithm.MLDSA44: _Traits(
        der.sequence(der.oid("2.16.840.1.101.3.4.3.17")), 2420, mldsa.MLDSA44PrivateKey.generate
    ),
    KeyAlgorithm.MLDSA65: _Traits(
        der.sequence(der.oid("2.16.840.1.101.3.4.3.18")), 3309, mldsa.MLDSA65PrivateKey.generate
    ),
    KeyAlgorithm.MLDSA87: _Traits(
        der.sequence(der.oid("2.16.840.1.101.3.4.3.19")), 4627, mldsa.MLDSA87PrivateKey.generate
    ),
}


def generate_private_key(algorithm: KeyAlgorithm) -> PrivateKey:
    """A fresh key of that kind."""
    return _TRAITS[algorithm].generate()


def algorithm_of(key: object) -> KeyAlgorithm:
    """The kind of ``key``. Raises ValueError for kinds that Troth does not hold."""
    public = key.public_key() if isinstance(key, PrivateKey) else None
    if public is None:
        raise ValueError("a private key of this kind is not held here")
    return public_algorithm(public)


def public_algorithm(key: object) -> KeyAlgorithm:
    """The kind of a key by its public half. Raises ValueError for kinds that Troth does not hold."""
    match key:
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()):
            return KeyAlgorithm.P256
        case ec.EllipticCurvePublicKey(curve=ec.SECP384R1()):
            return KeyAlgorithm.P384
        case rsa.RSAPublicKey(key_size=3072):
            return KeyAlgorithm.RSA3072
        case rsa.RSAPublicKey(key_size=4096):
            return KeyAlgorithm.RSA4096
        case ed25519.Ed25519PublicKey():
            return KeyAlgorithm.ED25519
        case mldsa.MLDSA44PublicKey() | mldsa.MLDSA65PublicKey() | mldsa.MLDSA87PublicKey():
            return KeyAlgorithm(mldsa_kind(key))
    raise ValueError("a key of this kind is not held here")


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
