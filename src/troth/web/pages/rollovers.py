"""Pages of rollovers: what each stage needs and what is seen, and the buttons that move one on or take it back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.web.api.rollovers import rollover_view
from troth.web.asking import ask
from troth.web.errors import NotFound
from troth.web.forms import fields
from troth.web.guard import asker, needs
from troth.web.problems import shown
from troth.web.render import Req, page, services_of
from troth.web.views import EventFilter

_VERBS = {
    "advance": ("Go on to the next stage", "If a condition is not met, the note says why you go on all the same.", ""),
    "back-out": ("Back out", "The old authority issues again. Nothing that was issued meanwhile is lost.", "danger"),
}


@get("/rollovers", opt=needs(Permission.AUTHORITY_READ), include_in_schema=False)
async def rollovers(request: Req) -> Response[str]:
    """All of them."""
    room = services_of(request).rollovers
    found = [rollover_view(await room.situation(one.id)) for one in await room.list()]
    return await page(request, "rollovers.html", area="authorities", rollovers=found)


@get("/rollovers/{rollover:uuid}", opt=needs(Permission.AUTHORITY_READ), include_in_schema=False)
async def one_rollover(request: Req, rollover: FromPath[UUID]) -> Response[str]:
    """One of them."""
    services = services_of(request)
    at = await services.rollovers.situation(rollover)
    return await page(
        request, "rollover.html", area="authorities", rollover=rollover_view(at), attestation=at.attestation,
        may=asker(request).may(Permission.POLICY_WRITE),
        events=(await services.events.list(EventFilter(ref=f"rollover:{rollover}", limit=20))).items,
    )  # fmt: skip


async def _confirm(
    request: Req, rollover: UUID, what: str, *, status: int = 200, problem: TrothError | None = None
) -> Response[str]:
    if what not in _VERBS:
        raise NotFound("a rollover goes on, or is backed out of")
    title, text, tone = _VERBS[what]
    at = rollover_view(await services_of(request).rollovers.situation(rollover))
    hits = [f"From {at.outgoing} to {at.incoming}; now in the stage {at.stage}."]
    if what == "advance":
        hits += [f"{'Met' if it.met else 'NOT MET'}: {it.needs} ({it.seen})" for it in at.gate]
        hits.append(f"The next stage is {at.next}." if at.next else "It has ended.")
    note = "override" if what == "advance" else "reason"
    return await page(
        request, "confirm.html", area="authorities", status=status, title=title, text=text, hits=hits,
        action=f"/rollovers/{rollover}/{what}", back=f"/rollovers/{rollover}", verb=title, tone=tone, typed="",
        reasons=[],
        note_required=what != "advance", line=f"troth rollover {what} {rollover} --{note} \"…\"",
        problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/rollovers/{rollover:uuid}/{what:str}", opt=needs(Permission.POLICY_WRITE), include_in_schema=False)
async def preview(request: Req, rollover: FromPath[UUID], what: FromPath[str]) -> Response[str]:
    """What the step would do."""
    return await _confirm(request, rollover, what)


@post("/rollovers/{rollover:uuid}/{what:str}", opt=needs(Permission.POLICY_WRITE), include_in_schema=False)
async def step(request: Req, rollover: FromPath[UUID], what: FromPath[str]) -> Response[Any]:
    """Do it, or propose it."""
    (note,) = await fields(request, "note")
    try:
        if what == "advance":
            await ask(request, "rollover.advance", {"rollover": str(rollover), "override": note})
        else:
            await ask(request, "rollover.back_out", {"rollover": str(rollover), "reason": note})
    except TrothError as error:
        return await _confirm(request, rollover, what, status=error.reason.status, problem=error)
    return Redirect(f"/rollovers/{rollover}", status_code=303)


@get("/anchors", opt=needs(Permission.AUTHORITY_READ), include_in_schema=False)
async def anchors(request: Req) -> Response[str]:
    """Foreign roots."""
    return await page(request, "anchors.html", area="authorities", anchors=await services_of(request).anchors.list())


HANDLERS = (anchors, rollovers, one_rollover, preview, step)
