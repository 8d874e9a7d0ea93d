"""The one HTTP client: every outgoing request of Troth passes here, and only where the settings let it.

The danger is a request that somebody else steers (SSRF): a webhook address, a connector's URL, a redirect. So a name
is resolved once, each address is judged, and the connection goes to the very address that was judged; a second look-up
that answers differently (DNS rebinding) changes nothing. Proxies from the environment are not used, since what they
would connect to could not be judged. Redirects are answers, never followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import httpx

from troth.kit.addresses import Address, closed_as, plain, readings
from troth.kit.errors import TrothError, reason
from troth.kit.settings import EgressSettings

REFUSED = reason(
    "http.egress_refused",
    "an outgoing request was refused, since its address is not on the allow-list",
    fix="Add the name to egress.hosts or the network to egress.networks, if Troth may connect there.",
    status=403,
)
UNREACHABLE = reason(
    "http.unreachable",
    "another system could not be reached",
    fix="Check its address, that it runs, and that its certificate is one this machine trusts.",
    status=502,
)
TLS_FAILED = reason(
    "http.tls",
    "another system's certificate is none that Troth trusts, or no TLS could be agreed on",
    fix="Look at the certificate there: its name, its dates, and an authority that this machine trusts.",
    status=502,
)
TIMEOUT = reason(
    "http.timeout",
    "another system did not answer in time",
    fix="Check its load; egress.timeout_seconds sets how long Troth waits.",
    status=504,
)
ENCODING = reason(
    "http.answer_encoding",
    "another system's answer is packed in a way that Troth does not read, or does not unpack",
    fix="Have it answer as it is asked: plainly or with gzip, once.",
    status=502,
)
TOO_LARGE = reason(
    "http.answer_too_large",
    "another system's answer is larger than Troth reads",
    fix="Ask for less at a time, or raise egress.max_body_kib.",
    status=502,
)

#: Of a packed body, what is unpacked at once: a bomb is noticed before it has room.
_PIECE = 64 * 1024


class EgressRefused(TrothError):
    """The settings do not let this request out; nothing was sent."""


class HttpFailed(TrothError):
    """The exchange failed; whether the other side has seen the request is not known."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, redirects and errors included. Header names are lower-case; doubled ones are joined by commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer whose body is still coming. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


@functools.cache
def _public_authorities() -> ssl.SSLContext:
    """Verifies by the list of authorities that comes with httpx; reading its 140 certificates takes 30 ms."""
    return httpx.create_ssl_context(trust_env=False)


