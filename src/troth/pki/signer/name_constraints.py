"""Name constraints of an authority's certificate (RFC 5280, 4.2.1.10), held against what its key signs.

What lies outside would be refused by every client that checks; it is not signed in the first place. Where clients
differ the narrower reading counts: a wildcard that might match an excluded name is excluded, an address in the
subject is held against the constraints on addresses although the alternative names have some of their own.

A form that is constrained and cannot be compared here (other names, registered ids) may not occur at all, which is
what 4.2.1.10 asks of whoever does not process a critical constraint.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import NameOID

from troth.pki import der
from troth.pki.signer.errors import LIMIT_NAME_CONSTRAINTS, SignerRefused
from troth.pki.unreadable import UNREADABLE

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_Base: TypeAlias = Any
_EMAIL = NameOID.EMAIL_ADDRESS
_HOST = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z")
_COMPARED: Sequence[type[x509.GeneralName]] = (
    x509.DNSName,
    x509.IPAddress,
    x509.RFC822Name,
    x509.UniformResourceIdentifier,
    x509.DirectoryName,
)


def read_constraints(value: bytes) -> x509.NameConstraints:
    """The extension's value (DER). Raises ValueError for what cannot be enforced: a minimum, a maximum, another form.

    The value is read by cryptography and written again: what it passed over (RFC 5280 fixes minimum at 0 and leaves
    maximum out) would not come out the same.
    """
    try:
        found = _parsed(der.sequence(der.sequence(der.oid("2.5.29.30"), der.TRUE, der.octets(value))))
    except UNREADABLE as error:
        raise ValueError("the name constraints cannot be read") from error
    if found.public_bytes() != value:
        raise ValueError("the name constraints have minimum, maximum or an encoding of their own")
    for subtree in (*(found.permitted_subtrees or ()), *(found.excluded_subtrees or ())):
        _base(subtree)
    return found


def _parsed(extensions: bytes) -> x509.NameConstraints:
    # cryptography reads extensions only inside of something: an otherwise empty certificate.
    empty = der.sequence()
    algorithm = der.sequence(der.oid("1.3.101.112"))
    times = der.sequence(der.tlv(der.UTC_TIME, b"260101000000Z"), der.tlv(der.UTC_TIME, b"270101000000Z"))
    key = der.sequence(algorithm, der.bits(bytes(32)))
    version, extensions = der.explicit(0, der.integer(2)), der.explicit(3, extensions)
    tbs = der.sequence(version, der.integer(1), algorithm, empty, times, empty, key, extensions)
    certificate = x509.load_der_x509_certificate(der.sequence(tbs, algorithm, der.bits(bytes(64))))
    return certificate.extensions.get_extension_for_class(x509.NameConstraints).value


class NameConstraints:
    """The constraints of one authority, ready to be applied.

    Args:
        value: the extension's value, DER; :func:`read_constraints` has accepted it.
    """

    def __init__(self, value: bytes) -> None:
        parsed = read_constraints(value)
        self._permitted = _by_form(parsed.permitted_subtrees)
        self._excluded = _by_form(parsed.excluded_subtrees)

    def check(self, names: Iterable[x509.GeneralName], subject: x509.Name, *, server: bool) -> None:
        """Raise SignerRefused for a name outside. ``server``: a host name in the subject's CN counts as one."""
        for name in names:
            self._check(_form(name), _value(name), str(name.value)[:200])
        if subject.rdns:
            self._check("directory", _rdns(subject), subject.rfc4514_string()[:200])
        for attribute in subject.get_attributes_for_oid(_EMAIL):
            self._check("email", _mailbox(str(attribute.value)), str(attribute.value)[:200])
        if server:
            for attribute in subject.get_attributes_for_oid(NameOID.COMMON_NAME):
                text = str(attribute.value).strip().lower().rstrip(".")
                if _HOST.match(text):
                    self._check("dns", text, text[:200])

    def carried_by(self, other: x509.NameConstraints | None) -> bool:
        """Whether a CA certificate with the constraints ``other`` is nowhere wider than these."""
        if other is None:
            return False
        permitted, excluded = _by_form(other.permitted_subtrees), _by_form(other.excluded_subtrees)
        for form, bases in self._permitted.items():
            inner = permitted.get(form)
            if inner is None or not all(any(_contains(form, base, one) for base in bases) for one in inner):
                return False
        return all(
            any(_contains(form, one, base) for one in excluded.get(form, ()))
            for form, bases in self._excluded.items()
            for base in bases
        )

    def _check(self, form: str, value: _Base, told: str) -> None:
        permitted, excluded = self._permitted.get(form), self._excluded.get(form)
        if permitted is None and excluded is None:
            return
        match = _MATCHES.get(form)
        if match is None or value is None:
            raise SignerRefused(LIMIT_NAME_CONSTRAINTS, f"{form} names are constrained and cannot be compared here")
        if permitted is not None and not any(match(base, value, False) for base in permitted):
            raise SignerRefused(LIMIT_NAME_CONSTRAINTS, f"{told} is not within what the authority may name")
        if excluded is not None and any(match(base, value, True) for base in excluded):
            raise SignerRefused(LIMIT_NAME_CONSTRAINTS, f"{told} is excluded from what the authority may name")


