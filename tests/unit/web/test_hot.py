"""HTTP/1.1 of the hot lane, byte by byte: what is one request, what is answered, what ends a connection."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.kit.clock import SystemClock
from troth.kit.lane import Lane, Request, Response, Route
from troth.web import hot
from troth.web.heads import Dated
from troth.web.hot import HotProtocol

LIMIT = 64


async def echo(request: Request) -> Response:
    await asyncio.sleep(0)
    text = b"%s %s ?%s [%s]" % (request.method.encode(), request.raw_path, request.query, request.body)
    return Response(200, text, ((b"x-params", "|".join(request.params).encode()),))


async def raising(_request: Request) -> Response:
    raise KeyError("a secret")


async def splitting(_request: Request) -> Response:
    return Response(200, b"", ((b"location", b"/x\r\nset-cookie: a=b"),))


async def pieces(_request: Request) -> Response:
    return Response(200, b"one,", (), (b"two,", b"three"))


async def nothing(_request: Request) -> Response:
    return Response(204)


async def leaky(_request: Request, error: Exception) -> Response:
    raise error


LANE = Lane(
    [
        Route("/echo", {"GET": echo, "HEAD": echo, "POST": echo}, permission="public", max_body=LIMIT),
        Route("/echo/{}", {"GET": echo}, permission="public", max_body=LIMIT),
        Route("/raising", {"GET": raising}, permission="public"),
        Route("/raising/{}", {"GET": raising}, permission="public"),
        Route("/splitting", {"GET": splitting}, permission="public"),
        Route("/pieces", {"GET": pieces, "HEAD": pieces}, permission="public"),
        Route("/nothing", {"GET": nothing}, permission="public"),
    ],
    on_error=leaky,
)


class Transport:
    """The server's end of a connection whose client never reads slowly."""

    def __init__(self, tls: Any = None) -> None:
        self.written = b""
        self.writes = 0
        self.closed = False
        self.reading = True
        self._tls = tls

    def get_extra_info(self, name: str) -> Any:
        return {"peername": ("192.0.2.7", 1), "ssl_object": self._tls}[name]

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written += data
        self.writes += 1

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def connected() -> tuple[HotProtocol, Transport]:
    protocol, transport = HotProtocol(LANE, set(), Dated(SystemClock()), 30.0), Transport()
    protocol.connection_made(transport)  # type: ignore[arg-type]
    return protocol, transport


async def fed(data: bytes, cut: Sequence[int] = ()) -> tuple[HotProtocol, Transport]:
    """A connection that was sent ``data``, in pieces, and has done all that it is going to do."""
    protocol, transport = connected()
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in cut)})
    for begin, end in itertools.pairwise(places):
        protocol.data_received(data[begin:end])
        await asyncio.sleep(0)
    for _ in range(200):
        if not protocol._busy:
            break
        await asyncio.sleep(0)
    return protocol, transport


class Answers:
    """Reads answers the way a client does, told for each whether it was to HEAD."""

    def __init__(self, data: bytes, methods: Sequence[str]) -> None:
        self.found: list[tuple[int, dict[bytes, bytes], bytes]] = []
        rest = data
        for method in methods:
            head, found, rest = rest.partition(b"\r\n\r\n")
            if not found:
                break
            lines = head.split(b"\r\n")
            headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
            status = int(lines[0].split(b" ")[1])
            size = 0 if method == "HEAD" else int(headers.get(b"content-length", b"0"))
            self.found.append((status, headers, rest[:size]))
            rest = rest[size:]
        self.rest = rest


def finish(protocol: HotProtocol) -> None:
    protocol.connection_lost(None)


REQUESTS = st.tuples(
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.sampled_from([b"/echo", b"/echo?a=b%20c", b"http://localhost/echo"]),
    st.binary(max_size=LIMIT),
    st.booleans(),
)


