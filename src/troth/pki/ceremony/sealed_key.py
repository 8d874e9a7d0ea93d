"""A private key in a file, under a wrapping secret that exists only as shares.

PKCS#8 under AES-256-GCM; the key comes by HKDF-SHA256 from the 32 random octets of the wrapping secret with a salt of
its own. What is said of the key beside it is the additional authenticated data.
"""

from __future__ import annotations

import secrets

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from troth.pki.algorithms import PrivateKey
from troth.pki.ceremony.errors import KEY_FILE, CeremonyFailed
from troth.pki.keys.algorithm import KeyAlgorithm, from_pkcs8, public_key_info, to_pkcs8

WRAPPING_SIZE = 32
_FORMAT = "troth-sealed-key-1"


class SealedKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file. ``set_id`` names the shares that open it; ``public_key`` is SubjectPublicKeyInfo."""

    format: str
    algorithm: KeyAlgorithm
    public_key: bytes
    set_id: str
    salt: bytes
    nonce: bytes
    ciphertext: bytes

    def encode(self) -> bytes:
        """JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def bound(self) -> bytes:
        """What is authenticated with the key."""
        return msgspec.json.encode((self.format, self.algorithm, self.public_key, self.set_id))


def seal(private: PrivateKey, algorithm: KeyAlgorithm, wrapping: bytes | bytearray, set_id: str) -> SealedKey:
    """``private`` under ``wrapping``, and opened again to be sure."""
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    empty = SealedKey(_FORMAT, algorithm, public_key_info(private), set_id, salt, nonce, b"")
    ciphertext = _cipher(wrapping, salt).encrypt(nonce, to_pkcs8(private), empty.bound())
    sealed = msgspec.structs.replace(empty, ciphertext=ciphertext)
    unseal(sealed, wrapping)
    return sealed


def parse(content: bytes) -> SealedKey:
    """A sealed key's file. Raises CeremonyFailed."""
    try:
        found = msgspec.json.decode(content, type=SealedKey)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise CeremonyFailed(KEY_FILE, "not a sealed key") from error
    if found.format != _FORMAT:
        raise CeremonyFailed(KEY_FILE, f"of another format: {found.format[:40]!r}")
    return found


def unseal(sealed: SealedKey, wrapping: bytes | bytearray) -> PrivateKey:
    """The key. Raises CeremonyFailed when secret and file do not belong together."""
    try:
        plain = _cipher(wrapping, sealed.salt).decrypt(sealed.nonce, sealed.ciphertext, sealed.bound())
        private = from_pkcs8(plain)
    except (InvalidTag, ValueError) as error:
        raise CeremonyFailed(KEY_FILE) from error
    if public_key_info(private) != sealed.public_key:
        raise CeremonyFailed(KEY_FILE, "it holds another key than it says")
    return private


def _cipher(wrapping: bytes | bytearray, salt: bytes) -> AESGCM:
    derivation = HKDF(hashes.SHA256(), length=32, salt=salt, info=b"troth ceremony: sealed key")
    return AESGCM(derivation.derive(bytes(wrapping)))
