"""Which access server is on the other end: by a name in its certificate and the network it comes from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from troth.radius.nas.model import Nas, NasTable
from troth.radius.radsec.errors import PEER_UNKNOWN, PeerRefused
from troth.radius.radsec.names import PeerCertificate, matches

#: Certificates of peers → of those that are not believed now: leaf (DER) → reason code and words. Asked once for each
#: connection, before its first packet is read, and for all that are open whenever something was told of certificates.
#: Raises TrothError where nobody can tell.
Judge = Callable[[Collection[PeerCertificate]], Awaitable[Mapping[bytes, tuple[str, str]]]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One access server as RadSec knows it.

    Attributes:
        names: as :mod:`troth.radius.radsec.names` writes them; any of them will do.
        sources: networks that it may connect from.
    """

    nas: Nas
    names: tuple[str, ...]
    sources: tuple[IPv4Network | IPv6Network, ...]


class Peers:
    """The access servers that may connect. Replaced as a whole when their record changes."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(entries)
        self._sources = tuple({source for entry in self._entries for source in entry.sources})

    @classmethod
    def of(cls, table: NasTable) -> Peers:
        """Those of the record that say who they are on TLS."""
        return cls(
            Entry(nas, nas.radsec.names, tuple(ip_network(one) for one in nas.radsec.sources))
            for nas in table.entries.values()
            if nas.radsec is not None
        )

    def may_knock(self, address: str) -> bool:
        """Whether anybody known connects from there; asked before the first octet of TLS is read."""
        asked = ip_address(address)
        return any(asked in source for source in self._sources)

    def find(self, certificate: PeerCertificate, address: str) -> Nas:
        """The access server that this certificate speaks for, coming from ``address``.

        Raises PeerRefused (``radsec.peer.unknown``), also where two would do: an answer that depends on the order of a
        file would give one access server another's rights.
        """
        asked = ip_address(address)
        found = [
            entry.nas
            for entry in self._entries
            if matches(certificate, entry.names) is not None and any(asked in source for source in entry.sources)
        ]
        if len(found) == 1:
            return found[0]
        shown = ", ".join(sorted(certificate.names)[:8]) or "no name that counts"
        if found:
            both = " and ".join(sorted(nas.name for nas in found)[:4])
            raise PeerRefused(PEER_UNKNOWN, f"{address} with {shown} would be {both}")
        raise PeerRefused(PEER_UNKNOWN, f"{address} with {shown}")
