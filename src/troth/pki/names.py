"""General names: the typed names that a certificate binds to a key (RFC 5280, 4.2.1.6).

Names travel through Troth as ``(kind, value)`` pairs of text in one canonical form, so that two requests for the same
names compare equal and the subject alternative name of the certificate can be held against the request byte for byte:
lower-case, sorted by kind and value, no doubles. What has no canonical form here is refused, never repaired. The
otherName kinds are in ``other_names``, the attributes of a directory name in ``attributes``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import urlsplit

from cryptography import x509

from troth.pki import der, other_names
from troth.pki.attributes import attributes_of, attributes_text, name_der, parse_attributes
from troth.pki.errors import NAME_MALFORMED, NAME_UNSUPPORTED, NameRefused

GeneralName: TypeAlias = tuple[str, str]
GeneralNames: TypeAlias = tuple[GeneralName, ...]

#: In the order in which they stand in a certificate.
KINDS = ("dns", "ip", "email", "uri", "upn", "permanent-identifier", "hardware-module", "directory")

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_HEXADECIMAL = re.compile(r"0x[0-9a-f]*\Z")
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+\Z")
_TAGS = {"email": 0x81, "dns": 0x82, "uri": 0x86, "ip": 0x87}


def _malformed(kind: str, value: str, why: str) -> NameRefused:
    return NameRefused(NAME_MALFORMED, f"{kind} name {value[:80]!r}: {why}", kind=kind, value=value[:253])


@lru_cache(maxsize=4096)
def canonical_dns(value: str, *, wildcard: bool = True) -> str:
    """``value`` as a lower-case host name in A-label form, a leading ``*.`` allowed if ``wildcard``.

    Raises NameRefused for everything else: non-ASCII (send the A-label), underscores, empty labels, a trailing dot,
    a wildcard elsewhere or right above one label, labels that claim to be Punycode and are not, IP addresses.
    """
    name = value.lower()
    host = name
    if name.startswith("*."):
        if not wildcard:
            raise _malformed("dns", value, "wildcards are not allowed here")
        host = name[2:]
        if "." not in host:
            raise _malformed("dns", value, "a wildcard needs at least two labels below it")
    if not host.isascii() or len(name) > 253:
        raise _malformed("dns", value, "not ASCII, or longer than 253 octets")
    labels = host.split(".")
    for label in labels:
        if not _LABEL.match(label):
            raise _malformed("dns", value, "a label is not letters, digits and inner hyphens")
        if label[2:4] == "--" and not _is_a_label(label):
            raise _malformed("dns", value, "a label with '--' in third place is not valid Punycode (RFC 5890, 2.3.1)")
    if labels[-1].isdigit() or _HEXADECIMAL.match(labels[-1]):
        # WHATWG "ends in a number": software reads such a name as an IPv4 address.
        raise _malformed("dns", value, "an IP address is not a DNS name")
    return name


def _is_a_label(label: str) -> bool:
    if not label.startswith("xn--"):
        return False
    try:
        decoded = label[4:].encode().decode("punycode")
        return bool(decoded) and not decoded.isascii() and b"xn--" + decoded.encode("punycode") == label.encode()
    except (UnicodeError, ValueError, OverflowError):
        return False


def canonical_ip(value: str) -> str:
    """``value`` as an IPv4 or compressed IPv6 address without zone. Raises NameRefused otherwise."""
    try:
        if "%" in value or "/" in value:
            raise ValueError
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise _malformed("ip", value, "not an IPv4 or IPv6 address") from None


def canonical_email(value: str) -> str:
    """``value`` as an ASCII mailbox with a lower-case domain; the local part keeps its case (RFC 5321, 2.4)."""
    local, at, domain = value.rpartition("@")
    if not at or len(local) > 64 or not _LOCAL_PART.match(local):
        raise _malformed("email", value, "not a plain ASCII mailbox")
    return f"{local}@{canonical_dns(domain, wildcard=False)}"


def canonical_uri(value: str) -> str:
    """``value`` as an absolute ASCII URI with lower-case scheme and host (RFC 5280, 4.2.1.6)."""
    if len(value) > 2048 or not _URI.match(value):
        raise _malformed("uri", value, "not an absolute ASCII URI of at most 2,048 octets")
    scheme, _, rest = value.partition(":")
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _malformed("uri", value, "authority part malformed") from None
    if rest.startswith("//"):
        if not host:
            raise _malformed("uri", value, "no host")
        try:
            bare = f"[{canonical_ip(host)}]" if ":" in host else canonical_dns(host, wildcard=False)
        except NameRefused:
            bare = canonical_ip(host)
        userinfo, at, _ = parts.netloc.rpartition("@")
        tail = rest[2 + len(parts.netloc) :]
        return f"{scheme.lower()}://{userinfo}{at}{bare}{'' if port is None else f':{port}'}{tail}"
    return f"{scheme.lower()}:{rest}"


def canonical_upn(value: str) -> str:
    """``value`` as ``user@realm`` with a lower-case realm; the part before the ``@`` keeps its case."""
    local, at, realm = value.rpartition("@")
    if not at:
        raise _malformed("upn", value, "a user principal name is written user@realm")
    try:
        return other_names.canonical_upn(local, canonical_dns(realm, wildcard=False))
    except ValueError as error:
        raise _malformed("upn", value, str(error)) from None


def _canonical_other(kind: str, value: str) -> str:
    try:
        if kind == "permanent-identifier":
            return other_names.canonical_permanent_identifier(value)
        return other_names.canonical_hardware_module(value)
    except ValueError as error:
        raise _malformed(kind, value, str(error)) from None


def canonical_name(kind: str, value: str, *, wildcard: bool = True) -> GeneralName:
    """One name in canonical form. Raises NameRefused."""
    if kind == "dns":
        return kind, canonical_dns(value, wildcard=wildcard)
    if kind == "ip":
        return kind, canonical_ip(value)
    if kind == "email":
        return kind, canonical_email(value)
    if kind == "uri":
        return kind, canonical_uri(value)
    if kind == "upn":
        return kind, canonical_upn(value)
    if kind in other_names.TYPE_IDS:
        return kind, _canonical_other(kind, value)
    if kind == "directory":
        return kind, attributes_text(parse_attributes(value))
    raise NameRefused(NAME_UNSUPPORTED, f"names of kind {kind[:40]!r} are not supported", kind=kind[:40])


def canonical_names(names: Iterable[GeneralName], *, wildcard: bool = True) -> GeneralNames:
    """``names`` validated, in canonical form, sorted and without doubles. Raises NameRefused on the first bad one."""
    found = {canonical_name(kind, value, wildcard=wildcard) for kind, value in names}
    if len(found) == 1:
        return tuple(found)
    return tuple(sorted(found, key=lambda name: (KINDS.index(name[0]), name[1])))


def general_names_der(names: GeneralNames) -> bytes:
    """``GeneralNames`` of canonical names, in their order."""
    parts = []
    for kind, value in names:
        if kind == "ip":
            parts.append(der.tlv(_TAGS[kind], ipaddress.ip_address(value).packed))
        elif kind in _TAGS:
            parts.append(der.tlv(_TAGS[kind], value.encode("ascii")))
        elif kind == "directory":
            # A Name is a CHOICE, so its tag is explicit (X.680, 31.2.7).
            parts.append(der.explicit(4, name_der(parse_attributes(value))))
        else:
            parts.append(other_names.other_name_der(kind, value))
    return der.sequence(*parts)


def names_of(extension: x509.SubjectAlternativeName) -> list[GeneralName]:
    """The names of a parsed extension, as they stand. Raises NameRefused for kinds that Troth does not issue."""
    found: list[GeneralName] = []
    for name in extension:
        if isinstance(name, x509.DNSName):
            found.append(("dns", name.value))
        elif isinstance(name, x509.IPAddress):
            if not isinstance(name.value, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
                raise _malformed("ip", str(name.value), "a network, not an address")
            found.append(("ip", str(name.value)))
        elif isinstance(name, x509.RFC822Name):
            found.append(("email", name.value))
        elif isinstance(name, x509.UniformResourceIdentifier):
            found.append(("uri", name.value))
        elif isinstance(name, x509.DirectoryName):
            found.append(("directory", attributes_text(attributes_of(name.value))))
        elif isinstance(name, x509.OtherName):
            found.append(_read_other(name))
        else:
            raise NameRefused(NAME_UNSUPPORTED, f"names of kind {type(name).__name__} are not supported")
    return found


def _read_other(name: x509.OtherName) -> GeneralName:
    type_id = name.type_id.dotted_string
    try:
        found = other_names.read_other_name(type_id, name.value)
    except ValueError:
        raise _malformed("otherName", type_id, "its value cannot be read") from None
    if found is None:
        raise NameRefused(NAME_UNSUPPORTED, f"otherName {type_id} is not supported", kind=type_id)
    return found
