"""A released key, readable by one process once: X25519, HKDF-SHA256 and AES-256-GCM (the shape of RFC 9180).

The role's secret goes into the derivation as its salt, so that a stranger who got between the two and offered a key
of his own would open nothing. Both sides' X25519 keys live for one release.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from troth.pki.signer.errors import MALFORMED, SignerRefused


@dataclass(frozen=True, slots=True)
class Sealed:
    """What travels."""

    ephemeral: bytes
    ciphertext: bytes


class Recipient:
    """The receiving end of one release."""

    def __init__(self) -> None:
        self._private = X25519PrivateKey.generate()

    @property
    def public(self) -> bytes:
        """32 octets to send along with the request."""
        return self._private.public_key().public_bytes_raw()

    def open(self, sealed: Sealed, *, secret: bytes, context: str) -> bytes:
        """What was sealed for this recipient. Raises SignerRefused when anything does not fit."""
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(sealed.ephemeral))
            key, nonce = _derive(shared, secret, sealed.ephemeral + self.public, context)
            return AESGCM(key).decrypt(nonce, sealed.ciphertext, None)
        except (ValueError, InvalidTag) as error:
            raise SignerRefused(MALFORMED, "the released key does not open") from error


def seal(plain: bytes, recipient: bytes, *, secret: bytes, context: str) -> Sealed:
    """``plain`` for the holder of ``recipient`` and of the role's ``secret``; ``context`` is bound to it.

    Raises SignerRefused for a recipient key that is malformed or of small order.
    """
    ephemeral = X25519PrivateKey.generate()
    public = ephemeral.public_key().public_bytes_raw()
    try:
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    except ValueError as error:
        raise SignerRefused(MALFORMED, "the recipient's key cannot be used") from error
    key, nonce = _derive(shared, secret, public + recipient, context)
    return Sealed(public, AESGCM(key).encrypt(nonce, plain, None))


def _derive(shared: bytes, secret: bytes, publics: bytes, context: str) -> tuple[bytes, bytes]:
    info = b"troth signer: release " + publics + context.encode()
    material = HKDF(hashes.SHA256(), length=44, salt=secret, info=info).derive(shared)
    # A key of its own for each message, so the nonce may come from the same derivation.
    return material[:32], material[32:]
