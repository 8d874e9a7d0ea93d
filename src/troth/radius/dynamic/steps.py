"""Which packets an order sends, one after the other, until one holds: rungs of the vendor's ladder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from troth.radius.dynamic.model import Equipment, Request
from troth.radius.places.errors import VendorUnknown
from troth.radius.places.ladder import Built, Ladder, Step, Target, build
from troth.radius.places.naks import Meaning
from troth.radius.places.vendors import vendor
from troth.radius.sessions.model import Session
from troth.radius.sessions.orders import Kind
from troth.radius.wire.packet import Code, Packet

ERROR_CAUSE: Final = 101
EVENT_TIMESTAMP: Final = 55

#: What an order may do, the best first. A profile is not among it: the judge decides anew, and nobody else does. Taking
#: a port down cuts off whatever else is behind it, so only ending a session may come to that.
CLIMBED: Final[dict[Kind, tuple[Step, ...]]] = {
    "reauthorize": (Step.REAUTHENTICATE, Step.DISCONNECT),
    "disconnect": (Step.DISCONNECT, Step.REAUTHENTICATE, Step.BOUNCE),
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One rung, ready to be sent."""

    step: Step
    request: Request
    ladder: Ladder

    @property
    def ends(self) -> bool:
        """Whether an ACK means that the session is over."""
        return self.step in (Step.DISCONNECT, Step.BOUNCE)

    @property
    def lets_back(self) -> bool:
        """Whether keys that are cached may let the station back in without being asked about (PMKSA, 802.11r)."""
        return self.ends and self.step not in self.ladder.caches.flushed_by


def attempts(kind: Kind, session: Session, equipment: Equipment) -> list[Attempt]:
    """What may be tried, in order; nothing where the vendor's ladder offers nothing, or too little is known."""
    try:
        ladder = vendor(equipment.vendor).ladder
    except VendorUnknown:
        ladder = vendor("generic").ladder
    target, found = target_of(session, equipment.identifier), list[Attempt]()
    for step in CLIMBED[kind]:
        for rung in ladder.rungs:
            built = build(rung, target) if rung.step is step else None
            if built is not None and rung.code is not None:
                found.append(Attempt(step, _request(built, rung.code, ladder, session, equipment), ladder))
    return found


def target_of(session: Session, identifier: str = "") -> Target:
    """What is known of a session, as its access server spelled it; ``identifier``: its name, if it did not say it."""
    port, where = session.port, session.where
    return Target(
        user_name=(port.user_name if session.accounted else session.user_name) or None,
        nas_ip_address=where.address if "." in where.address else None,
        nas_ipv6_address=where.address if ":" in where.address else None,
        nas_identifier=where.identifier or identifier or None,
        nas_port=port.nas_port,
        nas_port_id=port.nas_port_id or None,
        calling_station_id=port.calling_station_id or None,
        called_station_id=port.called_station_id or None,
        acct_session_id=port.acct_session_id or None,
        acct_multi_session_id=port.acct_multi_session_id or None,
        framed_ip_address=port.framed_ip or None,
        audit_session_id=port.audit_session_id or None,
    )


def meaning_of(reply: Packet, ladder: Ladder) -> tuple[Meaning, int | None]:
    """What an access server says by ``reply``, and its Error-Cause."""
    value = reply.first(ERROR_CAUSE)
    cause = int.from_bytes(value, "big") if value is not None and len(value) == 4 else None
    if reply.code in (Code.DISCONNECT_ACK, Code.COA_ACK):
        return Meaning.DONE, cause
    if reply.code in (Code.DISCONNECT_NAK, Code.COA_NAK):
        return ladder.meaning(cause), cause
    return Meaning.CANNOT, cause  # Protocol-Error (RFC 7930), or what is no answer to such a request


def _request(built: Built, code: Code, ladder: Ladder, session: Session, equipment: Equipment) -> Request:
    stamp = [(EVENT_TIMESTAMP, b"")] if ladder.event_timestamp else []
    return Request(
        code, [*built.attributes, *stamp], equipment.address or session.where.source,
        equipment.port or built.rung.port,
    )  # fmt: skip
