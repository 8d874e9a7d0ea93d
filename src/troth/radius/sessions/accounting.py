"""What an Accounting-Request tells (RFC 2866, RFC 2869 section 5, RFC 3162, RFC 6911), read from its attributes.

Access servers' clocks are wrong after a boot until they have asked somebody. An Event-Timestamp is believed unless it
lies in the future or so far in the past that no access server would have kept the record; then, as without one, the
packet's arrival less its Acct-Delay-Time says when it was.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Final

from troth.radius.sessions.errors import SESSION_MISSING, STATUS_MISSING, AccountingRefused
from troth.radius.sessions.model import Counters, Port, Status, Told, Where
from troth.radius.wire import addresses
from troth.radius.wire.packet import (
    CALLED_STATION_ID,
    CALLING_STATION_ID,
    CLASS,
    NAS_IDENTIFIER,
    NAS_IP_ADDRESS,
    NAS_IPV6_ADDRESS,
    NAS_PORT,
    NAS_PORT_ID,
    NAS_PORT_TYPE,
    USER_NAME,
    Packet,
)

FRAMED_IP_ADDRESS: Final = 8
ACCT_STATUS_TYPE: Final = 40
ACCT_DELAY_TIME: Final = 41
ACCT_SESSION_ID: Final = 44
ACCT_MULTI_SESSION_ID: Final = 50
EVENT_TIMESTAMP: Final = 55
FRAMED_IPV6_ADDRESS: Final = 168
_SESSION_TIME: Final = 46
_IN_OCTETS, _OUT_OCTETS, _IN_PACKETS, _OUT_PACKETS = 42, 43, 47, 48
_IN_GIGAWORDS, _OUT_GIGAWORDS = 52, 53
_TERMINATE_CAUSE: Final = 49
_CISCO, _CISCO_AVPAIR = 9, 1
_AUDIT: Final = b"audit-session-id="

_STATUSES: Final[dict[int, Status]] = {1: "start", 2: "stop", 3: "interim", 7: "on", 8: "off"}
#: Acct-Terminate-Cause (RFC 2866, 5.10; RFC 3580, 2.3; IANA radius types).
CAUSES: Final = (
    "", "User-Request", "Lost-Carrier", "Lost-Service", "Idle-Timeout", "Session-Timeout", "Admin-Reset",
    "Admin-Reboot",
    "Port-Error", "NAS-Error", "NAS-Request", "NAS-Reboot", "Port-Unneeded", "Port-Preempted", "Port-Suspended",
    "Service-Unavailable", "Callback", "User-Error", "Host-Request", "Supplicant-Restart", "Reauthentication-Failure",
    "Port-Reinit", "Port-Disabled",
)  # fmt: skip
_AHEAD: Final = timedelta(minutes=5)
_BEHIND: Final = timedelta(days=30)
_LONGEST_DELAY: Final = 30 * 86_400
#: A longer Acct-Session-Time is a counter gone wrong (it is shown), and says nothing of when the session began.
_LONGEST_SESSION: Final = 366 * 86_400
_MOST: Final = 2**63 - 1


def where_of(packet: Packet, nas: str, source: str) -> Where:
    """Which access server, and which box behind its name, sent a request."""
    address = _ip(packet.first(NAS_IP_ADDRESS)) or _ip(packet.first(NAS_IPV6_ADDRESS))
    identifier = _text(packet, NAS_IDENTIFIER)
    box = "/".join(part for part in (identifier, address) if part) or source
    return Where(nas, box, source, address, identifier)


def port_of(packet: Packet) -> Port:
    """Where a station is, as an Access- or Accounting-Request says."""
    calling = packet.first(CALLING_STATION_ID) or b""
    audit = next((one[len(_AUDIT) :] for one in packet.vendor(_CISCO, _CISCO_AVPAIR) if one.startswith(_AUDIT)), b"")
    return Port(
        mac=addresses.mac(calling) or addresses.safe_text(calling),
        calling_station_id=addresses.safe_text(calling),
        user_name=_text(packet, USER_NAME),
        acct_session_id=_text(packet, ACCT_SESSION_ID),
        acct_multi_session_id=_text(packet, ACCT_MULTI_SESSION_ID),
        audit_session_id=addresses.safe_text(audit),
        nas_port=_maybe(packet, NAS_PORT),
        nas_port_id=_text(packet, NAS_PORT_ID),
        nas_port_type=_maybe(packet, NAS_PORT_TYPE),
        called_station_id=_text(packet, CALLED_STATION_ID),
        framed_ip=_ip(packet.first(FRAMED_IP_ADDRESS)),
        framed_ipv6=_ip(packet.first(FRAMED_IPV6_ADDRESS)),
    )


def read(packet: Packet, nas: str, source: str, received_at: datetime) -> Told | None:
    """What the packet tells; None where it is of a kind that nothing is remembered of (tunnels, RFC 2867).

    Raises AccountingRefused (``radius.accounting.*_missing``) for what RFC 2866 does not allow.
    """
    number = _maybe(packet, ACCT_STATUS_TYPE)
    if number is None:
        raise AccountingRefused(STATUS_MISSING)
    status = _STATUSES.get(number)
    if status is None:
        return None
    at = event_time(packet, received_at)
    where, port = where_of(packet, nas, source), port_of(packet)
    if status in ("on", "off"):
        return Told(status, where, at, received_at, Port(called_station_id=port.called_station_id))
    if not port.acct_session_id:
        raise AccountingRefused(SESSION_MISSING)
    long = _maybe(packet, _SESSION_TIME)
    cause = _maybe(packet, _TERMINATE_CAUSE) if status == "stop" else None
    classes = packet.all(CLASS)
    return Told(
        status, where, at, received_at, port,
        Counters(
            long or 0,
            _octets(packet, _IN_OCTETS, _IN_GIGAWORDS),
            _octets(packet, _OUT_OCTETS, _OUT_GIGAWORDS),
            _maybe(packet, _IN_PACKETS) or 0,
            _maybe(packet, _OUT_PACKETS) or 0,
        ),
        at if status == "start" else None if long is None or long > _LONGEST_SESSION else at - timedelta(seconds=long),
        next((one for one in classes if len(one) == CLASS_OCTETS), None),
        "" if cause is None else CAUSES[cause] if cause < len(CAUSES) else f"cause {cause}",
    )  # fmt: skip


#: Length of our own Class; one of another length is somebody else's (a proxy's).
CLASS_OCTETS: Final = 16


def event_time(packet: Packet, received_at: datetime) -> datetime:
    """When what a packet tells happened."""
    stamp = _maybe(packet, EVENT_TIMESTAMP)
    if stamp is not None:
        said = datetime.fromtimestamp(stamp, UTC)
        if -_BEHIND <= said - received_at <= _AHEAD:
            return said
    delay = min(_maybe(packet, ACCT_DELAY_TIME) or 0, _LONGEST_DELAY)
    return received_at - timedelta(seconds=delay)


def _octets(packet: Packet, low: int, high: int) -> int:
    return min(_MOST, (_maybe(packet, high) or 0) * 2**32 + (_maybe(packet, low) or 0))


def _maybe(packet: Packet, kind: int) -> int | None:
    value = packet.first(kind)
    return int.from_bytes(value, "big") if value is not None and len(value) == 4 else None


def _text(packet: Packet, kind: int) -> str:
    value = packet.first(kind)
    return "" if value is None else addresses.safe_text(value)


def _ip(value: bytes | None) -> str:
    return "" if value is None or len(value) not in (4, 16) else str(ipaddress.ip_address(value))
