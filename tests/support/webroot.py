"""The web server of an applicant: answers http-01 challenges on a free loopback port (RFC 8555, 8.3)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

CHALLENGES = "/.well-known/acme-challenge/"


@dataclass(frozen=True)
class Page:
    """One answer; ``delay`` in seconds."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0


@dataclass
class ChallengeWebRoot:
    """Serves ``tokens`` (token → key authorization), ``pages`` (path → answer), then files below ``directory``.

    ``directory`` is what certbot's ``--webroot`` and dehydrated's ``WELLKNOWN`` write to. ``requests`` holds the
    (host header, path) of each request.
    """

    directory: Path
    host: str = "127.0.0.1"
    port: int = 0
    tokens: dict[str, str] = field(default_factory=dict)
    pages: dict[str, Page] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    @property
    def challenge_directory(self) -> Path:
        """Where a program leaves its challenge files."""
        return self.directory / CHALLENGES.strip("/")

    def find(self, path: str) -> Page:
        """The answer for ``path``."""
        if path in self.pages:
            return self.pages[path]
        token = path.removeprefix(CHALLENGES)
        if path.startswith(CHALLENGES) and token in self.tokens:
            return Page(self.tokens[token].encode())
        file = (self.directory / path.lstrip("/")).resolve()
        if file.is_relative_to(self.directory.resolve()) and file.is_file():
            return Page(file.read_bytes())
        return Page(b"no such page\n", 404)

    def start(self) -> None:
        """Listen on a free port."""
        self.challenge_directory.mkdir(parents=True, exist_ok=True)
        root = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                root.requests.append((self.headers.get("host", ""), self.path))
                page = root.find(self.path)
                time.sleep(page.delay)
                self.send_response(page.status)
                for name, value in page.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(page.body)))
                self.end_headers()
                self.wfile.write(page.body)

            def log_message(self, format: str, *args: object) -> None:
                """The test looks at ``requests``; standard error stays clean."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A validator may hang up in the middle of an answer; that is no failure of this server."""

        self._server = Server((self.host, self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Close the socket."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


@pytest.fixture
def challenge_web_root(tmp_path: Path) -> Iterator[ChallengeWebRoot]:
    """A running :class:`ChallengeWebRoot` over an empty directory."""
    server = ChallengeWebRoot(tmp_path / "webroot")
    server.start()
    yield server
    server.stop()
