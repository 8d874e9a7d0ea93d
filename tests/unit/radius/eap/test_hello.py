"""What a device offers is read from its ClientHello; what is none is left to OpenSSL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from troth.radius.eap.hello import Hello, read_hello


def flight(low: int, high: int, *, tickets: bool = True, groups: bytes = b"X25519:P-256") -> bytes:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(low)
    context.set_max_proto_version(high)
    if not tickets:
        context.set_options(SSL.OP_NO_TICKET)
    SSL._lib.SSL_CTX_set1_curves_list(context._context, groups)  # type: ignore[attr-defined]
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(65_536)


def test_versions_groups_and_tickets_are_told() -> None:
    both = read_hello(flight(SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION, groups=b"X25519MLKEM768:X25519"))
    assert both == Hello(("1.3", "1.2"), ("X25519MLKEM768", "X25519"), True, False)
    assert str(both) == "TLS 1.3, 1.2; groups X25519MLKEM768, X25519"
    old = read_hello(flight(SSL.TLS1_2_VERSION, SSL.TLS1_2_VERSION, tickets=False))
    assert old == Hello(("1.2",), ("X25519", "P-256"), False, False)


def test_a_hello_in_several_records_is_read() -> None:
    whole = flight(SSL.TLS1_3_VERSION, SSL.TLS1_3_VERSION)
    body = whole[5:]
    parts = [body[at : at + 60] for at in range(0, len(body), 60)]
    records = b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)
    assert read_hello(records) == read_hello(whole)


def test_a_hello_with_very_many_groups_makes_no_long_line() -> None:
    groups = b"".join(number.to_bytes(2, "big") for number in range(0x0200, 0x0A00))
    extension = b"\x00\x0a" + (len(groups) + 2).to_bytes(2, "big") + len(groups).to_bytes(2, "big") + groups
    body = b"\x03\x03" + bytes(32) + b"\x00\x00\x02\x13\x01\x01\x00" + len(extension).to_bytes(2, "big") + extension
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    hello = read_hello(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message)
    assert hello is not None
    assert len(hello.groups) == 16
    assert len(str(hello)) < 200


@given(st.binary(max_size=200))
def test_anything_else_is_nothing(data: bytes) -> None:
    assert read_hello(data) is None or data[:1] == b"\x16"


@given(st.data())
def test_a_hello_that_is_cut_or_changed_is_read_or_not_and_never_worse(data: st.DataObject) -> None:
    whole = bytearray(_WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    read_hello(bytes(whole[: data.draw(st.integers(0, len(whole)))]))


_WHOLE = flight(SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)
