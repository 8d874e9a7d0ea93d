"""Android's status list."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.enroll.attest.conftest import NOW
from troth.enroll.attest.errors import AttestationRefused
from troth.enroll.attest.statuses import MAX_BYTES, read_statuses


def test_serial_numbers_are_compared_in_lower_case_without_leading_zeros() -> None:
    data = json.dumps(
        {"entries": {
            "00C35": {"status": "REVOKED", "reason": "KEY_COMPROMISE", "comment": "x"},
            "2c8cdddfd5e03bfc": {"status": "SUSPENDED"},
            "0": {"status": "WITHDRAWN", "reason": "LATER"},
        }}
    ).encode()  # fmt: skip
    found = read_statuses(data, NOW)
    assert found.entries == {
        "c35": ("REVOKED", "KEY_COMPROMISE"),
        "2c8cdddfd5e03bfc": ("SUSPENDED", ""),
        "0": ("REVOKED", "LATER"),
    }
    assert found.fetched_at == NOW


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b'{"entries": []}', b'{"entries": {"xyz": {"status": "REVOKED"}}}', b'{"entries": {"a": {}}}',
     b" " * (MAX_BYTES + 1)],
)  # fmt: skip
def test_what_is_not_the_document_is_refused(data: bytes) -> None:
    with pytest.raises(AttestationRefused):
        read_statuses(data, NOW)


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read_statuses(data, NOW)
    except AttestationRefused:
        return
