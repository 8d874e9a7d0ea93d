"""Signature algorithms of authorities and responders: one choice per kind of key, as DER and as a verification.

The hash follows the size of the key (RFC 5758, 3.2; NIST SP 800-57 part 1, table 3), so a certificate never has a
weaker digest than its issuer's key.
"""

from __future__ import annotations

from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from troth.pki import der

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_ECDSA = {
    "secp256r1": ("1.2.840.10045.4.3.2", hashes.SHA256()),
    "secp384r1": ("1.2.840.10045.4.3.3", hashes.SHA384()),
    "secp521r1": ("1.2.840.10045.4.3.4", hashes.SHA512()),
}
_RSA_SHA256 = der.sequence(der.oid("1.2.840.113549.1.1.11"), der.NULL_VALUE)
_ED25519 = der.sequence(der.oid("1.3.101.112"))


def algorithm_identifier(key: PublicKey) -> bytes:
    """DER AlgorithmIdentifier of the signatures that ``key`` makes."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return der.sequence(der.oid(_ECDSA[key.curve.name][0]))
    return _RSA_SHA256 if isinstance(key, rsa.RSAPublicKey) else _ED25519


def verify(key: PublicKey, signature: bytes, data: bytes) -> None:
    """Raise InvalidSignature unless ``signature`` over ``data`` is ``key``'s, in the algorithm chosen above."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, data, ec.ECDSA(_ECDSA[key.curve.name][1]))
    elif isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
    else:
        key.verify(signature, data)


def verifies(key: PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether :func:`verify` passes: for the one caller that must choose its own error."""
    try:
        verify(key, signature, data)
    except InvalidSignature:
        return False
    return True


def sign_with(key: PrivateKey, data: bytes) -> bytes:
    """Sign ``data`` with a key held in this process: OCSP responder keys only; authority keys live in the signer."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(_ECDSA[key.curve.name][1]))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(data)


def load_public(spki: bytes) -> PublicKey:
    """A supported public key from DER SubjectPublicKeyInfo. Raises ValueError for other kinds and curves."""
    key = serialization.load_der_public_key(spki)
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name not in _ECDSA:
        raise ValueError(f"curve {key.curve.name} is not supported")
    if not isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey)):
        raise ValueError(f"{type(key).__name__} is not supported")
    return key


def spki_of(key: PublicKey) -> bytes:
    """DER SubjectPublicKeyInfo in its one canonical encoding (uncompressed points, NULL parameters for RSA)."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_bits(spki: bytes) -> bytes:
    """The content of ``subjectPublicKey`` without its unused-bits octet: what RFC 5280 and RFC 6960 hash."""
    reader = der.Reader(spki).enter(der.SEQUENCE)
    reader.whole()
    return reader.read(der.BIT_STRING)[1:]
