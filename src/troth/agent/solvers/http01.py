"""http-01: files below a web server's root, or a small server of our own while it is needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from troth.agent import disk
from troth.agent.errors import CHALLENGE, AgentError
from troth.agent.solvers.model import Proof

_PATH = "/.well-known/acme-challenge/"
_MOST_HEAD = 8192
_PATIENCE = 10.0


class WebRootSolver:
    """Puts the answer where a web server finds it."""

    challenge = "http-01"

    def __init__(self, root: Path) -> None:
        self._root = root

    @asynccontextmanager
    async def shown(self, proof: Proof) -> AsyncIterator[Mapping[str, Any]]:
        # Whoever may write below the root could put a link there at any moment, and we write as root.
        with disk.below(self._root, *_PATH.strip("/").split("/"), mode=0o755) as place:
            place.write(proof.token, proof.key_authorization.encode("ascii"), mode=0o644)
            try:
                yield {}
            finally:
                place.remove(proof.token)


class HttpListeners:
    """Servers on a port, each open while somebody shows a proof there; certificates that renew together share one."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], _Listener] = {}
        self._gate = asyncio.Lock()

    @asynccontextmanager
    async def shown(self, address: str, port: int, proof: Proof) -> AsyncIterator[None]:
        """Serve ``proof`` at ``address``, every one if empty. Raises AgentError if the port cannot be had."""
        key = (address, port)
        async with self._gate:
            listener = self._open.get(key)
            if listener is None:
                listener = self._open[key] = await _Listener.start(address, port)
        listener.tokens[proof.token] = proof.key_authorization
        try:
            yield
        finally:
            del listener.tokens[proof.token]
            if not listener.tokens:
                self._open.pop(key, None)
                listener.stop()


class HttpSolver:
    """Answers on a port of its own."""

    challenge = "http-01"

    def __init__(self, listeners: HttpListeners, address: str, port: int) -> None:
        self._listeners, self._address, self._port = listeners, address, port

    @asynccontextmanager
    async def shown(self, proof: Proof) -> AsyncIterator[Mapping[str, Any]]:
        async with self._listeners.shown(self._address, self._port, proof):
            yield {}


class _Listener:
    """GET of a token that is shown just now; everything else is 404. It says nothing else to anybody."""

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}
        self._server: asyncio.Server | None = None

    @classmethod
    async def start(cls, address: str, port: int) -> _Listener:
        listener = cls()
        try:
            listener._server = await asyncio.start_server(
                listener._serve, address or None, port, limit=_MOST_HEAD, reuse_address=True
            )
        except OSError as error:
            detail = f"port {port}{' of ' + address if address else ''} cannot be had for http-01: {error.strerror}"
            raise AgentError(CHALLENGE, detail) from error
        return listener

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self.answer(head))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked so gets no answer
        finally:
            writer.close()

    def answer(self, head: bytes) -> bytes:
        """The whole answer to a request's head."""
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
        told = self.tokens.get(path.removeprefix(_PATH)) if method == b"GET" and path.startswith(_PATH) else None
        status, body = ("200 OK", told.encode("ascii")) if told is not None else ("404 Not Found", b"")
        lines = f"HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n"
        return f"{lines}Connection: close\r\n\r\n".encode("ascii") + body