def _by_form(subtrees: Iterable[x509.GeneralName] | None) -> dict[str, list[_Base]]:
    found: dict[str, list[_Base]] = {}
    for subtree in subtrees or ():
        found.setdefault(_form(subtree), []).append(_base(subtree))
    return found


def _form(name: x509.GeneralName) -> str:
    if isinstance(name, x509.DNSName):
        return "dns"
    if isinstance(name, x509.IPAddress):
        return "ip"
    if isinstance(name, x509.RFC822Name):
        return "email"
    if isinstance(name, x509.UniformResourceIdentifier):
        return "uri"
    if isinstance(name, x509.DirectoryName):
        return "directory"
    if isinstance(name, x509.OtherName):
        return name.type_id.dotted_string
    return type(name).__name__


def _base(name: x509.GeneralName) -> _Base:
    """A subtree's base in the shape that its form is compared in. Raises ValueError for a malformed one."""
    if isinstance(name, x509.IPAddress):
        if not isinstance(name.value, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
            raise ValueError("an address constraint is no network")
        return name.value
    if isinstance(name, x509.DirectoryName):
        return _rdns(name.value)
    if isinstance(name, x509.RFC822Name):
        local, at, host = name.value.rpartition("@")
        return (local if at else None, host.lower())
    if isinstance(name, (x509.DNSName, x509.UniformResourceIdentifier)):
        base = name.value.lower().rstrip(".")
        if "*" in base or "/" in base or ":" in base or "@" in base:
            raise ValueError("a constraint on host names is a host name, or one with a leading period")
        return base
    return None


def _value(name: x509.GeneralName) -> _Base:
    """A certificate's name in the shape that its form is compared in; None for what cannot be compared."""
    if isinstance(name, x509.DNSName):
        return name.value.lower().rstrip(".")
    if isinstance(name, x509.IPAddress):
        return name.value if isinstance(name.value, (ipaddress.IPv4Address, ipaddress.IPv6Address)) else None
    if isinstance(name, x509.RFC822Name):
        return _mailbox(name.value)
    if isinstance(name, x509.UniformResourceIdentifier):
        return _host_of(name.value)
    if isinstance(name, x509.DirectoryName):
        return _rdns(name.value)
    return None


def _mailbox(text: str) -> tuple[str, str] | None:
    local, at, host = text.rpartition("@")
    return (local, host.lower()) if at and local and host else None


def _host_of(uri: str) -> str | None:
    """The host of a URI; None without one or for an address, which must then be rejected (4.2.1.10)."""
    try:
        host = urlsplit(uri).hostname
    except ValueError:
        return None
    if not host:
        return None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.rstrip(".")
    return None


def _rdns(name: x509.Name) -> tuple[frozenset[tuple[str, str]], ...]:
    """RDNs as sets of (type, value), the values as 7.1 compares them: case and inner spaces do not count."""
    return tuple(frozenset((one.oid.dotted_string, _folded(one.value)) for one in rdn) for rdn in name.rdns)


def _folded(value: str | bytes) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())


def _dns(base: str, name: str, excluded: bool) -> bool:
    if excluded and name.startswith("*."):
        # Whatever the wildcard may stand for: the excluded name itself, or all that lies below the wildcard's parent.
        parent = name[2:]
        if base.lstrip(".").partition(".")[2] == parent or _below(base, parent):
            return True
    return _below(base, name)


def _below(base: str, name: str) -> bool:
    if not base:
        return True
    return name.endswith(base) if base.startswith(".") else name == base or name.endswith(f".{base}")


def _ip(base: Network, address: _Base, _excluded: bool) -> bool:
    return bool(address.version == base.version and address in base)


def _email(base: tuple[str | None, str], mailbox: tuple[str, str], _excluded: bool) -> bool:
    local, host = base
    if local is not None:
        return mailbox == (local, host)
    return _host(host, mailbox[1])


def _uri(base: str, host: str, _excluded: bool) -> bool:
    return _host(base, host)


def _host(base: str, host: str) -> bool:
    """For mail and URIs a host stands for itself alone, with a leading period for all below it."""
    if not base:
        return True
    return host.endswith(base) if base.startswith(".") else host == base


def _directory(base: tuple[Any, ...], name: tuple[Any, ...], _excluded: bool) -> bool:
    return name[: len(base)] == base


_MATCHES: dict[str, Callable[[Any, Any, bool], bool]] = {
    "dns": _dns,
    "ip": _ip,
    "email": _email,
    "uri": _uri,
    "directory": _directory,
}


def _contains(form: str, outer: _Base, inner: _Base) -> bool:
    """Whether every name under ``inner`` lies under ``outer``."""
    if form == "dns":
        return _below(outer, inner) or (outer == "" or outer == inner)
    if form == "ip":
        return bool(outer.version == inner.version and inner.subnet_of(outer))
    if form == "directory":
        return _directory(outer, inner, False)
    if form == "uri":
        return outer == inner or _host(outer, inner)
    if form == "email":
        (mailbox, host), (inner_mailbox, inner_host) = outer, inner
        if mailbox is not None:
            return bool(outer == inner)
        return bool(host == inner_host or _host(host, inner_host)) and (inner_mailbox is None or bool(inner_host))
    return False
