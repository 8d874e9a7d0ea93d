"""What is MAB and what is PAP, in every vendor's spelling, and what only looks like it."""

from __future__ import annotations

import hashlib
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.radius.methods import mab, pap
from troth.radius.wire.hiding import hide_password
from troth.radius.wire.packet import Attribute, Code, Packet, decode
from troth.radius.wire.signing import Protection, encode_request

AP = Protection(b"between us and the switch")
MAC = "02-00-5e-10-00-01"
CALL_CHECK = (6, b"\0\0\0\x0a")
SPELLINGS = ["02-00-5E-10-00-01", "02:00:5e:10:00:01", "0200.5e10.0001", "02005e100001", "02005E-100001"]


def request(*attributes: Attribute, password: bytes | None = None, chap: bytes | None = None) -> Packet:
    authenticator, found = secrets.token_bytes(16), list(attributes)
    if password is not None:
        found.append((2, hide_password(password, AP, authenticator)))
    if chap is not None:
        found.append((3, b"\x07" + hashlib.md5(b"\x07" + chap + authenticator, usedforsecurity=False).digest()))
    return decode(encode_request(Code.ACCESS_REQUEST, 1, found, AP, authenticator=authenticator))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_switch_asks_about_an_address_in_its_own_spelling(spelling: str) -> None:
    named, station = (1, spelling.encode()), (31, b"02-00-5E-10-00-01")
    assert mab.asked(request(named, station, CALL_CHECK, password=spelling.encode()), AP) == MAC
    assert mab.asked(request(named, station, CALL_CHECK, password=b"one word for all"), AP) == MAC
    assert mab.asked(request(named, station, password=spelling.lower().encode()), AP) == MAC
    assert mab.asked(request(named, station, chap=spelling.encode()), AP) == MAC


@pytest.mark.parametrize(
    "packet",
    [
        request((1, MAC.encode()), (31, b"02-00-5E-10-00-02"), CALL_CHECK),
        request((1, MAC.encode()), CALL_CHECK),
        request((1, MAC.encode()), (31, b"192.0.2.7"), CALL_CHECK),
        request((1, b"alice"), (31, MAC.encode()), CALL_CHECK),
        request((1, MAC.encode() + b"@corp.test"), (31, MAC.encode()), CALL_CHECK),
        request((1, MAC.encode()), (31, MAC.encode()), CALL_CHECK, (79, b"\x02\x01\0\x05\x01")),
        request((1, MAC.encode()), (31, MAC.encode()), password=b"a person's password"),
        request((1, MAC.encode()), (31, MAC.encode()), chap=b"a person's password"),
        request((1, MAC.encode()), (31, MAC.encode())),
    ],
    ids=["another's", "no station", "a VPN client", "a name", "a realm", "EAP", "a password", "CHAP", "nothing"],
)
def test_what_is_no_switch_asking_about_a_device_is_no_mab(packet: Packet) -> None:
    assert mab.asked(packet, AP) is None


def test_a_name_and_password_are_read_and_no_representation_shows_the_password() -> None:
    claim = pap.asked(request((1, b"scanner-3"), password="grün, grün".encode()), AP)
    assert claim == pap.Claim("scanner-3", "grün, grün")
    assert "grün" not in repr(claim)


def test_what_cannot_be_checked_is_told_apart() -> None:
    assert pap.asked(request((1, b"scanner-3"), chap=b"x"), AP) == pap.Claim("scanner-3", None)
    assert pap.asked(request((1, b"scanner-3"), (2, b"short")), AP) == pap.Claim("scanner-3", "")
    assert pap.asked(request((1, b"scanner-3")), AP) is None
    assert pap.asked(request((1, b"x" * 64), password=b"x"), AP) is None
    assert pap.asked(request((1, "jürgen".encode()), password=b"x"), AP) is None


@given(st.binary(max_size=80), st.binary(max_size=40), st.binary(max_size=130), st.binary(max_size=20))
def test_any_octets_are_something_or_nothing(name: bytes, station: bytes, password: bytes, chap: bytes) -> None:
    packet = request((1, name), (31, station), (2, password), (3, chap))
    mab.asked(packet, AP)
    pap.asked(packet, AP)
