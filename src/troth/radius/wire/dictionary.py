"""Attributes by their names: what one is called, and its value, instead of numbers and octets.

:data:`DICTIONARY` is read on first use. The hot path (EAP, signing) needs none of it: it knows its few types by number.

A packet's attributes are walked flat: a vendor's, those of the extended space, and those within another one are fields
of their own, with what they are within in their path. What an attribute does not hold to its form is walked as one that
nobody knows, never as an error: such an "invalid attribute" does not spoil a packet (RFC 6929 section 2.8).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

from troth.radius.wire.definitions import EXTENDED, LONG_EXTENDED, Definition, Vendor, entries
from troth.radius.wire.errors import UNKNOWN_ATTRIBUTE, VALUE, PacketRefused
from troth.radius.wire.hiding import hide_password, hide_salted, reveal_password, reveal_salted, salts
from troth.radius.wire.packet import MAX_VALUE, VENDOR_SPECIFIC, Attribute, Packet
from troth.radius.wire.signing import Secret
from troth.radius.wire.values import decode_value, encode_value

_MORE: Final = 0x80
_MAX_TAG: Final = 0x1F
#: Attributes within attributes; no RFC goes deeper than two.
_DEPTH: Final = 4


class Field(NamedTuple):
    """One attribute of a packet, wherever in it it stands.

    Attributes:
        definition: None: the dictionary does not know it, or its octets have not the form they should have.
        vendor: whose it is; 0: the standard's.
        path: as in :class:`Definition`.
        value: its octets; those of a long one joined.
    """

    definition: Definition | None
    vendor: int
    path: tuple[int, ...]
    value: bytes


class Dictionary:
    """All attributes that are known, by name and by number."""

    @cached_property
    def _vendors(self) -> dict[int, Vendor]:
        return {vendor.id: vendor for vendor in entries()[0]}

    @cached_property
    def _by_name(self) -> dict[str, Definition]:
        return {definition.name: definition for definition in entries()[1]}

    @cached_property
    def _by_path(self) -> dict[tuple[int, tuple[int, ...]], Definition]:
        return {(definition.vendor, definition.path): definition for definition in entries()[1]}

    def find(self, name: str) -> Definition:
        """The attribute of that name. Raises PacketRefused (``radius.attribute.unknown``)."""
        found = self._by_name.get(name)
        if found is None:
            raise PacketRefused(UNKNOWN_ATTRIBUTE, f"there is no attribute {name[:80]!r}")
        return found

    def vendor(self, vendor_id: int) -> Vendor:
        """How that vendor writes its attributes; one that is not known, as RFC 2865 section 5.26 recommends."""
        return self._vendors.get(vendor_id) or Vendor(vendor_id, f"Vendor-{vendor_id}")

    def value(
        self,
        name: str,
        value: Any,
        *,
        tag: int = 0,
        secret: Secret = b"",
        authenticator: bytes = b"",
        salt: bytes = b"",
    ) -> Attribute:
        """One attribute with that value (data types: :mod:`troth.radius.wire.values`).

        ``tag``: groups attributes of one tunnel (RFC 2868); 0: it stands alone. ``secret``, ``authenticator`` (of the
        request), ``salt`` (a random one if empty): for values that are hidden. Raises PacketRefused: no such attribute,
        a value that is none of its type, or one that needs several attributes (:meth:`values`).
        """
        made = self.values(name, value, tag=tag, secret=secret, authenticator=authenticator, salt=salt)
        if len(made) != 1:
            raise PacketRefused(VALUE, f"{name}: the value needs {len(made)} attributes")
        return made[0]

    def values(
        self,
        name: str,
        value: Any,
        *,
        tag: int = 0,
        secret: Secret = b"",
        authenticator: bytes = b"",
        salt: bytes = b"",
    ) -> list[Attribute]:
        """The same, split over as many attributes as it needs where its type allows that (``concat``, RFC 6929)."""
        definition = self.find(name)
        if definition.data == "tlv":
            raise PacketRefused(VALUE, f"{name} holds other attributes")
        octets = encode_value(definition.data, value, definition.names)
        if definition.hidden == "password":
            octets = hide_password(octets, secret, authenticator)
        elif definition.hidden == "salted":
            octets = hide_salted(octets, secret, authenticator, salt=salt or salts(1)[0])
        if definition.tagged:
            octets = _tagged(definition, octets, tag)
        return self._framed(definition, octets)

    def all(self, packet: Packet, name: str, *, secret: Secret | None = None, authenticator: bytes = b"") -> list[Any]:
        """Every value of that attribute, in order; one that is none of its type is left out.

        ``secret``, ``authenticator`` (of the request; that of the packet if empty): for values that are hidden.
        """
        wanted, found = self.find(name), list[Any]()
        authenticator = authenticator or packet.authenticator
        for field in self.walk(packet):
            if field.definition is wanted:
                try:
                    value = self.decode(wanted, field.value, secret=secret, authenticator=authenticator)
                except PacketRefused:
                    continue
                found.append(value)
        return found

    def get(self, packet: Packet, name: str, *, secret: Secret | None = None, authenticator: bytes = b"") -> Any:
        """The first value of that attribute; None: there is none."""
        return next(iter(self.all(packet, name, secret=secret, authenticator=authenticator)), None)

    def decode(
        self, definition: Definition, octets: bytes, *, secret: Secret | None = None, authenticator: bytes = b""
    ) -> Any:
        """The value in an attribute's octets, without its tag. Raises PacketRefused; ValueError: it needs a secret."""
        octets = untagged(definition, octets)[1]
        if definition.hidden:
            if secret is None:
                raise ValueError(f"{definition.name} is hidden: its secret is needed")
            reveal = reveal_password if definition.hidden == "password" else reveal_salted
            octets = reveal(octets, secret, authenticator)
        return decode_value(definition.data, octets)

    def walk(self, packet: Packet) -> Iterator[Field]:
        """Every attribute of a packet as it stands there, what is joined at the place where it begins."""
        attributes = packet.attributes
        at = 0
        while at < len(attributes):
            kind, value = attributes[at]
            at += 1
            if kind == VENDOR_SPECIFIC:
                yield from self._of_vendor(value)
            elif kind in EXTENDED and len(value) > 1:
                yield from self._extended(kind, value[0], value[1:])
            elif kind in LONG_EXTENDED and len(value) > 2:
                parts, more = [value[2:]], value[1] & _MORE
                while more and at < len(attributes) and _continues(attributes[at], kind, value[0]):
                    more = attributes[at][1][1] & _MORE
                    parts.append(attributes[at][1][2:])
                    at += 1
                if more:
                    yield Field(None, 0, (kind, value[0]), b"".join(parts))
                else:
                    yield from self._extended(kind, value[0], b"".join(parts))
            else:
                yield Field(self._by_path.get((0, (kind,))), 0, (kind,), value)

    def _extended(self, kind: int, extended: int, value: bytes) -> Iterator[Field]:
        if extended == VENDOR_SPECIFIC:
            # RFC 6929 section 2.4: a vendor's number, one octet of type, and the value.
            if len(value) > 5:
                vendor = int.from_bytes(value[:4], "big")
                path = (kind, extended, value[4])
                yield Field(self._by_path.get((vendor, path)), vendor, path, value[5:])
            else:
                yield Field(None, 0, (kind, extended), value)
            return
        yield from self._within(0, (kind, extended), value)

    def _within(self, vendor: int, path: tuple[int, ...], value: bytes) -> Iterator[Field]:
        definition = self._by_path.get((vendor, path))
        if definition is None or definition.data != "tlv" or len(path) > _DEPTH:
            yield Field(definition, vendor, path, value)
            return
        inner = list(_parts(value, 1, 1))
        if not inner:
            yield Field(None, vendor, path, value)
        for kind, octets in inner:
            yield from self._within(vendor, (*path, kind), octets)

    def _of_vendor(self, value: bytes) -> Iterator[Field]:
        if len(value) < 5:
            yield Field(None, 0, (VENDOR_SPECIFIC,), value)
            return
        vendor = self.vendor(int.from_bytes(value[:4], "big"))
        inner = list(_parts(value[4:], vendor.type_octets, vendor.length_octets))
        if not inner:
            yield Field(None, vendor.id, (), value[4:])
        for kind, octets in inner:
            yield from self._within(vendor.id, (kind,), octets)

    def _framed(self, definition: Definition, octets: bytes) -> list[Attribute]:
        """The attributes that carry these octets. Raises PacketRefused if they do not fit."""
        path, name = definition.path, definition.name
        if path[0] in EXTENDED | LONG_EXTENDED and not octets and not definition.vendor:
            raise PacketRefused(VALUE, f"{name}: an extended attribute has at least one octet (RFC 6929 section 2.1)")
        if definition.vendor:
            vendor = self.vendor(definition.vendor)
            size = vendor.type_octets + vendor.length_octets + len(octets)
            if size > MAX_VALUE - 4:
                raise PacketRefused(VALUE, f"{name}: {len(octets)} octets are too many")
            head = path[0].to_bytes(vendor.type_octets, "big")
            if vendor.length_octets:
                head += size.to_bytes(vendor.length_octets, "big")
            made = [(VENDOR_SPECIFIC, vendor.id.to_bytes(4, "big") + head + octets)]
        elif path[0] in LONG_EXTENDED:
            room = MAX_VALUE - 2
            chunks = [octets[at : at + room] for at in range(0, len(octets), room)]
            flags = [_MORE] * (len(chunks) - 1) + [0]
            made = [(path[0], bytes((path[1], flag)) + chunk) for flag, chunk in zip(flags, chunks, strict=True)]
        elif path[0] in EXTENDED:
            made = [(path[0], bytes(path[1:]) + octets)]
        elif definition.data == "concat":
            made = [(path[0], octets[at : at + MAX_VALUE]) for at in range(0, len(octets), MAX_VALUE)] or [
                (path[0], b"")
            ]
        else:
            made = [(path[0], octets)]
        if any(len(value) > MAX_VALUE for _, value in made):
            raise PacketRefused(VALUE, f"{name}: {len(octets)} octets are too many")
        return made


