"""The page of found certificates."""

from __future__ import annotations

from uuid import UUID

from litestar import Response, get
from litestar.params import FromQuery

from troth.access.roles import Permission
from troth.kit.ids import parse_id
from troth.web.books.found import SOON_DAYS, FoundFilter
from troth.web.guard import needs
from troth.web.pages.looking import link, one_of
from troth.web.render import Req, page, services_of

_SHOWN = (
    ("", "All that is there"),
    ("expiring", f"Ended, or ending within {SOON_DAYS} days"),
    ("elsewhere", "Issued elsewhere"),
    ("unknown", "With a key unknown here"),
    ("gone", "Also what is there no more"),
)
_LIMIT = 50


@get("/found", opt=needs(Permission.CERTIFICATE_READ), include_in_schema=False)
async def found(
    request: Req, show: FromQuery[str] = "", host: FromQuery[str] = "", cursor: FromQuery[str] = ""
) -> Response[str]:
    """What agents found on their hosts."""
    book, shown, of = services_of(request).found, one_of(show, _SHOWN), parse_id(host)
    wanted = FoundFilter(
        days=SOON_DAYS if shown == "expiring" else None,
        elsewhere=shown == "elsewhere",
        unknown_key=shown == "unknown",
        gone=shown == "gone",
        host=of,
        cursor=cursor,
        limit=_LIMIT,
    )
    result, same = await book.search(wanted), {"show": shown, "host": _text(of)}
    return await page(
        request, "found.html", area="certificates", shown=shown, choices=_SHOWN, page=result, host=_text(of),
        counts=await book.counts(), hosts=await book.hosts(of), self_url=link("/found", **same, cursor=cursor),
        first_url=link("/found", **same), next_url=link("/found", **same, cursor=result.next),
    )  # fmt: skip


def _text(of: UUID | None) -> str:
    return str(of) if of is not None else ""


HANDLERS = (found,)
