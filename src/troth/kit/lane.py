"""The hot lane: bytes in, bytes out, on a bare ASGI callable.

The protocols at Troth's doors (ACME, OCSP, CRL) need a status, a few headers and a body, and nothing that a web
framework adds; a framework costs three times the CPU of this. A door writes ``async def handler(request) ->
Response`` and lists it in a :class:`Lane`; matching is an exact dictionary look-up, then a prefix with trailing
path parameters. Bodies are bounded *before* they are read whole.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, TypeAlias

import msgspec

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class Request(msgspec.Struct, frozen=True):
    """One request, body read whole.

    Attributes:
        method: upper-case.
        path: percent-decoded path, without the query.
        raw_path: the path as sent (OCSP GET needs it: base64 holds ``/`` and ``+``).
        params: path segments that a route's ``{}`` placeholders matched, in order.
        headers: names lower-case, latin-1 decoded; of doubled headers the last wins.
        body: at most the route's limit.
        client: peer address as text, or None on a Unix socket.
        tls_client_cert: DER of the client certificate when the listener asked for one.
        tls_client_chain: what it was verified by, the certificate itself first.
        tls_unique: the connection's tls-unique (RFC 5929); None in plain text, and under TLS 1.3, which has none.
    """

    method: str
    path: str
    raw_path: bytes
    query: bytes
    params: tuple[str, ...]
    headers: Mapping[str, str]
    body: bytes
    client: str | None = None
    tls_client_cert: bytes | None = None
    tls_client_chain: tuple[bytes, ...] = ()
    tls_unique: bytes | None = None


class Response(msgspec.Struct, frozen=True):
    """One answer. ``headers`` are (lower-case name, value) byte pairs; content-length is added.

    ``more`` follows ``body`` in pieces, for answers too large to be put together: each waits until the client has
    taken what came before.
    """

    status: int
    body: bytes = b""
    headers: Sequence[tuple[bytes, bytes]] = ()
    more: Sequence[bytes] = ()


Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One door.

    Attributes:
        pattern: ``/acme/new-order`` or with whole-segment placeholders, ``/acme/order/{}``; a last ``{*}``
            takes the rest of the path.
        methods: method → handler. HEAD is not implied.
        permission: who may call: ``public`` for protocol endpoints that authenticate the message itself.
        max_body: bytes; a longer body is answered 413 without being read.
    """

    pattern: str
    methods: Mapping[str, Handler]
    permission: str
    max_body: int = 65_536


@dataclass(frozen=True, slots=True)
class _Shape:
    """Patterns of one length with placeholders at the same places.

    Attributes:
        given: takes the segments that are given from all of a path's; ``holes``: places of those that are not.
        routes: what ``given`` takes from the pattern → (place in the lane's list, route).
    """

    given: Callable[[Sequence[str]], Any]
    holes: tuple[int, ...]
    routes: dict[Any, tuple[int, Route]]

    @classmethod
    def of(cls, segments: tuple[str, ...]) -> _Shape:
        """That of a pattern's segments; no route has it yet."""
        holes = tuple(at for at, segment in enumerate(segments) if segment == "{}")
        # The first is given always: it is what stands before the first slash.
        return cls(itemgetter(*(at for at in range(len(segments)) if at not in holes)), holes, {})


Refusal: TypeAlias = Callable[[Request, int, str], Response]


def plain_refusal(_request: Request, status: int, detail: str) -> Response:
    """The lane's own answers (404, 405, 413) as plain text; doors with problem documents pass their own."""
    return Response(status, detail.encode() + b"\n", ((b"content-type", b"text/plain; charset=utf-8"),))