def rendered(method: str, target: bytes, body: bytes, chunked: bool) -> bytes:
    head = method.encode() + b" " + target + b" HTTP/1.1\r\nHost: localhost\r\n"
    if method != "POST":
        return head + b"\r\n"
    if not chunked:
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    parts = [body[at : at + 20] for at in range(0, len(body), 20)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nTrailer-Field: ignored\r\n\r\n"


@given(st.lists(REQUESTS, min_size=1, max_size=12), st.lists(st.integers(0, 4000), max_size=12))
@settings(max_examples=60)
def test_requests_in_one_stream_are_answered_in_order_however_they_are_cut(
    requests: list[tuple[str, bytes, bytes, bool]], cut: list[int]
) -> None:
    async def run() -> Transport:
        protocol, transport = await fed(b"".join(itertools.starmap(rendered, requests)), cut)
        finish(protocol)
        return transport

    answers = Answers(asyncio.run(run()).written, [method for method, *_ in requests])
    assert len(answers.found) == len(requests)
    assert answers.rest == b""
    for (status, _, body), (method, target, sent, _) in zip(answers.found, requests, strict=True):
        assert status == 200
        if method != "HEAD":
            query = target.partition(b"?")[2]
            sent_body = sent if method == "POST" else b""
            assert body == b"%s /echo ?%s [%s]" % (method.encode(), query, sent_body)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
@settings(max_examples=60)
def test_any_bytes_are_answered_or_waited_for_and_raise_nothing(data: bytes, cut: list[int]) -> None:
    async def run(sent: bytes) -> None:
        protocol, transport = await fed(sent, cut)
        assert not transport.written or transport.written.startswith(b"HTTP/1.1 ")
        finish(protocol)

    asyncio.run(run(data))
    asyncio.run(run(b"POST /echo HTTP/1.1\r\nHost: a\r\n" + data))
    asyncio.run(run(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + data))


SMUGGLED = b"GET /echo/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length : 5\r\n",
        b"Content-Length: 99999999999999999999999999\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"X: a\nContent-Length: 5\r\n",
        b"X: a\0b\r\n",
        b" Folded: 5\r\n",
    ],
)
async def test_where_a_request_might_end_twice_the_connection_ends(head: bytes) -> None:
    protocol, transport = await fed(b"POST /echo HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n0\r\n\r\n" + SMUGGLED)
    assert b"smuggled" not in transport.written
    assert transport.written.count(b"HTTP/1.1 ") <= 1
    assert transport.written.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ")) or transport.written == b""
    finish(protocol)


async def test_a_chunk_of_the_wrong_size_ends_the_connection() -> None:
    start = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    protocol, transport = await fed(start + b"5\r\nabcdefg\r\n0\r\n\r\n" + SMUGGLED)
    assert transport.written.startswith(b"HTTP/1.1 400 ")
    assert b"smuggled" not in transport.written
    finish(protocol)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 65\r\n\r\n" + b"x" * 65, 413),
        (
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n"
            + b"x" * 65
            + b"\r\n0\r\n\r\n",
            413,
        ),
        (b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 404),
        (b"POST /echo/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 405),
    ],
)
async def test_a_body_that_is_not_wanted_is_not_read_and_what_follows_is_not_believed(
    request_: bytes, status: int
) -> None:
    protocol, transport = await fed(request_ + SMUGGLED)
    [(found, headers, _)] = Answers(transport.written, ["POST"]).found
    assert found == status
    assert headers[b"connection"] == b"close"
    assert b"smuggled" not in transport.written
    assert not transport.closed  # the answer would be lost with what was not read
    await asyncio.sleep(hot.LINGER_SECONDS + 0.1)
    assert transport.closed
    finish(protocol)


async def test_what_needs_no_body_to_be_refused_leaves_the_connection_open() -> None:
    protocol, transport = await fed(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\nDELETE /echo HTTP/1.1\r\nHost: a\r\n\r\n")
    answers = Answers(transport.written, ["GET", "DELETE"]).found
    assert [status for status, *_ in answers] == [404, 405]
    assert answers[1][1][b"allow"] == b"get, head, post"
    assert not transport.closed
    finish(protocol)


async def test_a_client_that_asks_whether_to_go_on_is_told_to_or_refused() -> None:
    asked = b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    protocol, transport = await fed(asked % 3)
    assert transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    protocol.data_received(b"abc")
    for _ in range(5):
        await asyncio.sleep(0)
    assert transport.written.endswith(b"[abc]")
    finish(protocol)
    protocol, transport = await fed(asked % 65)
    assert transport.written.startswith(b"HTTP/1.1 413 ")
    finish(protocol)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /echo HTTP/1.0\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
)
async def test_a_last_request_is_answered_and_the_connection_closed(request_: bytes) -> None:
    protocol, transport = await fed(request_ + SMUGGLED)
    assert transport.written.startswith(b"HTTP/1.1 200 ")
    assert b"smuggled" not in transport.written
    assert transport.closed
    finish(protocol)


async def test_an_answer_leaves_in_one_write_and_has_its_length_and_date() -> None:
    protocol, transport = await fed(b"GET /echo/7 HTTP/1.1\r\nHost: a\r\n\r\n")
    [(_, headers, body)] = Answers(transport.written, ["GET"]).found
    assert transport.writes == 1
    assert headers[b"content-length"] == b"%d" % len(body)
    assert headers[b"date"].endswith(b" gmt")
    assert headers[b"x-params"] == b"7"
    assert b"server" not in headers
    finish(protocol)


