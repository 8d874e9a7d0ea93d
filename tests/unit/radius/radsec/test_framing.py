"""A stream becomes packets however TCP cuts it, and what is no packet is noticed."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.radius.radsec.errors import FrameRefused
from troth.radius.radsec.framing import MOST, Framer


def frame(length: int, fill: int) -> bytes:
    return bytes((1, fill)) + length.to_bytes(2, "big") + bytes((fill,)) * (length - 4)


@given(st.lists(st.tuples(st.integers(20, MOST), st.integers(0, 255)), max_size=6), st.data())
def test_packets_come_out_as_they_went_in_wherever_the_stream_is_cut(
    packets: list[tuple[int, int]], data: st.DataObject
) -> None:
    sent = [frame(*packet) for packet in packets]
    stream = b"".join(sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    framer = Framer()
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += framer.feed(stream[start:end])
        assert framer.waiting < MOST
    assert found == sent
    assert framer.waiting == 0


@given(st.lists(st.binary(max_size=64), max_size=20))
def test_any_octets_give_packets_of_their_own_length_or_a_refusal(pieces: list[bytes]) -> None:
    framer = Framer()
    with contextlib.suppress(FrameRefused):
        for piece in pieces:
            for one in framer.feed(piece):
                assert len(one) == int.from_bytes(one[2:4], "big")
            assert framer.waiting < MOST


@pytest.mark.parametrize("length", [0, 19, 4097, 65535])
def test_a_length_that_no_packet_has_is_refused_before_the_rest_has_come(length: int) -> None:
    framer = Framer()
    with pytest.raises(FrameRefused, match=f"says {length} octets"):
        framer.feed(bytes((1, 0)) + length.to_bytes(2, "big"))


def test_a_packet_octet_by_octet() -> None:
    framer, sent = Framer(), frame(20, 7)
    found = [one for at in range(20) for one in framer.feed(sent[at : at + 1])]
    assert found == [sent]
