"""Who is on the network, as pages, API and command line show it, and what is ordered about them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from troth.access.model import Principal
from troth.kit.ids import parse_id
from troth.radius.dynamic.desk import OrderDesk
from troth.radius.sessions import order_store, store
from troth.radius.sessions.errors import SESSION_UNKNOWN, SessionRefused
from troth.radius.sessions.model import Session
from troth.radius.sessions.orders import Kind, Order
from troth.radius.sessions.store import Meant
from troth.radius.wire.addresses import mac
from troth.store.pool import Database
from troth.web.errors import MALFORMED, WebError
from troth.web.views import Page


class SessionView(Struct, frozen=True, kw_only=True):
    """One session.

    Attributes:
        state: ``open`` or ``ended``. ended_by: how that is known: its ``stop``, a ``boot``, a later session of the same
            name (``replaced``), silence (``age``), the access server when it was asked (``gone``), our
            ``disconnect``, or that its Accept did not leave (``withdrawn``); cause: what its Accounting-Stop gave as
            reason.
        accounted: whether accounting tells of it.
        until: when Session-Timeout ends it.
        octets_in, octets_out: from and to the station.
    """

    id: UUID
    state: Literal["open", "ended"]
    mac: str
    user_name: str
    nas: str
    nas_address: str
    nas_identifier: str
    nas_port: int | None
    nas_port_id: str
    called_station_id: str
    framed_ip: str
    framed_ipv6: str
    acct_session_id: str
    acct_multi_session_id: str
    audit_session_id: str
    network: str
    place: str
    method: str
    outcome: str
    reason: str
    certificate_id: UUID | None
    serial: str
    subjects: tuple[UUID, ...]
    opened_at: datetime
    admitted_at: datetime | None
    started_at: datetime | None
    last_at: datetime
    heard_at: datetime
    until: datetime | None
    ended_at: datetime | None
    ended_by: str
    cause: str
    accounted: bool
    seconds: int
    octets_in: int
    octets_out: int


class OrderView(Struct, frozen=True, kw_only=True):
    """What was to be done to a session.

    Attributes:
        state: ``waiting``, ``staged`` (for a person), ``done``, ``gone`` (it was over), ``refused``, ``failed`` or
            ``dropped``.
        step: the rung of the vendor's ladder that decided it. latency_ms: from what caused it; None while it waits.
    """

    id: UUID
    kind: str
    session_id: UUID
    nas: str
    station: str
    state: str
    step: str
    detail: str
    reason: str
    actor: str
    automated: bool
    attempts: int
    planned_at: datetime
    due: datetime
    ended_at: datetime | None
    latency_ms: int | None


class SessionDetail(Struct, frozen=True):
    """A session, and what was to be done to it, the newest first."""

    session: SessionView
    orders: Sequence[OrderView]


class Ordered(Struct, frozen=True):
    """What an order is about. ``paced``: there are more, which follow; ``sessions`` are the first of them."""

    kind: str
    sessions: Sequence[SessionView]
    paced: bool
    preview: bool


class SessionFilter(Struct, frozen=True, kw_only=True):
    """Which sessions. ``mac`` in any spelling; ``user``: beginning of the name; ``all``: ended ones too."""

    mac: str = ""
    user: str = ""
    serial: str = ""
    certificate: UUID | None = None
    subject: UUID | None = None
    nas: str = ""
    network: str = ""
    place: str = ""
    all: bool = False
    cursor: str = ""
    limit: int = 50

    @property
    def meant(self) -> Meant:
        """As the room below asks."""
        return Meant(
            mac=(mac(self.mac) or self.mac.strip()) if self.mac.strip() else "", user=self.user.strip(),
            serial=self.serial.strip().lower().replace(":", ""), certificate=self.certificate,
            subjects=() if self.subject is None else (self.subject,), nas=self.nas, network=self.network,
            place=self.place, open=not self.all,
        )  # fmt: skip


class SessionBook:
    """Looking at sessions, and a person's hand on them."""

    def __init__(self, database: Database, desk: OrderDesk) -> None:
        self._database = database
        self._desk = desk

    async def search(self, wanted: SessionFilter) -> Page[SessionView]:
        """The newest first. Raises WebError for a cursor that is not ours."""
        before = _cursor(wanted.cursor)
        found = await store.meant(self._database, wanted.meant, before=before, limit=wanted.limit + 1)
        shown = found[: wanted.limit]
        return Page([view(one) for one in shown], str(shown[-1].id) if len(found) > wanted.limit else None)

    async def get(self, session_id: UUID) -> SessionDetail:
        """One session. Raises SessionRefused (``radius.session.unknown``)."""
        found = await store.find(self._database, session_id)
        if found is None:
            raise SessionRefused(SESSION_UNKNOWN, f"no session {session_id}")
        orders = await order_store.of_session(self._database, session_id)
        return SessionDetail(view(found), [order_view(one) for one in orders])

    async def open_count(self) -> int:
        """How many go on."""
        return await store.open_count(self._database)

    async def orders(self, state: str = "", *, cursor: str = "", limit: int = 50) -> Page[OrderView]:
        """Orders in that state, the newest first. Raises WebError for a cursor that is not ours."""
        found = await order_store.listed(self._database, state, before=_cursor(cursor), limit=limit + 1)
        shown = found[:limit]
        return Page([order_view(one) for one in shown], str(shown[-1].id) if len(found) > limit else None)

    async def order_one(self, session_id: UUID, kind: Kind, by: Principal, reason: str) -> SessionDetail:
        """End it or have it judged anew. Raises SessionRefused."""
        await self._desk.one(session_id, kind, actor=by.actor, reason=reason)
        return await self.get(session_id)

    async def order(
        self, wanted: SessionFilter, kind: Kind, by: Principal, reason: str, *, everybody: bool, preview: bool
    ) -> Ordered:
        """The same for all that are meant; ``preview``: only say which. Raises SessionRefused."""
        meant = wanted.meant
        if preview:
            found = await store.meant(self._database, meant, limit=201)
            return Ordered(kind, [view(one) for one in found[:200]], len(found) > 200, True)
        done, paced = await self._desk.several(meant, kind, actor=by.actor, reason=reason, everybody=everybody)
        return Ordered(kind, [view(one) for one in done[:200]], paced, False)

    async def decide(self, order_id: UUID, by: Principal, *, approve: bool, reason: str = "") -> None:
        """Let a staged order go on, or drop it. Raises SessionRefused."""
        await self._desk.decide(order_id, approve=approve, actor=by.actor, reason=reason)


