"""DER, written and read by hand: the few types that certificates, CRLs and OCSP need, and nothing else.

The writer is what makes templates cheap (a leaf costs one concatenation instead of a builder's re-encoding of every
extension). It is trusted because its output is proved byte-equal to cryptography's builders by property tests.

The reader takes bytes from strangers. It never recurses, copies only what is asked for, and refuses everything that
is BER and not DER: indefinite lengths, lengths longer than needed, tags above 30, trailing bytes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
NULL = 0x05
OID = 0x06
ENUMERATED = 0x0A
UTF8_STRING = 0x0C
PRINTABLE_STRING = 0x13
IA5_STRING = 0x16
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
SEQUENCE = 0x30
SET = 0x31

TRUE = b"\x01\x01\xff"
NULL_VALUE = b"\x05\x00"


class DerError(ValueError):
    """The bytes are not the DER that was expected. The message names the rule, never the content."""


def tlv(tag: int, content: bytes) -> bytes:
    """One element with the shortest definite length (X.690, 10.1)."""
    size = len(content)
    if size < 0x80:  # nearly every element: a call less for each
        return bytes((tag, size)) + content
    return header(tag, size) + content


def header(tag: int, size: int) -> bytes:
    """Tag and shortest definite length of an element whose content has ``size`` octets."""
    if size < 0x80:
        return bytes((tag, size))
    if size < 0x100:
        return bytes((tag, 0x81, size))
    if size < 0x10000:
        return bytes((tag, 0x82, size >> 8, size & 0xFF))
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE of already encoded parts."""
    return tlv(SEQUENCE, b"".join(parts))


def set_of_one(part: bytes) -> bytes:
    """SET with one member, which needs no sorting (X.690, 11.6)."""
    return tlv(SET, part)


def explicit(number: int, content: bytes) -> bytes:
    """``[number] EXPLICIT`` around an encoded element; also ``[number] IMPLICIT`` of a constructed type's content."""
    return tlv(0xA0 | number, content)


def implicit(number: int, content: bytes) -> bytes:
    """``[number] IMPLICIT`` of a primitive type's content."""
    return tlv(0x80 | number, content)


def integer(value: int) -> bytes:
    """INTEGER, two's complement, shortest form."""
    magnitude = value if value >= 0 else ~value  # -128 fits one octet, 128 does not
    return tlv(INTEGER, value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True))


def enumerated(value: int) -> bytes:
    """ENUMERATED below 128."""
    return bytes((ENUMERATED, 1, value))


def octets(content: bytes) -> bytes:
    """OCTET STRING."""
    return tlv(OCTET_STRING, content)


def bits(content: bytes) -> bytes:
    """BIT STRING of whole octets."""
    return tlv(BIT_STRING, b"\x00" + content)


def named_bits(*positions: int) -> bytes:
    """BIT STRING of a named bit list: trailing zero bits removed (X.690, 11.2.2)."""
    if not positions:
        return bytes((BIT_STRING, 1, 0))
    width = max(positions) + 1
    value = sum(1 << (width - 1 - position) for position in set(positions))
    unused = -width % 8
    return tlv(BIT_STRING, bytes((unused,)) + (value << unused).to_bytes((width + unused) // 8, "big"))


@lru_cache(maxsize=256)
def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER from its dotted form."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        arc >>= 7
        while arc:
            groups.append(0x80 | arc & 0x7F)
            arc >>= 7
        content += bytes(reversed(groups))
    return tlv(OID, bytes(content))


@lru_cache(maxsize=1024)
def generalized_time(moment: datetime) -> bytes:
    """GeneralizedTime in UTC with seconds, no fraction (RFC 5280, 4.1.2.5.2)."""
    return tlv(GENERALIZED_TIME, moment.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").zfill(15).encode())


@lru_cache(maxsize=1024)
def time(moment: datetime) -> bytes:
    """Time: UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280, 4.1.2.5)."""
    moment = moment.astimezone(UTC)
    if 1950 <= moment.year < 2050:
        return tlv(UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode())
    return generalized_time(moment)


class Reader:
    """A cursor over DER that was received. Every method raises DerError rather than read past the end.

    >>> Reader(sequence(integer(5))).enter(SEQUENCE).read(INTEGER)
    b'\\x05'
    """

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self._at = start
        self._end = len(data) if end is None else end

    def _header(self) -> tuple[int, int, int]:
        """(tag, start of content, end of content) of the next element; moves nothing."""
        data, at = self._data, self._at
        if at + 2 > self._end:
            raise DerError("element cut short")
        tag, size = data[at], data[at + 1]
        if tag & 0x1F == 0x1F:
            raise DerError("tag number above 30")
        at += 2
        if size & 0x80:
            count = size & 0x7F
            if not 1 <= count <= 4 or at + count > self._end:
                raise DerError("length indefinite, above 4 octets or cut short")
            size = int.from_bytes(data[at : at + count], "big")
            at += count
            if size < 0x80 or size < 1 << (8 * (count - 1)):
                raise DerError("length not in its shortest form")
        if at + size > self._end:
            raise DerError("content longer than what holds it")
        return tag, at, at + size

    @property
    def empty(self) -> bool:
        """Nothing is left."""
        return self._at == self._end

    def peek(self) -> int | None:
        """The next tag, or None at the end."""
        return None if self.empty else self._data[self._at]

    def read(self, tag: int) -> bytes:
        """The content of the next element, which must have ``tag``."""
        found, start, end = self._header()
        if found != tag:
            raise DerError(f"expected tag 0x{tag:02x}, found 0x{found:02x}")
        self._at = end
        return self._data[start:end]

    def enter(self, tag: int) -> Reader:
        """A reader of the next element's content, which must have ``tag``; this one moves past it."""
        found, start, end = self._header()
        if found != tag:
            raise DerError(f"expected tag 0x{tag:02x}, found 0x{found:02x}")
        self._at = end
        return Reader(self._data, start, end)

    def whole(self) -> bytes:
        """The next element with its header, whatever its tag."""
        begin = self._at
        self._at = self._header()[2]
        return self._data[begin : self._at]

    def rest(self) -> bytes:
        """All that is left, unread; this one is empty then."""
        begin, self._at = self._at, self._end
        return self._data[begin : self._end]

    def take(self, tag: int) -> bytes | None:
        """The content of the next element if it has ``tag``, else None and nothing moves."""
        return self.read(tag) if self.peek() == tag else None

    def close(self) -> None:
        """Raise unless everything was read."""
        if not self.empty:
            raise DerError("trailing bytes")


def read_oid(content: bytes) -> str:
    """Dotted form of an OBJECT IDENTIFIER's content (at most 32 octets)."""
    if not content or len(content) > 32 or content[-1] & 0x80:
        raise DerError("malformed object identifier")
    arcs: list[int] = []
    value, fresh = 0, True
    for octet in content:
        if fresh and octet == 0x80:
            raise DerError("object identifier arc not in its shortest form")
        value = value << 7 | octet & 0x7F
        fresh = not octet & 0x80
        if fresh:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


def read_integer(content: bytes) -> int:
    """Value of an INTEGER's content; refuses padding (X.690, 8.3.2)."""
    if not content:
        raise DerError("empty integer")
    if len(content) > 1 and content[0] in (0, 0xFF) and (content[0] ^ content[1]) < 0x80:
        raise DerError("integer not in its shortest form")
    return int.from_bytes(content, "big", signed=True)
