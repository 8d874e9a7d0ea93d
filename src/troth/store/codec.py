"""PostgreSQL's binary formats of the types that hot statements use, by type OID.

Each parameter is one value or one array (a statement takes one array per column); arrays have one dimension. The
values are those that asyncpg takes and gives: JSON as text, UUIDs and aware UTC datetimes as objects.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Final, TypeAlias

from asyncpg.pgproto import pgproto

from troth.kit.ids import make_with

Encode: TypeAlias = "Callable[[Any], bytes]"
Decode: TypeAlias = "Callable[[bytes], Any]"

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_NULL: Final = b"\xff\xff\xff\xff"
_INT2, _INT4, _INT8, _FLOAT8 = struct.Struct(">h"), struct.Struct(">i"), struct.Struct(">q"), struct.Struct(">d")
_ARRAY = struct.Struct(">iiIii")  # dimensions, has nulls, element type, length, lower bound
_HEAD = struct.Struct(">iiI")
_EARLIEST, _LATEST = -(2**63), 2**63 - 1
_MICROSECOND = timedelta(microseconds=1)
_FOREVER, _NEVER = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Codec:
    """How values of one type travel."""

    encode: Encode
    decode: Decode


def _encode_jsonb(text: str) -> bytes:
    return b"\x01" + text.encode()


def _decode_jsonb(raw: bytes) -> str:
    if raw[:1] != b"\x01":
        raise ValueError("a jsonb of another version")
    return raw[1:].decode()


def _encode_time(moment: datetime) -> bytes:
    if moment == _FOREVER:
        return _INT8.pack(_LATEST)
    since = moment - _EPOCH
    return _INT8.pack((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def _decode_time(raw: bytes) -> datetime:
    (microseconds,) = _INT8.unpack(raw)
    if microseconds == _LATEST:
        return _FOREVER
    if microseconds == _EARLIEST:
        return _NEVER
    return _EPOCH + timedelta(microseconds=microseconds)


def _number(form: struct.Struct) -> Codec:
    return Codec(form.pack, lambda raw: form.unpack(raw)[0])


def _encode_bool(value: bool) -> bytes:
    return b"\x01" if value else b"\x00"


def _decode_void(_raw: bytes) -> str:
    return ""


_TEXT = Codec(str.encode, bytes.decode)
_BYTEA = Codec(bytes, bytes)

#: (OID of the type, OID of arrays of it, codec)
_TYPES: Final = (
    (16, 1000, Codec(_encode_bool, b"\x01".__eq__)),
    (17, 1001, _BYTEA),
    (19, 1003, _TEXT),  # name
    (20, 1016, _number(_INT8)),
    (21, 1005, _number(_INT2)),
    (23, 1007, _number(_INT4)),
    (25, 1009, _TEXT),
    (701, 1022, _number(_FLOAT8)),
    (1043, 1015, _TEXT),
    (1184, 1185, Codec(_encode_time, _decode_time)),
    # asyncpg's own UUID is a uuid.UUID that is made in C; see make_with below
    (2950, 2951, Codec(attrgetter("bytes"), pgproto.UUID)),
    (3802, 3807, Codec(_encode_jsonb, _decode_jsonb)),
)


def _array(element: int, codec: Codec) -> Codec:
    encode_one, decode_one, size = codec.encode, codec.decode, _INT4.pack
    empty, one = _HEAD.pack(0, 0, element), _ARRAY.pack(1, 0, element, 1, 1)

    def encode(values: Any) -> bytes:
        if not values:
            return empty
        if len(values) == 1 and (alone := values[0]) is not None:
            octets = encode_one(alone)
            return one + size(len(octets)) + octets
        parts = [b""]
        nulls = 0
        for value in values:
            if value is None:
                nulls = 1
                parts.append(_NULL)
            else:
                octets = encode_one(value)
                parts += (size(len(octets)), octets)
        parts[0] = _ARRAY.pack(1, nulls, element, len(values), 1)
        return b"".join(parts)

    def decode(raw: bytes) -> list[Any]:
        dimensions, _, _ = _HEAD.unpack_from(raw)
        if dimensions == 0:
            return []
        if dimensions != 1:
            raise ValueError("an array of several dimensions")
        (length,) = _INT4.unpack_from(raw, 12)
        found: list[Any] = []
        at = _ARRAY.size
        for _ in range(length):
            (octets,) = _INT4.unpack_from(raw, at)
            at += 4
            if octets < 0:
                found.append(None)
                continue
            found.append(decode_one(raw[at : at + octets]))
            at += octets
        return found

    return Codec(encode, decode)


#: What can be sent and read. A statement that has any other type goes another way.
BY_OID: Final[dict[int, Codec]] = {
    2278: Codec(str.encode, _decode_void),  # void
    **{oid: codec for oid, _, codec in _TYPES},
    **{array: _array(oid, codec) for oid, array, codec in _TYPES},
}

# What is read and what is made here are then of one class.
make_with(pgproto.UUID)  # type: ignore[arg-type]  # the stub takes either, in words that say less
