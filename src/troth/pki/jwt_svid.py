"""JWT-SVIDs (SPIFFE JWT-SVID, sections 2 and 3): what a token says, and which keys stand behind it.

Their keys are a class of their own (``KeyPurpose.JWT``): made in the signer, never out of it, never certified, and
what they sign is claims of this form and nothing else. A key has its times by its age alone, the same for everybody who
looks: for :data:`ANNOUNCED` it is told of before it signs, unless it is the only one; it signs until a younger one
takes over; and it is told of until the signer forgets it, long after the last token of its.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from troth.kit.canonical import canonical_json
from troth.pki.algorithms import load_public
from troth.pki.keys.model import KeyMetadata
from troth.pki.spiffe import is_spiffe_id

#: No token lives longer, whoever asks.
LONGEST = timedelta(hours=1)
#: A key is told of for so long before it signs: longer than any reader keeps a bundle.
ANNOUNCED = timedelta(hours=1)
#: A younger key is made when the youngest is so old.
ROTATED = timedelta(days=7)
#: The signer forgets a key after so long: then it has not signed for days.
FORGOTTEN = timedelta(days=21)

MAX_CLAIMS = 8192
_MEMBERS = {"sub", "aud", "exp", "iat", "jti"}
_AUDIENCES = 16
_AUDIENCE = 512
_SKEW = 60


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says. ``issued`` and ``expires``: whole seconds since 1970."""

    spiffe_id: str
    audience: tuple[str, ...]
    issued: int
    expires: int
    token_id: str

    def encode(self) -> bytes:
        """JSON, in its one form."""
        return canonical_json(
            {
                "sub": self.spiffe_id,
                "aud": list(self.audience),
                "exp": self.expires,
                "iat": self.issued,
                "jti": self.token_id,
            }
        )


def read_claims(octets: bytes, now: datetime) -> Claims:
    """Claims as a token of this moment may have them. Raises ValueError for anything else.

    They must be in the one form that :meth:`Claims.encode` gives, so that no two readers see different ones.
    """
    if len(octets) > MAX_CLAIMS:
        raise ValueError(f"claims have at most {MAX_CLAIMS} octets")
    try:
        said: Any = json.loads(octets)
    except (ValueError, RecursionError):
        raise ValueError("the claims are no JSON") from None
    if not isinstance(said, dict) or set(said) != _MEMBERS:
        raise ValueError(f"the claims are {', '.join(sorted(_MEMBERS))}, all of them and no other")
    subject, audience, token_id = said["sub"], said["aud"], said["jti"]
    if not isinstance(subject, str) or not is_spiffe_id(subject):
        raise ValueError("sub is no SPIFFE ID")
    if not sound_audience(audience):
        raise ValueError("aud is a list of 1 to 16 printable texts, each once")
    if not isinstance(token_id, str) or not token_id.isascii() or not 0 < len(token_id) <= 64:
        raise ValueError("jti is a text of at most 64 ASCII characters")
    issued, expires = said["iat"], said["exp"]
    if any(type(one) is not int or not 0 < one < 1 << 40 for one in (issued, expires)):
        raise ValueError("iat and exp are seconds since 1970")
    if abs(issued - now.timestamp()) > _SKEW:
        raise ValueError("iat is not now")
    if not 0 < expires - issued <= LONGEST.total_seconds():
        raise ValueError(f"a token lives for {int(LONGEST.total_seconds())} seconds at most")
    claims = Claims(subject, tuple(audience), issued, expires, token_id)
    if claims.encode() != octets:
        raise ValueError("the claims are not in their one form")
    return claims


def sound_audience(audience: object) -> bool:
    """Whether this may be the audience of a token: somebody, and nobody twice."""
    return (
        isinstance(audience, list)
        and 0 < len(audience) <= _AUDIENCES
        and all(isinstance(one, str) and 0 < len(one) <= _AUDIENCE and one.isprintable() for one in audience)
        and len(set(audience)) == len(audience)
    )


def signing_input(key_id: str, claims: bytes) -> bytes:
    """What is signed: header and claims in base64url (RFC 7515, 5.1)."""
    header = canonical_json({"alg": "ES256", "kid": key_id, "typ": "JWT"})
    return _b64url(header) + b"." + _b64url(claims)


def compact(key_id: str, claims: bytes, signature: bytes) -> str:
    """The token. ``signature``: ECDSA-Sig-Value over :func:`signing_input`, DER, as a key gives it."""
    r, s = decode_dss_signature(signature)
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return (signing_input(key_id, claims) + b"." + _b64url(raw)).decode("ascii")


def signs_now(keys: Sequence[KeyMetadata], now: datetime) -> KeyMetadata | None:
    """The key that signs at ``now``: the youngest that was told of long enough, or else the oldest."""
    present = in_use(keys, now)
    told = [key for key in present if key.created <= now - ANNOUNCED]
    return told[-1] if told else (present[0] if present else None)


def in_use(keys: Sequence[KeyMetadata], now: datetime) -> list[KeyMetadata]:
    """Those that are told of, oldest first."""
    found = [key for key in keys if key.use_until is not None and key.use_until > now]
    return sorted(found, key=lambda key: (key.created, key.key_id))


def due(keys: Sequence[KeyMetadata], now: datetime) -> bool:
    """Whether a younger key has to be made."""
    present = in_use(keys, now)
    return not present or present[-1].created <= now - ROTATED


def jwk(key: KeyMetadata) -> Mapping[str, str]:
    """The key as it stands in a SPIFFE bundle (SPIFFE Trust Domain and Bundle, 4.2.2)."""
    public = load_public(key.public_key)
    if not isinstance(public, EllipticCurvePublicKey):
        raise TypeError(f"{key.key_id} is on no curve")
    numbers = public.public_numbers()
    x, y = (_b64url(value.to_bytes(32, "big")).decode("ascii") for value in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": key.key_id, "use": "jwt-svid", "alg": "ES256"}


def _b64url(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")
