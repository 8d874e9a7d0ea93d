"""JWS in compact form (RFC 7515, 7.1) whose payload is a JSON object: taken apart strictly, put together again.

Canonical base64url, members unique at every depth, numbers that are numbers; ``crit`` and ``b64`` are refused, since
nothing here knows any extension. Keys that a token names itself (``jwk``, ``jku``, ``x5c``) are nobody's business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from troth.client.errors import JOSE_ENCODING, JoseError
from troth.client.jose import PSS_ALGORITHMS, SigningKey, VerifyingKey, b64url_decode, b64url_encode


@dataclass(frozen=True, slots=True)
class CompactJws:
    """A token taken apart; nothing of it is believed before :meth:`verify`."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signing_input: bytes
    signature: bytes

    @classmethod
    def parse(cls, text: str, *, limit: int) -> CompactJws:
        """``text``, of at most ``limit`` characters. Raises JoseError."""
        if len(text) > limit or not text.isascii():
            raise JoseError(JOSE_ENCODING, f"a token is at most {limit} characters of ASCII")
        parts = text.split(".")
        if len(parts) != 3:
            raise JoseError(JOSE_ENCODING, "a token has three parts with dots between")
        header = strict_object(b64url_decode(parts[0]))
        if "crit" in header or "b64" in header:
            raise JoseError(JOSE_ENCODING, "crit and b64 are not taken")
        claims = strict_object(b64url_decode(parts[1]))
        return cls(header, claims, f"{parts[0]}.{parts[1]}".encode("ascii"), b64url_decode(parts[2]))

    def text_of(self, member: str) -> str | None:
        """A member of the header if it is a string."""
        value = self.header.get(member)
        return value if isinstance(value, str) else None

    def verify(self, key: VerifyingKey) -> None:
        """Hold the signature against ``key`` by the header's ``alg``, which has to fit it. Raises JoseError."""
        algorithm = self.text_of("alg") or ""
        check = key.verify_pss if algorithm in PSS_ALGORITHMS else key.verify
        check(algorithm, self.signing_input, self.signature)


def signing_input(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """What is to be signed."""
    return f"{_encoded(header)}.{_encoded(claims)}"


def assembled(signed: str, signature: bytes) -> str:
    """The token of what was signed and its signature."""
    return f"{signed}.{b64url_encode(signature)}"


def signed(key: SigningKey, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """A token over ``claims``; ``alg`` is the key's."""
    text = signing_input({**header, "alg": key.public.algorithm}, claims)
    return assembled(text, key.sign(text.encode("ascii")))


def strict_object(data: bytes) -> dict[str, Any]:
    """The JSON object in ``data``. Raises JoseError: two parsers must not read two things out of one token."""
    try:
        found = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_number)
        if b"\\u" in data:
            # A lone surrogate, which JSON can spell, is no text: it would break whatever stores, logs or repeats it.
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise JoseError(JOSE_ENCODING, "a part of the token is no JSON, or names a member twice") from error
    if not isinstance(found, dict):
        raise JoseError(JOSE_ENCODING, "a part of the token is no JSON object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands there twice")
    return found


def _no_number(_constant: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")


def _encoded(value: Mapping[str, Any]) -> str:
    return b64url_encode(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())
