"""Whether a name lies within a subtree of name constraints (RFC 5280, 4.2.1.10)."""

from __future__ import annotations

import ipaddress
from typing import TypeAlias
from urllib.parse import urlsplit

from cryptography import x509

Subtrees: TypeAlias = list[x509.GeneralName]


_UNDERSTOOD = (x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier, x509.IPAddress, x509.DirectoryName)


def understood(base: x509.GeneralName) -> bool:
    """Whether :func:`within` can tell; below others no name of that kind may occur (4.2.1.10)."""
    return isinstance(base, _UNDERSTOOD)


def sound_base(base: x509.GeneralName) -> bool:
    """Whether a constraint on DNS names is one: a host name, without the leading period that URIs may have, and
    without a wildcard. Read in any other way it would permit more, or exclude less, than its author meant."""
    return not isinstance(base, x509.DNSName) or not (base.value.startswith(".") or "*" in base.value)


def sound_name(name: x509.GeneralName) -> bool:
    """Whether a name is so written that it can lie within a subtree at all."""
    if isinstance(name, x509.DNSName):
        return all(name.value.removesuffix(".").split("."))
    return not isinstance(name, x509.RFC822Name) or name.value.count("@") == 1


def touches(name: x509.GeneralName, base: x509.GeneralName) -> bool:
    """Whether ``name`` stands for something within ``base``: as :func:`within`, and a wildcard that may match it."""
    if isinstance(name, x509.DNSName) and name.value.startswith("*."):
        above = name.value[2:]
        return _domain(above, str(base.value)) or _domain(str(base.value), above)
    return within(name, base)


def within(name: x509.GeneralName, base: x509.GeneralName) -> bool:
    """``base`` is of the same kind, one that is :func:`understood`."""
    value, subtree = name.value, base.value
    if isinstance(name, x509.DNSName):
        return _domain(str(value), str(subtree))
    if isinstance(name, x509.RFC822Name):
        return _mailbox(str(value), str(subtree))
    if isinstance(name, x509.UniformResourceIdentifier):
        return _host(str(value), str(subtree))
    if isinstance(name, x509.IPAddress):
        return isinstance(subtree, (ipaddress.IPv4Network, ipaddress.IPv6Network)) and value in subtree
    return isinstance(value, x509.Name) and isinstance(subtree, x509.Name) and _begins(value, subtree)


def _domain(name: str, base: str) -> bool:
    name, base = name.lower().rstrip("."), base.lower().strip(".")
    return not base or name == base or name.endswith(f".{base}")


def _mailbox(name: str, base: str) -> bool:
    local, _, host = name.rpartition("@")
    if "@" in base:
        wanted, _, domain = base.rpartition("@")
        return (local, host.lower()) == (wanted, domain.lower())
    if base.startswith("."):
        return host.lower().endswith(base.lower())
    return host.lower() == base.lower()


def _host(name: str, base: str) -> bool:
    host = (urlsplit(name).hostname or "").lower()
    return host.endswith(base.lower()) if base.startswith(".") else host == base.lower()


def _begins(name: x509.Name, base: x509.Name) -> bool:
    wanted = [_plain(one) for one in base.rdns]
    return [_plain(one) for one in name.rdns][: len(wanted)] == wanted


def _plain(part: x509.RelativeDistinguishedName) -> frozenset[tuple[str, str]]:
    """Case and runs of spaces do not count (RFC 5280, 7.1), nor does which kind of string it is."""
    return frozenset((one.oid.dotted_string, " ".join(str(one.value).split()).casefold()) for one in part)
