from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.enroll.acme.problems import Identifier
from troth.enroll.acme.validate.beside import MAX_BODY, Frames, Unreadable, frame, read_question
from troth.enroll.acme.validate.outcome import Challenge

ASKED = Challenge("http-01", Identifier("dns", "a.test"), "token", "token.thumbprint", issuers=("ca.test",), caa=True)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=50)), max_size=5), st.data())
def test_frames_are_read_however_they_are_cut(frames: list[tuple[int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(frame(number, body) for number, body in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    reader, found = Frames(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += list(reader.feed(stream[begin:end]))
    assert found == frames


def test_a_body_longer_than_any_answer_is_not_waited_for() -> None:
    with pytest.raises(Unreadable):
        list(Frames().feed((MAX_BODY + 1).to_bytes(4, "big") + bytes(4)))


def test_a_question_is_read_as_it_was_asked() -> None:
    assert read_question(msgspec.msgpack.encode(ASKED)) == ASKED


@given(st.binary(max_size=200))
def test_anything_else_is_refused(noise: bytes) -> None:
    try:
        assert isinstance(read_question(noise), Challenge)
    except Unreadable:
        pass
