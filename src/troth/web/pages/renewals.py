"""The page of incidents: certificates that are to be renewed early, and how far that has come."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.web.api.renewals import incident_view
from troth.web.asking import ask
from troth.web.errors import MALFORMED, WebError
from troth.web.forms import fields
from troth.web.guard import asker, needs
from troth.web.problems import shown
from troth.web.render import Req, page, services_of

_FIELDS = ("authority", "profile", "key_algorithm", "issued_before", "per_minute", "note", "act")


async def _renewals(
    request: Req, *, problem: TrothError | None = None, lines: tuple[str, ...] = (), given: dict[str, str] | None = None
) -> Response[str]:
    incidents = services_of(request).incidents
    return await page(
        request, "renewals.html", area="certificates", status=problem.reason.status if problem else 200,
        incidents=[await incident_view(incidents, one) for one in await incidents.latest()], most=incidents.most,
        lines=lines, given=dict.fromkeys(_FIELDS, "") | (given or {}),
        problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/renewals", opt=needs(Permission.CERTIFICATE_READ), include_in_schema=False)
async def renewals(request: Req) -> Response[str]:
    """Incidents, and what it takes to begin one."""
    return await _renewals(request)


@post("/renewals", opt=needs(Permission.CERTIFICATE_REVOKE), include_in_schema=False, status_code=200)
async def renew_early(request: Req) -> Response[Any]:
    """Show what would be renewed early, or have it done."""
    given = dict(zip(_FIELDS, await fields(request, *_FIELDS), strict=True))
    try:
        if not given["per_minute"].strip().isdigit():
            raise WebError(MALFORMED, "say how many in a minute")
        payload: dict[str, Any] = {name: value for name in _FIELDS[:4] if (value := given[name].strip())}
        payload |= {"per_minute": int(given["per_minute"]), "note": given["note"][:500]}
        if given["act"] != "start":
            preview, _ = await services_of(request).approvals.preview("renewal.early", payload, asker(request))
            return await _renewals(request, lines=preview.lines, given=given)
        await ask(request, "renewal.early", payload, comment=given["note"])
    except TrothError as error:
        return await _renewals(request, problem=error, given=given)
    return Redirect("/renewals", status_code=303)


@post("/renewals/{incident:uuid}/end", opt=needs(Permission.CERTIFICATE_REVOKE), include_in_schema=False)
async def end(request: Req, incident: FromPath[UUID]) -> Response[Any]:
    """End one."""
    (note,) = await fields(request, "note")
    try:
        await services_of(request).incidents.end(incident, actor=asker(request).actor, note=note)
    except TrothError as error:
        return await _renewals(request, problem=error)
    return Redirect("/renewals", status_code=303)


HANDLERS = (renewals, renew_early, end)
