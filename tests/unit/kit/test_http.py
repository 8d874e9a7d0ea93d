from __future__ import annotations

import asyncio
import gzip
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.streams import serving
from troth.kit.http import EgressRefused, HttpClient, HttpFailed
from troth.kit.settings import EgressSettings

LOOPBACK = EgressSettings(networks=("127.0.0.0/8",), plain_http=True, timeout_seconds=2, max_body_kib=4)


@asynccontextmanager
async def client(settings: EgressSettings) -> AsyncIterator[HttpClient]:
    made = HttpClient(settings)
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def server(answer: bytes | None, seen: list[bytes] | None = None) -> AsyncIterator[int]:
    """Answers each request with the same bytes, or never; ends when all its connections have."""
    talks: list[asyncio.Task[None]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if seen is not None:
                seen.append(head)
            if answer is None:
                await reader.read()
                return
            writer.write(answer)
            await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.transport.abort() if answer is None else writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.create_task(talk(reader, writer)))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await asyncio.gather(*talks)
        await asyncio.sleep(0.01)


def resolves_to(*addresses: str) -> Callable[..., Any]:
    async def getaddrinfo(_self: object, _host: str, port: int, **_more: object) -> list[Any]:
        return [
            (socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses
        ]

    return getaddrinfo


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/",
        "https://example.com.evil.example/",
        "https://notexample.com/",
        "http://api.example.com/",
        "file:///etc/passwd",
        "https:///nowhere",
        "gopher://api.example.com/",
        "not a url",
    ],
)
async def test_what_is_not_allowed_is_refused_before_anything_is_sent(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", resolves_to("192.0.2.1"))
    async with client(EgressSettings(hosts=("api.example.com", "*.example.com"))) as http:
        with pytest.raises(EgressRefused):
            await http.request("GET", url)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fd20:ce::254",
        "0.0.0.0",
        "224.0.0.1",
    ],
)
async def test_metadata_and_link_local_addresses_are_refused_even_when_allowed(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", resolves_to(address))
    everything = EgressSettings(hosts=("api.example.com",), networks=("0.0.0.0/0", "::/0"))
    async with client(everything) as http:
        with pytest.raises(EgressRefused):
            await http.request("GET", "https://api.example.com/")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"])
async def test_an_allowed_name_does_not_open_this_machine(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", resolves_to(address))
    async with client(EgressSettings(hosts=("api.example.com",))) as http:
        with pytest.raises(EgressRefused):
            await http.request("GET", "https://api.example.com/")


async def test_a_name_that_leads_elsewhere_when_it_is_asked_again_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter(("127.0.0.1", "169.254.169.254"))

    async def getaddrinfo(_self: object, host: str, port: int, **_more: object) -> list[Any]:
        found = next(answers) if host == "rebound.example" else host
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, port))]

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", getaddrinfo)
    async with server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok") as port, client(LOOPBACK) as http:
        assert (await http.request("GET", f"http://rebound.example:{port}/")).body == b"ok"
    assert next(answers) == "169.254.169.254", "asked once, and gone where that led"


async def test_one_bad_address_among_good_ones_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", resolves_to("192.0.2.1", "169.254.169.254"))
    async with client(EgressSettings(hosts=("api.example.com",))) as http:
        with pytest.raises(EgressRefused):
            await http.request("GET", "https://api.example.com/")


async def test_an_allowed_network_is_reached_and_the_host_header_is_the_name() -> None:
    seen: list[bytes] = []
    async with (
        server(b"HTTP/1.1 201 Made\r\ncontent-length: 2\r\nx-a: b\r\n\r\nok", seen) as port,
        client(LOOPBACK) as http,
    ):
        answer = await http.request("POST", f"http://localhost:{port}/x?y=1", headers={"x-me": "1"}, body=b"{}")
    assert (answer.status, answer.headers["x-a"], answer.body) == (201, "b", b"ok")
    assert seen[0].startswith(b"POST /x?y=1 HTTP/1.1\r\n")
    assert f"host: localhost:{port}".encode() in seen[0].lower()


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    redirect = b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"
    async with server(redirect) as port, client(LOOPBACK) as http:
        answer = await http.request("GET", f"http://127.0.0.1:{port}/")
    assert (answer.status, answer.headers["location"]) == (302, "http://169.254.169.254/")


async def test_an_answer_that_is_too_large_is_cut_off() -> None:
    async with server(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000) as port, client(LOOPBACK) as http:
        with pytest.raises(HttpFailed) as error:
            await http.request("GET", f"http://127.0.0.1:{port}/")
    assert error.value.code == "http.answer_too_large"


