from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.pki import der


@given(st.integers(-(2**200), 2**200))
def test_integers_read_back(value: int) -> None:
    assert der.read_integer(der.Reader(der.integer(value)).read(der.INTEGER)) == value


@given(st.lists(st.integers(0, 2**40), max_size=6), st.integers(0, 2), st.integers(0, 39))
def test_object_identifiers_read_back(arcs: list[int], first: int, second: int) -> None:
    dotted = ".".join(map(str, (first, second, *arcs)))
    assert der.read_oid(der.Reader(der.oid(dotted)).read(der.OID)) == dotted or len(der.oid(dotted)) > 34


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536, 70000])
def test_every_length_form_reads_back(size: int) -> None:
    encoded = der.octets(b"x" * size)
    reader = der.Reader(encoded)
    assert reader.read(der.OCTET_STRING) == b"x" * size
    reader.close()


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\x30",
        b"\x30\x80\x00\x00",
        b"\x30\x81\x01\x00",
        b"\x30\x82\x00\x81" + b"x" * 129,
        b"\x30\x05\x00",
        b"\x30\x85\x00\x00\x00\x00\x01x",
        b"\x3f\x81\x01\x00",
        b"\x30\x82\x01",
    ],
)
def test_what_is_not_der_is_refused(bad: bytes) -> None:
    with pytest.raises(der.DerError):
        der.Reader(bad).read(der.SEQUENCE)


@given(st.binary(max_size=64))
def test_any_bytes_end_in_an_element_or_an_error(data: bytes) -> None:
    reader = der.Reader(data)
    try:
        while not reader.empty:
            reader.whole()
    except der.DerError:
        pass


def test_named_bits_drop_trailing_zeros() -> None:
    assert der.named_bits(0) == b"\x03\x02\x07\x80"
    assert der.named_bits(0, 2) == b"\x03\x02\x05\xa0"
    assert der.named_bits(5, 6) == b"\x03\x02\x01\x06"
    assert der.named_bits(8) == b"\x03\x03\x07\x00\x80"
    assert der.named_bits() == b"\x03\x01\x00"


def test_inner_readers_cannot_leave_their_element() -> None:
    data = der.sequence(der.sequence(der.integer(1)), der.integer(2))
    inner = der.Reader(data).enter(der.SEQUENCE).enter(der.SEQUENCE)
    inner.read(der.INTEGER)
    with pytest.raises(der.DerError):
        inner.read(der.INTEGER)