class HttpClient:
    """Makes requests within ``settings``.

    Args:
        ca_file: PEM of the authorities to trust instead of the machine's.
    """

    def __init__(self, settings: EgressSettings, *, ca_file: str | None = None) -> None:
        self._settings = settings
        self._networks = tuple(ipaddress.ip_network(text) for text in settings.networks)
        self._hosts = tuple(text.lower().rstrip(".") for text in settings.hosts)
        context = _public_authorities() if ca_file is None else ssl.create_default_context(cafile=ca_file)
        # A kept connection could be used again for another name at the same address, whose certificate it never saw.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.AsyncClient(
            verify=context,
            trust_env=False,
            follow_redirects=False,
            limits=limits,
            timeout=settings.timeout_seconds,
            headers={"accept-encoding": "gzip"},
        )

    async def close(self) -> None:
        """Close what is open."""
        await self._client.aclose()

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """One exchange. Raises EgressRefused before anything is sent, HttpFailed after."""
        try:
            target = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise EgressRefused(REFUSED, f"not a URL: {error}") from error
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                address = await self._judge(target)
                return await self._exchange(method, target, address, dict(headers or {}), body)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise HttpFailed(TIMEOUT, f"{target.host} after {self._settings.timeout_seconds} s") from error
        except httpx.HTTPError as error:
            raise _failure(target, error) from error

    @contextlib.asynccontextmanager
    async def stream(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, idle_seconds: float
    ) -> AsyncIterator[Stream]:
        """An exchange whose answer goes on for as long as the block does, or until nothing came for ``idle_seconds``.

        What is read is not bounded: whoever reads must let go of it. Raises as :meth:`request` does, and so do the
        chunks.
        """
        try:
            target = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise EgressRefused(REFUSED, f"not a URL: {error}") from error
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                address = await self._judge(target)
                patience = httpx.Timeout(self._settings.timeout_seconds, read=idle_seconds)
                request = self._request(method, target, address, dict(headers or {}), b"", patience)
                response = await self._client.send(request, stream=True)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise HttpFailed(TIMEOUT, f"{target.host} after {self._settings.timeout_seconds} s") from error
        except httpx.HTTPError as error:
            raise _failure(target, error) from error
        try:
            yield Stream(response.status_code, dict(response.headers), _chunks(target, response))
        finally:
            await response.aclose()

    async def _judge(self, target: httpx.URL) -> Address:
        """The address to connect to. Raises EgressRefused unless every address of the name is allowed."""
        if target.scheme != "https" and not (target.scheme == "http" and self._settings.plain_http):
            raise EgressRefused(REFUSED, f"{target.scheme or 'no scheme'}:// is not allowed")
        return await self._judge_host(target.host, target.port or 0)

    async def judged(self, host: str, port: int) -> str:
        """The address that ``host`` may be connected to: for what is not HTTP. Raises EgressRefused, HttpFailed."""
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                return str(await self._judge_host(host, port))
        except TimeoutError as error:
            raise HttpFailed(TIMEOUT, f"{host} after {self._settings.timeout_seconds} s") from error

    async def _judge_host(self, host: str, port: int) -> Address:
        host = host.lower().rstrip(".")
        if not host:
            raise EgressRefused(REFUSED, "the URL has no host")
        named = any(_matches(host, pattern) for pattern in self._hosts)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise HttpFailed(UNREACHABLE, f"{host}: {error.strerror}") from error
        addresses = [plain(str(entry[4][0])) for entry in found]
        for address in addresses:
            listed = any(address in network for network in self._networks)
            # A name that is allowed may lie in a private network, but does not open this machine itself.
            led_to = readings(address)
            # Closed, whatever the settings say: of most, the only web servers hand out a machine's credentials.
            closed = [what for one in led_to for what in closed_as(one)]
            if closed:
                raise EgressRefused(REFUSED, f"{host} ({address}) is {closed[0]}")
            if not (listed or (named and not any(one.is_loopback for one in led_to))):
                raise EgressRefused(REFUSED, f"{host} ({address})")
        return addresses[0]

    async def _exchange(
        self, method: str, target: httpx.URL, address: Address, headers: dict[str, str], body: bytes
    ) -> Answer:
        request = self._request(method, target, address, headers, body, httpx.Timeout(self._settings.timeout_seconds))
        response = await self._client.send(request, stream=True)
        try:
            received = bytearray()
            async for chunk in _unpacked(target, response):
                received += chunk
                if len(received) > self._settings.max_body_kib * 1024:
                    raise HttpFailed(TOO_LARGE, f"{target.host}: more than {self._settings.max_body_kib} KiB")
            return Answer(response.status_code, dict(response.headers), bytes(received))
        finally:
            await response.aclose()

    def _request(
        self,
        method: str,
        target: httpx.URL,
        address: Address,
        headers: dict[str, str],
        body: bytes,
        patience: httpx.Timeout,
    ) -> httpx.Request:
        headers["host"] = target.netloc.decode("ascii")
        return self._client.build_request(
            method,
            target.copy_with(host=str(address)),
            headers=headers,
            content=body,
            timeout=patience,
            # The certificate is checked against the name that was asked for, not the address.
            extensions={"sni_hostname": target.raw_host.decode("ascii")},
        )


async def _chunks(target: httpx.URL, response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in _unpacked(target, response):
            yield chunk
    except httpx.TimeoutException as error:
        raise HttpFailed(TIMEOUT, f"{target.host} sent nothing for too long") from error
    except httpx.HTTPError as error:
        raise _failure(target, error) from error


async def _unpacked(target: httpx.URL, response: httpx.Response) -> AsyncIterator[bytes]:
    """The body in pieces that a bound can be held against.

    httpx unpacks whatever one read brings at once, as often over as the header says: 64 KiB of *gzip, gzip* are
    gigabytes before anybody has counted an octet.
    """
    packed = response.headers.get("content-encoding", "").strip().lower()
    if packed in ("", "identity"):
        async for chunk in response.aiter_raw():
            yield chunk
        return
    if packed not in ("gzip", "x-gzip"):
        raise HttpFailed(ENCODING, f"{target.host}: {packed[:40]!r}")
    unpacking, begun = zlib.decompressobj(zlib.MAX_WBITS | 16), False
    async for chunk in response.aiter_raw():
        data, begun = chunk, True
        while True:
            try:
                piece = unpacking.decompress(data, _PIECE)
            except zlib.error as error:
                raise HttpFailed(ENCODING, f"{target.host}: it does not unpack") from error
            if piece:
                yield piece
            data = unpacking.unconsumed_tail
            if unpacking.eof or (not data and len(piece) < _PIECE):
                break
    if begun and not unpacking.eof:
        raise HttpFailed(ENCODING, f"{target.host}: it is cut off")


def _failure(target: httpx.URL, error: httpx.HTTPError) -> HttpFailed:
    """What went wrong, a handshake told apart: its cure is another."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return HttpFailed(TLS_FAILED, f"{target.host}: {cause.reason or cause}")
        cause = cause.__cause__ or cause.__context__
    return HttpFailed(UNREACHABLE, f"{target.host}: {error}")


def _matches(host: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return host == pattern
