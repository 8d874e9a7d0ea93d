"""What crosses between two neighbours, and that hidden values are the same behind both secrets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.radius.proxy import border
from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.hiding import hide_password, hide_salted, mppe_keys, reveal_password, reveal_salted
from troth.radius.wire.packet import Attribute
from troth.radius.wire.signing import Protection

HERE, THERE = Protection(b"between us and the access point"), Protection(b"between us and their server")
BARE = Protection(b"radsec", bare=True)
ASKED, ONWARD = bytes(range(16)), bytes(range(16, 32))
MSK = bytes(range(64))
VLAN = [(64, b"\0\0\0\x0d"), (65, b"\0\0\0\x06"), (81, b"20")]
CISCO = (26, b"\0\0\0\x09\x01\x10cisco-avpair=x")


def keys(attributes: list[Attribute], secret: Protection, authenticator: bytes) -> bytes:
    found = {value[4]: value[6:] for kind, value in attributes if kind == 26 and value[:4] == b"\0\0\x01\x37"}
    return b"".join(reveal_salted(found[kind], secret, authenticator) for kind in (17, 16))


@given(st.binary(min_size=1, max_size=128).filter(lambda password: not password.endswith(b"\0")))
def test_a_password_is_the_same_behind_both_secrets(password: bytes) -> None:
    sent = [(1, b"alice"), (2, hide_password(password, HERE, ASKED))]
    crossed = border.outward(sent, ASKED, HERE, THERE, ONWARD)
    assert crossed[0] == (1, b"alice")
    assert reveal_password(crossed[1][1], THERE, ONWARD) == password


@pytest.mark.parametrize("there", [THERE, BARE])
@pytest.mark.parametrize("here", [HERE, BARE])
def test_keys_are_the_same_behind_both_secrets_and_in_radius_1_1(here: Protection, there: Protection) -> None:
    crossed = border.inward(mppe_keys(MSK, there, ONWARD), ONWARD, there, here, ASKED, foreign=True)
    assert keys(crossed, here, ASKED) == MSK


def test_keys_that_two_vendors_attributes_share_cross_too() -> None:
    """RFC 2865 section 5.26 lets several sub-attributes stand in one attribute."""
    send, recv = (hide_salted(MSK[at : at + 32], THERE, ONWARD, salt=bytes((0x80, at))) for at in (32, 0))
    both = b"\0\0\x01\x37" + b"".join(bytes((kind, len(one) + 2)) + one for kind, one in ((16, send), (17, recv)))
    crossed = border.inward([(26, both)], ONWARD, THERE, HERE, ASKED, foreign=False)
    assert keys(crossed, HERE, ASKED) == MSK


def test_a_tunnel_password_keeps_its_tag_and_its_text() -> None:
    hidden = b"\x05" + hide_salted(b"tunnel", THERE, ONWARD, salt=b"\x80\x01")
    ((kind, value),) = border.inward([(69, hidden)], ONWARD, THERE, HERE, ASKED, foreign=False)
    assert (kind, value[:1], reveal_salted(value[1:], HERE, ASKED)) == (69, b"\x05", b"tunnel")


def test_another_secret_there_is_noticed_and_no_rubbish_is_handed_on() -> None:
    odd = 0
    for guess in range(40):
        try:
            border.inward(
                mppe_keys(MSK, Protection(bytes((guess,))), ONWARD), ONWARD, THERE, HERE, ASKED, foreign=False
            )
        except PacketRefused:
            odd += 1
    assert odd > 20


def test_others_users_bring_their_keys_and_no_place_in_this_network() -> None:
    told = [(1, b"u"), (18, b"hello"), (27, b"\0\0\0\x3c"), (11, b"admins"), (92, b"permit"), (6, b"\0\0\0\x06"),
            *VLAN, CISCO, (79, b"\x03\x01\0\x04"), (89, b"cui"), *mppe_keys(MSK, THERE, ONWARD)]  # fmt: skip
    crossed = border.inward(told, ONWARD, THERE, HERE, ASKED, foreign=True)
    assert [kind for kind, _ in crossed] == [1, 18, 27, 79, 89, 26, 26]
    assert keys(crossed, HERE, ASKED) == MSK


def test_our_own_servers_are_believed_but_for_what_is_dropped() -> None:
    crossed = border.inward([*VLAN, CISCO, (25, b"c")], ONWARD, THERE, HERE, ASKED, foreign=False, drop={25})
    assert crossed == [*VLAN, CISCO]


def test_what_is_of_one_hop_does_not_cross() -> None:
    mark = [(80, bytes(16)), (33, b"proxy")]
    assert border.outward([(1, b"u"), *mark], ASKED, HERE, THERE, ONWARD) == [(1, b"u"), (33, b"proxy")]
    assert border.inward([(1, b"u"), *mark], ONWARD, THERE, HERE, ASKED, foreign=False) == [(1, b"u")]


def test_a_chap_password_takes_its_challenge_along() -> None:
    assert border.outward([(3, bytes(17))], ASKED, HERE, THERE, ONWARD) == [(3, bytes(17)), (60, ASKED)]
    own = [(3, bytes(17)), (60, b"own challenge")]
    assert border.outward(own, ASKED, HERE, THERE, ONWARD) == own
