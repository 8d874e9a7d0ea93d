"""Documents and their validators."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from troth.kit.lane import Request
from troth.status.published import CRL_TYPE, Document, http_date

MADE = datetime(2026, 3, 2, 9, 0, 0, 700_000, tzinfo=UTC)
DOCUMENT = Document.make(b"bytes", CRL_TYPE, MADE, b"no-cache")
TAG = DOCUMENT.etag.decode()


def asked(**headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return DOCUMENT.answer(Request("GET", "/crl/issuing.crl", b"", b"", (), named, b"")).status


def test_times_are_imf_fixdate() -> None:
    assert http_date(MADE) == b"Mon, 02 Mar 2026 09:00:00 GMT"


def test_a_client_that_has_it_is_told_so() -> None:
    assert asked() == 200
    assert asked(if_none_match=TAG) == 304
    assert asked(if_none_match=f'"other", W/{TAG}') == 304
    assert asked(if_none_match="*") == 304
    assert asked(if_none_match='"other"') == 200


@pytest.mark.parametrize(
    ("since", "status"),
    [
        ("Mon, 02 Mar 2026 09:00:00 GMT", 304),
        ("Mon, 02 Mar 2026 08:59:59 GMT", 200),
        ("Monday, 02-Mar-26 09:00:01 GMT", 304),
        ("yesterday", 200),
        ("", 200),
        ("Mon, 99 Mar 2026 09:00:00 GMT", 200),
    ],
)
def test_a_date_counts_by_the_second_and_a_bad_one_not_at_all(since: str, status: int) -> None:
    assert asked(if_modified_since=since) == status


def test_a_tag_that_does_not_match_outweighs_a_date_that_does() -> None:
    assert asked(if_none_match='"other"', if_modified_since="Mon, 02 Mar 2026 09:00:00 GMT") == 200


def test_304_repeats_the_validators_and_has_no_body() -> None:
    answer = DOCUMENT.answer(Request("GET", "/", b"", b"", (), {"if-none-match": TAG}, b""))
    assert answer.body == b""
    assert (b"etag", DOCUMENT.etag) in answer.headers
