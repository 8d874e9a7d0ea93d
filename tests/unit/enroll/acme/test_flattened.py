from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from troth.enroll.acme.flattened import _strict, parse_object
from troth.enroll.acme.problems import AcmeProblem

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def _written(value: Any, doubled: bool, compact: bool, plain: bool) -> bytes:
    text = json.dumps(value, separators=(",", ":") if compact else None, ensure_ascii=plain)
    if doubled and text != "{}":
        text = text[:-1] + "," + text[1:]
    return text.encode("utf-8", "surrogatepass")


def _read(raw: bytes) -> tuple[Any, Any]:
    """What the strict reader alone makes of ``raw``, and what the door does; None: no object."""
    try:
        strictly: Any = _strict.decode(raw.decode())
        json.dumps(strictly, ensure_ascii=False).encode()
    except ValueError:
        strictly = None
    try:
        found: Any = parse_object(raw, "payload")
    except AcmeProblem:
        found = None
    return strictly, found


@given(st.dictionaries(st.text(max_size=3), _values, max_size=3), st.booleans(), st.booleans(), st.booleans())
@example({"a": 1}, True, True, True)
@example({"a": {"b": [{"": 2**70}]}}, False, True, True)
def test_whoever_writes_a_message_shortly_is_read_as_everybody_else_is(
    value: dict[str, Any], doubled: bool, compact: bool, plain: bool
) -> None:
    strictly, found = _read(_written(value, doubled, compact, plain))
    assert repr(found) == repr(strictly)
    assert found is None or not doubled or not value


@given(st.binary(max_size=40) | st.text('{}[]":,a1\\u0 ', max_size=20).map(str.encode))
def test_octets_of_any_kind_are_an_object_to_both_readers_or_to_none(raw: bytes) -> None:
    strictly, found = _read(raw)
    assert found == (strictly if isinstance(strictly, dict) else None)
