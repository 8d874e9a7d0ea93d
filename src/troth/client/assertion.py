"""A client that proves itself to an authorization server by a key of its own: ``private_key_jwt``.

Sources: RFC 7521 (assertions), RFC 7523, section 3 (JWT for client authentication).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from troth.client.errors import JOSE_KEY, JoseError
from troth.client.jose import SigningKey, b64url_encode
from troth.kit.canonical import Json
from troth.kit.ids import new_id

#: Value of ``client_assertion_type``.
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: Seconds for which an assertion is good: it is used at once.
_LIFETIME: Final = 300


def read_private_key(pem: bytes) -> SigningKey:
    """A PEM private key (RSA, EC or Ed25519) without passphrase. Raises JoseError."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise JoseError(JOSE_KEY, "no PEM private key without a passphrase") from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise JoseError(JOSE_KEY, "the key is neither RSA nor EC nor Ed25519")
    return SigningKey.wrap(key)


def client_assertion(
    key: SigningKey, *, client_id: str, audience: str, now: datetime, head: Mapping[str, Json] | None = None,
    claims: Mapping[str, Json] | None = None,
) -> str:  # fmt: skip
    """Who ``client_id`` is, signed, for one use at ``audience`` within five minutes.

    ``head``: header members that the server wants (``kid``, ``x5t``); ``claims``: in addition to, or in the place of,
    those that the RFC asks for.
    """
    at = int(now.timestamp())
    header = {"alg": key.public.algorithm, "typ": "JWT", **(head or {})}
    body = {"iss": client_id, "sub": client_id, "aud": audience, "jti": str(new_id()), "iat": at, "nbf": at,
            "exp": at + _LIFETIME, **(claims or {})}  # fmt: skip
    start = ".".join(b64url_encode(json.dumps(part).encode()) for part in (header, body))
    return f"{start}.{b64url_encode(key.sign(start.encode()))}"
