"""The pages of access servers."""

from __future__ import annotations

from typing import Any, Literal, cast

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.web.api.nas import secret_of
from troth.web.errors import MALFORMED, WebError
from troth.web.forms import fields
from troth.web.guard import asker, needs
from troth.web.nas_views import SecretMade, SecretWanted
from troth.web.problems import shown
from troth.web.render import Req, page, services_of
from troth.web.views import EventFilter


@get("/network/nas", opt=needs(Permission.NETWORK_READ), include_in_schema=False)
async def access_servers(request: Req) -> Response[str]:
    """All of them, those to be looked at first."""
    found = await services_of(request).access_servers.list()
    ordered = sorted(found, key=lambda one: (one.state == "retired", not one.warnings, one.name))
    return await page(request, "access_servers.html", area="network", access_servers=ordered)


async def _one(
    request: Req, name: str, *, problem: TrothError | None = None, made: SecretMade | None = None
) -> Response[str]:
    services = services_of(request)
    found = await services.access_servers.get(name)
    events = await services.events.list(EventFilter(ref=f"nas:{found.name}", limit=20))
    return await page(
        request, "access_server.html", area="network", status=problem.reason.status if problem else 200, nas=found,
        addresses=await services.access_servers.addresses(name), events=events.items, made=made,
        problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/network/nas/{name:str}", opt=needs(Permission.NETWORK_READ), include_in_schema=False)
async def access_server(request: Req, name: FromPath[str]) -> Response[str]:
    """One access server: what was seen of each of its addresses."""
    return await _one(request, name)


@post("/network/nas/{name:str}/secret", opt=needs(Permission.NETWORK_WRITE), include_in_schema=False, status_code=200)
async def secret(request: Req, name: FromPath[str]) -> Response[Any]:
    """Make a secret, shown this once, or keep one that is brought."""
    how, brought = await fields(request, "how", "secret", longest=200)
    try:
        if how not in ("set", "rotate"):
            raise WebError(MALFORMED, "a secret is set or rotated")
        wanted = SecretWanted(how=cast("Literal['set', 'rotate']", how), secret=brought.strip())
        made = await secret_of(request, name, wanted)
    except TrothError as error:
        return await _one(request, name, problem=error)
    return await _one(request, name, made=made)


@post("/network/nas/{name:str}/do", opt=needs(Permission.NETWORK_WRITE), include_in_schema=False)
async def do(request: Req, name: FromPath[str]) -> Response[Any]:
    """Finish a rotation, or give it up."""
    what, force = await fields(request, "what", "force")
    book, by = services_of(request).access_servers, asker(request)
    try:
        if what == "finish":
            await book.finish(name, by, force=force == "yes")
        elif what == "abandon":
            await book.abandon(name, by)
        else:
            raise WebError(MALFORMED, "there is nothing of that kind to do")
    except TrothError as error:
        return await _one(request, name, problem=error)
    return Redirect(f"/network/nas/{name}?done=nas_{what}", status_code=303)


async def _ending(request: Req, name: str, what: str, problem: TrothError | None = None) -> Response[str]:
    found = await services_of(request).access_servers.get(name)
    retire = what == "retire"
    hits = [f"Whatever it asks is dropped: {found.proved} of its addresses have asked within 30 days.",
            "Its secrets are forgotten at once."]  # fmt: skip
    if not retire:
        hits.append("What was seen of it is forgotten; the ledger keeps what was done with it.")
    return await page(
        request, "confirm.html", area="network", status=problem.reason.status if problem else 200, tone="danger",
        title=f"{'Retire' if retire else 'Remove'} the access server {found.name}",
        text="Clients that it asks for get no answer from then on.", hits=hits,
        action=f"/network/nas/{found.name}/{what}", back=f"/network/nas/{found.name}",
        verb="Retire it" if retire else "Remove it", typed=found.name, note_required=False,
        note_label="Why" if retire else "", reasons=[], line=f"troth nas {what} {found.name}",
        problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/network/nas/{name:str}/retire", opt=needs(Permission.NETWORK_WRITE), include_in_schema=False)
async def retire_preview(request: Req, name: FromPath[str]) -> Response[str]:
    """What retiring it does."""
    return await _ending(request, name, "retire")


@get("/network/nas/{name:str}/remove", opt=needs(Permission.NETWORK_WRITE), include_in_schema=False)
async def remove_preview(request: Req, name: FromPath[str]) -> Response[str]:
    """What removing it does."""
    return await _ending(request, name, "remove")


@post("/network/nas/{name:str}/retire", opt=needs(Permission.NETWORK_WRITE), include_in_schema=False)
async def retire(request: Req, name: FromPath[str]) -> Response[Any]:
    """Retire it."""
    typed, note = await fields(request, "typed", "note")
    try:
        if typed.strip() != name:
            raise WebError(MALFORMED, "the name typed is not the access server's")
        await services_of(request).access_servers.retire(name, note[:500], asker(request))
    except TrothError as error:
        return await _ending(request, name, "retire", error)
    return Redirect(f"/network/nas/{name}?done=nas_retired", status_code=303)


@post("/network/nas/{name:str}/remove", opt=needs(Permission.NETWORK_WRITE), include_in_schema=False)
async def remove(request: Req, name: FromPath[str]) -> Response[Any]:
    """Remove it."""
    (typed,) = await fields(request, "typed")
    try:
        if typed.strip() != name:
            raise WebError(MALFORMED, "the name typed is not the access server's")
        await services_of(request).access_servers.remove(name, asker(request))
    except TrothError as error:
        return await _ending(request, name, "remove", error)
    return Redirect("/network/nas?done=nas_removed", status_code=303)


HANDLERS = (access_servers, access_server, secret, do, retire_preview, remove_preview, retire, remove)