def untagged(definition: Definition, octets: bytes) -> tuple[int | None, bytes]:
    """The tag of an attribute and the rest of it; None: it has none (RFC 2868 sections 3.1 and 3.5)."""
    if not definition.tagged or not octets:
        return None, octets
    if definition.data in {"integer", "enum"}:
        return octets[0], b"\0" + octets[1:]
    if definition.hidden or octets[0] <= _MAX_TAG:
        return octets[0], octets[1:]
    return None, octets


def _tagged(definition: Definition, octets: bytes, tag: int) -> bytes:
    if not 0 <= tag <= _MAX_TAG:
        raise PacketRefused(VALUE, f"{definition.name}: a tag is 0 to 31")
    if definition.data in {"integer", "enum"}:
        if octets[0]:
            raise PacketRefused(VALUE, f"{definition.name}: beside a tag there are three octets for a number")
        return bytes((tag,)) + octets[1:]
    # A text alone goes without its tag, as every access server takes it, unless its first octet would be taken for one.
    if definition.hidden or tag or octets[:1] <= bytes((_MAX_TAG,)):
        return bytes((tag,)) + octets
    return octets


def _continues(attribute: Attribute, kind: int, extended: int) -> bool:
    return attribute[0] == kind and len(attribute[1]) > 2 and attribute[1][0] == extended


def _parts(value: bytes, type_octets: int, length_octets: int) -> Sequence[Attribute]:
    """The attributes within a value; nothing at all unless they fill it exactly."""
    head, found, at = type_octets + length_octets, [], 0
    while at < len(value):
        kind = int.from_bytes(value[at : at + type_octets], "big")
        if not length_octets:
            return [(kind, value[head:])] if len(value) >= head else []
        size = int.from_bytes(value[at + type_octets : at + head], "big")
        if size < head or at + size > len(value):
            return []
        found.append((kind, value[at + head : at + size]))
        at += size
    return found


DICTIONARY: Final = Dictionary()
