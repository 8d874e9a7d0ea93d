"""Access servers, scripted: they answer Disconnect- and CoA-Requests as their vendors' documents say.

They are strict on purpose: an attribute that the document does not list is refused (401), a missing one is (402), a
session that is not there is (503), and whatever is not signed with the secret gets no answer at all. What each vendor
takes stands in :data:`MANNERS`, written from the documents that ``troth/radius/places/data`` names, not from that data.

    async with ScriptedNas("cisco-ios-xe", b"secret", [NasSession(...)]) as nas:
        ...  # send to nas.address, nas.port
        assert nas.done == [("reauthenticate", session)]
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self, TypeAlias

import msgspec

from troth.radius.wire.packet import Attribute, Code, Packet, decode
from troth.radius.wire.signing import encode_reply, message_authenticator_ok, request_authenticator_ok

#: A type, or (vendor, type).
Key: TypeAlias = "int | tuple[int, int]"

_USER, _NAS_IP, _NAS_PORT, _SERVICE, _FRAMED_IP, _FILTER, _STATE, _TIMEOUT, _ACTION = 1, 4, 5, 6, 8, 11, 24, 27, 29
_CALLED, _CALLING, _NAS_ID, _SESSION, _MULTI, _TIME, _TUNNEL = 30, 31, 32, 44, 50, 55, (64, 65, 81)
_MESSAGE_AUTHENTICATOR, _PORT_ID, _CUI, _NAS_IPV6, _ERROR_CAUSE = 80, 87, 89, 95, 101
_CISCO: Final = (9, 1)
UNSUPPORTED, MISSING, MISMATCH, INVALID, VALUE = 401, 402, 403, 404, 407
PROHIBITED, NOT_FOUND, MULTIPLE = 501, 503, 508


@dataclass(frozen=True)
class NasSession:
    """A client on the access server, as it spells it. ``role``: whatever a profile changes: role or ACL."""

    calling_station_id: str = "AA-BB-CC-00-11-22"
    user_name: str = "laptop-17@example.com"
    acct_session_id: str = "5F3A0001"
    audit_session_id: str = "0A000001000000FF"
    framed_ip_address: str = "198.51.100.7"
    nas_port: int = 3
    nas_port_id: str = "1/0/3"
    vlan: str = "20"
    role: str = "staff"

    @property
    def bare(self) -> str:
        """The client's address as twelve digits."""
        return "".join(one for one in self.calling_station_id.lower() if one in "0123456789abcdef")


@dataclass(frozen=True, kw_only=True)
class Manners:
    """How a vendor takes requests.

    Attributes:
        disconnect, coa: the attributes that may stand in each; None: others are passed over in silence.
        needs: of each of these sets one attribute at least, or it is 402.
        commands: (attribute, its value) → what is done; a ``*`` stands for any value, which becomes the role.
        all_match: several session attributes must all fit one session, or it is 407; else it is 503.
        nas_address: how the access server is named: by ``address``, by ``identifier``, or not at all.
    """

    disconnect: frozenset[Key] | None
    coa: frozenset[Key] | None
    needs: tuple[frozenset[Key], ...]
    commands: dict[tuple[Key, str], str] = field(default_factory=dict)
    all_match: bool = False
    nas_address: str = ""
    quiet: frozenset[Key] = frozenset()


def _keys(*keys: Key) -> frozenset[Key]:
    return frozenset(keys)


_CISCO_COMMANDS: dict[tuple[Key, str], str] = {
    (_CISCO, "subscriber:command=reauthenticate"): "reauthenticate",
    (_CISCO, "subscriber:command=bounce-host-port"): "bounce",
    (_CISCO, "subscriber:command=disable-host-port"): "disable",
}
_IOS = _keys(_STATE, _CALLING, _SESSION, _MESSAGE_AUTHENTICATOR, _CISCO)
_WLC = _IOS | {_NAS_IP, _NAS_PORT, _SERVICE, _USER}
_MERAKI = _IOS | {_NAS_IP, _USER}
_RFC = _keys(
    _USER, _NAS_IP, _NAS_IPV6, _NAS_ID, _CALLING, _CALLED, _SESSION, _MULTI, _TIME, _MESSAGE_AUTHENTICATOR,
)  # fmt: skip
_CX = _RFC | {_NAS_PORT, _PORT_ID, 49}
_CX_ROLE, _CX_BOUNCE = (14823, 1), (14823, 40)
_AOS_S = _keys(_USER, _PORT_ID, _NAS_IP, _CALLING, _TIME, _MESSAGE_AUTHENTICATOR)
_ICX = _keys(_CALLING, _NAS_IP, _MESSAGE_AUTHENTICATOR)
_FORTISWITCH = _keys(_CALLING, _USER, _NAS_IP, _NAS_ID, _CALLED, _SESSION, _TIME, _MESSAGE_AUTHENTICATOR)
_FLEX, _HOST_PORT, _JUNIPER = (25053, 20), (12356, 42), (2636, 52)

