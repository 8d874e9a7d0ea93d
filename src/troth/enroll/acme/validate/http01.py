"""http-01 (RFC 8555, 8.3): the server at the name answers a GET with the key authorization.

The body never leaves this module, not even in part: with redirects, an asker chooses what Troth reads inside the
network, and a problem document that quotes the answer would be a window into it.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urljoin, urlsplit

import httptools

from troth.enroll.acme.errors import VALIDATION_CONNECTION, VALIDATION_INCORRECT, VALIDATION_TARGET
from troth.enroll.acme.problems import Identifier
from troth.enroll.acme.validate.dial import Line, dial, targets_of
from troth.enroll.acme.validate.network import NetworkPolicy
from troth.enroll.acme.validate.outcome import Challenge, Log, NotShown
from troth.enroll.acme.validate.resolver import Resolver

_MAX_REDIRECTS = 10
_MAX_URL = 2_000
_MAX_HEAD = 16_384
_MAX_BODY = 128  # of meaning; a key authorization has 87 octets
_MAX_SLACK = 256  # of white space behind it
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the very certificate that is being asked for may be missing or expired
    return context


_CONTEXT = _context()


@dataclass(frozen=True, slots=True)
class HttpPorts:
    """The only ports that http-01 connects to (RFC 8555 says 80, and 443 for redirects; tests say others)."""

    http: int = 80
    https: int = 443


async def validate_http01(
    challenge: Challenge, *, ports: HttpPorts, resolver: Resolver, network: NetworkPolicy, log: Log
) -> None:
    """Return if the key authorization is served. Raises NotShown."""
    host = _host_text(challenge.identifier)
    shown = f"{host}:{ports.http}" if ports.http != 80 else host
    url = f"http://{shown}/.well-known/acme-challenge/{challenge.token}"
    # What we made ourselves needs no taking apart: only redirects are a stranger's text.
    path = f"/.well-known/acme-challenge/{challenge.token}"
    target = _Target(challenge.identifier, ports.http, False, shown, None, path)
    for _ in range(_MAX_REDIRECTS + 1):
        addresses = await targets_of(target.identifier, resolver)
        with await dial(
            addresses,
            target.port,
            network=network,
            log=log,
            tls=_CONTEXT if target.tls else None,
            server_name=target.server_name,
        ) as line:
            answer = await _get(line, target)
        log.add(url, None, f"HTTP {answer.status}")
        if answer.status not in _REDIRECTS:
            _judge(answer, challenge, url)
            return
        if not answer.location:
            raise NotShown(VALIDATION_INCORRECT, f"{url} redirects without a Location", retryable=False)
        url = urljoin(url, answer.location)
        target = _Target.of(url, ports, challenge.identifier)
    raise NotShown(VALIDATION_INCORRECT, f"more than {_MAX_REDIRECTS} redirects", retryable=False)


@dataclass(frozen=True, slots=True)
class _Target:
    identifier: Identifier
    port: int
    tls: bool
    host: str  # for the Host header: with the port where it is not the scheme's own
    server_name: str | None
    path: str

    @classmethod
    def of(cls, url: str, ports: HttpPorts, asked: Identifier) -> _Target:
        """Take a URL apart that a stranger may have written. Raises NotShown for all that is not plainly allowed."""
        if len(url) > _MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
            raise _bad_redirect("to a URL that is too long or has characters that URLs have not")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _bad_redirect("to a malformed URL") from None
        if parts.scheme not in ("http", "https"):
            raise _bad_redirect("to another scheme than http and https")
        if "@" in parts.netloc:
            raise _bad_redirect("to a URL with a user name in it")
        tls = parts.scheme == "https"
        usual = ports.https if tls else ports.http
        if port is not None and port not in (ports.http, ports.https):
            raise _bad_redirect(f"to port {port}; only {ports.http} and {ports.https} are connected to")
        identifier = _host_of(parts, asked)
        shown = _host_text(identifier)
        effective = usual if port is None else port
        if effective != (443 if tls else 80):
            shown = f"{shown}:{effective}"
        path = parts.path or "/"
        return cls(
            identifier,
            effective,
            tls,
            shown,
            identifier.value if tls else None,
            f"{path}?{parts.query}" if parts.query else path,
        )


def _host_of(parts: SplitResult, asked: Identifier) -> Identifier:
    host = (parts.hostname or "").rstrip(".")
    if not host:
        raise _bad_redirect("to a URL without a host")
    try:
        address = ip_address(host)
    except ValueError:
        labels = host.split(".")
        if len(host) > 253 or not all(_is_label(label) for label in labels) or labels[-1].isdigit():
            # The last case: ``2130706433`` and ``127.1``, which some resolvers take for addresses.
            raise _bad_redirect("to a host that is no host name") from None
        return Identifier("dns", host)
    found = Identifier("ip", str(address))
    if found != asked:
        # An address in a redirect has no name whose owner could have meant it.
        raise _bad_redirect("to an IP address")
    return found


def _is_label(label: str) -> bool:
    return 0 < len(label) <= 63 and label.replace("-", "a").replace("_", "a").isalnum() and label[0] != "-"


def _host_text(identifier: Identifier) -> str:
    if identifier.type == "ip" and ":" in identifier.value:
        return f"[{identifier.value}]"
    return identifier.value


class _Answer:
    """Gathers what httptools reads; only what is needed, and no more than is allowed.

    Interim answers (1xx; a server may send 103 with hints, RFC 8297) are read and passed over, and whatever follows the
    end of the answer is no part of it.
    """

    __slots__ = ("body", "complete", "head_complete", "location", "parser", "status")

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.location = ""
        self.body = b""
        self.complete = False
        self.head_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"location" and not self.location and not self.complete:
            self.location = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        if not self.complete:
            self.status = self.parser.get_status_code()
            self.head_complete = self.status >= 200

    def on_body(self, data: bytes) -> None:
        if not self.complete:
            self.body = (self.body + data)[: _MAX_BODY + _MAX_SLACK + 1]

    def on_message_complete(self) -> None:
        self.complete = self.complete or self.head_complete
        if not self.complete:
            self.location = ""

    def is_enough(self) -> bool:
        if self.complete or len(self.body) > _MAX_BODY + _MAX_SLACK:
            return True
        return self.head_complete and self.status in _REDIRECTS


async def _get(line: Line, target: _Target) -> _Answer:
    line.write(
        f"GET {target.path} HTTP/1.1\r\nHost: {target.host}\r\nUser-Agent: troth-validation\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n".encode("ascii")
    )
    answer = _Answer()
    received = 0
    try:
        while not answer.is_enough():
            data = await line.read(4096)
            if not data:
                break  # a body without length ends here (RFC 9112, 6.3)
            received += len(data)
            answer.parser.feed_data(data)
            if not answer.head_complete and received > _MAX_HEAD:
                raise NotShown(VALIDATION_INCORRECT, f"{target.host} sent endless headers", retryable=False)
    except httptools.HttpParserUpgrade:
        raise NotShown(VALIDATION_INCORRECT, f"{target.host} answered with an upgrade", retryable=False) from None
    except httptools.HttpParserError:
        if answer.complete:  # and more octets behind it, which are no part of the answer
            return answer
        raise NotShown(VALIDATION_INCORRECT, f"{target.host} did not answer in HTTP/1", retryable=False) from None
    except OSError:
        raise NotShown(VALIDATION_CONNECTION, f"{target.host} broke the connection off", retryable=True) from None
    if not answer.head_complete:
        raise NotShown(VALIDATION_CONNECTION, f"{target.host} closed without an answer", retryable=True)
    return answer


def _judge(answer: _Answer, challenge: Challenge, url: str) -> None:
    if answer.status != 200:
        raise NotShown(
            VALIDATION_INCORRECT,
            f"{url} answered with HTTP status {answer.status} in place of 200",
            retryable=answer.status >= 500 or answer.status == 429,
        )
    body = answer.body.rstrip()
    if len(body) > _MAX_BODY:
        raise NotShown(VALIDATION_INCORRECT, f"{url} answered with more than {_MAX_BODY} bytes", retryable=False)
    if challenge.matches(body):
        return
    if body.startswith(challenge.token.encode("ascii") + b"."):
        detail = f"{url} serves the right token with another account key's thumbprint"
    else:
        detail = f"{url} answered with {len(body)} bytes that are not this challenge's key authorization"
    raise NotShown(VALIDATION_INCORRECT, detail, retryable=False)


def _bad_redirect(where: str) -> NotShown:
    return NotShown(VALIDATION_TARGET, f"redirected {where}", retryable=False)
