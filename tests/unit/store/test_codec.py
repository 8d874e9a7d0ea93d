"""The binary formats of the types that hot statements use."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.store.codec import BY_OID

_TIMES = st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2900, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 -- hypothesis adds the zone
VALUES: dict[int, st.SearchStrategy[Any]] = {
    16: st.booleans(),
    17: st.binary(max_size=40),
    20: st.integers(-(2**63), 2**63 - 1),
    21: st.integers(-(2**15), 2**15 - 1),
    23: st.integers(-(2**31), 2**31 - 1),
    25: st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
    701: st.floats(allow_nan=False),
    1184: _TIMES,
    2950: st.uuids(),
    3802: st.just('{"a": [1, "ä"]}'),
}
ARRAYS = {16: 1000, 17: 1001, 20: 1016, 21: 1005, 23: 1007, 25: 1009, 701: 1022, 1184: 1185, 2950: 2951, 3802: 3807}


@given(st.sampled_from(sorted(VALUES)).flatmap(lambda oid: st.tuples(st.just(oid), VALUES[oid])))
def test_a_value_comes_back_as_it_went(pair: tuple[int, Any]) -> None:
    oid, value = pair
    codec = BY_OID[oid]
    assert codec.decode(codec.encode(value)) == value


@given(
    st.sampled_from(sorted(VALUES)).flatmap(
        lambda oid: st.tuples(st.just(oid), st.lists(st.none() | VALUES[oid], max_size=6))
    )
)
def test_an_array_comes_back_as_it_went(pair: tuple[int, list[Any]]) -> None:
    oid, values = pair
    codec = BY_OID[ARRAYS[oid]]
    assert codec.decode(codec.encode(values)) == values


def test_times_without_end_are_the_last_and_the_first_there_is() -> None:
    codec = BY_OID[1184]
    assert codec.decode(b"\x7f" + b"\xff" * 7) == datetime.max.replace(tzinfo=UTC)
    assert codec.decode(b"\x80" + b"\0" * 7) == datetime.min.replace(tzinfo=UTC)
    assert codec.encode(datetime.max.replace(tzinfo=UTC)) == b"\x7f" + b"\xff" * 7


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match="another version"):
        BY_OID[3802].decode(b"\x02{}")
    with pytest.raises(ValueError, match="several dimensions"):
        BY_OID[1007].decode(b"\0\0\0\x02" + b"\0" * 20)
