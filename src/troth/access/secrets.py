"""Our own secrets: 256 random bits each, kept as SHA-256.

A plain hash is enough for them: there is nothing to guess, so nothing for a slow hash to slow down.
"""

from __future__ import annotations

import hashlib
import secrets


def new_secret(prefix: str = "") -> str:
    """``prefix`` and 43 characters of base64url. A prefix lets secret scanners know whose it is."""
    return prefix + secrets.token_urlsafe(32)


def secret_hash(secret: str) -> bytes:
    """What is stored of ``secret``."""
    return hashlib.sha256(secret.encode()).digest()
