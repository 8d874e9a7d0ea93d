"""How what is heard becomes a session: pure, and the same whatever the order and the number of repetitions.

Access servers send again what was not answered in time, over paths of different length, after hours without a server;
a record may come late, twice, or never. So nothing here says "first" or "last received". A session is a function of the
*set* of its records:

* which records are one session: those of one access server, box and Acct-Session-Id that agree on when it began. That
  follows from a Start, and from Acct-Session-Time in any other; access servers that count from 1 after each boot use
  their identifiers again;
* when it began: when its earliest Start says, without one the earliest beginning that follows from the others;
* how far it is: by the record with the greatest (is a Stop, time, counters);
* whether it has ended: by its Stop; else by the first boot of its box after all that was heard of it, or by the
  beginning of the next session of the same name. A record from after a boot shows that it was not ended by that.

What *we* saw ourselves (it has aged, it was disconnected) holds until a record tells of a time after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from troth.radius.sessions.model import AWAITS, SAME_START, Admitted, Ages, Boot, EndedBy, Port, Session, Told


def belongs(session: Session, told: Told) -> bool:
    """Whether a record with the session's key is about it, and not about another of the same name."""
    if session.port.mac and told.port.mac and session.port.mac != told.port.mac:
        return False
    if session.started_at is None or told.began_at is None:
        return session.started_at is None or told.at >= session.started_at - SAME_START
    return abs(session.started_at - told.began_at) <= SAME_START


def pick(candidates: Iterable[Session], told: Told) -> Session | None:
    """The session that a record is about, among those with its key; None: one that is not known yet."""
    fitting = [one for one in candidates if belongs(one, told)]
    if not fitting:
        return None
    began = told.began_at
    if began is None:
        return max(fitting, key=lambda one: (one.started_at or one.opened_at, one.id))
    return min(fitting, key=lambda one: (abs((one.started_at or began) - began), one.id))


def awaits(session: Session, told: Told) -> bool:
    """Whether a session that only its Accept has told of is the one that this record begins to account for."""
    if session.port.acct_session_id or session.where.nas != told.where.nas or session.admitted_at is None:
        return False
    if told.class_ is not None and session.class_ is not None:
        return session.class_ == told.class_
    began = told.began_at or told.at
    return bool(session.port.mac) and session.port.mac == told.port.mac and abs(began - session.admitted_at) <= AWAITS


def opened(id: UUID, told: Told, ages: Ages) -> Session:
    """A session that a record is the first to tell of."""
    bare = Session(
        id=id, opened_at=told.received_at, where=told.where, last_at=told.at, heard_at=told.received_at,
        ages_at=told.received_at,
    )  # fmt: skip
    made = tell(bare, told)
    return replace(made, ages_at=ages.of(made))


def admitted(id: UUID, one: Admitted, ages: Ages) -> Session:
    """A session that an Accept is the first to tell of."""
    made = admit(
        Session(id=id, opened_at=one.at, where=one.where, last_at=one.at, heard_at=one.at, ages_at=one.at), one
    )
    return replace(made, ages_at=ages.of(made))


def inherited(session: Session, origin: Session) -> Session:
    """``session`` with the admission of ``origin``: a station that moved on with the Class it was given."""
    return replace(
        session, class_=origin.class_, admitted_at=origin.admitted_at, network=origin.network, place=origin.place,
        method=origin.method, outcome=origin.outcome, reason=origin.reason, certificate_id=origin.certificate_id,
        user_name=origin.user_name, serial=origin.serial, subject_ids=origin.subject_ids, until=origin.until,
    )  # fmt: skip


def admit(session: Session, one: Admitted) -> Session:
    """``session`` as the latest of its Accepts has it (a re-authentication keeps the session)."""
    if session.admitted_at is not None and session.admitted_at > one.at:
        return session
    heard_at = max(session.heard_at, one.at)
    port = merged(one.port, session.port) if session.accounted else merged(session.port, one.port)
    reopened = session.closed_at is not None and one.at > session.closed_at
    changed = replace(
        session, class_=one.class_, admitted_at=one.at, network=one.network, place=one.place, method=one.method,
        outcome=one.outcome, reason=one.reason, certificate_id=one.certificate_id, serial=one.serial,
        user_name=one.user_name, subject_ids=one.subject_ids, until=one.until, port=port, heard_at=heard_at,
        last_at=session.last_at if session.accounted else max(session.last_at, one.at),
    )  # fmt: skip
    return replace(changed, closed_at=None, closed_by="") if reopened else changed


def tell(session: Session, told: Told) -> Session:
    """``session`` with one more record of its own (never one of On or Off)."""
    began = told.began_at
    started, seen = session.started_at, session.start_seen
    if told.status == "start" and not seen:
        started, seen = began, True
    elif began is not None and (started is None or began < started) and (told.status == "start" or not seen):
        started = began
    port, described, addressed = session.port, session.described_at, session.addressed_at
    fresh = described is None or told.at >= described
    port = merged(port, told.port) if fresh else merged(told.port, port)
    if told.port.framed_ip or told.port.framed_ipv6:
        newest = addressed is None or told.at >= addressed
        source = told.port if newest else session.port
        port = replace(port, framed_ip=source.framed_ip, framed_ipv6=source.framed_ipv6)
        addressed = told.at if newest else addressed
    changed = replace(
        session, started_at=started, start_seen=seen, port=port, addressed_at=addressed,
        described_at=told.at if fresh else described, heard_at=max(session.heard_at, told.received_at),
        interims=session.interims or int(told.status == "interim"),
        where=told.where if fresh else session.where,
        class_=session.class_ or told.class_,
    )  # fmt: skip
    stop = told.status == "stop"
    rank = (stop, told.at, told.counters, told.cause)
    if session.accounted and rank <= (session.stopped, session.last_at, session.counters, session.cause):
        return changed
    return replace(changed, stopped=stop, last_at=told.at, counters=told.counters, cause=told.cause)


def merged(under: Port, over: Port) -> Port:
    """``over``, and where that says nothing, ``under``."""
    return Port(*(
        getattr(under, name) if getattr(over, name) in ("", None) else getattr(over, name)
        for name in Port.__struct_fields__
    ))  # fmt: skip


def settle(session: Session, namesakes: Sequence[Session], boots: Iterable[Boot]) -> Session:
    """``session`` with its end, if it has one.

    ``namesakes``: all sessions of its key, itself or not; ``boots``: of its box, as far as they are known.
    """
    ended_at, ended_by = _end(session, namesakes, boots)
    if (ended_at, ended_by) == (session.ended_at, session.ended_by):
        return session
    return replace(session, ended_at=ended_at, ended_by=ended_by)


def _end(session: Session, namesakes: Sequence[Session], boots: Iterable[Boot]) -> tuple[datetime | None, EndedBy]:
    if session.stopped:
        return session.last_at, "stop"
    ends: list[tuple[datetime, EndedBy]] = [
        (boot.at, "boot") for boot in boots if boot.at > session.last_at and boot.covers(session)
    ]
    if session.started_at is not None and session.port.acct_session_id:
        later = [
            one.started_at
            for one in namesakes
            if one.id != session.id and one.started_at is not None and one.started_at > session.started_at
        ]
        if later:
            ends.append((min(later), "replaced"))
    if session.closed_at is not None and session.closed_at >= session.last_at:
        ends.append((session.closed_at, session.closed_by))
    return min(ends) if ends else (None, "")
