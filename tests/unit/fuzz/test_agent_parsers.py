"""The parsers of the host agent and of the door it uses: the same promise, and the same way to hold them to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.fuzz.test_parsers import EXAMPLES, mutated
from troth.agent.spiffe import cgroups, pods
from troth.agent.spiffe.http2 import GrpcServer, _Connection
from troth.agent.spiffe.jwt_messages import read_jwt_svid_request, read_validate_jwt_svid_request
from troth.enroll.workload.desk import StandingRequest, SvidRequest, read_request
from troth.enroll.workload.jwt import JwtRequest
from troth.inventory.model import read_certificate, read_report
from troth.kit.errors import TrothError

_POD = "0a1b2c3d-1111-2222-3333-444455556666"


def calls(data: bytes) -> None:
    """The messages that a process sends for tokens."""
    for read in (read_jwt_svid_request, read_validate_jwt_svid_request):
        with contextlib.suppress(ValueError):
            read(data)


PARSERS: dict[str, tuple[Callable[[bytes], object], Callable[[], list[bytes]]]] = {
    "control group": (
        lambda data: cgroups.read(data.decode("utf-8", "replace")),
        lambda: [f"0::/kubepods/pod{_POD}/{'c' * 64}\n".encode(), b"1:name=systemd:/system.slice/a.service\n0::/\n"],
    ),
    "pods": (pods.read, lambda: [b'{"items":[{"metadata":{"uid":"u","labels":{"a":"b"}},"spec":{"nodeName":"n"}}]}']),
    "svid request": (
        lambda data: read_request(data, SvidRequest), lambda: [b'{"workload":"shop","csr":"AAAA","selectors":["a"]}'],
    ),
    "standing request": (
        lambda data: read_request(data, StandingRequest), lambda: [b'{"certificates":["' + b"0" * 64 + b'"]}'],
    ),
    "report": (
        read_report,
        lambda: [b'{"agent":"a","at":"2026-03-02T09:00:00Z","certificates":["AAAA"],"cut":["x"],'
                 b'"sightings":[{"certificate":0,"place":"/a","kind":"file"}]}'],
    ),
    "token request of the agent": (
        lambda data: read_request(data, JwtRequest),
        lambda: [b'{"workload":"shop","audience":["db"],"selectors":["a"]}'],
    ),
    "token request of a process": (
        calls, lambda: [b"\x0a\x02db\x12\x0espiffe://a/b/c"],
    ),
    "found certificate": (lambda data: read_certificate(data.decode("latin-1")), lambda: [b"MIIB", b"AAAA"]),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PARSERS))
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.differing_executors])
@given(st.data())
def test_a_parser_answers_or_refuses(name: str, data: st.DataObject) -> None:
    parse, seeds = PARSERS[name]
    seed = data.draw(st.sampled_from(seeds()))
    some = mutated(seed, data.draw(st.integers(0, 6)), data.draw(st.integers(0, 2**32)))
    try:
        parse(data.draw(st.binary(max_size=200)) if data.draw(st.integers(0, 4)) == 0 else some)
    except TrothError:
        pass


class _Wire:
    """A transport that keeps nothing."""

    def __init__(self, own: socket.socket) -> None:
        self._socket = own
        self.closing = False

    def get_extra_info(self, _name: str) -> socket.socket:
        return self._socket

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        assert not self.closing

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.closing = True

    abort = close


def _session() -> bytes:
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    for number in (1, 3):
        head = [(":method", "POST"), (":scheme", "http"), (":path", "/SpiffeWorkloadAPI/FetchX509SVID")]
        client.send_headers(number, [*head, (":authority", "a"), ("content-type", "application/grpc")])
        client.send_data(number, b"\x00\x00\x00\x00\x00", end_stream=number == 1)
    client.ping(b"12345678")
    client.reset_stream(3)
    return client.data_to_send()


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 8), st.integers(0, 2**32), st.integers(1, 60))
def test_no_octets_escape_the_http2_of_the_workload_api(changes: int, number: int, piece: int) -> None:
    data = mutated(_session(), changes, number)

    async def handler(_call: Any) -> Any:
        yield b"answer"

    async def feed() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            server = GrpcServer(handler)
            connection = _Connection(server, handler)
            wire: Any = _Wire(ours)
            connection.connection_made(wire)
            for at in range(0, len(data), piece):
                if not wire.closing:
                    connection.data_received(data[at : at + piece])
                    await asyncio.sleep(0)
            connection.connection_lost(None)
            await asyncio.sleep(0)
            assert server.connections == 0

    asyncio.run(feed())
