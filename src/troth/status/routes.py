"""The plain HTTP door: OCSP, CRLs, CA certificates, and what operators' machines ask."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
from datetime import datetime, timedelta
from urllib.parse import unquote_to_bytes

import msgspec

from troth.kit.clock import to_seconds
from troth.kit.errors import trace_of
from troth.kit.ids import new_id
from troth.kit.lane import Asgi, Lane, Request, Response, Route, plain_refusal
from troth.kit.log import get_logger
from troth.pki.ocsp import INTERNAL_ERROR, MALFORMED_REQUEST
from troth.status.metrics import Gauges, render
from troth.status.published import Document, Published, http_date
from troth.status.service import Answer, OcspService

log = get_logger("status")

OCSP_REQUEST_TYPE = "application/ocsp-request"
OCSP_RESPONSE_TYPE = b"application/ocsp-response"
MAX_BODY = 8192
#: Base64 with every character percent-encoded takes four octets for three; anything longer is no request of ours.
_MAX_PATH = MAX_BODY * 4
#: A hold is told by everybody within a second, caches in between included: they may keep an answer, and must ask each
#: time whether it still stands (RFC 9111, 5.2.2.2; a second of their own would be one too many).
_MAX_AGE = timedelta(0)

_NO_STORE = (
    (b"content-type", OCSP_RESPONSE_TYPE),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
_CACHEABLE = (
    (b"content-type", OCSP_RESPONSE_TYPE),
    (b"cache-control", b"max-age=0, public, no-transform, must-revalidate"),
    (b"x-content-type-options", b"nosniff"),
)
_TEXT = ((b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"))
_JSON = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
_METRICS = ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"), (b"cache-control", b"no-store"))

_MALFORMED = Response(200, MALFORMED_REQUEST, _NO_STORE)
_NOT_AN_OCSP_REQUEST = Response(415, MALFORMED_REQUEST, _NO_STORE)
_INTERNAL = Response(200, INTERNAL_ERROR, _NO_STORE)


class StatusDoor:
    """What answers on the http listener; ``lane()`` is the ASGI application."""

    def __init__(self, service: OcspService, published: Published, gauges: Gauges) -> None:
        self._service = service
        self._published = published
        self._gauges = gauges
        self._dates: tuple[datetime | None, tuple[tuple[bytes, bytes], ...]] = (None, ())

    def lane(self) -> Asgi:
        """The application."""
        document = {"GET": self._document, "HEAD": self._document}
        crl = {"GET": self._crl, "HEAD": self._crl}
        ocsp = {"GET": self._ocsp_get, "POST": self._ocsp_post}
        routes = (
            Route("/ocsp/{}", {"POST": self._ocsp_post}, permission="public", max_body=MAX_BODY),
            Route("/ocsp/{*}", ocsp, permission="public", max_body=MAX_BODY),
            Route("/crl/{}", crl, permission="public", max_body=0),
            Route("/crl/{}/{}", crl, permission="public", max_body=0),
            Route("/ca/{}", document, permission="public", max_body=0),
            Route("/ca/{}/chain.pem", document, permission="public", max_body=0),
            Route("/ca/{}/{}", document, permission="public", max_body=0),
            Route("/root.pem", document, permission="public", max_body=0),
            Route("/roots.pem", document, permission="public", max_body=0),
            Route("/roots.p7c", document, permission="public", max_body=0),
            Route("/roots.txt", document, permission="public", max_body=0),
            Route("/livez", {"GET": self._alive, "HEAD": self._alive}, permission="public", max_body=0),
            Route("/readyz", {"GET": self._ready, "HEAD": self._ready}, permission="public", max_body=0),
            Route("/metrics", {"GET": self._metrics}, permission="public", max_body=0),
        )
        return Lane(routes, on_error=_on_error, refusal=_refuse)

    async def _ocsp_post(self, request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != OCSP_REQUEST_TYPE:
            return _NOT_AN_OCSP_REQUEST
        slug, _, rest = request.params[0].partition("/")
        if rest:
            return plain_refusal(request, 404, "no such resource")
        return self._sent(await self._service.answer(slug, request.body), cacheable=False)

    async def _ocsp_get(self, request: Request) -> Response:
        # From the path as sent: a server that decodes %2F would have cut the base64 in two.
        _, _, tail = request.raw_path.partition(b"/ocsp/")
        slug, _, encoded = tail.partition(b"/")
        if len(encoded) > _MAX_PATH:
            return _MALFORMED
        try:
            body = base64.b64decode(unquote_to_bytes(encoded), validate=True)
        except binascii.Error:
            return _MALFORMED
        answer = await self._service.answer(slug.decode("latin-1"), body)
        return self._sent(answer, cacheable=True)

    def _sent(self, answer: Answer, *, cacheable: bool) -> Response:
        if answer.signed_at is None or answer.fresh:
            return Response(200, answer.der, _NO_STORE)
        if not cacheable:
            return Response(200, answer.der, _CACHEABLE)
        second = to_seconds(answer.signed_at)
        if self._dates[0] != second:
            dates = ((b"last-modified", http_date(second)), (b"expires", http_date(second + _MAX_AGE)))
            self._dates = second, (*_CACHEABLE, *dates)
        etag = hashlib.sha256(answer.der).hexdigest()[:32].encode()
        return Response(200, answer.der, (*self._dates[1], (b"etag", b'"' + etag + b'"')))

    async def _crl(self, request: Request) -> Response:
        return _document_or_404(self._published.crl("/".join(request.params)), request)

    async def _document(self, request: Request) -> Response:
        return _document_or_404(self._published.certificate(request.path[1:]), request)

    async def _alive(self, _request: Request) -> Response:
        return Response(200, b"alive\n", _TEXT)

    async def _ready(self, _request: Request) -> Response:
        trouble = self._service.trouble(self._published.authorities)
        if not trouble:
            return Response(200, b'{"ready":true}\n', _JSON)
        reasons = [
            {"code": reason.code, "authority": slug or None, "summary": reason.summary}
            for slug, reason in sorted(trouble.items())
        ]
        return Response(503, msgspec.json.encode({"ready": False, "reasons": reasons}) + b"\n", _JSON)

    async def _metrics(self, request: Request) -> Response:
        if not _is_local(request.client):
            return plain_refusal(request, 404, "no such resource")
        return Response(200, render(self._gauges, self._service.counts), _METRICS)


def _document_or_404(document: Document | None, request: Request) -> Response:
    if document is None:
        return plain_refusal(request, 404, "no such resource")
    return document.answer(request)


def _refuse(request: Request, status: int, detail: str) -> Response:
    if status == 413 and request.path.startswith("/ocsp/"):
        return Response(status, MALFORMED_REQUEST, _NO_STORE)
    return plain_refusal(request, status, detail)


async def _on_error(request: Request, error: Exception) -> Response:
    correlation = str(new_id())
    log.error("status.failed", correlation_id=correlation, path=request.path[:200], exc_info=trace_of(error))
    if request.path.startswith("/ocsp/"):
        return _INTERNAL
    return plain_refusal(request, 500, f"something failed inside Troth; correlation id {correlation}")


def _is_local(client: str | None) -> bool:
    if client is None:
        return True
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False
