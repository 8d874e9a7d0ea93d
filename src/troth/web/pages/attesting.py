"""Pages of attestations: the list, one with every check, and an inspection of one that is at hand."""

from __future__ import annotations

from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.kit.ids import parse_id
from troth.web.forms import fields
from troth.web.guard import needs
from troth.web.pages.looking import link
from troth.web.problems import shown
from troth.web.render import Req, page, services_of

_LIMIT = 50
_LONGEST = 300_000


@get("/attestations", opt=needs(Permission.CERTIFICATE_READ), include_in_schema=False)
async def attestations(request: Req, device: FromQuery[str] = "", cursor: FromQuery[str] = "") -> Response[str]:
    """Statements that were judged, the latest first."""
    book, of = services_of(request).attestations, parse_id(device)
    found = await book.page(device=of, cursor=cursor, limit=_LIMIT)
    same = {"device": str(of) if of is not None else ""}
    return await page(
        request, "attestations.html", area="certificates", page=found, cursor=cursor, roots=await book.roots(),
        status_list=await book.status(), first_url=link("/attestations", **same),
        next_url=link("/attestations", **same, cursor=found.next),
    )  # fmt: skip


@get("/attestations/{attestation:uuid}", opt=needs(Permission.CERTIFICATE_READ), include_in_schema=False)
async def attestation(request: Req, attestation: FromPath[UUID]) -> Response[str]:
    """One with every check and field."""
    found = await services_of(request).attestations.get(attestation)
    return await page(request, "attestation.html", area="certificates", one=found, report=found.report)


async def _form(
    request: Req, *, statement: str = "", authorization: str = "", identifier: str = "", report: object = None,
    problem: TrothError | None = None,
) -> Response[str]:  # fmt: skip
    return await page(
        request, "attestation_inspect.html", area="certificates", statement=statement, authorization=authorization,
        identifier=identifier, report=report,
        status=problem.reason.status if problem else 200, problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/attestations/inspect", opt=needs(Permission.CERTIFICATE_READ), include_in_schema=False)
async def form(request: Req) -> Response[str]:
    """Where a statement is pasted."""
    return await _form(request)


@post("/attestations/inspect", opt=needs(Permission.CERTIFICATE_READ), include_in_schema=False)
async def inspect(request: Req) -> Response[str]:
    """What every check says of it. Nothing is written."""
    statement, authorization, identifier = await fields(
        request, "statement", "authorization", "identifier", longest=_LONGEST
    )
    try:
        report = await services_of(request).attestations.inspect(
            statement.encode(), key_authorization=authorization.strip(), identifier=identifier.strip()
        )
    except TrothError as error:
        return await _form(
            request, statement=statement, authorization=authorization, identifier=identifier, problem=error
        )
    return await _form(request, statement=statement, authorization=authorization, identifier=identifier, report=report)


HANDLERS = (attestations, attestation, form, inspect)
