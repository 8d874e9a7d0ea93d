"""Sessions on the network over the API: who is there, and orders to end them or have them judged anew."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.web.books.sessions import Ordered, OrderView, SessionDetail, SessionFilter, SessionView
from troth.web.guard import asker, needs
from troth.web.parameters import Limit
from troth.web.render import Req, services_of
from troth.web.views import Page

_TAGS = ["Network"]
_Word = Annotated[str, Meta(max_length=253)]
_State = Literal["", "waiting", "staged", "done", "gone", "refused", "failed", "dropped"]


class SessionOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done to which sessions; all that is named must be so.

    Attributes:
        all: must be said where nothing is named. preview: only say which ones would be meant.
        reason: goes to the ledger.
    """

    kind: Literal["disconnect", "reauthorize"]
    mac: _Word = ""
    user: _Word = ""
    serial: _Word = ""
    certificate: UUID | None = None
    subject: UUID | None = None
    nas: _Word = ""
    network: _Word = ""
    place: _Word = ""
    all: bool = False
    preview: bool = False
    reason: Annotated[str, Meta(max_length=500)] = ""


class OrderReason(Struct, frozen=True, forbid_unknown_fields=True):
    """Why; it goes to the ledger."""

    reason: Annotated[str, Meta(max_length=500)] = ""


@get("/network/sessions", opt=needs(Permission.NETWORK_READ), operation_id="listSessions", tags=_TAGS)
async def list_sessions(
    request: Req,
    mac: FromQuery[_Word] = "",
    user: FromQuery[_Word] = "",
    serial: FromQuery[_Word] = "",
    certificate: FromQuery[UUID | None] = None,
    subject: FromQuery[UUID | None] = None,
    nas: FromQuery[_Word] = "",
    network: FromQuery[_Word] = "",
    place: FromQuery[_Word] = "",
    all: FromQuery[bool] = False,
    cursor: FromQuery[str] = "",
    limit: Limit = 50,
) -> Page[SessionView]:
    """Sessions that go on (``all``: ended ones too), the newest first."""
    wanted = SessionFilter(
        mac=mac, user=user, serial=serial, certificate=certificate, subject=subject, nas=nas, network=network,
        place=place, all=all, cursor=cursor, limit=limit,
    )  # fmt: skip
    return await services_of(request).sessions.search(wanted)


@get("/network/sessions/{session_id:uuid}", opt=needs(Permission.NETWORK_READ), operation_id="getSession", tags=_TAGS)
async def get_session(request: Req, session_id: FromPath[UUID]) -> SessionDetail:
    """One session, with what was to be done to it."""
    return await services_of(request).sessions.get(session_id)


@post("/network/sessions/{session_id:uuid}/disconnect", opt=needs(Permission.EFFECT_MANAGE),
      operation_id="disconnectSession", tags=_TAGS, status_code=202)  # fmt: skip
async def disconnect_session(request: Req, session_id: FromPath[UUID], data: JSONBody[OrderReason]) -> SessionDetail:
    """End it. What its access server answers shows in its orders."""
    return await services_of(request).sessions.order_one(session_id, "disconnect", asker(request), data.reason)


@post("/network/sessions/{session_id:uuid}/reauthorize", opt=needs(Permission.EFFECT_MANAGE),
      operation_id="reauthorizeSession", tags=_TAGS, status_code=202)  # fmt: skip
async def reauthorize_session(request: Req, session_id: FromPath[UUID], data: JSONBody[OrderReason]) -> SessionDetail:
    """Have it judged anew. Where its access server cannot, it is ended."""
    return await services_of(request).sessions.order_one(session_id, "reauthorize", asker(request), data.reason)


@post("/network/session-orders", opt=needs(Permission.EFFECT_MANAGE), operation_id="orderSessions", tags=_TAGS,
      status_code=202)  # fmt: skip
async def order_sessions(request: Req, data: JSONBody[SessionOrder]) -> Ordered:
    """End many sessions, or have them judged anew: above 200 of an access server, network or place at a pace."""
    wanted = SessionFilter(
        mac=data.mac, user=data.user, serial=data.serial, certificate=data.certificate, subject=data.subject,
        nas=data.nas, network=data.network, place=data.place,
    )  # fmt: skip
    return await services_of(request).sessions.order(
        wanted, data.kind, asker(request), data.reason, everybody=data.all, preview=data.preview
    )


@get("/network/session-orders", opt=needs(Permission.NETWORK_READ), operation_id="listSessionOrders", tags=_TAGS)
async def list_orders(
    request: Req, status: FromQuery[_State] = "", cursor: FromQuery[str] = "", limit: Limit = 50
) -> Page[OrderView]:
    """What was to be done to sessions, the newest first."""
    return await services_of(request).sessions.orders(status, cursor=cursor, limit=limit)


@post("/network/session-orders/{order_id:uuid}/approve", opt=needs(Permission.STAGED_DECIDE),
      operation_id="approveSessionOrder", tags=_TAGS, status_code=204)  # fmt: skip
async def approve_order(request: Req, order_id: FromPath[UUID], data: JSONBody[OrderReason]) -> None:
    """Let what a cap has staged be done, on your responsibility."""
    await services_of(request).sessions.decide(order_id, asker(request), approve=True, reason=data.reason)


@post("/network/session-orders/{order_id:uuid}/drop", opt=needs(Permission.STAGED_DECIDE),
      operation_id="dropSessionOrder", tags=_TAGS, status_code=204)  # fmt: skip
async def drop_order(request: Req, order_id: FromPath[UUID], data: JSONBody[OrderReason]) -> None:
    """Drop what a cap has staged."""
    await services_of(request).sessions.decide(order_id, asker(request), approve=False, reason=data.reason)


HANDLERS = (
    list_sessions, get_session, disconnect_session, reauthorize_session, order_sessions, list_orders, approve_order,
    drop_order,
)  # fmt: skip
