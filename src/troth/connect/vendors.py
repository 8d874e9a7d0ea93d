"""Every vendor that Troth speaks with, by name; and what it takes to have one of its connectors at work."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec

from troth.connect.connector import Connector, Seen, Vendor, Wiring
from troth.connect.crowdstrike import CROWDSTRIKE
from troth.connect.defender import DEFENDER
from troth.connect.definition import ConnectorDefinition, host_of, invalid
from troth.connect.entra import ENTRA
from troth.connect.generic import GENERIC
from troth.connect.google import GOOGLE
from troth.connect.graphsecurity import GRAPH_SECURITY
from troth.connect.intune import INTUNE
from troth.connect.jamf import JAMF
from troth.connect.okta import OKTA
from troth.connect.pacing import Paces, Sleep
from troth.connect.sentinelone import SENTINELONE
from troth.kit.clock import Clock
from troth.kit.http import HttpClient
from troth.kit.settings import EgressSettings


def _registry(*vendors: Vendor) -> Mapping[str, Vendor]:
    return {vendor.name: vendor for vendor in vendors}


#: A new vendor is a line here.
VENDORS: Final[Mapping[str, Vendor]] = _registry(
    CROWDSTRIKE,
    DEFENDER,
    ENTRA,
    GOOGLE,
    GRAPH_SECURITY,
    INTUNE,
    JAMF,
    OKTA,
    SENTINELONE,
    GENERIC,
)


def vendor_of(definition: ConnectorDefinition, vendors: Mapping[str, Vendor] = VENDORS) -> Vendor:
    """The vendor of ``definition``. Raises ConnectorInvalid."""
    found = vendors.get(definition.vendor)
    if found is None:
        raise invalid(definition, "vendor", f"{definition.vendor!r} is none of {', '.join(sorted(vendors))}")
    return found


def check(definition: ConnectorDefinition, vendors: Mapping[str, Vendor] = VENDORS) -> Any:
    """Hold ``definition`` against its vendor; returns its options as the vendor's type. Raises ConnectorInvalid."""
    vendor = vendor_of(definition, vendors)
    if definition.cloud and definition.cloud not in vendor.clouds:
        known = ", ".join(sorted(vendor.clouds)) or "none"
        raise invalid(definition, "cloud", f"{definition.cloud!r} is none of {vendor.title}'s: {known}")
    if vendor.pulls and not (definition.cloud or definition.base_url):
        known = f" or cloud: one of {', '.join(sorted(vendor.clouds))}" if vendor.clouds else ""
        raise invalid(definition, "base_url", f"say where it is: base_url{known}")
    try:
        options = msgspec.convert(dict(definition.options), vendor.options)
    except msgspec.ValidationError as error:
        raise invalid(definition, "options", str(error)[:300]) from error
    wrong = vendor.check(definition, options)
    if wrong is not None:
        raise invalid(definition, *wrong)
    return options


def base_url_of(definition: ConnectorDefinition, vendor: Vendor) -> str:
    """Where its API is."""
    return definition.base_url or vendor.clouds.get(definition.cloud, "")


def address_of(definition: ConnectorDefinition, vendor: Vendor | None) -> str:
    """Where its API is, as far as that is known: for people."""
    return definition.base_url if vendor is None else base_url_of(definition, vendor)


def egress_for(settings: EgressSettings, vendor: Vendor) -> EgressSettings:
    """The allow-list of this connector's requests: the vendor's own names, and what the settings allow anyway.

    An address of one's own must be in the settings: whoever may define connectors must not thereby be able to have
    Troth speak with whatever stands in its network.
    """
    return msgspec.structs.replace(settings, hosts=(*settings.hosts, *vendor.hosts))


class Workshop:
    """Makes connectors of definitions and opened secrets."""

    def __init__(
        self,
        clock: Clock,
        egress: EgressSettings,
        *,
        vendors: Mapping[str, Vendor] = VENDORS,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.clock = clock
        self._egress = egress
        self._sleep = sleep
        self._paces = Paces(clock, sleep=sleep)
        self.vendors = vendors

    def make(self, definition: ConnectorDefinition, secrets: Mapping[str, bytes]) -> Made:
        """The connector at work. Close it afterwards. Raises ConnectorError."""
        vendor = vendor_of(definition, self.vendors)
        http = HttpClient(egress_for(self._egress, vendor))
        seen = Seen()
        wiring = Wiring(
            definition=definition, options=check(definition, self.vendors), secrets=secrets,
            base_url=base_url_of(definition, vendor), http=http, clock=self.clock, paces=self._paces,
            group=vendor.group(definition), sleep=self._sleep, seen=seen,
        )  # fmt: skip
        return Made(vendor, vendor.make(wiring), http, wiring)

    def group(self, definition: ConnectorDefinition) -> str:
        """Who shares a pace with ``definition``: all of them are run by one process."""
        vendor = self.vendors.get(definition.vendor)
        return definition.name if vendor is None else vendor.group(definition)


class Made:
    """A connector with the client that it speaks through."""

    def __init__(self, vendor: Vendor, connector: Connector, http: HttpClient, wiring: Wiring) -> None:
        self.vendor = vendor
        self.connector = connector
        self.address = wiring.base_url
        self._http = http
        self._seen = wiring.seen

    @property
    def skew(self) -> timedelta | None:
        """How far the other clock is ahead of ours, by its last answer; None if it has not told its time."""
        return self._seen.skew

    async def close(self) -> None:
        """Let go of connections."""
        await self.connector.close()
        await self._http.close()


def is_own(definition: ConnectorDefinition, vendor: Vendor) -> bool:
    """Whether it speaks with an address that is none of the vendor's."""
    host = host_of(definition.base_url)
    return bool(host) and not any(
        host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:])) for pattern in vendor.hosts
    )
