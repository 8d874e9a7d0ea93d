"""Packets that others have sent, and malformed ones that others have collected (tests/vectors/radius/captured.json)."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.hiding import reveal_password
from troth.radius.wire.packet import EAP_MESSAGE, USER_PASSWORD, Code, decode, encode_attributes
from troth.radius.wire.reading import read
from troth.radius.wire.signing import message_authenticator_ok, request_authenticator_ok, verify_reply

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "vectors" / "radius" / "captured.json").read_text("utf-8")
)
SECRET = VECTORS["secret"].encode()


def captured(name: str) -> list[bytes]:
    return [bytes.fromhex(octets) for source, octets in VECTORS["packets"] if source == name]


def test_every_captured_packet_is_read_to_its_last_octet() -> None:
    assert len(VECTORS["packets"]) == 38
    for source, octets in VECTORS["packets"]:
        data = bytes.fromhex(octets)
        packet = decode(data)

        assert encode_attributes(packet.attributes) == data[20:], source
        assert len(read(packet)) <= len(packet.attributes), source


def test_captured_conversations_hold_with_their_secret() -> None:
    """Wireshark's: EAP-MD5, CHAP and PAP, each with its answer; RFC 4675's: PAP."""
    passwords, believed = [], 0
    for name in ("wireshark01", "rfc4675"):
        packets = [decode(data) for data in captured(name)]
        for request, reply in itertools.pairwise(packets):
            if request.code != Code.ACCESS_REQUEST or reply.code == Code.ACCESS_REQUEST:
                continue
            if request.identifier != reply.identifier or message_authenticator_ok(request, SECRET) is not True:
                continue
            verify_reply(reply, request.authenticator, SECRET, require_message_authenticator=False)
            with pytest.raises(PacketRefused):
                verify_reply(reply, request.authenticator, b"another", require_message_authenticator=False)
            believed += 1
            hidden = request.first(USER_PASSWORD)
            if hidden is not None:
                passwords.append(reveal_password(hidden, SECRET, request.authenticator))

    assert believed == 10
    assert passwords == [
        b"bad",
        b"bad",
        b"testing",
        b"testing",
        b"testing",
        b"bad_password",
        b"hello",
        b"hello",
        b"hello",
    ]


def test_a_captured_disconnect_and_coa_request_are_believed() -> None:
    disconnect, coa = decode(captured("rfc5176")[0]), decode(captured("port1700")[0])

    assert (disconnect.code, coa.code) == (Code.DISCONNECT_REQUEST, Code.COA_REQUEST)
    assert message_authenticator_ok(disconnect, SECRET) is True
    assert request_authenticator_ok(disconnect, SECRET)
    assert request_authenticator_ok(coa, SECRET)
    assert message_authenticator_ok(coa, SECRET) is None


@pytest.mark.parametrize(
    ("why", "code"),
    [
        ("packet is smaller than the minimum packet length", "radius.packet.short"),
        ("header 'length' field has a value smaller", "radius.packet.length"),
        ("header 'length' field has a value larger", "radius.packet.short"),
        ("attribute header overflows the packet", "radius.packet.attribute"),
        ("attribute 'length' field contains invalid value", "radius.packet.attribute"),
        ("attribute 'length' field overflows the packet", "radius.packet.attribute"),
        ("Message-Authenticator has invalid length", "radius.packet.message_authenticator_form"),
    ],
)
def test_what_freeradius_refuses_to_read_is_refused_here(why: str, code: str) -> None:
    cases = [bytes.fromhex(octets) for octets, reason in VECTORS["malformed"] if reason.startswith(why)]

    assert cases
    for data in cases:
        with pytest.raises(PacketRefused) as refused:
            message_authenticator_ok(decode(data), SECRET)
        assert refused.value.code == code


def test_what_needs_a_message_authenticator_is_seen_to_have_none() -> None:
    """To refuse it is the server's (RFC 3579, RFC 5997): the packets themselves can be read."""
    cases = [bytes.fromhex(octets) for octets, why in VECTORS["malformed"] if why.endswith("but it is missing")]

    assert len(cases) == 3
    for data in cases:
        packet = decode(data)
        assert message_authenticator_ok(packet, SECRET) is None
        assert packet.code == Code.STATUS_SERVER or packet.first(EAP_MESSAGE) is not None
