from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.kit.canonical import canonical_json

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(json_values)
def test_what_is_written_reads_back_equal(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers()), st.randoms())
def test_the_order_of_keys_does_not_show(value: dict[str, int], chance: random.Random) -> None:
    items = list(value.items())
    chance.shuffle(items)
    assert canonical_json(dict(items)) == canonical_json(value)


@given(json_values)
def test_the_bytes_are_those_of_the_standard_library(value: Any) -> None:
    plain = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical_json(value) == plain.encode()
    assert canonical_json({"": [value, {"\x7f\x01\u2028/": (value,)}]}) == (
        f'{{"":[{plain},{{"\x7f\\u0001\u2028/":[{plain}]}}]}}'.encode()
    )


def test_the_form_is_this_one_byte_for_byte() -> None:
    value = {"b": [1, True, None, "é\n"], "a": {}, "A": -5}
    assert canonical_json(value) == '{"A":-5,"a":{},"b":[1,true,null,"é\\n"]}'.encode()


@pytest.mark.parametrize("value", [1.0, [float("nan")], {"deep": [{"er": 0.5}]}, (1, 2.0)])
def test_floats_are_refused_at_any_depth(value: Any) -> None:
    with pytest.raises(TypeError, match="no floats"):
        canonical_json(value)


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object()])
def test_other_types_are_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical_json(value)
