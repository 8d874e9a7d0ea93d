"""Where somebody is: from the access server that asks, or else from the address that a request comes from.

A table in the configuration (``[places.sites.NAME]``) says which networks and access servers belong to which site. What
no table knows is missing, and so unknown to a policy: nobody guesses a place.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

_Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"


@dataclass(frozen=True, slots=True)
class Site:
    """One site.

    Attributes:
        country: ISO 3166-1 alpha-2, empty if it is not told.
        networks: address ranges of its clients and access servers.
        nas: NAS-Identifiers of its access servers.
    """

    name: str
    country: str = ""
    networks: tuple[_Network, ...] = ()
    nas: tuple[str, ...] = ()


class Places:
    """The sites of this installation."""

    def __init__(self, sites: Sequence[Site] = ()) -> None:
        self._by_nas = {identifier: site for site in sites for identifier in site.nas}
        # The narrowest network first: a lab inside a campus is the lab.
        self._networks = sorted(
            ((network, site) for site in sites for network in site.networks),
            key=lambda pair: -pair[0].prefixlen,
        )

    def of(self, nas: Mapping[str, object], address: object) -> dict[str, str]:
        """``place.site``, ``place.country`` and ``nas.site``, as far as they are known.

        The access server stands where it stands; only where none asks does the caller's own address count.
        """
        server = self._by_nas.get(str(nas.get("identifier", ""))) or self._at(nas.get("address"))
        site = server if nas else self._at(address)
        found: dict[str, str] = {}
        if server is not None and nas:
            found["nas.site"] = server.name
        if site is not None:
            found["place.site"] = site.name
            if site.country:
                found["place.country"] = site.country
        return found

    def _at(self, address: object) -> Site | None:
        if not self._networks or not isinstance(address, str):
            return None
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return None
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return next((site for network, site in self._networks if parsed in network), None)
