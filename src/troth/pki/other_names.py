"""Names of the otherName kind: what Active Directory, hardware and permanent identifiers are written as.

* ``upn``: ``user@realm``, UTF8String under 1.3.6.1.4.1.311.20.2.3 (Microsoft; smart-card log-on).
* ``permanent-identifier``: RFC 4043, section 2. As text the value alone, or ``<assigner OID>/<value>``.
* ``hardware-module``: RFC 4108, section 5. As text ``<type OID>/<serial number in hexadecimal>``.
"""

from __future__ import annotations

import re
import unicodedata

from troth.pki import der

UPN = "1.3.6.1.4.1.311.20.2.3"
PERMANENT_IDENTIFIER = "1.3.6.1.5.5.7.8.3"
HARDWARE_MODULE = "1.3.6.1.5.5.7.8.4"
#: By the kind's name.
TYPE_IDS = {"upn": UPN, "permanent-identifier": PERMANENT_IDENTIFIER, "hardware-module": HARDWARE_MODULE}
_KINDS = {oid: kind for kind, oid in TYPE_IDS.items()}

_OID = re.compile(r"[0-2](\.(0|[1-9]\d{0,9})){1,15}\Z")
_PREFIXED = re.compile(r"([0-9.]+)/(.*)\Z", re.DOTALL)
_HEX = re.compile(r"([0-9a-f]{2}){1,64}\Z")
_LOCAL = re.compile(r"[^\s@\"/\\\[\]:;|=,+*?<>]+\Z")


def is_oid(text: str) -> bool:
    """Whether ``text`` is a dotted object identifier of at most 16 arcs that DER can hold."""
    if not _OID.match(text):
        return False
    first, second, *_ = text.split(".")
    return first == "2" or int(second) < 40


def _text(value: str) -> str:
    found = unicodedata.normalize("NFC", value)
    if not 0 < len(found) <= 256 or not found.isprintable() or found != found.strip():
        raise ValueError("1 to 256 printable characters without spaces at the ends")
    return found


def canonical_upn(value: str, realm: str) -> str:
    """``local@realm`` in NFC; ``realm`` is canonical already. Raises ValueError."""
    local = _text(value)
    if not _LOCAL.match(local):
        raise ValueError("the part before the @ has a character that Active Directory refuses")
    return f"{local}@{realm}"


def canonical_permanent_identifier(value: str) -> str:
    """The value in NFC, with its assigner before it if it has one. Raises ValueError."""
    match = _PREFIXED.match(value)
    if match is None:
        return _text(value)
    if not is_oid(match[1]):
        raise ValueError("what stands before the first / is no object identifier")
    return f"{match[1]}/{_text(match[2])}"


def canonical_hardware_module(value: str) -> str:
    """Type and lower-case hexadecimal serial number. Raises ValueError."""
    kind, slash, serial = value.partition("/")
    serial = serial.lower().replace(":", "")
    if not slash or not is_oid(kind) or not _HEX.match(serial):
        raise ValueError("written <type OID>/<1 to 64 octets in hexadecimal>")
    return f"{kind}/{serial}"


def other_name_der(kind: str, value: str) -> bytes:
    """The OtherName, tagged as a GeneralName, of a canonical value."""
    if kind == "upn":
        inner = der.tlv(der.UTF8_STRING, value.encode())
    elif kind == "permanent-identifier":
        match = _PREFIXED.match(value)
        text = value if match is None else match[2]
        inner = der.sequence(der.tlv(der.UTF8_STRING, text.encode()), b"" if match is None else der.oid(match[1]))
    else:
        oid, _, serial = value.partition("/")
        inner = der.sequence(der.oid(oid), der.octets(bytes.fromhex(serial)))
    return der.explicit(0, der.oid(TYPE_IDS[kind]) + der.explicit(0, inner))


def read_other_name(type_id: str, value: bytes) -> tuple[str, str] | None:
    """(kind, text) of an otherName's DER value; None for a type that Troth does not issue. Raises ValueError."""
    kind = _KINDS.get(type_id)
    if kind is None:
        return None
    reader = der.Reader(value)
    if kind == "upn":
        text = reader.read(der.UTF8_STRING).decode()
        reader.close()
        return kind, text
    inner = reader.enter(der.SEQUENCE)
    reader.close()
    if kind == "permanent-identifier":
        text = inner.read(der.UTF8_STRING).decode()
        assigner = inner.take(der.OID)
        inner.close()
        if assigner is None and _PREFIXED.match(text):
            raise ValueError("a permanent identifier that reads like one with an assigner")
        return kind, text if assigner is None else f"{der.read_oid(assigner)}/{text}"
    oid, serial = inner.read(der.OID), inner.read(der.OCTET_STRING)
    inner.close()
    return kind, f"{der.read_oid(oid)}/{serial.hex()}"
