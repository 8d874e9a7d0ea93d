"""A flattened JWS (RFC 7515, 7.2.2) taken apart strictly: one message must have one reading.

Exactly the members ``protected``, ``payload`` and ``signature``, none twice; canonical base64url; a header whose
members are unique at every depth, with neither ``crit`` nor ``b64``, since unencoded payloads (RFC 7797) would let two
readers see two messages. Nothing here is believed until :meth:`Flattened.verify` has passed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from troth.client.errors import JOSE_ALGORITHM, JoseError
from troth.client.jose import ALGORITHMS, VerifyingKey, b64url_decode
from troth.enroll.acme import errors
from troth.enroll.acme.problems import AcmeProblem

#: Characters of a protected header: the longest key that is taken, and room. It is read before anything is believed,
#: and by a slower reader than the body around it.
MAX_PROTECTED = 16_384


class _Members(msgspec.Struct, forbid_unknown_fields=True):
    protected: str
    payload: str
    signature: str


class Flattened(msgspec.Struct, frozen=True):
    """A flattened JWS, decoded but not yet believed."""

    header: Mapping[str, Any]
    payload: bytes
    signature: bytes
    signing_input: bytes

    @classmethod
    def parse(cls, body: bytes) -> Flattened:
        """Take ``body`` apart. Raises AcmeProblem (malformed) for anything that is no such JWS."""
        try:
            flat = msgspec.json.decode(body, type=_Members)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            malformed("the body must be a flattened JWS: protected, payload and signature, and nothing else")
        # Three members of base64url text have twelve quotation marks and no escapes; more means a member given
        # twice, of which other readers would take another one than we do.
        if body.count(b'"') != 12:
            malformed("a member of the JWS is given twice")
        if len(flat.protected) > MAX_PROTECTED:
            malformed(f"the protected header is longer than {MAX_PROTECTED:,} characters")
        try:
            protected = b64url_decode(flat.protected)
            payload = b64url_decode(flat.payload)
            signature = b64url_decode(flat.signature)
        except JoseError:
            malformed("a member of the JWS is not canonical base64url without padding")
        header = parse_object(protected, "protected header")
        if "crit" in header or "b64" in header:
            malformed("crit and b64 are not taken in the protected header")
        return cls(header, payload, signature, f"{flat.protected}.{flat.payload}".encode("ascii"))

    def algorithm(self) -> str:
        """The accepted ``alg`` of the header. Raises AcmeProblem (badSignatureAlgorithm) for any other."""
        algorithm = self.header.get("alg")
        if not isinstance(algorithm, str):
            malformed("the protected header has no alg")
        if algorithm not in ALGORITHMS:
            raise AcmeProblem(
                errors.JWS_ALGORITHM,
                "the alg of the protected header is not accepted",
                members={"algorithms": list(ALGORITHMS)},
            )
        return algorithm

    def string(self, name: str) -> str:
        """The header's member ``name``, a string that is not empty. Raises AcmeProblem."""
        value = self.header.get(name)
        # ASCII only: a lone surrogate, which JSON can spell, would break whatever stores or logs the text.
        if not isinstance(value, str) or not value or not value.isascii():
            malformed(f"the protected header has no {name}, or it is no ASCII text")
        return value

    def verify(self, key: VerifyingKey, algorithm: str) -> None:
        """Hold the signature against ``key``. Raises AcmeProblem."""
        try:
            key.verify(algorithm, self.signing_input, self.signature)
            return
        except JoseError as error:
            if error.reason is JOSE_ALGORITHM:
                raise AcmeProblem(errors.JWS_ALGORITHM, error.detail, members={"algorithms": [key.algorithm]}) from None
        for candidate in _restore_zeros(self.signature, key):
            try:
                key.verify(algorithm, self.signing_input, candidate)
                return
            except JoseError:
                continue
        raise AcmeProblem(errors.JWS_SIGNATURE)


def _restore_zeros(signature: bytes, key: VerifyingKey) -> list[bytes]:
    """Readings of an ES* signature that lost leading zero octets of r, s or both.

    Apple's devices drop them (SecJWS.m), so that one signature in 128 is an octet short; step-ca (#1631) does the
    same as this. Only one or two missing octets are considered, and each reading still has to verify.
    """
    if not key.algorithm.startswith("ES"):
        return []
    size = key.signature_size // 2
    missing = 2 * size - len(signature)
    if missing == 1:
        return [b"\x00" + signature, signature[:size] + b"\x00" + signature[size:]]
    if missing == 2:
        half = size - 1
        return [
            b"\x00\x00" + signature,
            signature[:size] + b"\x00\x00" + signature[size:],
            b"\x00" + signature[:half] + b"\x00" + signature[half:],
        ]
    return []


def parse_object(raw: bytes, what: str) -> dict[str, Any]:
    """``raw`` as a JSON object in UTF-8 with unique members, at every depth. Raises AcmeProblem (malformed)."""
    try:
        # Whoever writes JSON without spaces and without doubled members is told by its octets: what was read is
        # written as they are. Of a member given twice one would be missing.
        quick: object = _quick.decode(raw)
        if type(quick) is dict and _quickly.encode(quick) == raw:
            return quick
    except (ValueError, RecursionError):
        pass  # what is wrong with it, if anything is, the strict reader says
    try:
        found = _strict.decode(raw.decode("utf-8"))
        if b"\\u" in raw:
            # A lone surrogate, which JSON can spell, is no text: it would break whatever stores, logs or repeats it.
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        # ValueError: not UTF-8, not JSON, a doubled member, NaN, or a number longer than Python reads at once.
        raise AcmeProblem(errors.JWS_MALFORMED, f"the {what} is no JSON object with unique members") from None
    if not isinstance(found, dict):
        malformed(f"the {what} is no JSON object")
    return found


def malformed(detail: str) -> NoReturn:
    """Refuse the request as malformed."""
    raise AcmeProblem(errors.JWS_MALFORMED, detail)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("doubled member")
    return found


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")


_quick, _quickly = msgspec.json.Decoder(), msgspec.json.Encoder()
_strict = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