async def test_an_answer_in_pieces_has_the_length_of_all_and_head_and_204_have_no_body() -> None:
    get = b"GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n"
    protocol, transport = await fed(get + get.replace(b"GET", b"HEAD") + get.replace(b"pieces", b"nothing"))
    whole, head, none = Answers(transport.written, ["GET", "HEAD", "GET"]).found
    assert whole[2] == b"one,two,three"
    assert head[1][b"content-length"] == b"13"
    assert none[0] == 204
    assert b"content-length" not in none[1]
    finish(protocol)


async def test_the_log_of_what_goes_wrong_inside_has_the_route_and_not_the_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logged: list[tuple[str, dict[str, str]]] = []

    class Log:
        def exception(self, event: str, **values: str) -> None:
            logged.append((event, values))

    monkeypatch.setattr(hot, "log", Log())
    protocol, _ = await fed(b"GET /raising/of-an-enrolment HTTP/1.1\r\nHost: a\r\n\r\n")
    assert logged == [("http.failed", {"route": "/raising/{}"})]
    finish(protocol)


@pytest.mark.parametrize("path", [b"/raising", b"/splitting"])
async def test_what_goes_wrong_inside_is_500_and_tells_nothing(path: bytes) -> None:
    protocol, transport = await fed(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert transport.written.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in transport.written
    assert b"set-cookie" not in transport.written
    assert transport.closed
    finish(protocol)


async def test_a_slow_reader_is_waited_for_and_then_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot, "READ_SECONDS", 0.05)
    protocol, transport = connected()
    protocol.pause_writing()
    protocol.data_received(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
    await asyncio.sleep(0.01)
    assert transport.written == b""
    protocol.resume_writing()
    await asyncio.sleep(0.01)
    assert b" 200 OK" in transport.written
    protocol.pause_writing()
    protocol.data_received(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
    await asyncio.sleep(0.1)
    assert transport.closed
    finish(protocol)


async def test_too_many_waiting_requests_stop_the_reading_until_they_are_answered() -> None:
    protocol, transport = connected()
    protocol.data_received(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
    assert not transport.reading
    for _ in range(100):
        await asyncio.sleep(0)
    assert transport.reading
    assert transport.written.count(b" 200 OK") == 20
    finish(protocol)


async def test_half_a_close_is_answered_and_then_the_connection_ends() -> None:
    protocol, transport = connected()
    protocol.data_received(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
    assert protocol.eof_received()
    for _ in range(5):
        await asyncio.sleep(0)
    assert b" 200 OK" in transport.written
    assert transport.closed
    finish(protocol)
    protocol, _ = connected()
    protocol.data_received(b"GET /echo HT")
    assert not protocol.eof_received()
    finish(protocol)


async def test_an_idle_connection_ends_after_its_time() -> None:
    protocol, transport = HotProtocol(LANE, set(), Dated(SystemClock()), 0.05), Transport()
    protocol.connection_made(transport)  # type: ignore[arg-type]
    protocol.data_received(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
    async with asyncio.timeout(30):
        while not transport.closed:
            await asyncio.sleep(0.01)
    # Not before it had answered; that one with time left stays open is what every other test here needs.
    assert transport.writes == 1
    finish(protocol)


@pytest.mark.parametrize("while_answering", [False, True])
async def test_requests_of_a_connection_share_a_task_that_ends_with_it(while_answering: bool) -> None:
    before = asyncio.all_tasks()
    protocol, transport = connected()
    for count in range(1, 4):
        protocol.data_received(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
        while transport.writes < count:
            await asyncio.sleep(0)
    (serving,) = asyncio.all_tasks() - before
    if while_answering:
        protocol.data_received(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
    transport.close()
    finish(protocol)
    await asyncio.wait_for(serving, 30)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("target", [b"a:443", b"/\xff", b"http://[::1/"])
async def test_a_target_that_names_no_path_is_refused(target: bytes) -> None:
    protocol, transport = await fed(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert transport.written.startswith(b"HTTP/1.1 400 ")
    finish(protocol)


def test_the_parser_is_a_strict_one() -> None:
    """No leniency of llhttp's is ever switched on: strictness is what keeps two readers of one stream agreed."""
    assert "set_dangerous_leniencies" in dir(httptools.HttpRequestParser)
    with open(hot.__file__) as source:
        assert "leniencies" not in source.read()
