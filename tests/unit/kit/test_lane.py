from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from troth.kit.lane import Handler, Lane, Request, Response, Route


@dataclass
class Exchange:
    """One request driven through a lane; ``reads`` counts how many body messages the lane took."""

    messages: list[MutableMapping[str, Any]] = field(default_factory=list)
    reads: int = 0

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.messages[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.messages[1:])


async def ask(
    lane: Lane,
    method: str = "GET",
    path: str = "/",
    *,
    headers: Sequence[tuple[bytes, bytes]] = (),
    chunks: Sequence[bytes] = (b"",),
    hang_up: bool = False,
    **more: Any,
) -> Exchange:
    """Send ``chunks`` as one body, without a content-length unless ``headers`` has one."""
    exchange = Exchange()
    waiting: list[MutableMapping[str, Any]] = [
        {"type": "http.request", "body": chunk, "more_body": hang_up or number < len(chunks)}
        for number, chunk in enumerate(chunks, 1)
    ]
    if hang_up:
        waiting.append({"type": "http.disconnect"})

    async def receive() -> MutableMapping[str, Any]:
        exchange.reads += 1
        return waiting.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        exchange.messages.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers), **more}
    await lane(scope, receive, send)
    return exchange


async def leak_nothing(_request: Request, _error: Exception) -> Response:
    return Response(500, b"internal error")


async def echo(request: Request) -> Response:
    return Response(200, request.body)


async def params(request: Request) -> Response:
    return Response(200, "|".join(request.params).encode())


def lane_of(*routes: tuple[str, Handler], max_body: int = 16) -> Lane:
    made = [
        Route(pattern, {"GET": door, "POST": door}, permission="public", max_body=max_body) for pattern, door in routes
    ]
    return Lane(made, leak_nothing)


# --- finding the door ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/a/new", "exact"),
        ("/a/7", "one:7"),
        ("/a/7/b/8", "two:7,8"),
        ("/rest/of/it/all", "rest:of/it/all"),
        ("/rest/", "rest:"),
        ("/a/", None),
        ("/a", None),
        ("/a/7/c/8", None),
        ("/a/7/b/", None),
        ("/restful", None),
    ],
)
async def test_a_path_finds_the_exact_door_then_placeholders_then_the_rest(path: str, found: str | None) -> None:
    def door(name: str) -> Handler:
        async def handler(request: Request) -> Response:
            return Response(200, f"{name}:{','.join(request.params)}".rstrip(":" if name != "rest" else "").encode())

        return handler

    lane = lane_of(
        ("/rest/{*}", door("rest")), ("/a/{}", door("one")), ("/a/{}/b/{}", door("two")), ("/a/new", door("exact"))
    )
    exchange = await ask(lane, path=path)
    assert exchange.status == (404 if found is None else 200)
    if found is not None:
        assert exchange.body.decode() == found


async def test_another_method_is_answered_405_with_those_allowed() -> None:
    exchange = await ask(lane_of(("/a", echo)), "DELETE", "/a")
    assert exchange.status == 405
    assert exchange.headers[b"allow"] == b"GET, POST"


async def test_a_door_words_the_lanes_refusals() -> None:
    def refusal(_request: Request, status: int, detail: str) -> Response:
        return Response(status, f"in our words: {detail}".encode(), ((b"content-type", b"application/problem+json"),))

    lane = Lane([], leak_nothing, refusal)
    exchange = await ask(lane, path="/nowhere")
    assert exchange.body == b"in our words: no such resource"
    assert exchange.headers[b"content-type"] == b"application/problem+json"


# --- bodies ----------------------------------------------------------------------------------------------------------


async def test_a_body_in_chunks_arrives_whole() -> None:
    exchange = await ask(lane_of(("/a", echo)), "POST", "/a", chunks=[b"one ", b"", b"two ", b"three"])
    assert exchange.body == b"one two three"
    assert exchange.headers[b"content-length"] == b"13"


async def test_a_body_at_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    lane = lane_of(("/a", echo), max_body=8)
    assert (await ask(lane, "POST", "/a", chunks=[b"1234", b"5678"])).status == 200
    assert (await ask(lane, "POST", "/a", chunks=[b"1234", b"56789"])).status == 413