async def test_a_bomb_is_given_up_before_it_has_room() -> None:
    packed = gzip.compress(bytes(64 * 2**20))
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(packed)}\r\n\r\n"
    async with server(head.encode() + packed) as port, client(LOOPBACK) as http:
        tracemalloc.start()
        try:
            with pytest.raises(HttpFailed, match=r"http\.answer_too_large"):
                await http.request("GET", f"http://127.0.0.1:{port}/")
            assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip, gzip", gzip.compress(gzip.compress(b"x"))),
        ("br", b"x"),
        ("gzip", b"no gzip"),
        ("gzip", gzip.compress(b"whole")[:-4]),
    ],
    ids=["twice", "another", "false", "cut"],
)
async def test_what_is_packed_in_another_way_is_refused(encoding: str, body: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: {len(body)}\r\n\r\n"
    async with server(head.encode() + body) as port, client(LOOPBACK) as http:
        with pytest.raises(HttpFailed, match=r"http\.answer_encoding"):
            await http.request("GET", f"http://127.0.0.1:{port}/")


async def test_what_is_packed_as_asked_for_is_unpacked_whole() -> None:
    seen: list[bytes] = []
    body = bytes(range(256)) * 512
    packed = gzip.compress(body)
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(packed)}\r\n\r\n"
    room = EgressSettings(networks=("127.0.0.0/8",), plain_http=True, max_body_kib=128)
    async with server(head.encode() + packed, seen) as port, client(room) as http:
        assert (await http.request("GET", f"http://127.0.0.1:{port}/")).body == body
    assert b"accept-encoding: gzip\r\n" in seen[0].lower()


async def test_a_silent_server_is_given_up_on() -> None:
    settings = EgressSettings(networks=("127.0.0.0/8",), plain_http=True, timeout_seconds=1)
    async with server(None) as port, client(settings) as http:
        with pytest.raises(HttpFailed) as error:
            await http.request("GET", f"http://127.0.0.1:{port}/")
    assert error.value.code == "http.timeout"


async def test_a_body_that_comes_by_the_octet_is_given_up_on_as_a_whole() -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n")
        while True:  # until it is cut off
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    settings = EgressSettings(networks=("127.0.0.0/8",), plain_http=True, timeout_seconds=1)
    async with serving(trickle) as port, client(settings) as http:
        with pytest.raises(HttpFailed, match=r"http\.timeout"):
            await http.request("GET", f"http://127.0.0.1:{port}/")


async def test_an_answer_that_goes_on_is_read_as_it_comes_and_let_go_of() -> None:
    whole = b"HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    async with (
        server(whole) as port,
        client(LOOPBACK) as http,
        http.stream("GET", f"http://127.0.0.1:{port}/x", headers={"a": "b"}, idle_seconds=2) as stream,
    ):
        assert (stream.status, stream.headers["x-a"]) == (200, "b")
        assert b"".join([chunk async for chunk in stream.chunks]) == b"abc"


async def test_a_stream_is_judged_like_every_request_and_its_end_has_a_name() -> None:
    async with client(EgressSettings()) as http:
        with pytest.raises(EgressRefused):
            async with http.stream("GET", "https://127.0.0.1/", idle_seconds=1):
                pass
    cut = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab"
    async with (
        server(cut) as port,
        client(LOOPBACK) as http,
        http.stream("GET", f"http://127.0.0.1:{port}/", idle_seconds=2) as stream,
    ):
        with pytest.raises(HttpFailed, match=r"http\.unreachable"):
            _ = [chunk async for chunk in stream.chunks]
    async with server(None) as port, client(LOOPBACK) as http:
        with pytest.raises(HttpFailed, match=r"http\.timeout"):
            async with http.stream("GET", f"http://127.0.0.1:{port}/", idle_seconds=0.05):
                pass


async def test_a_certificate_that_nobody_trusts_is_told_from_a_server_that_is_not_there() -> None:
    async def no_tls(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"this is no TLS\r\n\r\n")
        await writer.drain()

    async with serving(no_tls) as port, client(LOOPBACK) as http:
        with pytest.raises(HttpFailed, match=r"http\.tls"):
            await http.request("GET", f"https://127.0.0.1:{port}/")
    async with client(LOOPBACK) as http:
        with pytest.raises(HttpFailed, match=r"http\.unreachable"):
            await http.request("GET", "https://127.0.0.1:1/")
