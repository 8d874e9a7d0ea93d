"""Signature algorithms of authorities and responders: one choice per kind of key, as DER and as a verification.

For ECDSA the hash follows the size of the curve (RFC 5758, 3.2; NIST SP 800-57 part 1, table 3), so a certificate
never has a weaker digest than its issuer's key. RSA signs PKCS #1 v1.5 over SHA-256 at every size: that is what every
consumer of RSA certificates reads. Ed25519 (RFC 8410) and ML-DSA (RFC 9881: pure, empty context) take the message
itself; their AlgorithmIdentifiers have no parameters.
"""

from __future__ import annotations

from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa

from troth.pki import der

MldsaPublicKey: TypeAlias = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey
MldsaPrivateKey: TypeAlias = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
#: What is asked about most comes first: each class is an abstract one, and asking it costs a call.
PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey | MldsaPublicKey
PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | MldsaPrivateKey

_ECDSA: dict[str, tuple[str, hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    "secp256r1": ("1.2.840.10045.4.3.2", hashes.SHA256()),
    "secp384r1": ("1.2.840.10045.4.3.3", hashes.SHA384()),
    "secp521r1": ("1.2.840.10045.4.3.4", hashes.SHA512()),
}
#: Made once: a leaf costs little more than its signature.
_SCHEMES = {curve: ec.ECDSA(digest) for curve, (_, digest) in _ECDSA.items()}
_RSA_SHA256 = der.sequence(der.oid("1.2.840.113549.1.1.11"), der.NULL_VALUE)
_ED25519 = der.sequence(der.oid("1.3.101.112"))
#: The shape of a signature, r = s = 1.
_NO_ECDSA = der.sequence(der.integer(1), der.integer(1))

#: (public key class, kind, AlgorithmIdentifier, octets of a signature). RFC 9881, 2; FIPS 204, table 2.
_MLDSA: tuple[tuple[type[MldsaPublicKey], str, bytes, int], ...] = (
    (mldsa.MLDSA44PublicKey, "mldsa44", der.sequence(der.oid("2.16.840.1.101.3.4.3.17")), 2420),
    (mldsa.MLDSA65PublicKey, "mldsa65", der.sequence(der.oid("2.16.840.1.101.3.4.3.18")), 3309),
    (mldsa.MLDSA87PublicKey, "mldsa87", der.sequence(der.oid("2.16.840.1.101.3.4.3.19")), 4627),
)


def algorithm_identifier(key: PublicKey) -> bytes:
    """DER AlgorithmIdentifier of the signatures that ``key`` makes."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return der.sequence(der.oid(_ECDSA[key.curve.name][0]))
    if isinstance(key, rsa.RSAPublicKey):
        return _RSA_SHA256
    return _ED25519 if isinstance(key, ed25519.Ed25519PublicKey) else _mldsa(key)[1]


def mldsa_kind(key: MldsaPublicKey) -> str:
    """``mldsa44``, ``mldsa65`` or ``mldsa87``."""
    return _mldsa(key)[0]


def _mldsa(key: MldsaPublicKey) -> tuple[str, bytes, int]:
    for owner, kind, identifier, size in _MLDSA:
        if isinstance(key, owner):
            return kind, identifier, size
    raise ValueError(f"{type(key).__name__} is not supported")


def dummy_signature(key: PublicKey) -> bytes:
    """Octets with the shape of a signature by ``key``, and of nobody's making.

    They stand where the signature will stand, so that parsers and linters for whole certificates can read what is
    about to be signed.
    """
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _NO_ECDSA
    if isinstance(key, rsa.RSAPublicKey):
        return bytes((key.key_size + 7) // 8)
    return bytes(64 if isinstance(key, ed25519.Ed25519PublicKey) else _mldsa(key)[2])


def builder_digest(key: PublicKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """What cryptography's builders want named so that they sign with the algorithm chosen above."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _ECDSA[key.curve.name][1]
    return hashes.SHA256() if isinstance(key, rsa.RSAPublicKey) else None


def verify(key: PublicKey, signature: bytes, data: bytes) -> None:
    """Raise InvalidSignature unless ``signature`` over ``data`` is ``key``'s, in the algorithm chosen above."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, data, _SCHEMES[key.curve.name])
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
        return key.sign(data, _SCHEMES[key.curve.name])
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(data)


def load_public(spki: bytes) -> PublicKey:
    """A supported public key from DER SubjectPublicKeyInfo. Raises ValueError for other kinds and curves."""
    key = serialization.load_der_public_key(spki)
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name not in _ECDSA:
        raise ValueError(f"curve {key.curve.name} is not supported")
    if not isinstance(key, PublicKey):
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
