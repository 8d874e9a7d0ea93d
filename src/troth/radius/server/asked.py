"""What an Access-Request says of who asks and where: read once, and remembered while the conversation lasts.

All of it is a claim, but for the access server's name: that one has proved itself. It chooses the network, which then
asks for proof of everything else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from troth.radius.admission.model import Network
from troth.radius.eap.model import Opening
from troth.radius.nas.model import Nas
from troth.radius.wire.addresses import mac, safe_text, ssid
from troth.radius.wire.packet import (
    CALLED_STATION_ID,
    CALLING_STATION_ID,
    FRAMED_MTU,
    NAS_IDENTIFIER,
    NAS_PORT_ID,
    NAS_PORT_TYPE,
    USER_NAME,
    Packet,
)

_MOST = 8_192
#: NAS-Port-Type (RFC 2865 section 5.41, RFC 3580 section 3.28, IANA): what networks are chosen by.
_PORT_TYPES = {
    0: "async", 1: "sync", 5: "virtual", 15: "ethernet", 16: "xdsl", 17: "cable", 18: "wireless-other", 19: "wireless",
}  # fmt: skip
_OF_INTEREST = frozenset(
    {USER_NAME, CALLED_STATION_ID, CALLING_STATION_ID, NAS_IDENTIFIER, NAS_PORT_TYPE, NAS_PORT_ID, FRAMED_MTU}
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for whom, where.

    Attributes:
        identity: User-Name, made safe to be shown.
        realm: what stands behind its last @, lower-case (RFC 7542); None: there is none.
        station, called: canonical MAC addresses, or what was sent where it is none.
        port_type: ``wireless``, ``ethernet``, ``virtual`` …; a number where it has no name here.
        network: the narrowest that fits; None: there is none.
        opening: for EAP; None without network.
    """

    identity: str
    realm: str | None
    station: str | None
    called: str | None
    ssid: str | None
    nas_identifier: str | None
    port_type: str | None
    port_id: str | None
    network: Network | None
    opening: Opening | None


#: (ssid, access server, port type, realm) → the network.
Joined = Callable[["str | None", str, "str | None", "str | None"], "Network | None"]


class Asking:
    """Reads requests. :meth:`forget` when networks have changed."""

    def __init__(self, joined: Joined) -> None:
        self._joined = joined
        self._known: OrderedDict[tuple[str, tuple[tuple[int, bytes], ...]], Asked] = OrderedDict()

    def forget(self) -> None:
        """Networks are others now."""
        self._known.clear()

    def read(self, packet: Packet, nas: Nas) -> Asked:
        """What ``packet`` says."""
        key = nas.name, tuple([pair for pair in packet.attributes if pair[0] in _OF_INTEREST])
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._read(packet, nas)
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        return found

    def _read(self, packet: Packet, nas: Nas) -> Asked:
        identity = _text(packet.first(USER_NAME)) or ""
        realm = identity.rpartition("@")[2].lower() if "@" in identity else None
        station, called = packet.first(CALLING_STATION_ID), packet.first(CALLED_STATION_ID)
        joined_ssid = ssid(called) if called is not None else None
        kind = packet.first(NAS_PORT_TYPE)
        port_type = None if kind is None or len(kind) != 4 else _port_type(int.from_bytes(kind, "big"))
        network = self._joined(joined_ssid, nas.name, port_type, realm)
        if network is not None and nas.networks and network.name not in nas.networks:
            network = None  # this access server may not ask for it
        mtu = packet.first(FRAMED_MTU)
        station_text = None if station is None else mac(station) or safe_text(station)
        opening = None
        if network is not None:
            opening = Opening(
                nas=nas.name,
                network=network.name,
                identity=identity,
                calling_station_id=station_text or "",
                framed_mtu=int.from_bytes(mtu, "big") if mtu is not None and len(mtu) == 4 else 0,
            )
        return Asked(
            identity=identity,
            realm=realm,
            station=station_text,
            called=None if called is None else mac(called) or safe_text(called),
            ssid=joined_ssid,
            nas_identifier=_text(packet.first(NAS_IDENTIFIER)),
            port_type=port_type,
            port_id=_text(packet.first(NAS_PORT_ID)),
            network=network,
            opening=opening,
        )


def _text(value: bytes | None) -> str | None:
    return None if value is None else safe_text(value)


def _port_type(number: int) -> str:
    return _PORT_TYPES.get(number, str(number))
