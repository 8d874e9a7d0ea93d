"""Messages too large to hold: their digest, taken piece by piece, and signatures over that digest.

ECDSA and RSA sign a hash anyway. ML-DSA signs mu, a SHAKE256 of the public key's hash and the message (FIPS 204,
algorithm 7, step 6), which may be made outside ("external mu"); the signature is the same. Ed25519 reads the message
twice and cannot be fed in pieces.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from troth.pki import algorithms


class Digest(Protocol):
    """A digest under way."""

    def update(self, data: bytes, /) -> None:
        """Take in the next piece."""
        ...


class _Fixed(Digest, Protocol):
    def digest(self) -> bytes: ...


class _Mu:
    """mu of a pure ML-DSA signature with empty context."""

    def __init__(self, key: algorithms.MldsaPublicKey) -> None:
        tr = hashlib.shake_256(key.public_bytes_raw()).digest(64)
        self._hash = hashlib.shake_256(tr + b"\x00\x00")

    def update(self, data: bytes, /) -> None:
        self._hash.update(data)

    def digest(self) -> bytes:
        return self._hash.digest(64)


def new_digest(key: algorithms.PublicKey) -> _Fixed | None:
    """The digest that ``key``'s signatures are made over; None for Ed25519."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return None
    named = algorithms.builder_digest(key)
    if named is not None:
        return hashlib.new(named.name)
    assert isinstance(key, algorithms.MldsaPublicKey)  # noqa: S101 -- narrows the last kind that is left
    return _Mu(key)


def sign_digest(key: algorithms.PrivateKey, digest: bytes) -> bytes:
    """The signature over the message with that ``digest``. Raises ValueError for Ed25519."""
    named = algorithms.builder_digest(key.public_key())
    if isinstance(key, ec.EllipticCurvePrivateKey) and named is not None:
        return key.sign(digest, ec.ECDSA(Prehashed(named)))
    if isinstance(key, rsa.RSAPrivateKey) and named is not None:
        return key.sign(digest, padding.PKCS1v15(), Prehashed(named))
    if isinstance(key, algorithms.MldsaPrivateKey):
        return key.sign_mu(digest)
    raise ValueError("a key of this kind signs whole messages only")


def digest_verifies(key: algorithms.PublicKey, signature: bytes, digest: bytes) -> bool:
    """Whether ``signature`` is ``key``'s over the message with that ``digest``."""
    named = algorithms.builder_digest(key)
    try:
        if isinstance(key, ec.EllipticCurvePublicKey) and named is not None:
            key.verify(signature, digest, ec.ECDSA(Prehashed(named)))
        elif isinstance(key, rsa.RSAPublicKey) and named is not None:
            key.verify(signature, digest, padding.PKCS1v15(), Prehashed(named))
        elif isinstance(key, algorithms.MldsaPublicKey):
            key.verify_mu(signature, digest)
        else:
            return False
    except InvalidSignature:
        return False
    return True
