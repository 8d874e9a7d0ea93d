"""The pages of networks, and of who joined them and who did not."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.web.books.networks import sought
from troth.web.forms import fields
from troth.web.guard import asker, needs
from troth.web.problems import shown
from troth.web.render import Req, page, services_of
from troth.web.views import EventFilter

_SHOWN = 50
_OUTCOMES = frozenset({"allow", "restrict", "quarantine", "deny"})


@get("/network/networks", opt=needs(Permission.NETWORK_READ), include_in_schema=False)
async def networks(request: Req) -> Response[str]:
    """All networks, and others' revocation lists."""
    services = services_of(request)
    book = services.networks
    return await page(
        request, "networks.html", area="network", networks=await book.list(), crls=await book.crls(),
        sources=await book.crl_sources(), identity=await services.radius.present(),
    )  # fmt: skip


@get("/network/networks/{name:str}", opt=needs(Permission.NETWORK_READ), include_in_schema=False)
async def network(request: Req, name: FromPath[str]) -> Response[str]:
    """One network: what it matches, whom it admits, what happened lately."""
    return await _network(request, name)


async def _network(request: Req, name: str, problem: TrothError | None = None) -> Response[str]:
    services = services_of(request)
    found = await services.networks.get(name)
    events = await services.events.list(EventFilter(ref=f"network:{found.name}", limit=20))
    latest = await services.conversations.list(sought(network=found.name), limit=10)
    return await page(
        request, "network.html", area="network", network=found, events=events.items, conversations=latest,
        status=problem.reason.status if problem else 200, problem=shown(problem) if problem else None,
    )  # fmt: skip


@post("/network/networks/{name:str}/breaker", opt=needs(Permission.NETWORK_WRITE), include_in_schema=False)
async def breaker(request: Req, name: FromPath[str]) -> Response[Any]:
    """The refusals are right."""
    (note,) = await fields(request, "note")
    try:
        await services_of(request).networks.close_breaker(name, asker(request), note=note[:500])
    except TrothError as error:
        return await _network(request, name, error)
    return Redirect(f"/network/networks/{name}?done=network_breaker", status_code=303)


async def _remove(request: Req, name: str, problem: TrothError | None = None) -> Response[str]:
    found = await services_of(request).networks.get(name)
    return await page(
        request, "confirm.html", area="network", title=f"Remove {found.name}", reasons=[], typed=found.name,
        text="Whoever joins it from then on is refused.", note_required=False, note_label="",
        hits=["Sessions that were let in stay until they are asked about anew, and are refused then."],
        action=f"/network/networks/{found.name}/remove", back=f"/network/networks/{found.name}", verb="Remove it",
        tone="danger", line=f"troth network remove {found.name}", status=problem.reason.status if problem else 200,
        problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/network/networks/{name:str}/remove", opt=needs(Permission.NETWORK_WRITE), include_in_schema=False)
async def remove_preview(request: Req, name: FromPath[str]) -> Response[str]:
    """What removing it does."""
    return await _remove(request, name)


@post("/network/networks/{name:str}/remove", opt=needs(Permission.NETWORK_WRITE), include_in_schema=False)
async def remove(request: Req, name: FromPath[str]) -> Response[Any]:
    """Remove it."""
    (typed,) = await fields(request, "typed")
    try:
        if typed.strip() == name:
            await services_of(request).networks.remove(name, asker(request))
            return Redirect("/network/networks?done=network_removed", status_code=303)
    except TrothError as error:
        return await _remove(request, name, error)
    return await _remove(request, name)


@get("/network/connections", opt=needs(Permission.NETWORK_READ), include_in_schema=False)
async def connections(
    request: Req,
    mac: FromQuery[str] = "",
    user: FromQuery[str] = "",
    serial: FromQuery[str] = "",
    network: FromQuery[str] = "",
    outcome: FromQuery[str] = "",
    before: FromQuery[UUID | None] = None,
) -> Response[str]:
    """Who wanted to join, and what came of it."""
    services = services_of(request)
    asked = {"mac": mac[:64], "user": user[:253], "serial": serial[:64], "network": network[:63], "outcome": outcome}
    if outcome not in _OUTCOMES:
        asked["outcome"] = ""
    wanted = sought(
        mac_address=asked["mac"].strip(), user=asked["user"].strip(), serial=asked["serial"].strip(),
        network=asked["network"], outcome=asked["outcome"],
    )  # fmt: skip
    found = await services.conversations.list(wanted, before=before, limit=_SHOWN)
    return await page(
        request, "connections.html", area="connections", conversations=found, asked=asked,
        networks=[one.name for one in await services.networks.list()],
        more=found[-1].id if len(found) == _SHOWN else None,
    )  # fmt: skip


@get("/network/connections/{conversation_id:uuid}", opt=needs(Permission.NETWORK_READ), include_in_schema=False)
async def connection(request: Req, conversation_id: FromPath[UUID]) -> Response[str]:
    """One attempt, line by line."""
    found = await services_of(request).conversations.get(conversation_id)
    return await page(request, "connection.html", area="connections", one=found)


HANDLERS = (networks, network, breaker, remove_preview, remove, connections, connection)
