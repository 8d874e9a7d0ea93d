"""Addresses that lead where no server for strangers' requests is, and what an address in another dress leads to.

Whoever names where Troth connects to (an applicant, a certificate, a name server) could name a machine's own metadata
service, which hands out credentials to whoever asks from there. Each guarded client closes these places; what else is
closed or open, each says itself.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

LINK_LOCAL: Final = "link-local"
_CLOSED: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(text), what)
    for text, what in (
        ("0.0.0.0/8", "unspecified"),
        ("169.254.0.0/16", LINK_LOCAL),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved or broadcast"),
        ("169.254.169.254/32", "a metadata service"),
        ("100.100.100.200/32", "a metadata service"),  # Alibaba Cloud
        ("168.63.129.16/32", "a metadata service"),  # Azure's wire server
        ("192.0.0.192/32", "a metadata service"),  # Oracle Cloud
        ("::/128", "unspecified"),
        ("fe80::/10", LINK_LOCAL),
        ("ff00::/8", "multicast"),
        ("fd00:ec2::/32", "a metadata service"),  # AWS: fd00:ec2::254 and its neighbours
        ("fd20:ce::254/128", "a metadata service"),  # Google Cloud
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")


def plain(text: str) -> Address:
    """The address in ``text``, as a resolver gives it: without a scope, an IPv4-mapped one as IPv4."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def readings(address: Address) -> list[Address]:
    """``address`` and those that it leads to: IPv4-mapped, NAT64 (RFC 6052), 6to4 and Teredo are undressed."""
    found: list[Address] = [address]
    if isinstance(address, IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            inner.append(IPv4Address(int(address) & 0xFFFF_FFFF))
        found.extend(candidate for candidate in inner if candidate is not None)
    return found


@lru_cache(4096)
def closed_as(address: Address) -> tuple[str, ...]:
    """What ``address``, taken as it is, is of the places that are always closed."""
    return tuple(what for network, what in _CLOSED if address in network)
