"""The Workload API on a real socket, asked by a real SPIFFE client and by whoever is none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.events
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from spiffe import JwtSvid, WorkloadApiClient
from spiffe.workloadapi.errors import FetchJwtSvidError, FetchX509SvidError, ValidateJwtSvidError

from tests.support.svids import SvidServer
from troth.agent.spiffe import http2
from troth.agent.spiffe.api import WorkloadApi
from troth.agent.spiffe.http2 import GrpcServer
from troth.agent.spiffe.jwts import Jwts
from troth.agent.spiffe.service import listen
from troth.agent.spiffe.settings import WorkloadSettings
from troth.agent.spiffe.svids import Svids
from troth.agent.spiffe.tokens import TokenCalls
from troth.kit.clock import SystemClock

ME = f"unix:uid:{os.getuid()}"
SHOP = WorkloadSettings(name="shop", selectors=(ME,))
CART = WorkloadSettings(name="cart", selectors=(ME, f"unix:gid:{os.getgid()}"))
OTHER = WorkloadSettings(name="other", selectors=(ME, "systemd:unit:other.service"))


@dataclass
class Api:
    path: Path
    server: SvidServer
    svids: Svids
    grpc: GrpcServer
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def client(self) -> WorkloadApiClient:
        return WorkloadApiClient(f"unix://{self.path}")

    async def call(self, work: Callable[[WorkloadApiClient], Any]) -> Any:
        """``work`` with a real client, on a thread of its own."""

        def run() -> Any:
            with self.client() as client:
                return work(client)

        return await asyncio.to_thread(run)


@contextlib.asynccontextmanager
async def running(path: Path, *workloads: WorkloadSettings, life: float = 600) -> AsyncIterator[Api]:
    clock = SystemClock()
    server = SvidServer(clock, life=timedelta(seconds=life))
    jwts = Jwts(server, clock, workloads)
    svids = Svids(server, clock, workloads, poll=timedelta(seconds=1), heard=jwts.heard, ended=jwts.forget)
    made = Api(path, server, svids, GrpcServer(WorkloadApi(svids, TokenCalls(jwts), workloads, None).answer))
    tasks = [
        asyncio.create_task(svids.run(made.stop)),
        asyncio.create_task(made.grpc.serve(listen(path, 0o666), made.stop)),
    ]
    try:
        yield made
    finally:
        made.stop.set()
        await asyncio.gather(*tasks)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running(tmp_path / "w.sock", SHOP, CART, OTHER) as made:
        yield made


async def test_a_real_client_gets_its_identities_and_bundle(api: Api) -> None:
    svids = await api.call(lambda client: client.fetch_x509_svids())
    assert [str(one.spiffe_id) for one in svids] == ["spiffe://corp.example/shop", "spiffe://corp.example/cart"]
    bundles = await api.call(lambda client: client.fetch_x509_bundles())
    (bundle,) = bundles.bundles
    assert str(bundle.trust_domain) == "corp.example"
    assert [one.public_bytes(Encoding.DER) for one in bundle.x509_authorities] == api.server.roots
    # A key is made for each certificate.
    keys = {one.private_key.private_numbers().private_value for one in svids}
    assert len(keys) == 2


async def test_a_real_client_gets_tokens_and_keys_and_has_tokens_looked_at(api: Api) -> None:
    svids = await api.call(lambda client: client.fetch_jwt_svids({"db"}))
    assert [str(one.spiffe_id) for one in svids] == ["spiffe://corp.example/shop", "spiffe://corp.example/cart"]
    one = await api.call(lambda client: client.fetch_jwt_svid({"db", "queue"}))
    assert (str(one.spiffe_id), set(one.audience)) == ("spiffe://corp.example/shop", {"db", "queue"})
    cart = await api.call(lambda client: client.fetch_jwt_svid({"db"}, subject=svids[1].spiffe_id))
    assert cart.token == svids[1].token  # kept, and given out again
    bundles = await api.call(lambda client: client.fetch_jwt_bundles())
    (bundle,) = bundles.bundles.values() if isinstance(bundles.bundles, dict) else bundles.bundles
    assert str(bundle.trust_domain) == "corp.example"
    assert bundle.get_jwt_authority("k1") is not None
    seen = await api.call(lambda client: client.validate_jwt_svid(one.token, "queue"))
    assert (str(seen.spiffe_id), seen.token) == (str(one.spiffe_id), one.token)
    # The client's own look, with the keys that it was given.
    JwtSvid.parse_and_validate(one.token, bundle, {"queue"})
    with pytest.raises(ValidateJwtSvidError):
        await api.call(lambda client: client.validate_jwt_svid(one.token, "somebody else"))
    forged = api.server.token({"workload": "shop", "audience": ["db"]}, header={"kid": "k2"})
    with pytest.raises(ValidateJwtSvidError):
        await api.call(lambda client: client.validate_jwt_svid(forged, "db"))


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("FetchJWTSVID", b""), ("FetchJWTSVID", b"\x0a\x00"), ("FetchJWTSVID", b"\x0a\x02db\x0a\x02db"),
        ("FetchJWTSVID", b"\x0a\x7f"), ("FetchJWTSVID", b"\x0a\x01\xff"), ("ValidateJWTSVID", b""),
        ("ValidateJWTSVID", b"\x0a\x02db\x12\x05a.b.c"), ("ValidateJWTSVID", b"\x0b"),
    ],
)  # fmt: skip
async def test_a_token_is_for_somebody_and_a_request_is_one(api: Api, method: str, message: bytes) -> None:
    code = await asyncio.to_thread(_code, api.path, method, message=message)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert [path for path, _ in api.server.asked if path == "/workload/jwt"] == []


async def test_a_workload_that_is_refused_gets_no_token_and_one_that_was_kept_is_thrown_away(api: Api) -> None:
    before = (await api.call(lambda client: client.fetch_jwt_svid({"db"}))).token
    api.server.refuse = {"/workload/jwt": "enroll.refused"}
    assert (await api.call(lambda client: client.fetch_jwt_svid({"db"}))).token == before
    with pytest.raises(FetchJwtSvidError, match="no identity"):
        await api.call(lambda client: client.fetch_jwt_svid({"another"}))
    with pytest.raises(FetchJwtSvidError, match="no identity"):
        await api.call(lambda client: client.fetch_jwt_svid({"db"}))


async def test_a_stranger_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "w.sock", OTHER) as api:
        with pytest.raises(FetchX509SvidError, match="no identity is registered"):
            await api.call(lambda client: client.fetch_x509_svid())
        assert api.server.asked == []


async def test_changes_are_pushed_on_the_stream(tmp_path: Path) -> None:
    async with running(tmp_path / "w.sock", SHOP, life=3) as api:
        seen: list[Any] = []
        enough, failed = threading.Event(), threading.Event()

        def watch(client: WorkloadApiClient) -> None:
            def got(context: Any) -> None:
                seen.append(context)
                if len(seen) >= 2:
                    enough.set()

            watching = client.stream_x509_contexts(got, lambda _: failed.set())
            assert enough.wait(20)
            watching.cancel()

        await api.call(watch)
        first, second = (context.default_svid for context in seen[:2])
        assert first.leaf.serial_number != second.leaf.serial_number
        assert first.private_key.public_key() != second.private_key.public_key()


async def test_what_is_withdrawn_ends_the_stream(api: Api) -> None:
    refusal = "workload.node.not_good"

    def watch() -> Any:
        with grpc.insecure_channel(f"unix://{api.path}") as channel:
            call = channel.unary_stream("/SpiffeWorkloadAPI/FetchX509SVID", lambda b: b, lambda b: b)
            stream = call(b"", metadata=(("workload.spiffe.io", "true"),), timeout=20)
            assert next(stream)
            api.server.refuse = {"/workload/standing": refusal, "/workload/svid": refusal}
            with pytest.raises(grpc.RpcError) as error:
                next(stream)
            return error.value

    ended = await asyncio.to_thread(watch)
    assert (ended.code(), ended.details()) == (
        grpc.StatusCode.PERMISSION_DENIED, "no identity is registered for the calling process",
    )  # fmt: skip
    asked = len(api.server.asked)
    for _ in range(3):
        assert await asyncio.to_thread(_code, api.path) is grpc.StatusCode.PERMISSION_DENIED
    assert len(api.server.asked) == asked  # the server is not asked for each call of a caller that was refused


async def test_a_server_that_is_away_is_told_as_unavailable(tmp_path: Path) -> None:
    async with running(tmp_path / "w.sock", SHOP) as api:
        api.server.fail = True
        assert await api.call(lambda _: _code(api.path)) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("method", "metadata", "code"),
    [
        ("FetchX509SVID", (), grpc.StatusCode.INVALID_ARGUMENT),
        ("FetchX509SVID", (("workload.spiffe.io", "false"),), grpc.StatusCode.INVALID_ARGUMENT),
        ("FetchJWTSVID", (), grpc.StatusCode.INVALID_ARGUMENT),
        ("ValidateJWTSVID", (("workload.spiffe.io", "false"),), grpc.StatusCode.INVALID_ARGUMENT),
        ("FetchEverything", (("workload.spiffe.io", "true"),), grpc.StatusCode.UNIMPLEMENTED),
    ],
)
async def test_calls_without_the_header_or_of_other_methods_are_refused(
    api: Api, method: str, metadata: tuple[tuple[str, str], ...], code: grpc.StatusCode
) -> None:
    assert await asyncio.to_thread(_code, api.path, method, metadata) is code


def _code(
    path: Path,
    method: str = "FetchX509SVID",
    metadata: tuple[tuple[str, str], ...] = (("workload.spiffe.io", "true"),),
    message: bytes = b"",
) -> Any:
    with grpc.insecure_channel(f"unix://{path}") as channel:
        call = channel.unary_stream(f"/SpiffeWorkloadAPI/{method}", lambda b: b, lambda b: b)
        try:
            next(call(message, metadata=metadata, timeout=20))
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


async def test_whoever_leaves_is_not_waited_for(api: Api) -> None:
    await api.call(lambda client: client.fetch_x509_svid())

    def watched() -> bool:
        return any(one["watchers"] for one in api.svids.status().values())  # type: ignore[index]

    async with asyncio.timeout(60):
        while api.grpc.connections or watched():
            await asyncio.sleep(0.01)


async def _raw(path: Path, data: bytes) -> bytes:
    """What a client gets that sends ``data`` and its end."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(data)
    if writer.can_write_eof():
        writer.write_eof()
    try:
        async with asyncio.timeout(120):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def _request(headers: list[tuple[str, str]], body: bytes) -> bytes:
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    client.send_headers(1, headers)
    for at in range(0, len(body), 16_384):
        client.send_data(1, body[at : at + 16_384])
    client.end_stream(1)
    return client.data_to_send()


