"""A transmitter of shared signals on a loopback port: SSF 1.0 stream management, poll delivery, every kind of fault.

Real HTTP, and strict where the specification lets a transmitter be: what a receiver sends wrongly is answered as the
tables of section 8.1 have it, and noted in ``breaches``. A test makes it misbehave by :meth:`FakeTransmitter.fail`.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.ssf import CAEP, RISC, SSF, claims_of, rsa_signer, token
from troth.client.jose import SigningKey
from troth.kit.ids import new_id

PUSH, POLL = "urn:ietf:rfc:8935", "urn:ietf:rfc:8936"


@dataclass
class Fault:
    """What happens instead of an answer: another status or body, an answer cut off, or a delay before the right one."""

    status: int = 0
    body: bytes = b""
    cut: bool = False
    delay: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Remote:
    """A stream as the transmitter keeps it."""

    configuration: dict[str, Any]
    status: str = "enabled"
    reason: str = ""
    subjects: list[Any] = field(default_factory=list)
    #: jti → token, not acknowledged yet.
    queue: dict[str, str] = field(default_factory=dict)


class FakeTransmitter:
    """Attributes of interest: ``requests`` (method, path, headers, decoded body), ``streams``, ``acknowledged``,
    ``errors`` (jti → what the receiver said), ``breaches``."""

    def __init__(self) -> None:
        self.keys: dict[str, SigningKey] = {"k1": rsa_signer()}
        self.client, self.secret = "troth", "s3cret/+"
        self.tokens: set[str] = set()
        self.token_seconds = 3600
        self.path = ""
        self.metadata_changes: dict[str, Any] = {}
        self.supported = [CAEP + "session-revoked", CAEP + "credential-change", RISC + "account-disabled",
                          CAEP + "device-compliance-change", CAEP + "risk-level-change"]  # fmt: skip
        self.one_stream = False
        self.audience: Any = "https://troth.example.com/ssf"
        self.verify_events = True
        self.long_poll_seconds = 0.2
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.accept_later = False
        self.streams: dict[str, Remote] = {}
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.acknowledged: list[str] = []
        self.errors: dict[str, Any] = {}
        self.breaches: list[str] = []
        self._faults: dict[str, list[Fault]] = {}
        self._lock = threading.Condition()
        self._server: ThreadingHTTPServer | None = None

    # --- what a test does ------------------------------------------------------------------------------------------

    @property
    def origin(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def issuer(self) -> str:
        return self.origin + self.path

    def fail(self, place: str, *faults: Fault) -> None:
        """Answer the next requests whose path begins with ``place`` by ``faults``, one each."""
        self._faults.setdefault(place, []).extend(faults)

    def count(self, method: str, place: str) -> int:
        return sum(one[0] == method and one[1].startswith(place) for one in self.requests)

    def sign(self, event: Mapping[str, Any], *, kid: str = "k1", at: datetime | None = None, **claims: Any) -> str:
        """A token of this transmitter."""
        values = {"iss": self.issuer, "aud": self.audience} | claims
        return token(claims_of(event, at=at or self.now(), **values), self.keys[kid], kid=kid)

    def send(self, stream_id: str, event: Mapping[str, Any], **claims: Any) -> str:
        """Queue an event on a polled stream; its jti."""
        jti = claims.pop("jti", None) or new_id().hex
        self.queue(stream_id, jti, self.sign(event, jti=jti, **claims))
        return jti

    def queue(self, stream_id: str, jti: str, text: str) -> None:
        """Queue any text under any jti."""
        with self._lock:
            self.streams[stream_id].queue[jti] = text
            self._lock.notify_all()

    def set_status(self, stream_id: str, status: str, reason: str = "") -> str:
        """Change a stream's status from this side, and send the event that says so; its jti."""
        jti = self.send(
            stream_id, {SSF + "stream-updated": {"status": status, "reason": reason}},
            sub_id={"format": "opaque", "id": stream_id},
        )  # fmt: skip
        self.streams[stream_id].status, self.streams[stream_id].reason = status, reason
        return jti

    # --- the server ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                size = int(self.headers.get("content-length", 0))
                raw = self.rfile.read(size)
                headers = {name.lower(): value for name, value in self.headers.items()}
                fault = fake._fault(self.path)
                if fault is not None and fault.delay:
                    time.sleep(fault.delay)
                if fault is not None and (fault.status or fault.cut):
                    fake.requests.append((self.command, self.path, headers, None))
                    self._answer(fault.status or 200, fault.body or b"{}", fault.headers, cut=fault.cut)
                    return
                status, body, more = fake._handle(self.command, self.path, headers, raw)
                self._answer(status, b"" if body is None else json.dumps(body).encode(), more)

            def _answer(self, status: int, body: bytes, more: Mapping[str, str], *, cut: bool = False) -> None:
                try:
                    self.send_response(status)
                    self.send_header("content-type", "application/json")
                    for name, value in more.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(body) + (10 if cut else 0)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # the receiver has gone
                self.close_connection = True

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 -- the library's names

            def log_message(self, format: str, *args: object) -> None:
                """The test looks at ``requests``."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _fault(self, path: str) -> Fault | None:
        for place, faults in self._faults.items():
            if faults and path.startswith(place):
                return faults.pop(0)
        return None

    def _handle(
        self, method: str, path: str, headers: Mapping[str, str], raw: bytes
    ) -> tuple[int, Any, Mapping[str, str]]:
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        form = parts.path == "/token"
        body: Any = None
        if raw and not form:
            try:
                body = json.loads(raw)
            except ValueError:
                return 400, {"error": "no JSON"}, {}
            if headers.get("content-type") != "application/json":
                self.breaches.append(f"{method} {path}: content type {headers.get('content-type')}")
        self.requests.append((method, path, dict(headers), raw.decode() if form else body))
        with self._lock:
            if parts.path == f"/.well-known/ssf-configuration{self.path}":
                return 200, self._metadata(), {}
            if parts.path == "/jwks":
                keys = [{**key.public.jwk, "kid": kid, "use": "sig"} for kid, key in self.keys.items()]
                return 200, {"keys": keys}, {}
            if form:
                return self._token(headers, raw.decode())
            if parts.path.startswith("/.well-known"):
                return 404, {}, {}
            if headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
                return 401, {"error": "invalid_token"}, {"www-authenticate": "Bearer"}
            if parts.path == "/stream":
                return (*self._stream(method, query, body), {"cache-control": "no-store"})
            found = self.streams.get(query.get("stream_id") or (body or {}).get("stream_id", ""))
            if found is None:
                return 404, {"error": "no such stream"}, {}
            return (*self._about(method, parts.path, found, body), {})

    def _metadata(self) -> dict[str, Any]:
        origin = self.origin
        found = {
            "spec_version": "1_0", "issuer": self.issuer, "jwks_uri": f"{origin}/jwks",
            "delivery_methods_supported": [PUSH, POLL], "configuration_endpoint": f"{origin}/stream",
            "status_endpoint": f"{origin}/status", "add_subject_endpoint": f"{origin}/subjects:add",
            "remove_subject_endpoint": f"{origin}/subjects:remove", "verification_endpoint": f"{origin}/verify",
            "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}], "default_subjects": "ALL",
            "x-of-another-maker": {"to": "be ignored"},
        } | self.metadata_changes  # fmt: skip
        return {name: value for name, value in found.items() if value is not None}

    def _token(self, headers: Mapping[str, str], form: str) -> tuple[int, Any, Mapping[str, str]]:
        given = headers.get("authorization", "").removeprefix("Basic ")
        wanted = base64.b64encode(b"troth:s3cret%2F%2B").decode()
        if given != wanted or parse_qs(form).get("grant_type") != ["client_credentials"]:
            return 401, {"error": "invalid_client"}, {}
        if "ssf.manage" not in parse_qs(form).get("scope", [""])[0].split():
            return 400, {"error": "invalid_scope"}, {}
        made = new_id().hex
        self.tokens.add(made)
        return 200, {"access_token": made, "token_type": "Bearer", "expires_in": self.token_seconds}, {}

    def _stream(self, method: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        wanted = query.get("stream_id") or (body or {}).get("stream_id")
        if method == "POST":
            if self.one_stream and self.streams:
                return 409, {"error": "there is one"}
            return self._create(body)
        if method == "GET" and wanted is None:
            return 200, [one.configuration for one in self.streams.values()]
        found = self.streams.get(wanted or "")
        if found is None:
            return 404, {"error": "no such stream"}
        if method == "DELETE":
            del self.streams[wanted or ""]
            return 204, None
        if method in ("PATCH", "PUT"):
            if self.accept_later:
                self.accept_later = False
                return 202, {}
            if method == "PUT" and not {"delivery", "events_requested"} <= body.keys():
                self.breaches.append("PUT without every field of the receiver's")
            found.configuration |= self._shared(body, found.configuration["stream_id"])
        return 200, found.configuration

    def _create(self, body: Any) -> tuple[int, Any]:
        if not isinstance(body, dict) or not isinstance(body.get("delivery"), dict):
            return 400, {"error": "no delivery"}
        if not body.get("events_requested"):
            self.breaches.append("events_requested is empty")
        stream_id = new_id().hex
        made = {
            "stream_id": stream_id, "iss": self.issuer, "aud": self.audience, "events_supported": self.supported,
            "min_verification_interval": 10, "inactivity_timeout": 3600,
        } | self._shared(body, stream_id)  # fmt: skip
        self.streams[stream_id] = Remote(made)
        return 201, made

    def _shared(self, body: Mapping[str, Any], stream_id: str) -> dict[str, Any]:
        delivery = dict(body["delivery"])
        if delivery["method"] == POLL:
            delivery["endpoint_url"] = f"{self.origin}/poll?stream_id={stream_id}"
        requested = body.get("events_requested", [])
        return {
            "delivery": delivery, "events_requested": requested, "description": body.get("description", ""),
            "events_delivered": [one for one in self.supported if one in requested],
        }  # fmt: skip

    def _about(self, method: str, path: str, found: Remote, body: Any) -> tuple[int, Any]:
        stream_id = found.configuration["stream_id"]
        if path == "/status":
            if method == "POST":
                if body.get("status") not in ("enabled", "paused", "disabled"):
                    return 400, {"error": "status"}
                found.status, found.reason = body["status"], body.get("reason", "")
            return 200, {"stream_id": stream_id, "status": found.status, "reason": found.reason}
        if path == "/subjects:add":
            found.subjects.append(body["subject"])
            return 200, None
        if path == "/subjects:remove":
            found.subjects.remove(body["subject"])
            return 204, None
        if path == "/verify":
            if self.verify_events:
                state = {"state": body["state"]} if "state" in body else {}
                jti = new_id().hex
                sub_id = {"format": "opaque", "id": stream_id}
                found.queue[jti] = self.sign({SSF + "verification": state}, jti=jti, sub_id=sub_id)
                self._lock.notify_all()
            return 204, None
        if path == "/poll":
            return self._poll(found, body)
        return 404, {"error": "no such place"}

    def _poll(self, found: Remote, body: Any) -> tuple[int, Any]:
        for jti in body.get("ack", []):
            if jti not in found.queue:
                self.breaches.append(f"acknowledged {jti}, which was never sent or is long gone")
            else:
                del found.queue[jti]
                self.acknowledged.append(jti)
        for jti, said in body.get("setErrs", {}).items():
            self.errors[jti] = said
            found.queue.pop(jti, None)
        most = body.get("maxEvents", 16)
        if most == 0:
            return 200, {"sets": {}}
        silent = found.status != "enabled" and not any(self._on_itself(one) for one in found.queue.values())
        if not body.get("returnImmediately") and (not found.queue or silent):
            self._lock.wait(self.long_poll_seconds)
        told = dict(list(found.queue.items())[:most])
        if found.status != "enabled":
            told = {jti: one for jti, one in told.items() if self._on_itself(one)}
        return 200, {"sets": told} | ({"moreAvailable": True} if len(found.queue) > len(told) else {})

    @staticmethod
    def _on_itself(text: str) -> bool:
        return "stream-updated" in base64.urlsafe_b64decode(text.split(".")[1] + "==").decode("utf-8", "replace")


@pytest.fixture
def transmitter() -> Iterator[FakeTransmitter]:
    """A transmitter of this test alone."""
    fake = FakeTransmitter()
    fake.start()
    try:
        yield fake
    finally:
        fake.stop()
