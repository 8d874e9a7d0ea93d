"""The page of applications: who may ask, how they were answered; registering one and taking it off."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.connect.authz.applications import Wanted
from troth.kit.errors import TrothError
from troth.web.forms import fields
from troth.web.guard import asker, needs
from troth.web.problems import shown
from troth.web.render import Req, page, services_of


async def _page(
    request: Req, *, token: str = "", made: str = "", problem: TrothError | None = None
) -> Response[str]:  # fmt: skip
    services = services_of(request)
    profiles = sorted({name for policy in await services.configuration.policies() for name in policy.profiles})
    return await page(
        request, "applications.html", area="applications", applications=await services.applications.list(),
        profiles=profiles, token=token, made=made,
        status=problem.reason.status if problem else 200, problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/applications", opt=needs(Permission.APPLICATION_READ), include_in_schema=False)
async def applications(request: Req) -> Response[str]:
    """All of them."""
    return await _page(request)


@post("/applications", opt=needs(Permission.APPLICATION_MANAGE), include_in_schema=False)
async def add(request: Req) -> Response[str]:
    """Register one; its token is shown on the page that answers, and nowhere else."""
    name, profile, profiles, least = await fields(request, "name", "profile", "profiles", "least")
    wanted = Wanted(
        name.strip(), profile.strip() or None, tuple(profiles.replace(",", " ").split()),
        "allow" if least == "allow" else "restrict",
    )  # fmt: skip
    try:
        made = await services_of(request).applications.add(wanted, asker(request))
    except TrothError as error:
        return await _page(request, problem=error)
    return await _page(request, token=made.token, made=made.application.name)


@get("/applications/{name:str}/remove", opt=needs(Permission.APPLICATION_MANAGE), include_in_schema=False)
async def remove_preview(request: Req, name: FromPath[str]) -> Response[str]:
    """What taking it off does."""
    return await page(
        request, "confirm.html", area="applications", title=f"Take off {name[:80]}", reasons=[], typed="",
        text="From then on nobody is let in there by Troth's word.", note_label="", problem=None,
        hits=["Its token is answered 401, within two seconds."], action=f"/applications/{name[:80]}/remove",
        back="/applications", verb="Take it off", tone="danger", line=f"troth application remove {name[:80]}",
    )  # fmt: skip


@post("/applications/{name:str}/remove", opt=needs(Permission.APPLICATION_MANAGE), include_in_schema=False)
async def remove(request: Req, name: FromPath[str]) -> Response[Any]:
    """Take it off."""
    try:
        await services_of(request).applications.remove(name[:80], asker(request))
    except TrothError as error:
        return await _page(request, problem=error)
    return Redirect("/applications?done=application_removed", status_code=303)


HANDLERS = (applications, add, remove_preview, remove)
