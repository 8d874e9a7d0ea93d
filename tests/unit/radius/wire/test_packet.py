from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.packet import (
    EAP_MESSAGE,
    MAX_ATTRIBUTES,
    VENDOR_SPECIFIC,
    Code,
    Packet,
    decode,
    encode_attributes,
    sub_attributes,
)

#: RFC 2865, section 7.1: User Telnet to Specified Host, the Access-Request.
TELNET = bytes.fromhex(
    "01000038 0f403f9473978057bd83d5cb98f4227a 01066e656d6f"
    "02120dbe708d93d413ce3196e43f782a0aee 0406c0a80110 050600000003"
)
ATTRIBUTES = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=253)), max_size=14)


def framed(body: bytes, *, length: int | None = None) -> bytes:
    return bytes((1, 7)) + (20 + len(body) if length is None else length).to_bytes(2, "big") + bytes(16) + body


def test_the_example_of_rfc_2865_is_read() -> None:
    packet = decode(TELNET)

    assert (packet.code, packet.identifier) == (Code.ACCESS_REQUEST, 0)
    assert packet.authenticator == bytes.fromhex("0f403f9473978057bd83d5cb98f4227a")
    assert packet.attributes == (
        (1, b"nemo"),
        (2, bytes.fromhex("0dbe708d93d413ce3196e43f782a0aee")),
        (4, bytes([192, 168, 1, 16])),
        (5, bytes([0, 0, 0, 3])),
    )


def test_what_stands_behind_the_length_is_padding() -> None:
    packet = decode(TELNET + b"\x50\x12 padding or an attack")

    assert packet == decode(TELNET)
    assert packet.raw == TELNET


@given(attributes=ATTRIBUTES)
def test_attributes_come_back_in_their_order(attributes: list[tuple[int, bytes]]) -> None:
    body = encode_attributes(attributes)

    assert decode(framed(body)).attributes == tuple(attributes)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "radius.packet.short"),
        (TELNET[:19], "radius.packet.short"),
        (TELNET[:-1], "radius.packet.short"),
        (framed(b"", length=19), "radius.packet.length"),
        (framed(bytes(5000), length=4097), "radius.packet.length"),
        (framed(b"\x01\x00"), "radius.packet.attribute"),
        (framed(b"\x01\x01"), "radius.packet.attribute"),
        (framed(b"\x01"), "radius.packet.attribute"),
        (framed(b"\x01\x02\x01"), "radius.packet.attribute"),
        (framed(b"\x01\x04a"), "radius.packet.attribute"),
        (framed(b"\x01\x02" * (MAX_ATTRIBUTES + 1)), "radius.packet.attributes"),
    ],
)
def test_a_malformed_packet_is_refused_by_its_fault(data: bytes, code: str) -> None:
    with pytest.raises(PacketRefused) as refused:
        decode(data)

    assert refused.value.code == code


def test_an_attribute_never_reaches_into_the_padding() -> None:
    with pytest.raises(PacketRefused):
        decode(framed(b"\x01\x06ab", length=24) + b"cd")


@given(data=st.binary(max_size=120) | st.binary(max_size=100).map(lambda body: framed(body)))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    try:
        packet = decode(data)
    except PacketRefused:
        return
    assert packet.raw[20:] == encode_attributes(packet.attributes)


def test_fragments_are_joined_in_order_whatever_stands_between_them() -> None:
    packet = Packet(1, 0, bytes(16), ((EAP_MESSAGE, b"ab"), (1, b"x"), (EAP_MESSAGE, b"cd")), b"")

    assert packet.joined(EAP_MESSAGE) == b"abcd"
    assert packet.all(EAP_MESSAGE) == [b"ab", b"cd"]
    assert packet.first(1) == b"x"
    assert packet.first(2) is None


def test_a_vendors_attributes_are_found_in_every_one_of_its_containers() -> None:
    cisco = b"\x00\x00\x00\x09"
    packet = Packet(
        1, 0, bytes(16),
        ((VENDOR_SPECIFIC, cisco + b"\x01\x05a=b\x02\x03c"), (VENDOR_SPECIFIC, b"\0\0\0\x08\x01\x03n"),
         (VENDOR_SPECIFIC, cisco + b"\x01\x05d=e"), (VENDOR_SPECIFIC, cisco), (VENDOR_SPECIFIC, b"\0\0")), b"",
    )  # fmt: skip

    assert packet.vendor(9, 1) == [b"a=b", b"d=e"]


@given(value=st.binary(max_size=253))
def test_the_walk_through_a_vendors_value_ends(value: bytes) -> None:
    found = list(sub_attributes(value))

    assert value.startswith(encode_attributes(found))


def test_a_value_too_long_for_an_attribute_is_never_wrapped_around() -> None:
    with pytest.raises(ValueError, match="range"):
        encode_attributes([(1, bytes(254))])
