"""Pages about standings: the rules, whom automation does not hold, and what feeds would do."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.kit.errors import TrothError
from troth.web.asking import ask
from troth.web.errors import MALFORMED, NotFound, WebError
from troth.web.forms import fields
from troth.web.guard import asker, needs
from troth.web.problems import shown
from troth.web.render import Req, page, services_of

_STAGES = (("shadow", "Only watched"), ("5", "5 %"), ("25", "25 %"), ("100", "Everybody"))


async def _standing(request: Req, *, problem: TrothError | None = None) -> Response[str]:
    book = services_of(request).standings
    return await page(
        request, "standing.html", area="policies", status=problem.reason.status if problem else 200,
        versions=await book.versions(), exemptions=await book.exempted(), run=await book.run(),
        problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/standing", opt=needs(Permission.POLICY_READ), include_in_schema=False)
async def standing(request: Req) -> Response[str]:
    """The rules in force, exemptions, and the last re-evaluation."""
    return await _standing(request)


@post("/standing/reevaluate", opt=needs(Permission.POLICY_WRITE), include_in_schema=False)
async def reevaluate(request: Req) -> Response[Any]:
    """Show what would change, or have everybody evaluated anew."""
    book = services_of(request).standings
    (act,) = await fields(request, "act")
    if act == "start":
        await book.reevaluate(asker(request))
        return Redirect("/standing", status_code=303)
    found = await book.outlook()
    return await page(request, "standing_outlook.html", area="policies", outlook=found)


@get("/subjects/{subject_id:uuid}/exempt", opt=needs(Permission.ENFORCEMENT_FREEZE), include_in_schema=False)
async def exempt_form(request: Req, subject_id: FromPath[UUID]) -> Response[str]:
    """What an exemption of this subject would be."""
    return await _exempt(request, subject_id)


async def _exempt(request: Req, subject_id: UUID, problem: TrothError | None = None) -> Response[str]:
    found = await services_of(request).subjects.get(subject_id)
    if found is None:
        raise NotFound("there is no such subject")
    return await page(
        request, "exempt.html", area="subjects", status=problem.reason.status if problem else 200, subject=found,
        problem=shown(problem) if problem else None,
    )  # fmt: skip


@post("/subjects/{subject_id:uuid}/exempt", opt=needs(Permission.ENFORCEMENT_FREEZE), include_in_schema=False)
async def exempt(request: Req, subject_id: FromPath[UUID]) -> Response[Any]:
    """Propose it; another person has to agree."""
    reason, hours = await fields(request, "reason", "hours")
    try:
        if not hours.strip().isdecimal() or len(hours) > 4:
            raise WebError(MALFORMED, "say for how many hours, 1 to 24")
        payload: dict[str, Json] = {"subject": str(subject_id), "reason": reason, "hours": int(hours)}
        await ask(request, "exemption.grant", payload, comment=reason)
    except TrothError as error:
        return await _exempt(request, subject_id, error)
    return Redirect(f"/subjects/{subject_id}", status_code=303)


@post("/exemptions/{exemption:uuid}/end", opt=needs(Permission.ENFORCEMENT_FREEZE), include_in_schema=False)
async def end(request: Req, exemption: FromPath[UUID]) -> Response[Any]:
    """End one before its time."""
    try:
        await services_of(request).standings.exemptions.end(exemption, actor=asker(request).actor)
    except TrothError as error:
        return await _standing(request, problem=error)
    return Redirect("/standing", status_code=303)


@get("/feeds/{name:str}/shadow", opt=needs(Permission.FEED_READ), include_in_schema=False)
async def shadow(request: Req, name: FromPath[str]) -> Response[str]:
    """What a feed would have done in the last week, and how far it is in force."""
    return await _shadow(request, name)


async def _shadow(request: Req, name: str, problem: TrothError | None = None) -> Response[str]:
    found = await services_of(request).standings.shadow(name[:80])
    return await page(
        request, "feed_shadow.html", area="feeds", status=problem.reason.status if problem else 200, report=found,
        stages=_STAGES, problem=shown(problem) if problem else None,
    )  # fmt: skip


@post("/feeds/{name:str}/rollout", opt=needs(Permission.FEED_WRITE), include_in_schema=False)
async def rollout(request: Req, name: FromPath[str]) -> Response[Any]:
    """Let the feed be in force for more of the subjects, or only be watched."""
    stage, kind, note = await fields(request, "stage", "kind", "note")
    try:
        if stage not in dict(_STAGES):
            raise WebError(MALFORMED, "there is no such stage")
        percent = 0 if stage == "shadow" else int(stage)
        payload: dict[str, Json] = {"feed": name, "kind": kind.strip() or "*", "percent": percent, "reason": note}
        await ask(request, "feed.rollout", payload, comment=note)
    except TrothError as error:
        return await _shadow(request, name, error)
    return Redirect(f"/feeds/{name}/shadow", status_code=303)


HANDLERS = (standing, reevaluate, exempt_form, exempt, end, shadow, rollout)
