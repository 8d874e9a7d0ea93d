"""Which worker's socket the kernel chooses: the program beside plain Python, and in the kernel itself."""

from __future__ import annotations

import json
import os
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from troth.radius.eap.state import LENGTH, StateMaker, holder
from troth.radius.server.steering import Steering, Way, way_told
from troth.radius.server.steering_program import MOST, NOBODY, STEPS, Instruction, program
from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.packet import STATE, Code, decode, encode_attributes

NODE = 3
#: 9 drains where 7 serves; the place 1 of 5 is just being served anew.
OWNERS = {5: 1, 7: 0, 9: 0, 200: 2}
SERVED = (0, 2)
CAPTURED = Path(__file__).parents[3] / "vectors" / "radius" / "captured.json"


def run(made: Sequence[Instruction], packet: bytes) -> int:
    """The program as Linux runs it (Documentation/networking/filter.rst); 0 for a load beyond the packet."""
    a = x = at = 0
    memory = [0] * 16
    while True:
        code, jump_true, jump_false, k = made[at]
        at += 1
        if code in (0x20, 0x28, 0x30, 0x48, 0x50):
            start, size = k + (x if code & 0x40 else 0), {0x00: 4, 0x08: 2, 0x10: 1}[code & 0x18]
            if start + size > len(packet):
                return 0
            a = int.from_bytes(packet[start : start + size], "big")
        elif code & 7 == 4:
            a = {0x04: a + k, 0x14: a - k, 0x24: a * k, 0x54: a & k, 0x74: a >> k, 0x0C: a + x, 0xAC: a ^ x,
                 0x94: a % (k or 1)}[code] & 0xFFFF_FFFF  # fmt: skip
        elif code == 0x05:
            at += k
        elif code & 7 == 5:
            met = {0x15: a == k, 0x35: a >= k, 0x2D: a > x}[code]
            at += jump_true if met else jump_false
        elif code == 0x06:
            return k
        elif code == 0x07:
            x = a
        elif code == 0x61:
            x = memory[k]
        elif code == 0x02:
            memory[k] = a
        else:
            a = {0x80: len(packet), 0x00: k}[code]


def meant(packet: bytes, steps: int = STEPS) -> int | None:
    """What the program's docstring promises of a packet that is read; None: of another it promises no worker."""
    try:
        read = decode(packet)
    except PacketRefused:
        return None
    if read.code == Code.ACCESS_REQUEST:
        before = next((n for n, (kind, _) in enumerate(read.attributes) if kind == STATE), steps)
        if before < steps:
            owner = holder(read.attributes[before][1])
            if owner is not None and owner[0] == NODE and owner[1] in OWNERS:
                return OWNERS[owner[1]]
    words = [int.from_bytes(read.authenticator[n : n + 4], "big") for n in range(0, 16, 4)]
    mixed = (words[0] ^ words[1] ^ words[2] ^ words[3]) * 0x9E3779B1 % 2**32 >> 16
    return SERVED[mixed % len(SERVED)]


def packet_of(attributes: Sequence[tuple[int, bytes]], *, code: int = 1, padding: bytes = b"") -> bytes:
    body = encode_attributes(attributes)
    return bytes((code, 7)) + (20 + len(body)).to_bytes(2, "big") + os.urandom(16) + body + padding


_ours = st.builds(
    lambda version, node, worker, rest: bytes((version, node, worker)) + rest,
    st.sampled_from((1, 1, 1, 2)), st.sampled_from((NODE, NODE, 0)), st.sampled_from((*OWNERS, 6)),
    st.binary(min_size=LENGTH - 3, max_size=LENGTH - 3),
)  # fmt: skip
_attribute = st.one_of(
    st.tuples(st.just(STATE), _ours),
    st.tuples(st.sampled_from((STATE - 1, STATE, STATE + 1)), st.binary(max_size=40)),
    st.tuples(st.integers(0, 255), st.binary(max_size=60)),
)
_packets = st.builds(
    packet_of, st.lists(_attribute, max_size=12), code=st.sampled_from((1, 1, 1, 4, 12)), padding=st.binary(max_size=4)
)
_torn = st.builds(
    lambda whole, at, octet, cut: (whole[:at] + bytes((octet,)) + whole[at + 1 :])[: len(whole) - cut],
    _packets, st.integers(0, 120), st.integers(0, 255), st.sampled_from((0, 0, 1, 30)),
)  # fmt: skip


@given(st.one_of(_packets, _torn, st.binary(max_size=80)))
@example(b"")
@example(packet_of(()))
@example(packet_of([(STATE, bytes((1, NODE, 200)) + bytes(21))]))
@settings(max_examples=400)
def test_the_program_finds_whose_a_packet_is_as_plain_python_does(packet: bytes) -> None:
    found, expected = run(program(NODE, OWNERS, SERVED), packet), meant(packet)

    if expected is None:
        assert found in {*OWNERS.values(), NOBODY}
    else:
        assert found == expected


def test_packets_that_others_have_sent_find_a_place() -> None:
    made = program(NODE, OWNERS, SERVED)
    packets = [bytes.fromhex(octets) for _, octets in json.loads(CAPTURED.read_text("utf-8"))["packets"]]

    assert [run(made, one) for one in packets] == [meant(one) for one in packets]