async def test_a_declared_body_over_the_limit_is_refused_without_reading() -> None:
    exchange = await ask(lane_of(("/a", echo)), "POST", "/a", headers=[(b"content-length", b"17")], chunks=[b"x" * 17])
    assert exchange.status == 413
    assert exchange.reads == 0


async def test_a_chunked_body_is_refused_at_the_chunk_that_passes_the_limit() -> None:
    exchange = await ask(lane_of(("/a", echo)), "POST", "/a", chunks=[b"x" * 10] * 1000)
    assert exchange.status == 413
    assert exchange.reads == 2


async def test_a_small_declared_length_does_not_open_the_door_for_a_larger_body() -> None:
    exchange = await ask(lane_of(("/a", echo)), "POST", "/a", headers=[(b"content-length", b"3")], chunks=[b"x" * 17])
    assert exchange.status == 413


async def test_a_malformed_declared_length_is_not_believed() -> None:
    exchange = await ask(lane_of(("/a", echo)), "POST", "/a", headers=[(b"content-length", b"-1")], chunks=[b"x" * 17])
    assert exchange.status == 413


async def test_no_body_is_read_for_a_path_or_method_that_is_not_there() -> None:
    lane = lane_of(("/a", echo))
    assert (await ask(lane, "POST", "/b", chunks=[b"x"])).reads == 0
    assert (await ask(lane, "PUT", "/a", chunks=[b"x"])).reads == 0


async def test_a_caller_who_hangs_up_in_the_body_is_not_answered() -> None:
    called = False

    async def handler(_request: Request) -> Response:
        nonlocal called
        called = True
        return Response(200)

    exchange = await ask(lane_of(("/a", handler)), "POST", "/a", chunks=[b"half"], hang_up=True)
    assert exchange.messages == []
    assert not called


# --- answers ---------------------------------------------------------------------------------------------------------


async def test_head_has_the_length_and_no_body() -> None:
    lane = Lane([Route("/a", {"HEAD": echo_fixed}, permission="public")], leak_nothing)
    exchange = await ask(lane, "HEAD", "/a")
    assert exchange.headers[b"content-length"] == b"5"
    assert exchange.body == b""


async def echo_fixed(_request: Request) -> Response:
    return Response(200, b"fixed")


async def test_a_handlers_failure_is_answered_by_on_error_alone() -> None:
    async def broken(_request: Request) -> Response:
        raise RuntimeError("the password is hunter2")

    exchange = await ask(lane_of(("/a", broken)), path="/a")
    assert exchange.status == 500
    assert exchange.body == b"internal error"


async def test_a_request_tells_headers_in_lower_case_the_peer_and_the_raw_path() -> None:
    seen: list[Request] = []

    async def look(request: Request) -> Response:
        seen.append(request)
        return Response(200)

    await ask(
        lane_of(("/ocsp/{*}", look)),
        path="/ocsp/a/b+c",
        headers=[(b"x-one", b"1"), (b"x-two", b"\xe9")],
        raw_path=b"/ocsp/a%2Fb%2Bc",
        query_string=b"q=1",
        client=("192.0.2.7", 4711),
        state={"tls_client_cert": b"der"},
    )
    (request,) = seen
    assert request.headers == {"x-one": "1", "x-two": "é"}
    assert (request.raw_path, request.query) == (b"/ocsp/a%2Fb%2Bc", b"q=1")
    assert (request.client, request.tls_client_cert) == ("192.0.2.7", b"der")


async def test_lifespan_is_answered() -> None:
    waiting = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return waiting.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await lane_of(("/a", echo))({"type": "lifespan"}, receive, send)
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_an_answer_in_pieces_has_the_length_of_all_and_head_has_none_of_them() -> None:
    async def large(_request: Request) -> Response:
        return Response(200, b"head", more=(b"one", b"two"))

    lane = Lane([Route("/", {"GET": large, "HEAD": large}, permission="public")], leak_nothing)
    whole = await ask(lane)
    assert (whole.body, whole.headers[b"content-length"]) == (b"headonetwo", b"10")
    assert [message["more_body"] for message in whole.messages[1:]] == [True, True, False]
    bare = await ask(lane, "HEAD")
    assert (bare.body, bare.headers[b"content-length"]) == (b"", b"10")