@dataclass(slots=True)
class Lane:
    """An ASGI application over a list of routes.

    ``refusal`` words 404, 405 and 413 in the door's own manner. Exceptions of handlers are passed to ``on_error``,
    which must return an answer that leaks nothing.
    """

    routes: Sequence[Route]
    on_error: Callable[[Request, Exception], Awaitable[Response]]
    refusal: Refusal = plain_refusal
    _exact: dict[str, Route] = field(init=False, default_factory=dict)
    _shaped: dict[int, list[_Shape]] = field(init=False, default_factory=dict)
    _rest: list[tuple[str, Route]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        for number, route in enumerate(self.routes):
            segments = tuple(route.pattern.split("/"))
            if segments[-1] == "{*}":
                self._rest.append((route.pattern[:-3], route))
            elif "{}" in segments:
                shape = _Shape.of(segments)
                shapes = self._shaped.setdefault(len(segments), [])
                shape = next((one for one in shapes if one.holes == shape.holes), None) or shape
                if shape not in shapes:
                    shapes.append(shape)
                shape.routes.setdefault(shape.given(segments), (number, route))
            else:
                self._exact[route.pattern] = route

    def find(self, path: str) -> tuple[Route, tuple[str, ...]] | None:
        """The route for ``path`` and what its placeholders matched, or None."""
        exact = self._exact.get(path)
        if exact is not None:
            return exact, ()
        parts = path.split("/")
        best: tuple[int, Route] | None = None
        holes: tuple[int, ...] = ()
        for shape in self._shaped.get(len(parts), ()):
            found = shape.routes.get(shape.given(parts))
            # Of several that fit, the one that was listed first.
            if (
                found is not None
                and (best is None or found[0] < best[0])
                and "" not in [parts[at] for at in shape.holes]
            ):
                best, holes = found, shape.holes
        if best is not None:
            return best[1], tuple([parts[at] for at in holes])
        for prefix, route in self._rest:
            if path.startswith(prefix):
                return route, (path[len(prefix) :],)
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        found = self.find(path)
        client = scope.get("client")
        request = Request(
            method=scope["method"],
            path=path,
            raw_path=scope.get("raw_path") or path.encode(),
            query=scope.get("query_string", b""),
            params=found[1] if found else (),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            body=b"",
            client=client[0] if client else None,
            tls_client_cert=(scope.get("state") or {}).get("tls_client_cert"),
        )
        response = await self._answer(found[0] if found else None, request, receive)
        if response is None:
            return
        headers = list(response.headers)
        if response.status != 304:  # there it would have to be the length of what is not sent (RFC 9110, 8.6)
            size = len(response.body) + sum(map(len, response.more))
            headers.append((b"content-length", str(size).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        if request.method == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.body", "body": response.body, "more_body": bool(response.more)})
        for left, piece in zip(range(len(response.more) - 1, -1, -1), response.more, strict=True):
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})

    def refused(self, route: Route | None, request: Request) -> Response | None:
        """The lane's own answer, for which no body has to be read: 404, 405, or 413 for a body announced too large."""
        if route is None:
            return self.refusal(request, 404, "no such resource")
        if request.method not in route.methods:
            refused = self.refusal(request, 405, f"method {request.method} is not allowed here")
            allow = ", ".join(sorted(route.methods)).encode()
            return Response(refused.status, refused.body, (*refused.headers, (b"allow", allow)))
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:18]) > route.max_body:
            return self.too_large(route, request)
        return None

    def too_large(self, route: Route, request: Request) -> Response:
        """413: more has come than the route takes."""
        return self.refusal(request, 413, f"body larger than {route.max_body} bytes")

    async def respond(self, route: Route, request: Request) -> Response:
        """The handler's answer to a whole request that was not refused."""
        try:
            return await route.methods[request.method](request)
        except Exception as error:  # noqa: BLE001 -- the door words it; nothing may escape to the server
            return await self.on_error(request, error)

    async def _answer(self, route: Route | None, request: Request, receive: Receive) -> Response | None:
        refused = self.refused(route, request)
        if refused is not None or route is None:
            return refused
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > route.max_body:
                return self.too_large(route, request)
            more = message.get("more_body", False)
        return await self.respond(route, with_body(request, body) if body else request)


def with_body(request: Request, body: bytes) -> Request:
    """``request`` with its body, once that is here."""
    return Request(
        request.method,
        request.path,
        request.raw_path,
        request.query,
        request.params,
        request.headers,
        body,
        request.client,
        request.tls_client_cert,
        request.tls_client_chain,
        request.tls_unique,
    )


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
