"""The messages of JWT-SVIDs as protocol buffers (workload.proto of SPIFFE; google.protobuf.Struct)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from troth.agent.spiffe.messages import SERVICE, field, varint, whole

FETCH_JWT_SVID = f"/{SERVICE}/FetchJWTSVID"
FETCH_JWT_BUNDLES = f"/{SERVICE}/FetchJWTBundles"
VALIDATE_JWT_SVID = f"/{SERVICE}/ValidateJWTSVID"

_VARINT, _FIXED_64, _LENGTH_DELIMITED, _FIXED_32 = 0, 1, 2, 5
_FIXED = {_FIXED_64: 8, _FIXED_32: 4}


@dataclass(frozen=True, slots=True)
class JwtSvid:
    """A token of a workload; ``hint`` is the workload's own name."""

    spiffe_id: str
    token: str
    hint: str = ""


def jwt_svid_response(svids: Sequence[JwtSvid]) -> bytes:
    """JWTSVIDResponse."""
    return b"".join(
        field(1, field(1, one.spiffe_id.encode()) + field(2, one.token.encode()) + field(3, one.hint.encode()))
        for one in svids
    )


def jwt_bundles_response(bundles: Mapping[str, bytes]) -> bytes:
    """JWTBundlesResponse: trust domain → its JWK set."""
    return b"".join(field(1, field(1, domain.encode()) + field(2, keys)) for domain, keys in sorted(bundles.items()))


def validate_jwt_svid_response(spiffe_id: str, claims: Mapping[str, object]) -> bytes:
    """ValidateJWTSVIDResponse. ``claims``: what JSON holds."""
    return field(1, spiffe_id.encode()) + field(2, _struct(claims))


def read_jwt_svid_request(message: bytes) -> tuple[list[str], str]:
    """Audience and SPIFFE ID of a JWTSVIDRequest; the latter is empty where all identities are wanted.

    Raises ValueError.
    """
    fields = _read(message)
    return _texts(fields, 1), next(reversed(_texts(fields, 2)), "")


def read_validate_jwt_svid_request(message: bytes) -> tuple[str, str]:
    """Audience and token of a ValidateJWTSVIDRequest. Raises ValueError."""
    fields = _read(message)
    return next(reversed(_texts(fields, 1)), ""), next(reversed(_texts(fields, 2)), "")


def _texts(fields: Sequence[tuple[int, bytes]], number: int) -> list[str]:
    return [value.decode("utf-8") for found, value in fields if found == number]


def _read(message: bytes) -> list[tuple[int, bytes]]:
    """The length-delimited fields; others are passed over, as unknown ones are. Raises ValueError."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            _, at = _read_varint(message, at)
            continue
        if kind == _LENGTH_DELIMITED:
            size, at = _read_varint(message, at)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise ValueError("a field of an unknown kind")
        if at + size > len(message):
            raise ValueError("a field is cut short")
        if kind == _LENGTH_DELIMITED:
            found.append((key >> 3, message[at : at + size]))
        at += size
    return found


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at >= len(message):
            break
        octet = message[at]
        at += 1
        value |= (octet & 0x7F) << 7 * place
        if octet < 0x80:
            return value, at
    raise ValueError("a number is cut short or too long")


def _struct(members: Mapping[str, object]) -> bytes:
    return b"".join(whole(1, field(1, name.encode()) + whole(2, _value(value))) for name, value in members.items())


def _value(value: object) -> bytes:
    """google.protobuf.Value: one of its kinds, told even where it is empty."""
    if isinstance(value, bool):
        return varint(4 << 3) + varint(value)
    if isinstance(value, (int, float)):
        return varint(2 << 3 | _FIXED_64) + struct.pack("<d", value)
    if isinstance(value, str):
        return whole(3, value.encode())
    if isinstance(value, Mapping):
        return whole(5, _struct(value))
    if isinstance(value, (list, tuple)):
        return whole(6, b"".join(whole(1, _value(one)) for one in value))
    return varint(1 << 3) + varint(0)
