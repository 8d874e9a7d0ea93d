"""The page *Enforcement*: what follows elsewhere from changes of standing, how fast, and what did not work."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.web.books.effects import EffectFilter
from troth.web.errors import MALFORMED, WebError
from troth.web.forms import fields
from troth.web.guard import asker, needs
from troth.web.pages.looking import link, one_of
from troth.web.problems import shown
from troth.web.render import Req, page, services_of

_STATES = (
    ("", "Any state"),
    ("waiting", "Waiting"),
    ("done", "Done"),
    ("dead", "Given up"),
    ("unavailable", "Not available here"),
    ("superseded", "Needed no more"),
    ("dropped", "Dropped"),
)
_LIMIT = 50


@get("/enforcement", opt=needs(Permission.EFFECT_READ), include_in_schema=False)
async def enforcement(request: Req, status: FromQuery[str] = "", cursor: FromQuery[str] = "") -> Response[str]:
    """Targets, latencies and effects."""
    services = services_of(request)
    wanted = EffectFilter(state=one_of(status, _STATES), cursor=cursor, limit=_LIMIT)
    found = await services.effects.search(wanted)
    return await page(
        request, "enforcement.html", area="enforcement", wanted=wanted, states=_STATES, page=found,
        targets=await services.effects.targets(), latencies=await services.effects.latencies(),
        freeze=await services.enforcement.state(), first_url=link("/enforcement", status=wanted.state),
        self_url=link("/enforcement", status=wanted.state, cursor=cursor),
        next_url=link("/enforcement", status=wanted.state, cursor=found.next),
    )  # fmt: skip


@get("/effects/{effect_id:uuid}", opt=needs(Permission.EFFECT_READ), include_in_schema=False)
async def effect(request: Req, effect_id: FromPath[UUID]) -> Response[str]:
    """One effect."""
    return await _one(request, effect_id)


async def _one(request: Req, effect_id: UUID, *, status: int = 200, problem: TrothError | None = None) -> Response[str]:
    found = await services_of(request).effects.get(effect_id)
    return await page(
        request, "effect.html", area="enforcement", status=status, effect=found,
        problem=shown(problem) if problem else None,
    )  # fmt: skip


@post("/effects/{effect_id:uuid}", opt=needs(Permission.EFFECT_MANAGE), include_in_schema=False)
async def decide(request: Req, effect_id: FromPath[UUID]) -> Response[Any]:
    """Try again, or give up."""
    verdict, note = await fields(request, "verdict", "note")
    book = services_of(request).effects
    try:
        if verdict == "retry":
            await book.retry(effect_id, asker(request), note[:500])
        elif verdict == "drop":
            await book.drop(effect_id, asker(request), note[:500])
        else:
            raise WebError(MALFORMED, "the verdict is retry or drop")
    except TrothError as error:
        return await _one(request, effect_id, status=error.reason.status, problem=error)
    return Redirect(f"/effects/{effect_id}?done=effect_{verdict}", status_code=303)


HANDLERS = (enforcement, effect, decide)
