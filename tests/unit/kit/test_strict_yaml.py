"""YAML that people apply: what is taken, and what is refused before anything is built of it."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.kit.strict_yaml import YamlRefused, load_yaml


def test_plain_documents_are_read() -> None:
    text = "a: {b: [1, x, true, null], c: 2026-11-23}\nd: |\n  lines\n"
    assert load_yaml(text, max_bytes=1024) == {
        "a": {"b": [1, "x", True, None], "c": datetime.date(2026, 11, 23)}, "d": "lines\n",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x [1]\nb: *x\n", "line 1: anchors and tags are not taken"),
        ("a: *x\n", "line 1: aliases are not taken; write it out"),
        ("a: !!python/object/apply:os.system [ls]\n", "line 1: anchors and tags are not taken"),
        ("a: 1\nb: 2\na: 3\n", "line 3: 'a' stands here twice"),
        ("x:\n  <<: {a: 1}\n", "line 2: merges are not taken; write it out"),
        ("[a, b]: 1\n", "line 1: a field's name is a word"),
        ("[" * 17, "line 1: nested deeper than 16"),
        ("a: 2026-02-31\n", "day is out of range for month"),
        ("a: [1\n", "line 2: did not find expected ',' or ']'"),
        ("a: 1\n---\nb: 2\n", "line 2: but found another document"),
        ("a" * 2000, "the document is larger than 1 KiB"),
        ("a: \x01\n", "control characters are not allowed"),
    ],
)
def test_what_unfolds_or_wins_silently_is_refused(text: str, said: str) -> None:
    with pytest.raises(YamlRefused) as refused:
        load_yaml(text, max_bytes=1024)
    assert said in str(refused.value)


def test_a_bomb_is_refused_before_it_unfolds() -> None:
    text = "a: &a [x]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    with pytest.raises(YamlRefused, match="anchors"):
        load_yaml(text, max_bytes=65_536)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    said = ""
    try:
        load_yaml(text, max_bytes=1024)
    except YamlRefused as error:
        said = str(error)
    assert said.isprintable()
