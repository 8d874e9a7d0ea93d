"""Signatures in statements, by their COSE algorithm (RFC 9053; WebAuthn, section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

Digest: TypeAlias = hashes.SHA1 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512

RS1 = -65535


@dataclass(frozen=True, slots=True)
class Algorithm:
    """``scheme``: ``ecdsa``, ``pkcs1``, ``pss`` or ``eddsa`` (which hashes by itself)."""

    name: str
    scheme: str
    digest: Digest | None


ALGORITHMS: Mapping[int, Algorithm] = {
    -7: Algorithm("ES256", "ecdsa", hashes.SHA256()),
    -35: Algorithm("ES384", "ecdsa", hashes.SHA384()),
    -36: Algorithm("ES512", "ecdsa", hashes.SHA512()),
    -257: Algorithm("RS256", "pkcs1", hashes.SHA256()),
    -258: Algorithm("RS384", "pkcs1", hashes.SHA384()),
    -259: Algorithm("RS512", "pkcs1", hashes.SHA512()),
    -37: Algorithm("PS256", "pss", hashes.SHA256()),
    -38: Algorithm("PS384", "pss", hashes.SHA384()),
    -39: Algorithm("PS512", "pss", hashes.SHA512()),
    -8: Algorithm("EdDSA", "eddsa", None),
    RS1: Algorithm("RS1", "pkcs1", hashes.SHA1()),  # noqa: S303  # what Windows Hello signs with; taken only where an operator says so
}


def named(number: object) -> str:
    """An algorithm for a person."""
    found = ALGORITHMS.get(number) if isinstance(number, int) else None
    return f"{number} ({found.name})" if found is not None else f"{number!r}"


def verifies(key: object, algorithm: Algorithm, signature: bytes, data: bytes) -> bool:
    """Whether ``signature`` over ``data`` is by ``key`` in exactly this algorithm; a key of another kind has none."""
    digest = algorithm.digest
    try:
        if isinstance(key, ec.EllipticCurvePublicKey) and algorithm.scheme == "ecdsa" and digest is not None:
            key.verify(signature, data, ec.ECDSA(digest))
        elif isinstance(key, rsa.RSAPublicKey) and algorithm.scheme == "pkcs1" and digest is not None:
            key.verify(signature, data, padding.PKCS1v15(), digest)
        elif isinstance(key, rsa.RSAPublicKey) and algorithm.scheme == "pss" and digest is not None:
            # TPMs take the longest salt that fits or one of the digest's length; both verify (RFC 8017, 9.1.2).
            key.verify(signature, data, padding.PSS(padding.MGF1(digest), padding.PSS.AUTO), digest)
        elif isinstance(key, ed25519.Ed25519PublicKey) and algorithm.scheme == "eddsa":
            key.verify(signature, data)
        else:
            return False
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True
