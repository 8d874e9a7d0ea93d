"""Rollovers and cross-certificates over the API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.ops.rollover.model import NEXT, Situation
from troth.web.asking import ask
from troth.web.guard import needs
from troth.web.render import Req, services_of

_Reason = Annotated[str, Meta(max_length=400)]


class ConditionView(Struct, frozen=True):
    """Something that the next stage needs, and what is seen of it."""

    needs: str
    seen: str
    met: bool


class AliveView(Struct, frozen=True):
    """Live certificates of the outgoing authority, by profile."""

    profile: str
    count: int
    first: datetime
    last: datetime


class RolloverView(Struct, frozen=True, kw_only=True):
    """A rollover. ``gate`` and ``alive`` are those of now; ``next`` is None when it has ended."""

    id: UUID
    outgoing: str
    incoming: str
    stage: str
    threshold: int
    drain_days: int
    started_at: datetime
    changed_at: datetime
    renew_by: datetime | None
    next: str | None
    gate: tuple[ConditionView, ...]
    alive: tuple[AliveView, ...]


class StartCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """Which authority follows which."""

    outgoing: str
    incoming: str
    threshold: int = 95
    drain_days: int = 30


class AdvanceCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """``override``: why the next stage begins although its gate is shut."""

    override: _Reason = ""


class AttestCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """Per cent of trust stores that somebody vouches for, and why."""

    percent: int
    reason: _Reason


class BackOutCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is backed out of."""

    reason: _Reason


class CrossCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """A cross-certificate: DER in base64."""

    certificate: str


class CrossAdded(Struct, frozen=True):
    """Who is vouched for, and by whom."""

    authority: str
    issuer: str
    sha256: str


def rollover_view(at: Situation) -> RolloverView:
    """For pages and API."""
    one = at.rollover
    return RolloverView(
        id=one.id, outgoing=one.outgoing, incoming=one.incoming, stage=one.stage, threshold=one.threshold,
        drain_days=one.drain_days, started_at=one.started_at, changed_at=one.changed_at, renew_by=one.renew_by,
        next=NEXT.get(one.stage), gate=tuple(ConditionView(it.needs, it.seen, it.met) for it in at.gate),
        alive=tuple(AliveView(it.profile, it.count, it.first, it.last) for it in at.alive),
    )  # fmt: skip


@get("/rollovers", opt=needs(Permission.AUTHORITY_READ), operation_id="listRollovers", tags=["Authorities"])
async def list_rollovers(request: Req) -> Sequence[RolloverView]:
    """All rollovers, latest first, with what each needs and what is seen."""
    room = services_of(request).rollovers
    return [rollover_view(await room.situation(one.id)) for one in await room.list()]


@get("/rollovers/{rollover:uuid}", opt=needs(Permission.AUTHORITY_READ), operation_id="getRollover",
     tags=["Authorities"])  # fmt: skip
async def get_rollover(request: Req, rollover: FromPath[UUID]) -> RolloverView:
    """One rollover."""
    return rollover_view(await services_of(request).rollovers.situation(rollover))


async def _done(request: Req, what: str, payload: dict[str, object]) -> RolloverView:
    done = await ask(request, f"rollover.{what}", payload)  # type: ignore[arg-type]  # texts and numbers
    return rollover_view(await services_of(request).rollovers.situation(UUID(str(done["rollover"]))))


@post("/rollovers", opt=needs(Permission.POLICY_WRITE), operation_id="startRollover", tags=["Authorities"],
      status_code=200)  # fmt: skip
async def start_rollover(request: Req, data: JSONBody[StartCommand]) -> RolloverView:
    """Begin a rollover; nothing changes for anybody yet."""
    return await _done(request, "start", {
        "outgoing": data.outgoing, "incoming": data.incoming, "threshold": data.threshold,
        "drain_days": data.drain_days,
    })  # fmt: skip


@post("/rollovers/{rollover:uuid}/advance", opt=needs(Permission.POLICY_WRITE), operation_id="advanceRollover",
      tags=["Authorities"], status_code=200)  # fmt: skip
async def advance_rollover(request: Req, rollover: FromPath[UUID], data: JSONBody[AdvanceCommand]) -> RolloverView:
    """Go on to the next stage, if its gate is open or somebody overrides it."""
    return await _done(request, "advance", {"rollover": str(rollover), "override": data.override})


@post("/rollovers/{rollover:uuid}/attest", opt=needs(Permission.POLICY_WRITE), operation_id="attestRollover",
      tags=["Authorities"], status_code=200)  # fmt: skip
async def attest_rollover(request: Req, rollover: FromPath[UUID], data: JSONBody[AttestCommand]) -> RolloverView:
    """Vouch for what cannot be measured."""
    return await _done(request, "attest", {"rollover": str(rollover), "percent": data.percent, "reason": data.reason})


@post("/rollovers/{rollover:uuid}/back-out", opt=needs(Permission.POLICY_WRITE), operation_id="backOutOfRollover",
      tags=["Authorities"], status_code=200)  # fmt: skip
async def back_out_of_rollover(request: Req, rollover: FromPath[UUID], data: JSONBody[BackOutCommand]) -> RolloverView:
    """Let the old authority issue again."""
    return await _done(request, "back_out", {"rollover": str(rollover), "reason": data.reason})


@post("/cross-certificates", opt=needs(Permission.ACCESS_MANAGE), operation_id="addCrossCertificate",
      tags=["Authorities"], status_code=200)  # fmt: skip
async def add_cross_certificate(request: Req, data: JSONBody[CrossCommand]) -> CrossAdded:
    """Offer a second way up to an authority that is here."""
    done = await ask(request, "authority.cross", {"certificate": data.certificate})
    return CrossAdded(str(done["authority"]), str(done["issuer"]), str(done["sha256"]))


HANDLERS = [
    list_rollovers, get_rollover, start_rollover, advance_rollover, attest_rollover, back_out_of_rollover,
    add_cross_certificate,
]  # fmt: skip
