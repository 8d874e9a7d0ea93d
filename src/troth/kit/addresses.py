"""Addresses that lead where no server for strangers' requests is, and what an address in another dress leads to.

Whoever names where Troth connects to (an applicant, a certificate, a name server) could name a machine's own metadata
service, which hands out credentials to whoever asks from there. Each guarded client closes these places; what else is
closed or open, each says itself.
"""

from __future__ import annotations

from collections.abc import Iterator
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
#: NAT64 within one organisation (RFC 8215): who set it up chose where in it the IPv4 address stands (RFC 6052, 2.2).
_OWN_NAT64: Final = IPv6Network("64:ff9b:1::/48")
#: Prefixes before 32 bits of IPv4: "compatible" (RFC 4291, 2.5.5.1) and "translated" (RFC 7915).
_BEFORE_IPV4: Final = (IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"))
#: The upper half of an interface identifier of ISATAP (RFC 5214, 6.1), with and without the universal bit.
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)


def plain(text: str) -> Address:
    """The address in ``text``, as a resolver gives it: without a scope, an IPv4-mapped one as IPv4."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def readings(address: Address) -> list[Address]:
    """``address`` and those that it leads to: all ways of writing an IPv4 address into an IPv6 one are undressed."""
    found: list[Address] = [address]
    if isinstance(address, IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        inner.extend(_embedded(address))
        found.extend(candidate for candidate in inner if candidate is not None)
    return found


def _embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    """What stands in ``address`` by the conventions that the library does not know."""
    number = int(address)
    last = IPv4Address(number & 0xFFFF_FFFF)
    if address in _NAT64 or number >> 32 & 0xFFFF_FFFF in _ISATAP:
        yield last
    elif any(address in network for network in _BEFORE_IPV4):
        if number & 0xFF00_0000:  # neither :: nor ::1
            yield last
    elif address in _OWN_NAT64:
        # Bits 64 to 71 are none of the address's. What could be no host's is not what was written there.
        without = number >> 64 << 56 | number & 0xFF_FFFF_FFFF_FFFF
        for found in (number, *(without >> 120 - length - 32 for length in (48, 56, 64))):
            if 0 < found >> 24 & 0xFF < 224:
                yield IPv4Address(found & 0xFFFF_FFFF)


@lru_cache(4096)
def closed_as(address: Address) -> tuple[str, ...]:
    """What ``address``, taken as it is, is of the places that are always closed."""
    return tuple(what for network, what in _CLOSED if address in network)
