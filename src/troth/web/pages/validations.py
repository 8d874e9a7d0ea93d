"""The page of failed validations."""

from __future__ import annotations

from litestar import Response, get
from litestar.params import FromQuery

from troth.access.roles import Permission
from troth.web.api.validations import validation_view
from troth.web.guard import needs
from troth.web.render import Req, page, services_of


@get("/acme/validations", opt=needs(Permission.ENROLMENT_READ), include_in_schema=False)
async def validations(request: Req, name: FromQuery[str] = "") -> Response[str]:
    """Why names could not be proved, the latest first."""
    name = name[:255].strip().lower()
    found = [validation_view(one) for one in await services_of(request).attempts.latest(name=name)]
    return await page(request, "validations.html", area="enrolments", validations=found, name=name)


HANDLERS = (validations,)