def test_a_state_behind_more_attributes_than_are_walked_is_left_to_the_workers() -> None:
    state = (STATE, StateMaker(bytes(32), node=NODE, worker=5).make("aps", 1, 0))
    made = program(NODE, OWNERS, SERVED)

    assert {run(made, packet_of([(1, b"")] * (STEPS - 1) + [state])) for _ in range(20)} == {1}
    assert {run(made, packet_of([(1, b"")] * STEPS + [state])) for _ in range(50)} == set(SERVED)


@pytest.mark.parametrize("served", [(0, 1), (0, 1, 2), (1, 4, 5, 9, 15)])
def test_what_begins_is_spread_evenly_even_of_an_access_server_that_counts(served: tuple[int, ...]) -> None:
    made = program(NODE, {}, served)
    for counting in (False, True):
        octets = [bytes(14) + (2 * n).to_bytes(2, "big") if counting else os.urandom(16) for n in range(2000)]
        went = Counter(run(made, b"\1\1\0\x14" + one) for one in octets)
        assert set(went) == set(served)
        assert all(0.8 < number * len(served) / 2000 < 1.2 for number in went.values())


def test_the_largest_program_is_one_that_a_kernel_takes() -> None:
    made = program(255, {number: number % 16 for number in range(256)}, range(16))

    assert len(made) < MOST
    assert all(0 <= one.jump_true < 256 and 0 <= one.jump_false < 256 for one in made)


# --- in the kernel -----------------------------------------------------------------------------------------------


@pytest.fixture(params=[(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["IPv4", "IPv6"])
def group(request: pytest.FixtureRequest) -> Iterator[list[socket.socket]]:
    """Three sockets with one port, in the order in which they were bound."""
    family, address = request.param
    group: list[socket.socket] = []
    for _ in range(3):
        one = socket.socket(family, socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind((address, group[0].getsockname()[1] if group else 0))
        one.setblocking(False)
        group.append(one)
    yield group
    for one in group:
        one.close()


def _where(group: Sequence[socket.socket], packets: Sequence[bytes]) -> list[int]:
    """On which of them each packet came: loopback delivers within the call that sends."""
    with socket.socket(group[0].family, socket.SOCK_DGRAM) as client:
        found = []
        for packet in packets:
            client.sendto(packet, group[0].getsockname())
            for number, one in enumerate(group):
                try:
                    assert one.recv(5000) == packet
                    found.append(number)
                except BlockingIOError:
                    continue
    return found


def _of(worker: int) -> bytes:
    state = bytes((1, NODE, worker)) + bytes(21)
    return packet_of([(1, b"x" * 30), (79, b"e" * 253), (79, b"e" * 253), (STATE, state), (80, bytes(16))])


def test_the_kernel_gives_a_packet_to_the_worker_that_its_state_names(group: list[socket.socket]) -> None:
    steering = Steering([group], node=NODE)
    assert steering.seat(OWNERS, {0, 2})
    assert steering.way == Way(3)

    packets = [_of(worker) for worker in (5, 7, 9, 200) * 5] + [packet_of([(1, b"x")]) for _ in range(60)]
    packets += [packet_of([(STATE, b"another's")], code=code) for code in (1, 4, 12) for _ in range(10)]
    assert _where(group, packets) == [meant(one) for one in packets]


def test_who_has_died_gets_nothing_until_somebody_serves_in_its_place(group: list[socket.socket]) -> None:
    steering = Steering([group], node=NODE)
    begins = [packet_of([]) for _ in range(60)]
    steering.seat({}, set())
    assert set(_where(group, begins)) == {0, 1, 2}  # nobody yet: it waits for whoever comes
    steering.seat({5: 0, 6: 1, 7: 2}, {0, 1, 2})
    assert set(_where(group, [_of(6)] * 9)) == {1}

    steering.seat({5: 0, 7: 2}, {0, 2})
    assert set(_where(group, [*begins, *[_of(6)] * 9])) == {0, 2}
    steering.seat({5: 0, 7: 2, 8: 1}, {0, 2})
    assert set(_where(group, begins)) == {0, 2}
    steering.seat({5: 0, 7: 2, 8: 1}, {0, 1, 2})
    assert set(_where(group, begins)) == {0, 1, 2}
    assert set(_where(group, [_of(8)] * 9)) == {1}


def test_who_does_not_want_it_has_the_hash_of_both_ends_again(group: list[socket.socket]) -> None:
    Steering([group], node=NODE).seat({5: 1}, {0, 1, 2})
    steering = Steering([group], node=NODE, wanted=False)

    assert not steering.seat({5: 1}, {0, 1, 2})
    assert len(set(_where(group, [*[packet_of([]) for _ in range(40)], _of(5)]))) == 1
    assert steering.way == Way(3, "radius.steering is off")


def test_sockets_that_cannot_be_steered_are_left_as_they_are(tmp_path: Path) -> None:
    kind = socket.AF_INET, socket.SOCK_DGRAM
    with socket.socket(*kind) as alone, socket.socket(*kind) as other:  # without SO_REUSEPORT
        alone.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        steering = Steering([[alone, other]], node=NODE)
        assert not steering.seat({}, {0, 1})
        assert not steering.on
        steering.way.tell(tmp_path / "way.json")

    told = way_told(tmp_path / "way.json")
    assert told == Way(2, "Invalid argument")
    assert way_told(tmp_path / "none") is None
    assert Steering([[]], node=NODE).way == Way(0, "one worker")
