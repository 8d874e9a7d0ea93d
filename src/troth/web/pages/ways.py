"""The page of the other ways in: servers that conversations are handed on to, and devices without certificates."""

from __future__ import annotations

from litestar import Response, get

from troth.access.roles import Permission
from troth.web.guard import needs
from troth.web.render import Req, page, services_of


@get("/network/ways", opt=needs(Permission.NETWORK_READ), include_in_schema=False)
async def ways(request: Req) -> Response[str]:
    """All of them on one page."""
    book = services_of(request).ways
    return await page(
        request, "ways.html", area="network", pools=await book.pools(), addresses=await book.addresses(),
        accounts=await book.accounts(),
    )  # fmt: skip


HANDLERS = (ways,)
