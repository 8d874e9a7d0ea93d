"""Reading Accounting-Requests: what counts, whose clock, and that nothing in them breaks anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.radius.sessions.accounting import event_time, read
from troth.radius.sessions.desk import proven
from troth.radius.sessions.errors import AccountingRefused
from troth.radius.sessions.model import Told
from troth.radius.wire.packet import Attribute, Code, Packet, decode
from troth.radius.wire.signing import Protection, encode_request

NOW = datetime(2026, 12, 1, 12, 0, 0, 250_000, tzinfo=UTC)
_SECRET = b"testing123-and-more"


def _number(kind: int, value: int) -> Attribute:
    return kind, value.to_bytes(4, "big")


def _packet(*attributes: Attribute) -> Packet:
    return decode(encode_request(Code.ACCOUNTING_REQUEST, 7, attributes, _SECRET))


def _read(*attributes: Attribute) -> Told | None:
    return read(_packet(*attributes), "wlc", "192.0.2.1", NOW)


_STOP = (
    _number(40, 2), (44, b"5C33AB"), (31, b"0010A4-2319C0"), (1, b"host/lap\x1btop"), (32, b"wlc-1"),
    (4, bytes([192, 0, 2, 9])), _number(46, 3600), _number(42, 5), _number(52, 2), _number(43, 0xFFFFFFFF),
    _number(49, 6), (26, b"\0\0\0\x09\x01\x17audit-session-id=C0A8"), (25, b"proxied"), (25, b"k" * 16),
    (168, bytes.fromhex("20010db8000000000000000000000001")), (8, bytes([10, 0, 0, 7])),
)  # fmt: skip


def test_a_stop_tells_who_where_how_much_and_why() -> None:
    told = _read(*_STOP)
    assert told is not None
    assert (told.status, told.cause, told.class_) == ("stop", "Admin-Reset", b"k" * 16)
    assert (told.where.nas, told.where.box) == ("wlc", "wlc-1/192.0.2.9")
    assert (told.port.mac, told.port.calling_station_id) == ("00-10-a4-23-19-c0", "0010A4-2319C0")
    assert told.port.user_name == "host/lap\\x1btop"
    assert told.port.audit_session_id == "C0A8"
    assert (told.port.framed_ip, told.port.framed_ipv6) == ("10.0.0.7", "2001:db8::1")
    assert (told.counters.octets_in, told.counters.octets_out) == (2 * 2**32 + 5, 0xFFFFFFFF)
    assert told.began_at == NOW - timedelta(hours=1)


def test_a_time_of_136_years_is_no_beginning() -> None:
    told = _read(_number(40, 2), (44, b"5C33AB"), _number(46, 0xFFFFFFFF))
    assert told is not None
    assert told.began_at is None
    assert told.counters.seconds == 0xFFFFFFFF


@pytest.mark.parametrize(
    ("stamp", "delay", "ago"),
    [
        (NOW - timedelta(hours=5), None, timedelta(hours=5)),
        (NOW - timedelta(hours=5), 90, timedelta(hours=5)),
        (None, 90, timedelta(seconds=90)),
        (None, None, timedelta(0)),
        (NOW + timedelta(hours=1), 5, timedelta(seconds=5)),
        (datetime(1970, 1, 1, 0, 3, tzinfo=UTC), 5, timedelta(seconds=5)),
        (None, 2**32 - 1, timedelta(days=30)),
    ],
)
def test_an_access_servers_clock_is_believed_only_where_it_can_be_right(
    stamp: datetime | None, delay: int | None, ago: timedelta
) -> None:
    attributes = [] if stamp is None else [_number(55, int(stamp.timestamp()))]
    attributes += [] if delay is None else [_number(41, delay)]
    assert abs(NOW - event_time(_packet(*attributes), NOW) - ago) < timedelta(seconds=1)


def test_a_packet_that_says_not_what_or_of_which_session_is_refused_and_tunnels_are_passed_over() -> None:
    with pytest.raises(AccountingRefused, match=r"status_missing"):
        _read((44, b"1"))
    with pytest.raises(AccountingRefused, match=r"session_missing"):
        _read(_number(40, 1))
    assert _read(_number(40, 9)) is None
    on = _read(_number(40, 7), (30, b"AP:corp"))
    assert on is not None
    assert (on.status, on.port.called_station_id, on.where.box) == ("on", "AP:corp", "192.0.2.1")


def test_only_who_knows_a_secret_is_believed() -> None:
    packet = _packet(*_STOP)
    assert proven(packet, [b"another", _SECRET]) == _SECRET
    with pytest.raises(AccountingRefused, match=r"radius\.accounting\.authenticator"):
        proven(packet, [b"another"])
    forged = decode(packet.raw[:-1] + bytes([packet.raw[-1] ^ 1]))
    with pytest.raises(AccountingRefused):
        proven(forged, [_SECRET])
    signed = encode_request(Code.ACCOUNTING_REQUEST, 7, _STOP, _SECRET, message_authenticator=True)
    assert proven(decode(signed), [_SECRET]) == _SECRET
    bare = Protection(b"radsec", bare=True)
    assert proven(forged, [bare]) is bare


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=253)), max_size=12), st.integers(0, 20))
def test_whatever_stands_in_a_packet_is_read_or_refused(attributes: list[Attribute], status: int) -> None:
    packet = Packet(4, 1, bytes(16), (*attributes, _number(40, status)), b"")
    try:
        told = read(packet, "nas", "192.0.2.1", NOW)
    except AccountingRefused:
        return
    assert told is None or (told.at <= NOW + timedelta(minutes=6) and told.port.user_name.isprintable())
