"""MAC authentication bypass: an access server asks about a device that does not answer 802.1X.

There is no standard. Access servers send User-Name = the address, in a spelling of their own, a password that is the
same text (PAP, or CHAP over it), and most say Service-Type = Call-Check (10). It is taken for MAB only if the address
is the one in Calling-Station-Id: who types an address as a user name at a VPN gateway is nobody's printer.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

from troth.radius.proxy.border import CHAP_CHALLENGE, CHAP_PASSWORD
from troth.radius.wire.addresses import mac
from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.hiding import reveal_password
from troth.radius.wire.packet import CALLING_STATION_ID, EAP_MESSAGE, USER_NAME, USER_PASSWORD, Packet
from troth.radius.wire.signing import Protection

_SERVICE_TYPE = 6
_CALL_CHECK = (10).to_bytes(4, "big")
#: The longest spelling: six pairs and five separators.
_LONGEST = 17


def asked(packet: Packet, protection: Protection) -> str | None:
    """The canonical address that a request asks about by MAB; None: it asks something else."""
    name = packet.first(USER_NAME)
    station = packet.first(CALLING_STATION_ID)
    if name is None or station is None or packet.first(EAP_MESSAGE) is not None or len(name) > _LONGEST:
        return None
    address = mac(name)
    if address is None or address != mac(station):
        return None
    if packet.first(_SERVICE_TYPE) == _CALL_CHECK or _says_itself(packet, protection, name, address):
        return address
    return None


def _says_itself(packet: Packet, protection: Protection, name: bytes, address: str) -> bool:
    """Whether the password is the address: as User-Password in any spelling, or CHAP over a usual one."""
    hidden = packet.first(USER_PASSWORD)
    if hidden is not None:
        try:
            return mac(reveal_password(hidden, protection, packet.authenticator)) == address
        except PacketRefused:
            return False
    chap = packet.first(CHAP_PASSWORD)
    if chap is None or len(chap) != 17:
        return False
    challenge = packet.first(CHAP_CHALLENGE) or packet.authenticator
    return any(_chap(chap, one, challenge) for one in _spellings(name, address))


def _chap(chap: bytes, password: bytes, challenge: bytes) -> bool:
    """RFC 1994 section 4.1."""
    made = hashlib.md5(chap[:1] + password + challenge, usedforsecurity=False).digest()
    return hmac.compare_digest(made, chap[1:])


def _spellings(name: bytes, address: str) -> Iterator[bytes]:
    yield name
    bare = address.replace("-", "")
    for text in (bare, address, address.replace("-", ":"), f"{bare[:4]}.{bare[4:8]}.{bare[8:]}"):
        yield text.encode()
        yield text.upper().encode()