def _status(answer: bytes) -> dict[str, str]:
    """Headers and trailers in what the server sent."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    client.send_headers(1, HEAD)
    found: dict[str, str] = {}
    for event in client.receive_data(answer):
        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            found |= {_text(name): _text(value) for name, value in event.headers or ()}
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


HEAD = [
    (":method", "POST"), (":scheme", "http"), (":path", "/SpiffeWorkloadAPI/FetchX509SVID"), (":authority", "here"),
    ("content-type", "application/grpc"), ("workload.spiffe.io", "true"),
]  # fmt: skip


@pytest.mark.parametrize("body", [b"", b"\x01\x00\x00\x00\x00", b"\x00\x00\x00\x00\x02\x00", b"\x00\x00\x00\x00\x00x"])
async def test_what_is_no_single_message_is_refused(api: Api, body: bytes) -> None:
    assert _status(await _raw(api.path, _request(HEAD, body)))["grpc-status"] == str(int(http2.Code.INVALID_ARGUMENT))


async def test_what_is_no_grpc_or_too_large_is_refused(api: Api) -> None:
    plain = [(name, "text/plain" if name == "content-type" else value) for name, value in HEAD]
    assert _status(await _raw(api.path, _request(plain, b"")))[":status"] == "415"


async def test_octets_that_are_no_http2_end_the_connection_and_nothing_else(api: Api) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 64, preface + os.urandom(200), preface + b"\xff" * 400):
        await _raw(api.path, junk)
    assert await asyncio.to_thread(_code, api.path) is grpc.StatusCode.OK


async def test_a_user_has_so_many_connections(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "MAX_OF_USER", 2)
    kept = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for one in kept:
        one.connect(str(api.path))
        one.setblocking(False)
    loop = asyncio.get_running_loop()
    assert await loop.sock_recv(kept[0], 10)  # the server's settings
    assert await loop.sock_recv(kept[1], 10)
    with contextlib.suppress(ConnectionError):
        assert await loop.sock_recv(kept[2], 10) == b""
    for one in kept:
        one.close()


async def test_an_idle_connection_is_closed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "IDLE_SECONDS", 0.05)
    reader, writer = await asyncio.open_unix_connection(str(api.path))
    async with asyncio.timeout(120):
        await reader.read()
    writer.close()