MANNERS: dict[str, Manners] = {
    "generic": Manners(disconnect=_RFC, coa=_RFC, needs=(_keys(_CALLING, _SESSION),), nas_address="either"),
    "cisco-ios-xe": Manners(
        disconnect=_IOS, coa=_IOS, needs=(_keys(_CALLING, _SESSION, _CISCO),), commands=_CISCO_COMMANDS, all_match=True,
    ),
    "cisco-wlc-aireos": Manners(
        disconnect=_WLC, coa=_WLC, needs=(_keys(_CALLING),), commands=_CISCO_COMMANDS, all_match=True,
    ),
    "cisco-9800": Manners(
        disconnect=_WLC, coa=_WLC, needs=(_keys(_CALLING, _CISCO),), commands=_CISCO_COMMANDS, all_match=True,
    ),
    "meraki-mr": Manners(disconnect=_MERAKI, coa=_MERAKI, needs=(_keys(_CALLING),), commands=_CISCO_COMMANDS),
    "meraki-ms": Manners(disconnect=_MERAKI, coa=_MERAKI, needs=(_keys(_CALLING),), commands=_CISCO_COMMANDS),
    "aruba-aos": Manners(
        disconnect=None, coa=None, needs=(_keys(_USER, _FRAMED_IP, _CALLING, _SESSION),),
        commands={((14823, 1), "*"): "profile", (_FILTER, "*"): "profile"},
    ),
    "aruba-cx": Manners(
        disconnect=_CX, coa=_CX | {_CX_ROLE, _CX_BOUNCE, *_TUNNEL, _TIMEOUT, _ACTION},
        needs=(_keys(_USER), _keys(_NAS_IP, _NAS_ID, _NAS_IPV6), _keys(_SESSION, _CALLING)), nas_address="either",
        commands={(_CX_ROLE, "*"): "profile", (_CX_BOUNCE, "12"): "bounce"},
    ),
    "hpe-aos-s": Manners(
        disconnect=_AOS_S, coa=_AOS_S | {_TIMEOUT, _ACTION, (11, 23)},
        needs=(_keys(_USER), _keys(_PORT_ID), _keys(_NAS_IP), _keys(_CALLING)), nas_address="address",
        commands={(_TIMEOUT, "2"): "reauthenticate", ((11, 23), "12"): "bounce"},
    ),
    "ruckus-smartzone": Manners(disconnect=_RFC, coa=_RFC, needs=(_keys(_CALLING),), nas_address="either"),
    "ruckus-icx": Manners(
        disconnect=_ICX, coa=_ICX | {_FLEX, _FILTER}, needs=(_keys(_CALLING), _keys(_NAS_IP)), nas_address="address",
        commands={
            (_FLEX, "reauth-host"): "reauthenticate", (_FLEX, "flip-port"): "bounce", (_FILTER, "*"): "profile",
        },
    ),
    "juniper-ex": Manners(
        disconnect=_RFC | {_NAS_PORT}, coa=_RFC | {_JUNIPER}, needs=(_keys(_CALLING, _SESSION),),
        commands={(_JUNIPER, "Port-Bounce"): "bounce"}, nas_address="either",
    ),
    "juniper-mist": Manners(disconnect=_RFC, coa=_RFC, needs=(_keys(_CALLING),), nas_address="either"),
    "fortinet-fortigate": Manners(
        disconnect=_RFC | {_FRAMED_IP}, coa=_RFC | {_FRAMED_IP}, needs=(_keys(_USER), _keys(_FRAMED_IP, _NAS_IP)),
    ),
    "fortinet-fortiswitch": Manners(
        disconnect=_FORTISWITCH, coa=_FORTISWITCH | {_HOST_PORT, _TIMEOUT, *_TUNNEL}, needs=(_keys(_CALLING),),
        commands={(_HOST_PORT, "action=reauth-port"): "reauthenticate", (_HOST_PORT, "action=bounce-port"): "bounce"},
    ),
    "unifi": Manners(
        disconnect=_RFC, coa=frozenset(), needs=(_keys(_NAS_ID), _keys(_CALLING)), nas_address="identifier",
    ),
    "mikrotik": Manners(disconnect=_RFC | {_FRAMED_IP}, coa=_RFC | {_FRAMED_IP}, needs=(_keys(_USER),)),
    "strongswan": Manners(disconnect=None, coa=None, needs=(_keys(_USER),)),
    "hostapd": Manners(
        disconnect=_RFC - {_CALLED} | {_CUI}, coa=_RFC, needs=(_keys(_CALLING, _SESSION, _USER, _MULTI),),
        nas_address="either",
    ),
}  # fmt: skip