def _cursor(text: str) -> UUID | None:
    found = parse_id(text) if text else None
    if text and found is None:
        raise WebError(MALFORMED, "this cursor is none of ours")
    return found


def view(session: Session) -> SessionView:
    """A session as it is shown."""
    where, port, counted = session.where, session.port, session.counters
    return SessionView(
        id=session.id, state="open" if session.open else "ended", mac=port.mac,
        user_name=session.user_name or port.user_name, nas=where.nas, nas_address=where.address or where.source,
        nas_identifier=where.identifier, nas_port=port.nas_port, nas_port_id=port.nas_port_id,
        called_station_id=port.called_station_id, framed_ip=port.framed_ip, framed_ipv6=port.framed_ipv6,
        acct_session_id=port.acct_session_id, acct_multi_session_id=port.acct_multi_session_id,
        audit_session_id=port.audit_session_id, network=session.network, place=session.place, method=session.method,
        outcome=session.outcome, reason=session.reason, certificate_id=session.certificate_id, serial=session.serial,
        subjects=session.subject_ids, opened_at=session.opened_at, admitted_at=session.admitted_at,
        started_at=session.started_at, last_at=session.last_at, heard_at=session.heard_at, until=session.until,
        ended_at=session.ended_at, ended_by=session.ended_by, cause=session.cause, accounted=session.accounted,
        seconds=counted.seconds, octets_in=counted.octets_in, octets_out=counted.octets_out,
    )  # fmt: skip


def order_view(order: Order) -> OrderView:
    """An order as it is shown."""
    latency = None if order.ended_at is None else (order.ended_at - order.accepted_at).total_seconds() * 1000
    return OrderView(
        id=order.id, kind=order.kind, session_id=order.session_id, nas=order.nas, station=order.lane, state=order.state,
        step=order.step, detail=order.detail, reason=order.reason, actor=order.actor, automated=order.automated,
        attempts=order.attempts, planned_at=order.planned_at, due=order.due, ended_at=order.ended_at,
        latency_ms=None if latency is None else max(0, round(latency)),
    )  # fmt: skip
