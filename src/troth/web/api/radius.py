"""The RADIUS server over the API."""

from __future__ import annotations

from litestar import get

from troth.access.roles import Permission
from troth.web.guard import needs
from troth.web.radius_views import RadiusIdentityView
from troth.web.render import Req, services_of


@get("/network/identity", opt=needs(Permission.NETWORK_READ), operation_id="getRadiusIdentity", tags=["Network"])
async def get_identity(request: Req) -> RadiusIdentityView:
    """The certificate that the RADIUS server shows, and what devices must be told to trust."""
    return await services_of(request).radius.identity()


HANDLERS = (get_identity,)
