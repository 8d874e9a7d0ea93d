"""A RADIUS packet: from octets, in one walk, without an interpretation of what its attributes mean.

RFC 2865 section 3 has the layout, RFC 5080 section 2.3.1 what is dropped. An attribute keeps its place and its octets:
what is verified, proxied and echoed depends on both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from struct import Struct as Layout
from typing import Final, TypeAlias

import msgspec

from troth.radius.wire.errors import ATTRIBUTE, ATTRIBUTES, LENGTH, SHORT, PacketRefused

#: The type of an attribute and its value without these two octets, as on the wire.
Attribute: TypeAlias = tuple[int, bytes]

HEADER: Final = 20
MAX_PACKET: Final = 4096
#: More than any access server sends, and few enough that no packet costs us much more than any other.
MAX_ATTRIBUTES: Final = 255
MAX_VALUE: Final = 253

USER_NAME: Final = 1
USER_PASSWORD: Final = 2
NAS_IP_ADDRESS: Final = 4
NAS_PORT: Final = 5
FRAMED_MTU: Final = 12
STATE: Final = 24
CLASS: Final = 25
VENDOR_SPECIFIC: Final = 26
CALLED_STATION_ID: Final = 30
CALLING_STATION_ID: Final = 31
NAS_IDENTIFIER: Final = 32
PROXY_STATE: Final = 33
NAS_PORT_TYPE: Final = 61
EAP_MESSAGE: Final = 79
MESSAGE_AUTHENTICATOR: Final = 80
NAS_PORT_ID: Final = 87
NAS_IPV6_ADDRESS: Final = 95

_HEAD = Layout("!BBH16s")


class Code(IntEnum):
    """What a packet is (IANA RADIUS packet type codes)."""

    ACCESS_REQUEST = 1
    ACCESS_ACCEPT = 2
    ACCESS_REJECT = 3
    ACCOUNTING_REQUEST = 4
    ACCOUNTING_RESPONSE = 5
    ACCESS_CHALLENGE = 11
    STATUS_SERVER = 12
    DISCONNECT_REQUEST = 40
    DISCONNECT_ACK = 41
    DISCONNECT_NAK = 42
    COA_REQUEST = 43
    COA_ACK = 44
    COA_NAK = 45
    PROTOCOL_ERROR = 52


class Packet(msgspec.Struct, frozen=True):
    """One packet as it came.

    Attributes:
        code: what it is; one that :class:`Code` does not know is kept as it came.
        identifier: by which a reply belongs to its request; in RADIUS/1.1 always 0.
        authenticator: 16 octets; in RADIUS/1.1 the token and twelve zeros.
        attributes: in their order. Vendor-Specific ones are type 26, with the vendor in their value.
        raw: the octets that all this was read from, without any padding behind them.
        firsts: by type, the first of each. A request is asked for some eight attributes on its way.
    """

    code: int
    identifier: int
    authenticator: bytes
    attributes: tuple[Attribute, ...]
    raw: bytes
    firsts: dict[int, bytes] = {}

    def __post_init__(self) -> None:
        self.firsts.update(reversed(self.attributes))

    def first(self, type: int) -> bytes | None:
        """The value of the first attribute of that type; None: there is none."""
        return self.firsts.get(type)

    def all(self, type: int) -> list[bytes]:
        """The values of all attributes of that type, in their order."""
        return [value for kind, value in self.attributes if kind == type]

    def joined(self, type: int) -> bytes:
        """The values of all attributes of that type as one (RFC 8044 ``concat``: EAP-Message); empty: there is none."""
        return b"".join([value for kind, value in self.attributes if kind == type])

    def vendor(self, vendor_id: int, type: int) -> list[bytes]:
        """The values of a vendor's attributes of that type, if it writes them as RFC 2865 section 5.26 recommends."""
        head = vendor_id.to_bytes(4, "big")
        found: list[bytes] = []
        for kind, value in self.attributes:
            if kind == VENDOR_SPECIFIC and value.startswith(head):
                found.extend(inner for sub, inner in sub_attributes(value[4:]) if sub == type)
        return found


def decode(data: bytes) -> Packet:
    """The packet that ``data``, one datagram or one frame, begins with; what stands behind its length is padding.

    Raises PacketRefused (``radius.packet.*``): such a packet gets no answer (RFC 2865, 3; RFC 5080, 2.3.1).
    """
    have = len(data)
    if have < HEADER:
        raise PacketRefused(SHORT, f"{have} octets")
    code, identifier, length, authenticator = _HEAD.unpack_from(data)
    if not HEADER <= length <= MAX_PACKET:
        raise PacketRefused(LENGTH, f"its length field says {length}")
    if have != length:
        if have < length:
            raise PacketRefused(SHORT, f"{have} octets of {length}")
        data = data[:length]
    attributes: list[Attribute] = []
    start = at = HEADER
    try:
        while at < length:
            start, size = at, data[at + 1]
            if size < 2:
                break
            at += size
            attributes.append((data[start], data[start + 2 : at]))
    except IndexError:  # a lone octet at the end has no length
        at = 0
    if at != length:
        raise PacketRefused(ATTRIBUTE, f"type {data[start]} at octet {start}")
    if len(attributes) > MAX_ATTRIBUTES:
        raise PacketRefused(ATTRIBUTES, f"{len(attributes)} attributes")
    return Packet(code, identifier, authenticator, tuple(attributes), data)


def encode_attributes(attributes: Sequence[Attribute], *, refused: frozenset[int] = frozenset()) -> bytes:
    """The octets of attributes, in their order.

    Raises ValueError for a type or value that no attribute has, and for the types that are ``refused``.
    """
    parts: list[bytes] = []
    for kind, value in attributes:
        if kind in refused:
            raise ValueError(f"an attribute of type {kind} is put there by the encoder")
        # bytes() refuses what is no octet: a value of more than 253 has to be split by whoever knows how.
        parts.append(bytes((kind, len(value) + 2)) + value)
    return b"".join(parts)


def sub_attributes(value: bytes) -> Iterator[Attribute]:
    """The attributes within a value, one octet of type and one of length each; what does not fit ends the walk.

    Vendors are not held to the form (RFC 2865 section 5.26), so a value of another form is no error.
    """
    at, end = 0, len(value)
    while at + 2 <= end:
        size = value[at + 1]
        if size < 2 or at + size > end:
            return
        yield value[at], value[at + 2 : at + size]
        at += size
