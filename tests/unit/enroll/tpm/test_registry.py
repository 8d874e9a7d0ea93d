"""Tables of TPMs as they come with a delivery."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.enroll.tpm.errors import TpmRefused
from troth.enroll.tpm.registry import MAX_CSV, Registration, read_csv


def test_a_table_gives_registrations_in_any_order_of_columns() -> None:
    assert read_csv("\ufeffEK, device ,model\r\nab, laptop-17 ,SLB9672\r\n") == [
        Registration("laptop-17", "ab", model="SLB9672")
    ]
    assert read_csv('device,ek\n"laptop, 17",cd\n') == [Registration("laptop, 17", "cd")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names columns"),
        ("device\nlaptop-17\n", "names columns"),
        ("device,ek,owner\n", "names columns"),
        ("device,ek,ek\n", "names columns"),
        ("device,ek\nlaptop-17\n", "line 2"),
        ("device,ek\nlaptop-17,ab,cd\n", "line 2"),
        ('device,ek\n"laptop-17,ab\n', "cannot be read"),
        ("device,ek\n" + "a,b\n" * 1001, "more than 1000"),
        ("x" * (MAX_CSV + 1), "characters"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_its_line(text: str, says: str) -> None:
    with pytest.raises(TpmRefused, match=says):
        read_csv(text)


@given(st.text(max_size=200), st.booleans())
def test_any_text_is_a_table_or_refused(text: str, headed: bool) -> None:
    try:
        found = read_csv("device,ek\n" + text if headed else text)
    except TpmRefused:
        return
    assert all(isinstance(one, Registration) for one in found)