class ScriptedNas(asyncio.DatagramProtocol):
    """One access server on loopback.

    Attributes:
        sessions: who is on it; a test adds and removes. ``own_address``, ``own_identifier``: how it is named.
        done: what it did, in order: (``disconnect`` …, the session).
        received: every request that was signed rightly; retransmissions as well.
        lose: so many requests are not heard. ``mute``: so many answers are lost on their way back.
        switched_off: dynamic authorization is not allowed (501). ``signs``: answers carry a Message-Authenticator.
        require_message_authenticator: requests without one are dropped.
        on_done: called with what was done; so a test lets the client come back.
    """

    def __init__(
        self,
        vendor: str,
        secret: bytes,
        sessions: Sequence[NasSession] = (),
        *,
        own_address: str = "192.0.2.9",
        own_identifier: str = "021122334455",
    ) -> None:
        self.manners = MANNERS[vendor]
        self.secret = secret
        self.sessions = list(sessions)
        self.own_address = own_address
        self.own_identifier = own_identifier
        self.done: list[tuple[str, NasSession]] = []
        self.received: list[Packet] = []
        self.dropped = 0
        self.lose = 0
        self.mute = 0
        self.switched_off = False
        self.signs = True
        self.require_message_authenticator = False
        self.on_done: Callable[[str, NasSession], object] | None = None
        self._answered: dict[tuple[Any, int, bytes], bytes] = {}
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._transport is not None:
            self._transport.close()

    @property
    def address(self) -> str:
        """Where it listens."""
        return str(self._name()[0])

    @property
    def port(self) -> int:
        """On which UDP port."""
        return int(self._name()[1])

    def _name(self) -> Any:
        assert self._transport is not None
        return self._transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Answer a request, or not."""
        if self.lose:
            self.lose -= 1
            return
        answer = self.answer(data, addr)
        if answer is None:
            self.dropped += 1
        elif self.mute:
            self.mute -= 1
        elif self._transport is not None:
            self._transport.sendto(answer, addr)

    def answer(self, data: bytes, source: Any = None) -> bytes | None:
        """The answer to one datagram; None: it is dropped in silence (RFC 5176, 3.5 and 6.2)."""
        packet = decode(data)
        if packet.code not in (Code.DISCONNECT_REQUEST, Code.COA_REQUEST):
            return None
        if not request_authenticator_ok(packet, self.secret):
            return None
        signed = message_authenticator_ok(packet, self.secret)
        if signed is False or (signed is None and self.require_message_authenticator):
            return None
        self.received.append(packet)
        known = (source, packet.identifier, packet.authenticator)
        if known not in self._answered:
            self._answered[known] = self._judged(packet)
        return self._answered[known]

    def _judged(self, packet: Packet) -> bytes:
        ack, nak = (
            (Code.DISCONNECT_ACK, Code.DISCONNECT_NAK)
            if packet.code == Code.DISCONNECT_REQUEST
            else (Code.COA_ACK, Code.COA_NAK)
        )
        cause = self._cause(packet)
        code = ack if cause is None else nak
        attributes: list[Attribute] = [] if cause is None else [(_ERROR_CAUSE, cause.to_bytes(4, "big"))]
        return encode_reply(packet, code, attributes, self.secret, message_authenticator=self.signs)

    def _cause(self, packet: Packet) -> int | None:
        """Why not; None: it was done."""
        if self.switched_off:
            return PROHIBITED
        manners, there = self.manners, [(_key(one), one) for one in packet.attributes]
        allowed = manners.disconnect if packet.code == Code.DISCONNECT_REQUEST else manners.coa
        if allowed is not None and not {key for key, _ in there} <= allowed:
            return UNSUPPORTED
        if not all(any(key in wanted for key, _ in there) for wanted in manners.needs):
            return MISSING
        if not self._is_me(packet):
            return MISMATCH
        found = self._found(packet)
        if not found:
            return self._nobody(packet)
        if len(found) > 1:
            return MULTIPLE
        if packet.code == Code.DISCONNECT_REQUEST:
            self.sessions.remove(found[0])
            self._did("disconnect", found[0])
            return None
        return self._command(there, found[0])

    def _is_me(self, packet: Packet) -> bool:
        """Whether the request is for this access server, as far as it looks (RFC 5176, 3)."""
        address, identifier = packet.first(_NAS_IP), packet.first(_NAS_ID)
        if self.manners.nas_address in ("address", "either") and address is not None:
            return address == ipaddress.ip_address(self.own_address).packed
        if self.manners.nas_address in ("identifier", "either") and identifier is not None:
            return identifier == self.own_identifier.encode()
        return not self.manners.nas_address or self.manners.nas_address == "either"

    def _nobody(self, packet: Packet) -> int:
        fits_partly = any(_fits(one, _only(packet, key)) for one in self.sessions for key in (_CALLING, _SESSION))
        return VALUE if self.manners.all_match and fits_partly else NOT_FOUND

    def _found(self, packet: Packet) -> list[NasSession]:
        return [one for one in self.sessions if _fits(one, packet)]

    def _command(self, there: list[tuple[Key, Attribute]], session: NasSession) -> int | None:
        for key, (kind, value) in there:
            text = _text(key, kind, value)
            what = self.manners.commands.get((key, text)) or self.manners.commands.get((key, "*"))
            if what == "profile":
                moved = replace(session, role=text)
                self.sessions[self.sessions.index(session)] = moved
                self._did(what, moved)
                return None
            if what is not None:
                if what == "bounce":
                    self.sessions.remove(session)
                self._did(what, session)
                return None
        return INVALID

    def _did(self, what: str, session: NasSession) -> None:
        self.done.append((what, session))
        if self.on_done is not None:
            self.on_done(what, session)


def _key(attribute: Attribute) -> Key:
    kind, value = attribute
    return (int.from_bytes(value[:4], "big"), value[4]) if kind == 26 else kind


def _text(key: Key, kind: int, value: bytes) -> str:
    body = value[6:] if kind == 26 else value
    numbers: tuple[Key, ...] = (_TIMEOUT, _ACTION, _CX_BOUNCE, (11, 23))
    return str(int.from_bytes(body, "big")) if key in numbers else body.decode("latin-1")


def _only(packet: Packet, kind: int) -> Packet:
    return msgspec.structs.replace(packet, attributes=tuple(one for one in packet.attributes if one[0] == kind))


def _fits(session: NasSession, packet: Packet) -> bool:
    """Whether every session attribute of the request is the session's; one at least must be there."""
    wanted: list[tuple[bytes | None, bytes]] = [
        (packet.first(_USER), session.user_name.encode()),
        (packet.first(_SESSION), session.acct_session_id.encode()),
        (packet.first(_FRAMED_IP), ipaddress.ip_address(session.framed_ip_address).packed),
        (packet.first(_NAS_PORT), session.nas_port.to_bytes(4, "big")),
        (packet.first(_PORT_ID), session.nas_port_id.encode()),
    ]
    calling = packet.first(_CALLING)
    digits = None if calling is None else bytes(one for one in calling.lower() if one in b"0123456789abcdef")
    wanted.append((digits, session.bare.encode()))
    prefix = b"audit-session-id="
    pairs = [value[6:] for kind, value in packet.attributes if kind == 26]
    audits = [one.removeprefix(prefix) for one in pairs if one.startswith(prefix)]
    wanted += [(one, session.audit_session_id.encode()) for one in audits]
    asked = [(said, is_) for said, is_ in wanted if said is not None]
    return bool(asked) and all(said == is_ for said, is_ in asked)
