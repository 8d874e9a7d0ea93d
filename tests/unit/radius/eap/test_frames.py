"""EAP packets, and TLS messages in pieces: whatever is cut fits together again, and what does not is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.radius.eap.errors import FRAGMENTS, MALFORMED, TOO_LONG, EapRefused
from troth.radius.eap.frames import (
    EapResponse,
    TlsFrame,
    is_nak,
    methods_in_words,
    outcome,
    read_nak,
    read_response,
    read_tls,
    request,
    tls_request,
)
from troth.radius.eap.reassembly import MAX_MESSAGE, Incoming, Outgoing, fragment_size


def test_a_response_is_read_and_what_lies_beyond_its_length_is_not() -> None:
    assert read_response(b"\x02\x07\x00\x08\x01abc" + b"padding") == EapResponse(7, 1, b"abc")


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x02\x07\x00\x04",  # Success and Failure have four octets; a response has a type
        b"\x01\x07\x00\x05\x01",  # a request
        b"\x02\x07\x00\x09\x01abc",  # cut off
        b"\x02\x07\x00\x04\x01abc",  # shorter than it is
    ],
)
def test_what_is_no_response_is_refused(packet: bytes) -> None:
    with pytest.raises(EapRefused) as refusal:
        read_response(packet)
    assert refusal.value.reason is MALFORMED


def test_flags_are_read_as_rfc_5216_has_them() -> None:
    assert read_tls(b"\x00") == TlsFrame(None, False, b"")
    assert read_tls(b"\xc0\x00\x00\x05\x00ab") == TlsFrame(1280, True, b"ab")
    assert read_tls(b"\x40ab") == TlsFrame(None, True, b"ab")
    assert read_tls(b"\x3fab") == TlsFrame(None, False, b"ab"), "S and reserved flags mean nothing in a response"
    for cut in (b"", b"\x80", b"\x80\x00\x00\x00"):
        with pytest.raises(EapRefused):
            read_tls(cut)


def test_what_a_device_wants_instead_is_named() -> None:
    nak = read_response(b"\x02\x07\x00\x08\x03\x19\x15\x34")
    assert is_nak(nak)
    assert read_nak(nak) == (25, 21, 52)
    assert methods_in_words((25, 21, 200)) == "PEAP, EAP-TTLS, method 200"
    assert methods_in_words((0,)) == "none"


def test_an_expanded_nak_is_understood() -> None:
    entries = b"\xfe\x00\x00\x00\x00\x00\x00\x19" + b"\xfe\x00\x37\x2a\x00\x00\x00\x01"
    nak = EapResponse(1, 254, b"\x00\x00\x00\x00\x00\x00\x03" + entries)
    assert is_nak(nak)
    assert read_nak(nak) == (25, 254)
    assert not is_nak(EapResponse(1, 254, b"\x00\x37\x2a\x00\x00\x00\x03"))


def test_what_is_sent_has_its_length_and_its_code() -> None:
    assert request(9, 1) == b"\x01\x09\x00\x05\x01"
    assert tls_request(9, b"", 0x20) == b"\x01\x09\x00\x06\x0d\x20"
    assert tls_request(9, b"ab", 0x40, 300) == b"\x01\x09\x00\x0c\x0d\xc0\x00\x00\x01\x2cab"
    assert outcome(3, 9) == b"\x03\x09\x00\x04"


@pytest.mark.parametrize(
    ("configured", "mtu", "size"),
    [(1024, 0, 1024), (1024, 1400, 1024), (1024, 600, 590), (1024, 20, 64), (64, 9000, 64)],
)
def test_fragments_are_as_large_as_configuration_and_link_allow_and_64_at_least(
    configured: int, mtu: int, size: int
) -> None:
    assert fragment_size(configured, mtu) == size


@given(st.binary(max_size=3000), st.integers(64, 1400))
def test_a_flight_of_ours_comes_out_whole_on_the_other_side(flight: bytes, size: int) -> None:
    sending, receiving = Outgoing(size), Incoming()
    sending.load(flight)
    whole: bytes | None = None
    while True:
        frame = read_tls(sending.next(1)[5:])
        assert len(frame.data) <= size
        whole = receiving.add(frame)
        if not sending.left:
            break
        assert whole is None
        assert receiving.begun
    assert whole == flight
    assert not receiving.begun


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=2, max_size=8), st.data())
def test_a_message_of_a_device_in_pieces_is_put_together(parts: list[bytes], data: st.DataObject) -> None:
    receiving, total = Incoming(), sum(map(len, parts))
    for number, part in enumerate(parts):
        told = number == 0 or data.draw(st.booleans())
        last = number == len(parts) - 1
        whole = receiving.add(TlsFrame(total if told else None, not last, part))
        assert whole == (b"".join(parts) if last else None)


FRAMES = st.builds(TlsFrame, st.none() | st.integers(0, 300), st.booleans(), st.binary(max_size=120))


@given(st.lists(FRAMES, max_size=12))
def test_no_sequence_of_frames_gives_more_or_less_than_was_announced(frames: list[TlsFrame]) -> None:
    receiving = Incoming()
    sent: list[bytes] = []
    for frame in frames:
        try:
            whole = receiving.add(frame)
        except EapRefused:
            return
        sent.append(frame.data)
        if whole is not None:
            assert whole == b"".join(sent)
            sent = []


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([TlsFrame(MAX_MESSAGE + 1, True, b"a")], TOO_LONG),
        ([TlsFrame(None, True, b"a")], FRAGMENTS),
        ([TlsFrame(9, True, b"")], FRAGMENTS),
        ([TlsFrame(3, True, b"a"), TlsFrame(4, False, b"bc")], FRAGMENTS),
        ([TlsFrame(3, True, b"a"), TlsFrame(None, False, b"b")], FRAGMENTS),
        ([TlsFrame(3, True, b"ab"), TlsFrame(None, False, b"cd")], FRAGMENTS),
        ([TlsFrame(3, False, b"ab")], FRAGMENTS),
    ],
)
def test_pieces_that_do_not_fit_are_refused(frames: list[TlsFrame], reason: object) -> None:
    receiving = Incoming()
    *first, last = frames
    for frame in first:
        assert receiving.add(frame) is None
    with pytest.raises(EapRefused) as refusal:
        receiving.add(last)
    assert refusal.value.reason is reason


def test_a_message_in_one_piece_may_say_its_length() -> None:
    """RFC 9190, 2.1.9: it must be taken, though it should not be sent."""
    assert Incoming().add(TlsFrame(2, False, b"ab")) == b"ab"
