"""Secrets that must be read again (an HMAC needs the secret itself), sealed before they go into the database.

AES-256-GCM under a key in a file of the data directory; what a secret is for and whose it is are bound in, so that rows
cannot be swapped. Trusted: the key file. A database that is stolen without it opens nothing.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from troth.kit.errors import SEAL_BROKEN, TrothError
from troth.kit.files import made_once

_NONCE = 12


class SealBroken(TrothError):
    """The key is another one, or what was sealed has been changed."""


class SecretBox:
    """Seals secrets of one purpose (``feed``, ``enrolment``)."""

    def __init__(self, key: bytes, *, purpose: str) -> None:
        self._aead = AESGCM(key)
        self._purpose = purpose

    @classmethod
    def at(cls, path: Path, *, purpose: str) -> SecretBox:
        """The box whose 32-byte key is kept at ``path`` (0600); the key is made on first use."""
        return cls(made_once(path, lambda: secrets.token_bytes(32)), purpose=purpose)

    def seal(self, name: str, secret: bytes) -> bytes:
        """``secret`` sealed for ``name``: 12 bytes of nonce, ciphertext, tag."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._aead.encrypt(nonce, secret, self._bound(name))

    def open(self, name: str, sealed: bytes) -> bytes:
        """The secret. Raises SealBroken if the key is another one or the row was changed."""
        try:
            return self._aead.decrypt(sealed[:_NONCE], sealed[_NONCE:], self._bound(name))
        except (InvalidTag, ValueError) as error:
            raise SealBroken(
                SEAL_BROKEN, f"the secret of {self._purpose} {name!r} does not open with this installation's key"
            ) from error

    def _bound(self, name: str) -> bytes:
        return f"troth {self._purpose} secret\0{name}".encode()
