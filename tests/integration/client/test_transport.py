from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.streams import serving
from troth.client.errors import TransportError
from troth.client.guarded import Beside
from troth.client.transport import Transport, trusting

Answer = Callable[[int, bytes], bytes | None]


class Server:
    """Answers the n-th request of each connection with what ``answer`` returns; None closes instead."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.connections = 0
        self.heads: list[bytes] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            for number in range(1000):
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                said = self.answer(number, head)
                if said is None:
                    break
                writer.write(said)
                await writer.drain()
                if b"close" in said:
                    break
        except asyncio.IncompleteReadError:
            return


@asynccontextmanager
async def running(answer: Answer) -> AsyncIterator[Server]:
    made = Server(answer)
    async with serving(made.serve) as port:
        made.url = f"http://127.0.0.1:{port}/path?q=1"
        yield made


OK = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLink: </a>;rel="up"\r\nLink: </b>;rel="up"\r\n\r\nok'


async def test_an_answer_is_read_whole_and_the_connection_used_again() -> None:
    async with running(lambda _n, _head: OK) as server, Transport() as transport:
        for _ in range(5):
            answer = await transport.request("GET", server.url, headers={"Accept": "text/plain"})
            assert (answer.status, answer.body) == (200, b"ok")
        assert len(answer.links("up")) == 2
        assert server.connections == 1
        assert server.heads[0].startswith(b"GET /path?q=1 HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"Accept: text/plain" in server.heads[0]


async def test_requests_at_the_same_time_have_connections_of_their_own() -> None:
    async with running(lambda _n, _head: OK) as server, Transport(per_origin=2) as transport:
        await asyncio.gather(*(transport.request("GET", server.url) for _ in range(6)))
        assert server.connections == 6
        await transport.request("GET", server.url)
        assert server.connections == 6


async def test_the_answer_to_head_has_no_body_whatever_its_length_says() -> None:
    async with running(lambda _n, _head: OK[:-2]) as server, Transport(timeout=2) as transport:
        for _ in range(2):
            answer = await transport.request("HEAD", server.url)
            assert (answer.status, answer.body, answer.header("content-length")) == (200, b"", "2")
        assert server.connections == 1


async def test_a_connection_that_the_server_closed_meanwhile_is_replaced() -> None:
    async with running(lambda number, _head: OK if number == 0 else None) as server, Transport() as transport:
        for _ in range(3):
            assert (await transport.request("POST", server.url, body=b"")).status == 200
        assert server.connections == 3


async def test_a_server_that_asks_to_close_is_not_used_again() -> None:
    closing = OK.replace(b"Link: </a>", b"Connection: close\r\nLink: </a>")
    async with running(lambda _n, _head: closing) as server, Transport() as transport:
        for _ in range(2):
            assert (await transport.request("GET", server.url)).body == b"ok"
        assert server.connections == 2


async def test_a_body_without_length_ends_with_the_connection() -> None:
    said = b"HTTP/1.1 200 OK\r\nX: close\r\n\r\nto the end"
    async with running(lambda _n, _head: said) as server, Transport() as transport:
        assert (await transport.request("GET", server.url)).body == b"to the end"


@pytest.mark.parametrize(
    "said",
    [None, b"close", b"SSH-2.0-close\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nX: close\r\n\r\nshort"],
)
async def test_what_is_no_answer_is_a_transport_error(said: bytes | None) -> None:
    async with running(lambda _n, _head: said) as server, Transport(timeout=2) as transport:
        with pytest.raises(TransportError):
            await transport.request("GET", server.url)


async def test_a_silent_server_is_left_after_the_timeout() -> None:
    async with running(lambda _n, _head: b"") as server, Transport(timeout=0.2) as transport:
        with pytest.raises(TransportError, match=r"within 0\.2 seconds"):
            await transport.request("GET", server.url)


async def test_nobody_there_is_a_transport_error() -> None:
    async with running(lambda _n, _head: OK) as server:
        pass
    async with Transport() as transport:
        with pytest.raises(TransportError):
            await transport.request("GET", server.url)


@pytest.mark.parametrize(
    "url", ["", "ftp://a/", "http://", "http://a:b/", "http://a/\r\nX: 1", "http://a/ b", "http://ä/"]
)
async def test_what_is_no_url_is_a_transport_error(url: str) -> None:
    async with Transport() as transport:
        with pytest.raises(TransportError, match="no http or https URL"):
            await transport.request("GET", url)


def test_trust_is_verified_unless_told_otherwise() -> None:
    assert trusting().check_hostname
    assert not trusting(insecure=True).check_hostname


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("169.254.169.254", "a metadata service|link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("fe80::1%1", "link-local"),
        ("0.0.0.0", "unspecified"),
        ("127.0.0.1", "this machine itself"),
        ("::1", "this machine itself"),
        ("::ffff:127.0.0.1", "this machine itself"),
    ],
)
async def test_where_a_certificate_sends_us_is_judged_by_every_address(
    address: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        asyncio.base_events.BaseEventLoop, "getaddrinfo", _names({"ocsp.example": ["192.0.2.1", address]})
    )
    async with Transport(judge=Beside("https://192.0.2.7/acme")) as transport:
        with pytest.raises(TransportError, match=what) as refused:
            await transport.request("POST", "http://ocsp.example/", body=b"x")
    assert refused.value.code == "client.target"


async def test_an_issuer_on_this_machine_may_send_us_to_it_and_the_judged_address_is_the_one_gone_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = {"ocsp.example": ["::1", "127.0.0.1"]}
    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", _names(answers, once=True))
    async with running(lambda _n, _head: OK) as server, Transport(judge=Beside("https://127.0.0.1/acme")) as transport:
        answer = await transport.request("GET", server.url.replace("127.0.0.1", "ocsp.example"))
        assert answer.body == b"ok"
        assert server.heads[0].startswith(b"GET /path?q=1 HTTP/1.1\r\nHost: ocsp.example:")
    assert answers == {"ocsp.example": ["169.254.169.254"]}, "nobody has looked it up again"


def _names(answers: dict[str, list[str]], *, once: bool = False) -> Callable[..., Any]:
    """A resolver; ``once``: whoever asks it again is led elsewhere."""

    async def getaddrinfo(_self: object, host: str, port: int, **_more: object) -> list[Any]:
        found = answers.get(host, [host])
        if once and host in answers:
            answers[host] = ["169.254.169.254"]
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found
        ]

    return getaddrinfo


_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begun", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 2048),
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"x" * 16_384),
        (_CHUNKED + b"0\r\n", b"X-A: b\r\n" * 2048),
        (_CHUNKED + b"1;", b"x" * 16_384),
    ],
    ids=["many headers", "a long one", "trailers", "a chunk's extension"],
)
async def test_what_is_no_body_is_bounded_too(begun: bytes, piece: bytes) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(begun)
        for _ in range(64):
            writer.write(piece)
            await writer.drain()

    async with serving(endless) as port, Transport(longest=4096) as transport:
        with pytest.raises(TransportError, match="too large"):
            await transport.request("GET", f"http://127.0.0.1:{port}/")
