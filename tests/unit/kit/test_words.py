from __future__ import annotations

import pickle

import pytest

from troth.kit.words import Word


class Colour(Word):
    RED = "red"
    BLUE = "blue"


def test_a_word_is_an_enumeration_as_any_other() -> None:
    assert [one.value for one in Colour] == ["red", "blue"]
    assert Colour("red") is Colour.RED
    assert {Colour.RED: 1}[Colour("red")] == 1
    assert pickle.loads(pickle.dumps(Colour.BLUE)) is Colour.BLUE  # noqa: S301 -- of our own making
    with pytest.raises(AttributeError):
        Colour.RED.value = "blue"
