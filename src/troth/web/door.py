"""The outermost layer: nothing reaches a handler that has not passed here, and nothing leaves without its headers.

In this order: the host must be ours; the sender is found out (Unix peer, API token, session cookie); a request that
changes something must come from our own pages (or from a program that has no cookie to abuse); the body is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie

import msgspec

from troth.access.model import Principal
from troth.access.service import Access
from troth.kit.errors import TrothError
from troth.kit.lane import Asgi, Receive, Scope, Send
from troth.web.errors import CROSS_ORIGIN, TOO_LARGE, WRONG_HOST
from troth.web.peercred import PEER_UID

#: ``__Host-``: only over HTTPS, only this host, only path ``/`` (RFC 6265bis, 4.1.3.2).
COOKIE = "__Host-troth"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_BODY = 4 * 1024 * 1024

#: Pages that a page itself asks for in the background; they keep no session alive.
_QUIET = frozenset({"/events/stream", "/waiting"})

HEADERS: Sequence[tuple[bytes, bytes]] = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (
        b"permissions-policy",
        b"camera=(), geolocation=(), microphone=(), usb=(), publickey-credentials-get=(self), "
        b"publickey-credentials-create=(self)",
    ),
)


class Door:
    """Wraps the application.

    Args:
        hosts: host names (without port) under which the dashboard is served; compared without case.
        owner_uid: see :class:`troth.web.services.AdminServices`.
    """

    def __init__(self, app: Asgi, access: Access, hosts: frozenset[str], owner_uid: int) -> None:
        self._app = app
        self._access = access
        self._hosts = frozenset(host.lower() for host in hosts)
        self._owner = owner_uid

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the module."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        local_uid = (scope.get("state") or {}).get(PEER_UID)
        dressed = _dressed(send)
        if local_uid is None and _hostname(headers.get(b"host", "")) not in self._hosts:
            await _refuse(dressed, TrothError(WRONG_HOST))
            return
        scope["user"] = await self._principal(scope, headers, local_uid)
        scope["auth"] = None
        if scope["method"] not in _SAFE and not _own_page(headers, scope["user"], local_uid):
            await _refuse(dressed, TrothError(CROSS_ORIGIN))
            return
        declared = headers.get(b"content-length", "0")
        if declared.isdigit() and int(declared[:12]) > _MAX_BODY:
            await _refuse(dressed, TrothError(TOO_LARGE, f"at most {_MAX_BODY // 1024} KiB"))
            return
        await self._app(scope, receive, dressed)

    async def _principal(self, scope: Scope, headers: dict[bytes, str], local_uid: int | None) -> Principal | None:
        if local_uid is not None:
            return self._access.local(local_uid, self._owner)
        kind, _, secret = headers.get(b"authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return await self._access.tokens.believe(secret.strip())
        cookie = session_secret(headers.get(b"cookie", ""))
        if cookie is None:
            return None
        return await self._access.sessions.believe(cookie, touch=scope["path"] not in _QUIET)


def session_secret(cookie_header: str) -> str | None:
    """The session's secret out of a Cookie header."""
    try:
        morsel = SimpleCookie(cookie_header).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel is not None and morsel.value else None


def _own_page(headers: dict[bytes, str], who: Principal | None, local_uid: int | None) -> bool:
    """Whether a change was asked for by our own page, or by a program.

    Browsers say where a request comes from (Fetch Metadata; Origin on every unsafe method), and a page cannot make
    them lie. A request without either is no browser's: it may pass if it carries no cookie that could be abused.
    """
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return local_uid is None and site == "same-origin"
    origin = headers.get(b"origin")
    if origin is not None:
        return local_uid is None and origin.lower() == f"https://{headers.get(b'host', '').lower()}"
    return (who is not None and who.via in ("token", "socket")) or b"cookie" not in headers


def _hostname(host: str) -> str:
    """The name out of a Host header: ``[::1]:8444`` → ``::1``."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _dressed(send: Send) -> Send:
    async def with_headers(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", ()))  # type: ignore[call-overload]
            names = {name.lower() for name, _ in given}
            given += [pair for pair in HEADERS if pair[0] not in names]
            if b"cache-control" not in names:
                given.append((b"cache-control", b"no-store"))
            message = {**message, "headers": given}
        await send(message)

    return with_headers  # type: ignore[return-value]


async def _refuse(send: Send, error: TrothError) -> None:
    body = msgspec.json.encode(problem(error))
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.reason.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


#: Facts of an error that a caller may need to go on.
_TOLD = frozenset({"correlation", "decision_id", "outcome", "file", "line", "field", "permission"})


def problem(error: TrothError) -> dict[str, object]:
    """A problem document (RFC 9457): the reason code is its type and stands beside it plainly."""
    return {
        "type": f"urn:troth:reason:{error.code}",
        "title": error.reason.summary,
        "status": error.reason.status,
        "detail": error.detail,
        "code": error.code,
        "fix": error.reason.fix,
        **{name: value for name, value in error.facts.items() if name in _TOLD and isinstance(value, (str, int))},
    }
