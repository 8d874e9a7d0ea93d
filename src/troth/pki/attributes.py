"""Attributes of a distinguished name: which Troth writes, how long they may be, and in which string type.

A name travels as ordered ``(type, value)`` pairs, one attribute to an RDN, in the order in which they stand in the
certificate. As text (the value of a ``directory`` name) the pairs are joined by commas, with ``,``, ``=`` and ``\\``
escaped by a backslash; unlike RFC 4514 the order is not reversed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from cryptography import x509

from troth.pki import der
from troth.pki.errors import NAME_MALFORMED, NameRefused

#: ``("CN", "alice")``.
Attribute: TypeAlias = tuple[str, str]
Attributes: TypeAlias = tuple[Attribute, ...]

MAX_ATTRIBUTES = 16
_PRINTABLE = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]*\Z")
_SPECIAL, _ESCAPED = re.compile(r"([,=\\])"), r"\\\1"
_EMPTY = der.sequence()


@dataclass(frozen=True, slots=True)
class AttributeType:
    """One type of attribute.

    Attributes:
        limit: upper bound in characters (RFC 5280, appendix A; RFC 4519).
        tag: of the string type: UTF8String, but where the definition demands another.
    """

    oid: str
    limit: int
    tag: int = der.UTF8_STRING


#: By the short name that a profile uses (RFC 4519, section 2).
TYPES: Mapping[str, AttributeType] = {
    "CN": AttributeType("2.5.4.3", 64),
    "SN": AttributeType("2.5.4.4", 64),
    "serialNumber": AttributeType("2.5.4.5", 64, der.PRINTABLE_STRING),
    "C": AttributeType("2.5.4.6", 2, der.PRINTABLE_STRING),
    "L": AttributeType("2.5.4.7", 128),
    "ST": AttributeType("2.5.4.8", 128),
    "street": AttributeType("2.5.4.9", 128),
    "O": AttributeType("2.5.4.10", 64),
    "OU": AttributeType("2.5.4.11", 64),
    "title": AttributeType("2.5.4.12", 64),
    "GN": AttributeType("2.5.4.42", 64),
    "organizationIdentifier": AttributeType("2.5.4.97", 64),
    "UID": AttributeType("0.9.2342.19200300.100.1.1", 256),
    "DC": AttributeType("0.9.2342.19200300.100.1.25", 63, der.IA5_STRING),
    "emailAddress": AttributeType("1.2.840.113549.1.9.1", 255, der.IA5_STRING),
    # Of a TPM, in the directory names of its certificates (TCG EK Credential Profile 2.5, 3.1.2).
    "tpmManufacturer": AttributeType("2.23.133.2.1", 64),
    "tpmModel": AttributeType("2.23.133.2.2", 64),
    "tpmVersion": AttributeType("2.23.133.2.3", 64),
}
_NAMES = {attribute.oid: name for name, attribute in TYPES.items()}


def canonical_attribute(name: str, value: str) -> Attribute:
    """``(name, value)`` with ``value`` in NFC. Raises NameRefused for a type that is not written, or a value that
    is empty, too long, padded with spaces, holds control characters or does not fit the type's alphabet."""
    kind = TYPES.get(name)
    if kind is None:
        raise _bad(name, value, f"known attributes: {', '.join(TYPES)}")
    text = unicodedata.normalize("NFC", value)
    if not 0 < len(text) <= kind.limit:
        raise _bad(name, value, f"1 to {kind.limit} characters")
    if not text.isprintable() or text != text.strip():
        raise _bad(name, value, "control characters, or spaces at an end")
    if kind.tag == der.PRINTABLE_STRING and not _PRINTABLE.match(text):
        raise _bad(name, value, "a character outside PrintableString")
    if kind.tag == der.IA5_STRING and not text.isascii():
        raise _bad(name, value, "not ASCII")
    if name == "C" and not (len(text) == 2 and text.isalpha() and text.isupper()):
        raise _bad(name, value, "two capital letters (ISO 3166)")
    return name, text


def _bad(name: str, value: str, why: str) -> NameRefused:
    return NameRefused(NAME_MALFORMED, f"attribute {name[:40]} {value[:80]!r}: {why}", kind=name[:40])


def canonical_attributes(pairs: Iterable[Attribute]) -> Attributes:
    """Every pair canonical, in the same order; at most :data:`MAX_ATTRIBUTES`. Raises NameRefused."""
    found = tuple(canonical_attribute(name, value) for name, value in pairs)
    if len(found) > MAX_ATTRIBUTES:
        raise NameRefused(NAME_MALFORMED, f"a name of more than {MAX_ATTRIBUTES} attributes")
    return found


def common_name_of(attributes: Attributes) -> str | None:
    """The first CN, or None."""
    return next((value for name, value in attributes if name == "CN"), None)


@lru_cache(maxsize=4096)
def name_der(attributes: Attributes) -> bytes:
    """A Name of canonical attributes, one to an RDN; the empty Name for none."""
    if not attributes:
        return _EMPTY
    return der.sequence(*(der.set_of_one(_attribute_der(name, value)) for name, value in attributes))


def _attribute_der(name: str, value: str) -> bytes:
    kind = TYPES[name]
    return der.sequence(der.oid(kind.oid), der.tlv(kind.tag, value.encode()))


def attributes_of(name: x509.Name) -> Attributes:
    """The attributes of a parsed name, as they stand. Raises NameRefused for what Troth does not write."""
    found = []
    for rdn in name.rdns:
        attributes = list(rdn)
        if len(attributes) != 1 or attributes[0].oid.dotted_string not in _NAMES:
            raise NameRefused(NAME_MALFORMED, "a name with an attribute that Troth does not write")
        value = attributes[0].value
        if not isinstance(value, str):
            raise NameRefused(NAME_MALFORMED, "a name with an attribute that is no text")
        found.append((_NAMES[attributes[0].oid.dotted_string], value))
    return tuple(found)


def attributes_text(attributes: Attributes) -> str:
    """``CN=alice,O=Example\\, Ltd``: what :func:`parse_attributes` reads."""
    return ",".join(f"{name}={_SPECIAL.sub(_ESCAPED, value)}" for name, value in attributes)


def parse_attributes(text: str) -> Attributes:
    """Canonical attributes out of their text form. Raises NameRefused."""
    if not 0 < len(text) <= 2048:
        raise NameRefused(NAME_MALFORMED, "a directory name has 1 to 2,048 characters")
    pairs: list[Attribute] = []
    for part in _split(text, ","):
        sides = _split(part, "=")
        if len(sides) != 2:
            raise NameRefused(NAME_MALFORMED, "a directory name is written TYPE=value,TYPE=value")
        pairs.append((sides[0], re.sub(r"\\(.)", r"\1", sides[1])))
    return canonical_attributes(pairs)


def _split(text: str, separator: str) -> list[str]:
    """``text`` at each ``separator`` that no backslash escapes; the escapes stay."""
    found, current, escaped = [], "", False
    for character in text:
        if escaped:
            current += character
            escaped = False
        elif character == separator:
            found.append(current)
            current = ""
        else:
            current += character
            escaped = character == "\\"
    if escaped:
        raise NameRefused(NAME_MALFORMED, "a directory name ends in a backslash")
    return [*found, current]
