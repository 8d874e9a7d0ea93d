"""What a federation asks for: an operator's name, an identity that can be charged, a line for statistics."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.radius.proxy.eduroam import ASK, chargeable_identity, f_ticks, operator_name
from troth.radius.wire.packet import Attribute, Code, Packet

KEY = b"k" * 16


def request(*attributes: Attribute) -> Packet:
    """An Access-Request."""
    return Packet(Code.ACCESS_REQUEST, 1, bytes(16), attributes, b"")


def identity(operator: str, user: str, key: bytes = KEY) -> bytes:
    """What the operator is told of the user."""
    found = chargeable_identity(request((89, ASK), operator_name(operator)), user, key)
    assert found is not None
    assert found[0] == 89
    return found[1]


def test_an_operators_name_has_the_namespace_of_realms() -> None:
    assert operator_name("münchen.example") == (126, b"1xn--mnchen-3ya.example")
    with pytest.raises(ValueError, match="252"):
        operator_name(".".join(["a" * 60] * 5))


def test_the_same_guest_is_the_same_to_one_operator_and_another_to_the_next() -> None:
    assert identity("one.example", "alice") == identity("ONE.example", "alice")
    assert (
        len({identity(*who) for who in (("one.example", "alice"), ("one.example", "bob"), ("two.example", "alice"))})
        == 3
    )
    assert identity("one.example", "alice") != identity("one.example", "alice", b"l" * 16)


@given(st.text("ab.1", min_size=1, max_size=6), st.text("ab.1", min_size=1, max_size=6), st.integers(1, 5))
def test_no_operator_and_user_together_read_like_another_pair(operator: str, user: str, moved: int) -> None:
    whole = operator + user
    other = (whole[:moved], whole[moved:])
    told = [
        chargeable_identity(request((89, ASK), (126, b"1" + one.encode())), who, KEY)
        for one, who in ((operator, user), other)
    ]
    assert (told[0] == told[1]) is ((operator, user) == other)


@pytest.mark.parametrize(
    ("attributes", "user"),
    [((), "alice"), (((89, ASK),), "alice"), ((operator_name("one.example"),), "alice"),
     (((89, ASK), (126, b"")), "alice"), (((89, ASK), operator_name("one.example")), "")],
)  # fmt: skip
def test_nobody_is_told_who_did_not_ask_or_does_not_say_who_he_is(attributes: tuple[Attribute, ...], user: str) -> None:
    assert chargeable_identity(request(*attributes), user, KEY) is None


def test_without_a_key_there_is_no_identity() -> None:
    with pytest.raises(ValueError, match="key"):
        chargeable_identity(request(), "alice", b"short")


@given(st.text(max_size=300))
def test_a_stranger_ends_no_line_and_no_field_of_the_statistics(realm: str) -> None:
    line = f_ticks(
        realm=realm, operator="one.example", country="DE", station="00:11:22:33:44:55", key=KEY, accepted=True
    )
    assert line.count("#") == 6
    assert line.isprintable()
    assert "00:11" not in line
