"""A packet that came to the wrong worker: it arrives whole at the right one, and is answered from its socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.radius.server.handover import Handover
from troth.radius.server.udp import NO_LOCAL, Datagram, UdpSockets


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Handover, Handover]]:
    """Two workers' mailboxes."""
    boxes = []
    for number in (1, 2):
        box = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        box.bind(str(tmp_path / str(number)))
        box.setblocking(False)
        boxes.append(box)
    yield Handover(1, boxes[0], str(tmp_path)), Handover(2, boxes[1], str(tmp_path))
    for box in boxes:
        box.close()


@pytest.mark.parametrize("address", [("192.0.2.7", 49152), ("2001:db8::7", 1812, 0, 0), ("fe80::1", 9, 0, 3)])
@pytest.mark.parametrize("new", [True, False])
def test_it_arrives_with_its_addresses(pair: tuple[Handover, Handover], address: tuple[str, int], new: bool) -> None:
    one, two = pair
    local = bytes(range(20))
    assert one.send(2, Datagram(3, b"x" * 4096, address, local), new=new) == "sent"

    handed = two.receive()
    assert handed is not None
    assert handed.datagram == Datagram(3, b"x" * 4096, address, local)
    assert (handed.new, handed.sender) == (new, 1)
    assert two.receive() is None


def test_a_worker_that_is_gone_is_told_as_such(pair: tuple[Handover, Handover]) -> None:
    assert pair[0].send(9, Datagram(0, b"x", ("192.0.2.7", 1)), new=False) == "gone"


def test_a_worker_that_has_too_much_to_do_is_not_taken_for_gone(pair: tuple[Handover, Handover]) -> None:
    told = {pair[0].send(2, Datagram(0, bytes(4096), ("192.0.2.7", 1)), new=False) for _ in range(10_000)}
    assert told == {"sent", "full"}


@given(st.binary(max_size=200))
def test_what_no_worker_sends_is_refused_or_read_whole(frame: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        theirs.setblocking(False)
        ours.send(frame)
        try:
            handed = Handover(1, theirs, "").receive()
        except ValueError:
            assert len(frame) < 46 or frame[0] != 1
        else:
            assert handed is not None
            assert frame.endswith(handed.datagram.data)


@pytest.mark.parametrize(
    ("family", "wild", "target"),
    [
        (socket.AF_INET, "0.0.0.0", "127.0.0.2"),
        (socket.AF_INET6, "::", "::1"),
        (socket.AF_INET, "127.0.0.3", "127.0.0.3"),
    ],
)
def test_an_answer_leaves_from_the_address_that_was_asked(family: int, wild: str, target: str) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as server, socket.socket(family, socket.SOCK_DGRAM) as client:
        if family == socket.AF_INET:
            server.setsockopt(socket.IPPROTO_IP, 8, 1)
        else:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        server.bind((wild, 0))
        server.setblocking(False)
        client.settimeout(5)
        came: list[Datagram] = []
        sockets = UdpSockets([server], came.append)
        client.sendto(b"asked", (target, server.getsockname()[1]))
        sockets.readable(0)
        sockets.send(came[0], b"answered")

        answer, source = client.recvfrom(100)
        assert (came[0].data, answer) == (b"asked", b"answered")
        assert source[0] == target
        assert sockets.unsent == 0
        assert (came[0].local == NO_LOCAL) == (wild == target)
