"""How a session is changed or ended on a vendor's equipment: rungs, tried from the top until one holds (RFC 5176).

A ladder is data (``data/VENDOR.yaml``, under ``ladder:``). Each rung says which packet goes to which port, which
attributes name the session – exactly those: many implementations refuse what they do not expect (401, 407) – and which
say what to do. The last rung is always to wait: a session ends by itself at its Session-Timeout, and that bounds what
no other rung achieved. :func:`build` makes the attributes; who signs and sends them adds Message-Authenticator and
Event-Timestamp as the ladder says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

from troth.radius.places.lines import Line
from troth.radius.places.naks import MEANINGS, Meaning
from troth.radius.wire.addresses import mac
from troth.radius.wire.packet import Attribute, Code


class Step(StrEnum):
    """What a rung does."""

    #: Hand over the new place (CoA-Request): the link stays, nobody authenticates anew.
    PROFILE = "profile"
    #: Have the device authenticate anew: the decision is then made where all are made.
    REAUTHENTICATE = "reauthenticate"
    #: End the session (Disconnect-Request).
    DISCONNECT = "disconnect"
    #: Take the port down and up again: everything behind it is cut off, and asks for an address anew.
    BOUNCE = "bounce"
    #: Send nothing; Session-Timeout ends it.
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One attempt.

    Attributes:
        step: what it does. code: the packet; None for waiting.
        port: UDP port on the equipment, where the access server's own definition names none.
        identify: sets of lines that name equipment and session; the first that can be filled is sent, whole.
        send: what is to be done.
        fields: of a profile: what of a place this packet can change (``vlan``, ``role`` …).
        keeps_link: the device does not notice but for its new network.
        source: the vendor's page, by its name in the file; empty: not confirmed by a document of the vendor's.
    """

    step: Step
    code: Code | None = None
    port: int = 0
    identify: tuple[tuple[Line, ...], ...] = ()
    send: tuple[Line, ...] = ()
    fields: frozenset[str] = frozenset()
    keeps_link: bool = False
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caches:
    """What lets a client back in without us: PMKSA, opportunistic key caching, 802.11r.

    Attributes:
        flushed_by: steps that are documented to drop the client's cached keys; empty where nothing is.
        note: in words, with what bounds it otherwise.
    """

    flushed_by: frozenset[Step]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """All that dynamic authorization needs to know of a vendor.

    Attributes:
        message_authenticator, event_timestamp: whether a request carries them.
        change_vlan: whether a CoA moves a session to another VLAN without a new authentication; None: not documented.
        meanings: Error-Cause → meaning.
    """

    vendor: str
    rungs: tuple[Rung, ...]
    message_authenticator: bool
    event_timestamp: bool
    change_vlan: bool | None
    change_vlan_note: str
    caches: Caches
    meanings: Mapping[int, Meaning]

    def meaning(self, error_cause: int | None) -> Meaning:
        """What a NAK with this Error-Cause (None: without) means."""
        return Meaning.CANNOT if error_cause is None else self.meanings.get(error_cause, Meaning.CANNOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is known of a session, as its access server spelled it in accounting or in the Access-Request.

    Empty (None) is what is not known: a rung that needs it is passed over. ``audit_session_id`` is Cisco's
    (``Cisco-AVPair = audit-session-id=…``), without its prefix.
    """

    user_name: str | None = None
    nas_ip_address: str | None = None
    nas_ipv6_address: str | None = None
    nas_identifier: str | None = None
    nas_port: int | None = None
    nas_port_id: str | None = None
    calling_station_id: str | None = None
    called_station_id: str | None = None
    acct_session_id: str | None = None
    acct_multi_session_id: str | None = None
    framed_ip_address: str | None = None
    audit_session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """A request's attributes, without those that signing adds."""

    rung: Rung
    attributes: tuple[Attribute, ...]


#: Placeholders of ``identify``: the fields of a Target, and spellings derived from its addresses: ``mac_hyphens``
#: AA-BB-CC-DD-EE-FF and ``mac_bare`` aabbccddeeff of Calling-Station-Id, ``ap_bare`` AABBCCDDEEFF of Called-Station-Id.
IDENTIFIERS: Final = frozenset({one.name for one in fields(Target)} | {"mac_hyphens", "mac_bare", "ap_bare"})


def build(rung: Rung, target: Target, change: tuple[Attribute, ...] = ()) -> Built | None:
    """The request of ``rung`` for a session; None where the rung sends nothing, or what it must name is not known.

    ``change``: what a profile hands over, as rendered for this vendor; nothing for other steps.
    Raises PacketRefused if something known does not fit its attribute.
    """
    if rung.code is None or (rung.step is Step.PROFILE) != bool(change):
        return None
    known = _known(target)
    for lines in rung.identify:
        if all(line.needs <= known.keys() for line in lines):
            made = [line.filled(known) for line in (*lines, *rung.send)]
            return Built(rung, (*(one for one in made if one is not None), *change))
    return None


def meanings_with(overrides: Mapping[int, Meaning]) -> Mapping[int, Meaning]:
    """The meanings of Error-Cause, but for what a vendor means otherwise."""
    return {**MEANINGS, **overrides}


def _known(target: Target) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for one in fields(Target):
        value = getattr(target, one.name)
        if value not in (None, ""):
            found[one.name] = value
    for source, spellings in (("calling_station_id", ("mac_hyphens", "mac_bare")), ("called_station_id", ("ap_bare",))):
        address = mac(str(found[source])) if source in found else None
        if address is not None:
            bare = address.replace("-", "")
            spelled = {"mac_hyphens": address.upper(), "mac_bare": bare, "ap_bare": bare.upper()}
            found |= {name: spelled[name] for name in spellings}
    return found
