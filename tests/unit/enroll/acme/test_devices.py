"""Device identifiers as ACME writes them, and the names that stand for them in certificates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.enroll.acme.devices import device_name, one_device, read_device
from troth.enroll.acme.identifiers import read_identifiers
from troth.enroll.acme.problems import AcmeProblem, Identifier

KINDS = ("permanent-identifier", "hardware-module")


@pytest.mark.parametrize(
    ("kind", "value", "name"),
    [
        ("permanent-identifier", "C02XY", "C02XY"),
        ("permanent-identifier", "C02XY/1.3.6.1.4.1.311", "1.3.6.1.4.1.311/C02XY"),
        ("permanent-identifier", "Ünïcode 1", "Ünïcode 1"),
        ("hardware-module", "HW-7/1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.99999.1/48572d37"),
    ],
)
def test_values_are_taken_octet_for_octet(kind: str, value: str, name: str) -> None:
    found = read_device(kind, value)
    assert found == Identifier(kind, value)
    assert device_name(found) == (kind, name)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("permanent-identifier", ""),
        ("permanent-identifier", "a/b"),
        ("permanent-identifier", "a/1.2/1.2"),
        ("permanent-identifier", "/1.2.3"),
        ("permanent-identifier", "a/"),
        ("permanent-identifier", "*.a"),
        ("permanent-identifier", "a\u0000"),
        ("permanent-identifier", "a\u007f"),
        ("permanent-identifier", " a"),
        ("permanent-identifier", "e\u0301"),
        ("permanent-identifier", "x" * 300),
        ("hardware-module", "serial"),
        ("hardware-module", "/1.2.3"),
        ("hardware-module", "a/x"),
        ("hardware-module", "a\u007f/1.2.3"),
        ("hardware-module", "x" * 65 + "/1.2.3"),
    ],
)
def test_what_is_not_of_the_grammar_is_malformed(kind: str, value: str) -> None:
    with pytest.raises(AcmeProblem) as refused:
        read_identifiers([{"type": kind, "value": value}], kinds=KINDS)
    assert refused.value.type.endswith(":malformed")


def test_an_order_names_one_device() -> None:
    pair = [Identifier("permanent-identifier", "a"), Identifier("hardware-module", "b/1.2.3")]
    one_device(pair[:1])
    with pytest.raises(AcmeProblem) as refused:
        one_device(pair)
    assert refused.value.type.endswith(":rejectedIdentifier")


@given(st.sampled_from(KINDS), st.text(max_size=80))
def test_any_text_is_a_name_or_refused(kind: str, text: str) -> None:
    try:
        found = read_device(kind, text)
    except AcmeProblem:
        return
    assert found.value == text
    assert device_name(found)[0] == kind
