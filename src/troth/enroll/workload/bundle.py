"""The trust bundle: the roots that workloads believe, as SPIFFE hands them out (SPIFFE Trust Domain and Bundle, 4).

Every root that is not retired: one that is only planned is told of before anything is issued under it, so that a
rollover finds its workloads ready. All trust domains of an installation hang on the same roots.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from troth.client.errors import JoseError
from troth.client.jose import VerifyingKey, b64url_encode
from troth.kit.canonical import Json
from troth.pki.algorithms import MldsaPublicKey
from troth.pki.authorities import Authority
from troth.pki.keycheck import check_key

#: How long a reader may keep a bundle before it looks again, in seconds.
REFRESH_HINT = 300


def roots(authorities: Iterable[Authority], at: datetime) -> tuple[Authority, ...]:
    """The roots in force, the oldest first."""
    found = [one for one in authorities if one.kind == "root" and one.state != "retired" and one.not_after > at]
    return tuple(sorted(found, key=lambda one: (one.created_at, one.slug)))


def digest(of: Iterable[Authority]) -> str:
    """What changes when the bundle does."""
    return hashlib.sha256(b"".join(one.sha256 for one in of)).hexdigest()


def document(of: Iterable[Authority], jwt: Sequence[Mapping[str, str]] = ()) -> bytes:
    """The bundle as a JWK set: one key for each root, with its certificate in ``x5c``; and ``jwt``, those of tokens."""
    keys: list[Json] = [dict(one) for one in jwt]
    for one in of:
        parameters = _parameters(one)
        keys.append({**parameters, "use": "x509-svid", "x5c": [base64.b64encode(one.certificate).decode()]})
    return msgspec.json.encode({"keys": keys, "spiffe_refresh_hint": REFRESH_HINT})


def _parameters(one: Authority) -> dict[str, Json]:
    key = one.public_key
    if isinstance(key, MldsaPublicKey):
        # RFC 9964: an algorithm key pair is its algorithm and its public octets.
        name = {"mldsa44": "ML-DSA-44", "mldsa65": "ML-DSA-65", "mldsa87": "ML-DSA-87"}[check_key(key).kind]
        return {"kty": "AKP", "alg": name, "pub": b64url_encode(key.public_bytes_raw())}
    try:
        return dict(VerifyingKey.from_public_key(key).jwk)
    except JoseError:
        # A kind without a JWK of its own is still said by its certificate, which is all that counts (section 4.2.2).
        return {"kty": "X5C"}
