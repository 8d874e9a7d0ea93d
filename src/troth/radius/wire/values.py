"""The data types of RFC 8044: from a Python value to the octets of an attribute, and back.

| data type | in Python |
|---|---|
| ``text``, ``avpair`` | str; octets that are no UTF-8 come back as surrogates (``surrogateescape``) |
| ``string``, ``concat`` | bytes |
| ``integer``, ``enum``, ``integer64`` | int; an ``enum`` is taken by its name as well |
| ``time`` | aware datetime in UTC |
| ``ipv4addr``, ``ipv6addr``, ``ipv4prefix``, ``ipv6prefix`` | of :mod:`ipaddress`, or its text |
| ``ifid`` | bytes, 8 octets (RFC 3162 section 2.2) |

``avpair`` is ours: text of the form ``name=value`` whose name says whether it may be shown.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from troth.radius.wire.errors import VALUE, PacketRefused

_NO_NAMES: Final[Mapping[str, int]] = {}


def encode_value(data: str, value: Any, names: Mapping[str, int] = _NO_NAMES) -> bytes:
    """The octets of ``value`` as that data type. Raises PacketRefused (``radius.packet.value``)."""
    try:
        return _ENCODERS[data](value, names)
    except (ValueError, TypeError, OverflowError, AttributeError, UnicodeError) as error:
        raise PacketRefused(VALUE, f"{_shown(value)} is no {data}") from error


def decode_value(data: str, octets: bytes) -> Any:
    """The Python value behind the octets of that data type. Raises PacketRefused (``radius.packet.value``)."""
    try:
        return _DECODERS[data](octets)
    except (ValueError, OverflowError) as error:
        raise PacketRefused(VALUE, f"{len(octets)} octets that are no {data}") from error


def data_types() -> frozenset[str]:
    """The data types there are."""
    return frozenset(_DECODERS)


def _text(value: Any, _names: Mapping[str, int]) -> bytes:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else _string(value, _names)


def _string(value: Any, _names: Mapping[str, int]) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("octets are wanted")
    return value


def _number(octets: int) -> Callable[[Any, Mapping[str, int]], bytes]:
    def encode(value: Any, names: Mapping[str, int]) -> bytes:
        number = names[value] if isinstance(value, str) and value in names else value
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError("a whole number is wanted")
        return number.to_bytes(octets, "big")

    return encode


def _time(value: Any, names: Mapping[str, int]) -> bytes:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time without its offset is none")
        value = int(value.timestamp())
    return _number(4)(value, names)


def _ipv4addr(value: Any, _names: Mapping[str, int]) -> bytes:
    return ipaddress.IPv4Address(value).packed


def _ipv6addr(value: Any, _names: Mapping[str, int]) -> bytes:
    return ipaddress.IPv6Address(value).packed


def _ipv4prefix(value: Any, _names: Mapping[str, int]) -> bytes:
    network = ipaddress.IPv4Network(value)
    return bytes((0, network.prefixlen)) + network.network_address.packed


def _ipv6prefix(value: Any, _names: Mapping[str, int]) -> bytes:
    network = ipaddress.IPv6Network(value)
    return bytes((0, network.prefixlen)) + network.network_address.packed[: -(-network.prefixlen // 8)]


def _ifid(value: Any, _names: Mapping[str, int]) -> bytes:
    if not isinstance(value, bytes) or len(value) != 8:
        raise ValueError("an interface identifier has 8 octets")
    return value


def _read_text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


def _read_number(octets: int) -> Callable[[bytes], int]:
    def decode(value: bytes) -> int:
        if len(value) != octets:
            raise ValueError("another length")
        return int.from_bytes(value, "big")

    return decode


def _read_time(octets: bytes) -> datetime:
    return datetime.fromtimestamp(_read_number(4)(octets), UTC)


def _read_ipv4prefix(octets: bytes) -> ipaddress.IPv4Network:
    if len(octets) != 6 or octets[1] > 32:
        raise ValueError("another length")
    # strict: bits beyond the prefix make it invalid (RFC 8044 section 3.11).
    return ipaddress.IPv4Network((octets[2:], octets[1]))


def _read_ipv6prefix(octets: bytes) -> ipaddress.IPv6Network:
    if not 2 <= len(octets) <= 18 or octets[1] > 128:
        raise ValueError("another length")
    # Octets that are left out are zeros (RFC 3162 section 2.3); bits beyond the prefix make it invalid.
    return ipaddress.IPv6Network((octets[2:].ljust(16, b"\0"), octets[1]))


def _read_ipv4addr(octets: bytes) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(octets)


def _read_ipv6addr(octets: bytes) -> ipaddress.IPv6Address:
    return ipaddress.IPv6Address(octets)


def _read_ifid(octets: bytes) -> bytes:
    if len(octets) != 8:
        raise ValueError("another length")
    return octets


def _shown(value: Any) -> str:
    """The value in an error; octets may be a secret, so only how many."""
    return f"{len(value)} octets" if isinstance(value, bytes) else repr(value)[:80]


_ENCODERS: Final[Mapping[str, Callable[[Any, Mapping[str, int]], bytes]]] = {
    "text": _text, "avpair": _text, "string": _string, "concat": _string, "integer": _number(4), "enum": _number(4),
    "integer64": _number(8), "time": _time, "ipv4addr": _ipv4addr, "ipv6addr": _ipv6addr, "ipv4prefix": _ipv4prefix,
    "ipv6prefix": _ipv6prefix, "ifid": _ifid,
}  # fmt: skip

_DECODERS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "text": _read_text, "avpair": _read_text, "string": bytes, "concat": bytes, "integer": _read_number(4),
    "enum": _read_number(4), "integer64": _read_number(8), "time": _read_time, "ipv4addr": _read_ipv4addr,
    "ipv6addr": _read_ipv6addr, "ipv4prefix": _read_ipv4prefix, "ipv6prefix": _read_ipv6prefix, "ifid": _read_ifid,
}  # fmt: skip
