"""Found certificates over the API."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from litestar import get
from litestar.params import FromQuery

from troth.access.roles import Permission
from troth.web.books.found import FoundCounts, FoundFilter, FoundView, HostView
from troth.web.guard import needs
from troth.web.parameters import Days, LongLimit
from troth.web.render import Req, services_of
from troth.web.views import Page


@get("/inventory/certificates", opt=needs(Permission.CERTIFICATE_READ), operation_id="listFoundCertificates",
     tags=["Inventory"])  # fmt: skip
async def list_found(
    request: Req,
    days: Days = None,
    elsewhere: FromQuery[bool] = False,
    unknown_key: FromQuery[bool] = False,
    host: FromQuery[UUID | None] = None,
    gone: FromQuery[bool] = False,
    cursor: FromQuery[str] = "",
    limit: LongLimit = 50,
) -> Page[FoundView]:
    """Certificates that agents found on hosts, each place apart, in the order of expiry."""
    wanted = FoundFilter(
        days=days, elsewhere=elsewhere, unknown_key=unknown_key, host=host, gone=gone, cursor=cursor, limit=limit
    )
    return await services_of(request).found.search(wanted)


@get("/inventory/hosts", opt=needs(Permission.CERTIFICATE_READ), operation_id="listReportingHosts", tags=["Inventory"])
async def list_hosts(request: Req, host: FromQuery[UUID | None] = None) -> Sequence[HostView]:
    """Hosts whose agents report, the one that was silent longest first."""
    return await services_of(request).found.hosts(host)


@get("/inventory", opt=needs(Permission.CERTIFICATE_READ), operation_id="countFoundCertificates", tags=["Inventory"])
async def counts(request: Req) -> FoundCounts:
    """How much is found, each certificate once."""
    return await services_of(request).found.counts()


HANDLERS = [list_found, list_hosts, counts]
