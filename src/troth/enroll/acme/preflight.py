"""Scripts in pages as clients: what a browser asks before it lets one POST (Fetch, 4.8, the CORS preflight).

``application/jose+json`` is no content type that a form could send, so without an answer here a page may read the
directory and do nothing else. Nothing is granted by it: each request carries its own signature, and no cookie counts.
"""

from __future__ import annotations

from collections.abc import Iterable

from troth.kit.lane import Request, Response, Route

#: Seconds for which a browser need not ask again; browsers take less for the most.
_REMEMBERED = b"86400"


def with_preflight(routes: Iterable[Route]) -> list[Route]:
    """``routes``, each of which tells by OPTIONS what may be done with it."""
    return [_answering(route) for route in routes]


def _answering(route: Route) -> Route:
    allow = (b"allow", ", ".join(sorted((*route.methods, "OPTIONS"))).encode())
    leave = (
        (b"access-control-allow-origin", b"*"),
        (b"access-control-allow-methods", ", ".join(sorted(route.methods)).encode()),
        (b"access-control-allow-headers", b"Content-Type"),
        (b"access-control-max-age", _REMEMBERED),
    )

    async def options(request: Request) -> Response:
        return Response(204, b"", (allow, *leave) if "origin" in request.headers else (allow,))

    return Route(
        route.pattern, {**route.methods, "OPTIONS": options}, permission=route.permission, max_body=route.max_body
    )
