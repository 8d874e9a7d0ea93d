from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.radius.wire.addresses import mac, safe_text, ssid

CANONICAL = "00-10-a4-23-19-c0"


@pytest.mark.parametrize(
    "text",
    [
        "00-10-A4-23-19-C0",
        "00:10:a4:23:19:c0",
        "0010.a423.19c0",
        "0010-a423-19c0",
        "0010a4-2319c0",
        "0010a42319c0",
        "00 10 a4 23 19 c0",
        "00.10.a4.23.19.c0",
        "00-10-A4-23-19-C0:corp wifi",
        "00:10:A4:23:19:C0:corp",
        "0010a42319c0:corp",
        " 00-10-a4-23-19-c0",
        b"0010A42319C0",
    ],
)
def test_every_vendors_spelling_is_one_address(text: str | bytes) -> None:
    assert mac(text) == CANONICAL


@pytest.mark.parametrize(
    "text", ["", "corp", "00-10-a4-23-19", "00-10:a4-23-19-c0", "00-10-a4-23-19-c0-11-22", "0010a42319c011",
             "192.0.2.7[4500]", "2001:db8::1", b"\xff\xfe", "０0-10-a4-23-19-c0"],
)  # fmt: skip
def test_what_is_no_address_is_none(text: str | bytes) -> None:
    assert mac(text) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("00-10-A4-23-19-C0:corp wifi", "corp wifi"),
        ("00:10:A4:23:19:C0:corp", "corp"),
        ("0010a42319c0:a:b", "a:b"),
        ("ap-lobby:corp", "corp"),
        ("00-10-A4-23-19-C0", None),
        ("00-10-A4-23-19-C0:", None),
        ("2001:db8::1", None),
        ("switch", None),
        ("00-10-A4-23-19-C0:" + "x" * 33, None),
        (b"00-10-A4-23-19-C0:caf\xc3\xa9", "café"),
        (b"00-10-A4-23-19-C0:caf\xe9\x00", "caf\\xe9\\x00"),
        (b"00-10-A4-23-19-C0:caf\\xe9", "caf\\\\xe9"),
    ],
)
def test_the_ssid_stands_behind_the_address_or_the_access_points_name(text: str | bytes, found: str | None) -> None:
    assert ssid(text) == found


@given(data=st.binary(max_size=64))
def test_text_of_a_stranger_is_safe_to_show(data: bytes) -> None:
    shown = safe_text(data)

    assert shown.isprintable()
    assert len(shown) <= 253
    mac(data), ssid(data)


@given(one=st.binary(max_size=24), other=st.binary(max_size=24))
def test_two_values_never_look_alike(one: bytes, other: bytes) -> None:
    assert (safe_text(one) == safe_text(other)) is (one == other)


def test_what_turns_the_direction_of_writing_or_a_terminal_is_written_out() -> None:
    assert safe_text("a\u202eb\x1b[2J\r\n\u2028".encode()) == "a\\u202eb\\x1b[2J\\x0d\\x0a\\u2028"
    assert safe_text(b"x" * 400, most=10) == "x" * 9 + "…"
