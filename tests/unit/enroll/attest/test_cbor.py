"""CBOR from strangers."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.enroll.attest.cbor import MAX_BYTES, CborError, decode, decode_int_keyed

_leaves = st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=40)
_values = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


@given(_values)
def test_what_another_library_writes_is_read_back_up_to_four_levels(value: object) -> None:
    data = cbor2.dumps(value)
    if _depth(value) > 4:
        with pytest.raises(CborError, match="levels"):
            decode(data)
    else:
        assert decode(data) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = decode(data)
    except CborError:
        return
    assert cbor2.loads(data) == found


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "cut short"),
        ("0000", "after the end"),
        ("1c", "reserved length"),
        ("1f", "reserved length"),
        ("a2616101616102", "a key twice"),
        ("a10102", "not text"),
        ("a14161f5", "not text"),
        ("c074323031332d30332d32315432303a30343a30305a", "a tag"),
        ("f93c00", "simple or floating"),
        ("fa47c35000", "simple or floating"),
        ("f7", "simple or floating"),
        ("f814", "simple or floating"),
        ("ff", "a break"),
        ("81ff", "a break"),
        ("a1ff", "a break"),
        ("bf6161ff", "a break"),
        ("61ff", "UTF-8"),
        ("5f6161ff", "another kind"),
        ("5f5f4161ffff", "another kind"),
        ("7f4161ff", "another kind"),
        ("5f4161", "cut short"),
        ("9b00000000ffffffff", "cut short"),
        ("5b00000000ffffffff", "cut short"),
        ("818181818100", "levels"),
    ],
)
def test_what_no_statement_uses_is_refused(data: str, why: str) -> None:
    with pytest.raises(CborError, match=why):
        decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("9f0102ff", [1, 2]),
        ("bf6161f5ff", {"a": True}),
        ("5f41614162ff", b"ab"),
        ("7f61616162ff", "ab"),
        ("5fff", b""),
        ("3903e7", -1000),
    ],
)
def test_indefinite_lengths_are_read(data: str, value: object) -> None:
    assert decode(bytes.fromhex(data)) == value


def test_sizes_are_bounded() -> None:
    with pytest.raises(CborError, match="longer"):
        decode(bytes(MAX_BYTES + 1))
    with pytest.raises(CborError, match="items"):
        decode(b"\x99\x04\x00" + bytes(1024))
    with pytest.raises(CborError, match="items"):
        decode(b"\x5f" + b"\x40" * 1024 + b"\xff")


def test_integer_keys_are_read_only_where_asked_for() -> None:
    assert decode_int_keyed(cbor2.dumps({1: 8, "x": 2})) == {1: 8, "x": 2}
    for data in (cbor2.dumps({True: 1}), cbor2.dumps([1])):
        with pytest.raises(CborError):
            decode_int_keyed(data)
