"""Secrets that must be read again (an HMAC needs the secret itself), sealed before they go into the database.

AES-256-GCM under a key in a file of the data directory; what a secret is for and whose it is are bound in, so that rows
cannot be swapped. Trusted: the key file. A database that is stolen without it opens nothing.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from troth.kit.errors import SEAL_BROKEN, TrothError

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
        if not path.exists():
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
                file.flush()
                os.fsync(file.fileno())
            try:
                # Unlike a rename, a link never replaces the key that another process has just made.
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return cls(path.read_bytes(), purpose=purpose)

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
