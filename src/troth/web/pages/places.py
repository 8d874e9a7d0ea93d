"""The pages of places in the network, and of what each vendor's equipment makes of them."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.web.guard import asker, needs
from troth.web.problems import shown
from troth.web.render import Req, page, services_of
from troth.web.views import EventFilter


@get("/network/places", opt=needs(Permission.NETWORK_READ), include_in_schema=False)
async def places(request: Req) -> Response[str]:
    """All of them, and the vendors."""
    book = services_of(request).places
    return await page(request, "places.html", area="network", places=await book.list(), vendors=book.vendors())


@get("/network/places/{name:str}", opt=needs(Permission.NETWORK_READ), include_in_schema=False)
async def place(request: Req, name: FromPath[str], vendor: FromQuery[str] = "") -> Response[str]:
    """One place; with ``vendor``, the attributes that this vendor's equipment is sent."""
    return await _place(request, name, vendor)


async def _place(request: Req, name: str, vendor: str, problem: TrothError | None = None) -> Response[str]:
    services = services_of(request)
    found = await services.places.get(name)
    sent = await services.places.render(name, vendor[:64], wireless=None) if vendor else None
    events = await services.events.list(EventFilter(ref=f"network_place:{found.name}", limit=20))
    return await page(
        request, "place.html", area="network", place=found, sent=sent, events=events.items,
        matrix=await services.places.matrix(name), status=problem.reason.status if problem else 200,
        problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/network/vendors/{name:str}", opt=needs(Permission.NETWORK_READ), include_in_schema=False)
async def vendor(request: Req, name: FromPath[str]) -> Response[str]:
    """What is known of a vendor's equipment, and by which of its pages."""
    return await page(request, "vendor.html", area="network", vendor=services_of(request).places.vendor(name))


@get("/network/places/{name:str}/remove", opt=needs(Permission.NETWORK_WRITE), include_in_schema=False)
async def remove_preview(request: Req, name: FromPath[str]) -> Response[str]:
    """What removing it does."""
    found = await services_of(request).places.get(name)
    return await page(
        request, "confirm.html", area="network", title=f"Remove {found.name}", reasons=[], typed="", note_label="",
        text="Whoever would be put there by then is rejected.", problem=None,
        hits=["Sessions that are there stay until they are asked about anew."],
        action=f"/network/places/{found.name}/remove", back=f"/network/places/{found.name}", verb="Remove it",
        tone="danger", line=f"troth place remove {found.name}",
    )  # fmt: skip


@post("/network/places/{name:str}/remove", opt=needs(Permission.NETWORK_WRITE), include_in_schema=False)
async def remove(request: Req, name: FromPath[str]) -> Response[Any]:
    """Remove it."""
    try:
        await services_of(request).places.remove(name, asker(request))
    except TrothError as error:
        return await _place(request, name, "", error)
    return Redirect("/network/places?done=place_removed", status_code=303)


HANDLERS = (places, place, vendor, remove_preview, remove)
