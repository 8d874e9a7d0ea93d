"""HTTP on loopback that behaves like a vendor's API, and misbehaves when told to.

    class Falcon(FakeVendor):
        def routes(self): return {("GET", "/devices/queries/devices-scroll/v1"): self.hosts}
        async def hosts(self, call): return Reply(200, {"resources": [...]})

    async with Falcon(clock) as falcon:
        falcon.faults.append(Fault(status=429, headers={"retry-after": "2"}))

Faults are used up one by one, by the first call whose path begins with theirs.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from typing import Any, Self, TypeAlias
from urllib.parse import parse_qs, urlsplit

from tests.support.streams import serving
from troth.kit.clock import FakeClock


@dataclass(frozen=True)
class Call:
    """One request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else {}

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


@dataclass(frozen=True)
class Reply:
    """An answer. ``body``: JSON, or bytes as they are. ``chunks``: goes on with these, for as long as they come."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: AsyncIterator[bytes] | None = None


@dataclass
class Fault:
    """What goes wrong with one call.

    Attributes:
        path: which calls: those whose path begins so.
        status, headers, body: answered in place of what would have been.
        cut: only this many bytes of the body are sent, as if that were all.
        silent: the connection is closed without a word.
        slow: no answer before this event is set.
        before: run before the real answer: to change what lies there while it is read.
        times: how many calls.
    """

    path: str = "/"
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    cut: int | None = None
    silent: bool = False
    slow: asyncio.Event | None = None
    before: Callable[[], None] | None = None
    times: int = 1


Handler: TypeAlias = Callable[[Call], Awaitable[Reply]]


class FakeVendor:
    """A vendor on loopback.

    Attributes:
        calls: every request, in order.
        client_id, client_secret: who is let in. scopes: what is granted: each route names what it needs.
        tokens: those that are good, with the moment of their end.
        skew: how far its clock is ahead.
    """

    token_path = "/oauth2/token"
    token_status = 200
    token_seconds = 1800

    def __init__(self, clock: FakeClock, *, scopes: set[str] | None = None) -> None:
        self.clock = clock
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.client_id, self.client_secret = "client-1", "s3cret&/+ %"
        self.scopes = scopes
        self.tokens: dict[str, float] = {}
        self.skew = timedelta(0)
        self.port = 0
        self._stack = AsyncExitStack()

    # --- what a vendor says ------------------------------------------------------------------------------------------

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) → handler. A path that ends in ``*`` matches whatever begins so."""
        return {}

    def needs(self, call: Call) -> str | None:
        """The scope that a call needs; None: none is checked."""
        return None

    def unauthorized(self) -> Reply:
        """The answer to a token that is not good."""
        return Reply(401, {"errors": [{"code": 401, "message": "access denied, invalid bearer token"}]})

    def forbidden(self, scope: str) -> Reply:
        """The answer to a call whose scope was not granted."""
        return Reply(403, {"errors": [{"code": 403, "message": "access denied, authorization failed"}]})

    def client_known(self, call: Call) -> bool:
        """Whether the client proves itself, by form or header (RFC 6749, 2.3.1)."""
        form = call.form
        given = (form.get("client_id", ""), form.get("client_secret", ""))
        authorization = call.headers.get("authorization", "")
        if authorization.startswith("Basic "):
            from urllib.parse import unquote_plus

            left, _, right = base64.b64decode(authorization[6:]).decode().partition(":")
            given = (unquote_plus(left), unquote_plus(right))
        return given == (self.client_id, self.client_secret)

    def authorized(self, call: Call) -> bool:
        """Whether the call carries a token that is good now."""
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        return self.tokens.get(token, 0) > self.clock.monotonic()

    async def token(self, call: Call) -> Reply:
        """RFC 6749, 4.4.2 and 5."""
        if not self.client_known(call):
            return Reply(401, {"error": "invalid_client", "error_description": "no"})
        token = f"token-{len(self.tokens) + 1}"
        self.tokens[token] = self.clock.monotonic() + self.token_seconds
        told = {"access_token": token, "token_type": "bearer", "expires_in": self.token_seconds}
        return Reply(self.token_status, told)

    def forget_tokens(self) -> None:
        """Every token is refused from now on."""
        self.tokens = dict.fromkeys(self.tokens, 0.0)

    # --- how it is told ----------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def seen(self, path: str) -> list[Call]:
        """The calls of a path."""
        return [call for call in self.calls if call.path == path]

    async def __aenter__(self) -> Self:
        self.port = await self._stack.enter_async_context(serving(self._serve))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = await _read(reader)
        self.calls.append(call)
        fault = self._fault(call)
        if fault is not None:
            if fault.slow is not None:
                await fault.slow.wait()
            if fault.silent:
                writer.transport.abort()
                return
            if fault.before is not None:
                fault.before()
        if fault is not None and fault.status is not None:
            reply = Reply(fault.status, fault.body, fault.headers)
        else:
            reply = await self._answer(call)
        await self._write(writer, reply, None if fault is None else fault.cut)

    def _fault(self, call: Call) -> Fault | None:
        for fault in self.faults:
            if call.path.startswith(fault.path):
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    async def _answer(self, call: Call) -> Reply:
        if call.path == self.token_path:
            return await self.token(call)
        for (method, path), handler in self.routes().items():
            if method == call.method and (call.path == path or (path[-1] == "*" and call.path.startswith(path[:-1]))):
                if not self.authorized(call):
                    return self.unauthorized()
                scope = self.needs(call)
                if scope is not None and self.scopes is not None and scope not in self.scopes:
                    return self.forbidden(scope)
                return await handler(call)
        return Reply(404, {"errors": [{"code": 404, "message": "not found"}]})

    async def _write(self, writer: asyncio.StreamWriter, reply: Reply, cut: int | None) -> None:
        body = reply.body if isinstance(reply.body, bytes) else b"" if reply.body is None else _encoded(reply.body)
        body = body[:cut]
        head = [f"HTTP/1.1 {reply.status} X", f"date: {format_datetime(self.clock.now() + self.skew)}",
                *(f"{name}: {value}" for name, value in reply.headers.items()), "connection: close"]  # fmt: skip
        if reply.chunks is None:
            head.append(f"content-length: {len(body)}")
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        await writer.drain()
        if reply.chunks is not None:
            async for chunk in reply.chunks:
                writer.write(chunk)
                await writer.drain()


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


async def _read(reader: asyncio.StreamReader) -> Call:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    pairs = [line.partition(":") for line in head[1:] if line]
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    return Call(method, parts.path, query, headers, body)
