from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.radius.wire.test_packet import TELNET
from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.hiding import (
    hide_password,
    hide_salted,
    mppe_keys,
    reveal_password,
    reveal_salted,
    salts,
)
from troth.radius.wire.packet import decode, encode_attributes
from troth.radius.wire.signing import Protection

SECRET = b"xyzzy5461"
AUTHENTICATOR = bytes(range(16))
BARE = Protection(b"radsec", bare=True)


def test_the_password_of_rfc_2865_is_revealed() -> None:
    """Section 7.1."""
    packet = decode(TELNET)

    assert reveal_password(packet.all(2)[0], SECRET, packet.authenticator) == b"arctangent"
    assert hide_password(b"arctangent", SECRET, packet.authenticator) == packet.first(2)


@given(password=st.binary(max_size=128).filter(lambda one: not one.endswith(b"\0")), secret=st.binary(max_size=40))
def test_a_password_comes_back(password: bytes, secret: bytes) -> None:
    hidden = hide_password(password, secret, AUTHENTICATOR)

    assert len(hidden) in range(16, 129, 16)
    assert reveal_password(hidden, secret, AUTHENTICATOR) == password


@pytest.mark.parametrize("length", [0, 15, 17, 144, 253])
def test_a_password_of_another_form_is_refused(length: int) -> None:
    with pytest.raises(PacketRefused):
        reveal_password(bytes(length), SECRET, AUTHENTICATOR)


def test_a_password_beyond_128_octets_is_refused() -> None:
    with pytest.raises(PacketRefused):
        hide_password(bytes(129), SECRET, AUTHENTICATOR)


@given(value=st.binary(max_size=239), salt=st.sampled_from(salts(5)))
def test_a_salted_value_comes_back(value: bytes, salt: bytes) -> None:
    hidden = hide_salted(value, SECRET, AUTHENTICATOR, salt=salt)

    assert len(hidden) <= 252
    assert hidden[:2] == salt
    assert reveal_salted(hidden, SECRET, AUTHENTICATOR) == value


@given(value=st.binary(max_size=253))
def test_a_salted_value_of_any_octets_is_read_or_refused(value: bytes) -> None:
    try:
        revealed = reveal_salted(value, SECRET, AUTHENTICATOR)
    except PacketRefused:
        return
    assert len(revealed) < len(value)


def test_a_salt_without_its_top_bit_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="top bit"):
        hide_salted(b"key", SECRET, AUTHENTICATOR, salt=b"\x7f\xff")
    with pytest.raises(PacketRefused):
        hide_salted(bytes(240), SECRET, AUTHENTICATOR, salt=b"\x80\x00")


def test_salts_differ_and_have_their_top_bit() -> None:
    made = salts(300)

    assert len(set(made)) == 300
    assert all(salt[0] & 0x80 for salt in made)


def test_mppe_keys_are_the_halves_of_the_msk_in_the_order_of_rfc_2548() -> None:
    msk = bytes(range(64))

    (kind, recv), (other, send) = mppe_keys(msk, SECRET, AUTHENTICATOR)

    assert kind == other == 26
    assert (recv[:6], send[:6]) == (bytes.fromhex("000001371134"), bytes.fromhex("000001371034"))
    assert recv[6] & send[6] & 0x80
    assert recv[6:8] != send[6:8]
    assert reveal_salted(recv[6:], SECRET, AUTHENTICATOR) == msk[:32]
    assert reveal_salted(send[6:], SECRET, AUTHENTICATOR) == msk[32:]


def test_a_key_is_hidden_as_rfc_2548_writes_it() -> None:
    """Section 2.4.2, a second time and from the text: b1 = MD5(S + R + A), b(i) = MD5(S + c(i-1))."""
    key, salt = bytes(range(32)), b"\x80\x2a"
    plain = bytes((32,)) + key + bytes(15)
    expected, chain = b"", AUTHENTICATOR + salt
    for at in (0, 16, 32):
        block = hashlib.md5(SECRET + chain, usedforsecurity=False).digest()
        chain = bytes(one ^ other for one, other in zip(plain[at : at + 16], block, strict=True))
        expected += chain

    assert hide_salted(key, SECRET, AUTHENTICATOR, salt=salt) == salt + expected


def test_radius_1_1_hides_nothing() -> None:
    """RFC 9765, section 5.1."""
    assert hide_password(b"arctangent", BARE, AUTHENTICATOR) == b"arctangent"
    assert reveal_password(b"arctangent", BARE, AUTHENTICATOR) == b"arctangent"
    assert (
        hide_salted(b"key", BARE, AUTHENTICATOR, salt=b"\x80\0") == b"key" == reveal_salted(b"key", BARE, AUTHENTICATOR)
    )
    assert encode_attributes(mppe_keys(bytes(64), BARE, AUTHENTICATOR))[:8] == bytes.fromhex("1a28 00000137 1122")


def test_an_msk_of_another_length_is_no_msk() -> None:
    with pytest.raises(ValueError, match="64"):
        mppe_keys(bytes(32), SECRET, AUTHENTICATOR)
