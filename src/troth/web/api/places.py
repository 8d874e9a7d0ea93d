"""Places over the API, and what is known of each vendor's equipment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from litestar import delete, get
from litestar.params import FromPath, FromQuery, QueryParameter

from troth.access.roles import Permission
from troth.web.guard import asker, needs
from troth.web.place_views import PlaceView, RenderView, VendorView
from troth.web.render import Req, services_of

_TAGS = ["Network"]


@get("/network/places", opt=needs(Permission.NETWORK_READ), operation_id="listPlaces", tags=_TAGS)
async def list_places(request: Req) -> Sequence[PlaceView]:
    """All places, with what is lost of each on the equipment that there is."""
    return await services_of(request).places.list()


@get("/network/places/{name:str}", opt=needs(Permission.NETWORK_READ), operation_id="getPlace", tags=_TAGS)
async def get_place(request: Req, name: FromPath[str]) -> PlaceView:
    """One place."""
    return await services_of(request).places.get(name)


@get("/network/places/{name:str}/render", opt=needs(Permission.NETWORK_READ), operation_id="renderPlace", tags=_TAGS)
async def render_place(
    request: Req,
    name: FromPath[str],
    vendor: Annotated[str, QueryParameter(max_length=64)],
    medium: FromQuery[Literal["wired", "wireless"] | None] = None,
) -> RenderView:
    """The attributes of the Access-Accept that puts a client there. `medium`: where equipment has ports and radios."""
    wireless = None if medium is None else medium == "wireless"
    return await services_of(request).places.render(name, vendor, wireless=wireless)


@delete("/network/places/{name:str}", opt=needs(Permission.NETWORK_WRITE), operation_id="removePlace", tags=_TAGS)
async def remove_place(request: Req, name: FromPath[str]) -> None:
    """Forget a place that no network leads to."""
    await services_of(request).places.remove(name, asker(request))


@get("/network/vendors", opt=needs(Permission.NETWORK_READ), operation_id="listVendors", tags=_TAGS)
async def list_vendors(request: Req) -> Sequence[VendorView]:
    """What is known of each vendor's equipment, and by which of its pages."""
    return services_of(request).places.vendors()


@get("/network/vendors/{name:str}", opt=needs(Permission.NETWORK_READ), operation_id="getVendor", tags=_TAGS)
async def get_vendor(request: Req, name: FromPath[str]) -> VendorView:
    """One vendor."""
    return services_of(request).places.vendor(name)


HANDLERS = (list_places, get_place, render_place, remove_place, list_vendors, get_vendor)
