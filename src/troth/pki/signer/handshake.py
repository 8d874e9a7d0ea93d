"""How a process proves its role to the signer, and the signer itself to the process.

Both hold the role's secret. The server sends a nonce; the client answers with a nonce of its own and an HMAC over
role and both; the server answers with another over the same. The two HMACs differ in their label, so neither can be
played back as the other; the nonces are fresh on each connection, so neither can be played back later.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256

NONCE_SIZE = 32


def new_nonce() -> bytes:
    """32 random octets."""
    return secrets.token_bytes(NONCE_SIZE)


def client_proof(secret: bytes, role: str, server_nonce: bytes, client_nonce: bytes) -> bytes:
    """What the client sends."""
    return _mac(secret, b"client", role, server_nonce, client_nonce)


def server_proof(secret: bytes, role: str, server_nonce: bytes, client_nonce: bytes) -> bytes:
    """What the server answers."""
    return _mac(secret, b"server", role, server_nonce, client_nonce)


def equal(one: bytes, other: bytes) -> bool:
    """Comparison in constant time."""
    return hmac.compare_digest(one, other)


def _mac(secret: bytes, label: bytes, role: str, server_nonce: bytes, client_nonce: bytes) -> bytes:
    # The nonces have a fixed size and the role comes last, so no two inputs run together into the same octets.
    return hmac.new(secret, b"troth signer 1 " + label + server_nonce + client_nonce + role.encode(), sha256).digest()
