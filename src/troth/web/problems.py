"""Every error becomes either a problem document (API) or a page (people), here and nowhere else.

Whoever is not logged in learns nothing: an address that does not exist answers like one that does.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException
from litestar.response import Redirect

from troth.access.errors import FORBIDDEN, NOT_LOGGED_IN
from troth.kit.errors import INTERNAL, Reason, TrothError, trace_of
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.store.errors import unfit
from troth.web import errors
from troth.web.asking import Proposed
from troth.web.door import problem as problem_document
from troth.web.guard import principal_of
from troth.web.render import Req, renderer_of

log = get_logger("web")

PROBLEM_JSON = "application/problem+json"


class Shown(msgspec.Struct, frozen=True):
    """An error as a template shows it."""

    title: str
    detail: str
    fix: str
    code: str


def shown(error: TrothError) -> Shown:
    """``error`` for a template."""
    return Shown(error.reason.summary, error.detail, error.reason.fix, error.code)


def wants_json(request: Req) -> bool:
    """Whether the answer is for a program."""
    path, sent = request.url.path, request.headers.get("content-type", "")
    return (
        path.startswith("/api/")
        or path in ("/api", "/events/stream", "/waiting")
        or sent.startswith("application/json")
    )


def on_error(request: Req, error: Exception) -> Response[Any]:
    """The one exception handler."""
    if isinstance(error, Proposed):
        return _proposed(request, error)
    known = _known(request, error)
    if known.reason is NOT_LOGGED_IN and not wants_json(request):
        after = request.url.path if request.method == "GET" else "/"
        return Redirect("/login" if after == "/" else f"/login?next={quote(after)}", status_code=303)
    headers = {"www-authenticate": 'Bearer realm="troth"'} if known.reason is NOT_LOGGED_IN else {}
    if wants_json(request):
        body = msgspec.json.encode(problem_document(known))
        return Response(body, media_type=PROBLEM_JSON, status_code=known.reason.status, headers=headers)
    return renderer_of(request).plain_page(
        request,
        "problem.html",
        status=known.reason.status,
        problem=shown(known),
        correlation=known.facts.get("correlation", ""),
    )


def _proposed(request: Req, made: Proposed) -> Response[Any]:
    """Nothing failed: the act waits for approval."""
    waiting = made.waiting
    if wants_json(request):
        headers = {"location": waiting.url}
        return Response(msgspec.json.encode(waiting), media_type="application/json", status_code=202, headers=headers)
    return Redirect(f"{waiting.page}?done=proposed", status_code=303)


def _known(request: Req, error: Exception) -> TrothError:
    """``error`` as one with a reason; what is inside Troth goes to the log and not to the caller."""
    if isinstance(error, HTTPException) and principal_of(request) is None:
        return TrothError(NOT_LOGGED_IN)
    if isinstance(error, TrothError) and error.reason.status < 500:
        return error
    if isinstance(error, HTTPException) and error.status_code < 500:
        return TrothError(_http(error.status_code), _detail(error))
    if _not_text(error):
        return TrothError(errors.MALFORMED, "the body is not JSON in UTF-8")
    correlation = str(new_id())
    if unfit(error):
        # It came with the request: what is bounded by its declaration has been refused before.
        log.warning("web.unfit_value", path=request.url.path, correlation=correlation, error=str(error)[:300])
        return TrothError(errors.MALFORMED, "a text holds a NUL character, or a number is larger than any here")
    if isinstance(error, TrothError) and error.expected:
        log.warning("web.refused", path=request.url.path, correlation=correlation, code=error.code, detail=error.detail)
        return TrothError(error.reason, error.reason.summary, correlation=correlation)
    log.error("web.failed", path=request.url.path, correlation=correlation, exc_info=trace_of(error))
    if isinstance(error, TrothError):
        return TrothError(error.reason, error.reason.summary, correlation=correlation)
    return TrothError(INTERNAL, "the log has the detail under the correlation id", correlation=correlation)


def _not_text(error: Exception) -> bool:
    """Whether the framework could not read the body as text. msgspec raises UnicodeDecodeError there, which Litestar
    does not expect; the same error from a room of ours is a failure of ours."""
    trace = error.__traceback__ if isinstance(error, UnicodeDecodeError) else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).startswith("litestar.")


def _http(status: int) -> Reason:
    return {401: NOT_LOGGED_IN, 403: FORBIDDEN, 404: errors.NOT_FOUND, 405: errors.METHOD, 413: errors.TOO_LARGE}.get(
        status, errors.MALFORMED
    )


def _detail(error: HTTPException) -> str:
    if error.status_code != 400:
        return ""
    parts = [
        f"{item.get('key', '')}: {item.get('message', '')}".strip(": ")
        for item in error.extra or ()
        if isinstance(item, dict)
    ]
    return "; ".join(parts) or error.detail
