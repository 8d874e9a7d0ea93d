"""An access server with its secrets, and the table by which a packet's source finds it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias
from uuid import UUID

Rule: TypeAlias = Literal["yes", "auto", "no"]
Which: TypeAlias = Literal["current", "next"]

#: Addresses whose access server is kept ready; more is a flood from addresses within somebody's prefix.
_REMEMBERED: Final = 65_536


@dataclass(frozen=True, slots=True)
class CoaTarget:
    """Where it takes CoA- and Disconnect-Requests.

    Attributes:
        address: None: where its packets come from.
        port: None: its vendor's usual one (3799; RFC 5176).
        secret: one of its own; None: that of its requests.
        unsigned: its answers are believed without Message-Authenticator.
    """

    address: str | None = None
    port: int | None = None
    secret: bytes | None = field(default=None, repr=False)
    unsigned: bool = False


@dataclass(frozen=True, slots=True)
class RadsecIdentity:
    """Who it is on RADIUS over TLS.

    Attributes:
        names: in its certificate: ``dns:…``, ``ip:…``, ``uri:…``, ``policy:…``; any of them will do.
        sources: networks that it may connect from.
        only: nothing is taken from it over UDP.
    """

    names: tuple[str, ...]
    sources: tuple[str, ...]
    only: bool = False


@dataclass(frozen=True, slots=True)
class Nas:
    """One access server, or several of one kind that share a prefix and a secret.

    Attributes:
        prefixes: networks that its packets come from, over UDP.
        vendor: whose equipment, as ``places`` calls it; ``generic`` for any.
        secrets: the present one, and the one that replaces it; None where there is none.
        require_message_authenticator: of Access-Requests without EAP (those with it need one always): ``auto`` until
            one was seen that has it (CVE-2024-3596).
        limit_proxy_state: an Access-Request with Proxy-State and no Message-Authenticator is dropped.
        signs: it was seen to sign what need not be signed, so ``auto`` means ``yes`` by now.
        coa: None: nothing is sent to it.
        max_in_flight: its requests that are worked on at once; more are dropped. None: the server's own bound alone.
        networks: those of ``networks:`` that it may ask for; empty: all.
        identifier: its NAS-Identifier, where CoA has to name it and its requests do not.
    """

    id: UUID
    name: str
    prefixes: tuple[str, ...]
    vendor: str
    secrets: tuple[bytes | None, bytes | None] = field(default=(None, None), repr=False)
    require_message_authenticator: Rule = "yes"
    limit_proxy_state: bool = True
    signs: bool = False
    coa: CoaTarget | None = CoaTarget()
    max_in_flight: int | None = None
    networks: tuple[str, ...] = ()
    site: str | None = None
    radsec: RadsecIdentity | None = None
    identifier: str | None = None

    @property
    def protected(self) -> bool:
        """Whether it is heard over TLS alone."""
        return self.radsec is not None and self.radsec.only

    @property
    def coa_secrets(self) -> tuple[bytes, ...]:
        """What a CoA- or Disconnect-Request may be signed with, the likeliest first: after a rotation has begun nobody
        can know whether this device has its new secret already."""
        own = (self.coa.secret,) if self.coa is not None and self.coa.secret is not None else self.secrets
        return tuple(secret for secret in own if secret is not None)

    def which(self, secret: bytes) -> Which:
        """Which of its two secrets that one is: the caller has proved a packet by it."""
        return "next" if secret == self.secrets[1] else "current"


class NasTable:
    """All access servers at one moment. Never changed: a new one is made and put in its place.

    Args:
        version: of the record; a greater one is newer.
    """

    def __init__(self, entries: Iterable[Nas] = (), *, version: int = 0) -> None:
        self.version = version
        self.entries: Mapping[str, Nas] = {entry.name: entry for entry in entries}
        by_length: dict[tuple[int, int], dict[int, Nas]] = {}
        for entry in self.entries.values():
            for prefix in () if entry.protected else entry.prefixes:
                network = ipaddress.ip_network(prefix)
                shift = network.max_prefixlen - network.prefixlen
                known = by_length.setdefault((network.version, shift), {})
                known[int(network.network_address) >> shift] = entry
        #: (family, bits that do not count, the rest → access server), the longest prefix first.
        self._lengths = [(family, shift, known) for (family, shift), known in sorted(by_length.items())]
        self._found: dict[str, Nas] = {}

    def of(self, address: str) -> Nas | None:
        """The access server that a datagram from ``address`` belongs to, by the longest prefix; None: nobody's.

        An IPv4 address in IPv6's clothes (``::ffff:192.0.2.1``) is that IPv4 address. One that is heard over TLS alone
        is nobody here.
        """
        found = self._found.get(address)
        if found is None:
            found = self._search(address)
            if found is not None and len(self._found) < _REMEMBERED:
                self._found[address] = found
        return found

    def named(self, name: str) -> Nas | None:
        """The access server of that name."""
        return self.entries.get(name)

    def _search(self, address: str) -> Nas | None:
        try:
            asked = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return None
        if isinstance(asked, ipaddress.IPv6Address) and asked.ipv4_mapped is not None:
            asked = asked.ipv4_mapped
        number, version = int(asked), asked.version
        for family, shift, known in self._lengths:
            if family == version and (found := known.get(number >> shift)) is not None:
                return found
        return None
