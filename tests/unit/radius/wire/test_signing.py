from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.radius.wire.test_packet import TELNET
from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.packet import EAP_MESSAGE, MESSAGE_AUTHENTICATOR, PROXY_STATE, STATE, Code, decode
from troth.radius.wire.signing import (
    Protection,
    eap_attributes,
    encode_reply,
    encode_request,
    message_authenticator_ok,
    request_authenticator_ok,
    verify_reply,
)

SECRET = b"xyzzy5461"
COMPUTED = [Code.ACCOUNTING_REQUEST, Code.COA_REQUEST, Code.DISCONNECT_REQUEST]
BODY = st.lists(
    st.tuples(st.integers(1, 255).filter(lambda kind: kind not in {33, 80}), st.binary(max_size=253)), max_size=8
)


def test_the_reply_of_rfc_2865_is_believed() -> None:
    """Section 7.1: the Access-Accept to the request of that example."""
    accept = decode(bytes.fromhex(
        "02000026 86fe220e7624ba2a1005f6bf9b55e0b2 060600000001 0f0600000000 0e06c0a80103"
    ))  # fmt: skip

    verify_reply(accept, decode(TELNET).authenticator, SECRET, require_message_authenticator=False)


def test_the_reply_to_a_chap_user_of_rfc_2865_is_believed() -> None:
    """Section 7.2: Framed User Authenticating with CHAP."""
    request = decode(bytes.fromhex(
        "01010047 2aee86f08d0d55969ca5978e0d3367a2 0108666c6f707379 031316e97557c316185895f293ff63440772 75"
        "0406c0a80110 050600000014 060600000002 070600000001"
    ))  # fmt: skip
    accept = decode(bytes.fromhex(
        "02010038 15efbc7dab26cfa3dc34d9c03c8601a4 060600000002 070600000001 0806fffffffe 0a0600000002"
        "0d0600000001 0c06000005dc"
    ))  # fmt: skip

    verify_reply(accept, request.authenticator, SECRET, require_message_authenticator=False)
    with pytest.raises(PacketRefused):
        verify_reply(accept, bytes(16), SECRET, require_message_authenticator=False)


def test_a_packet_of_another_implementation_is_believed() -> None:
    """A Status-Server of RFC 5997, section 6, and the Access-Accept that answers it there."""
    request = decode(bytes.fromhex("0cda0026 8a54f4686fb394c52866e302185d0623 50125a665e2e1e8411f3e243822097c84fa3"))
    accept = decode(bytes.fromhex("02da0014 ef0d552a4bf2d693ec2b6fe8b5411d66"))

    assert message_authenticator_ok(request, SECRET) is True
    verify_reply(accept, request.authenticator, SECRET, require_message_authenticator=False)


def test_a_reply_begins_with_its_message_authenticator_and_ends_with_the_proxies_states() -> None:
    request = decode(
        encode_request(
            Code.ACCESS_REQUEST, 9, [(1, b"a"), (PROXY_STATE, b"one"), (2, b"b"), (PROXY_STATE, b"")], SECRET
        )
    )

    reply = decode(encode_reply(request, Code.ACCESS_CHALLENGE, [(STATE, b"s")], SECRET))

    assert [kind for kind, _ in reply.attributes] == [MESSAGE_AUTHENTICATOR, STATE, PROXY_STATE, PROXY_STATE]
    assert reply.all(PROXY_STATE) == [b"one", b""]
    assert reply.identifier == 9
    verify_reply(reply, request.authenticator, SECRET, require_message_authenticator=True)


@given(body=BODY, secret=st.binary(min_size=1, max_size=64), code=st.sampled_from([1, 4, 12, 40, 43]))
def test_what_is_signed_verifies_and_nothing_else_does(body: list[tuple[int, bytes]], secret: bytes, code: int) -> None:
    request = decode(encode_request(code, 3, body, secret, message_authenticator=True))

    assert message_authenticator_ok(request, secret) is True
    assert message_authenticator_ok(request, secret + b"x") is False
    if code in COMPUTED:
        assert request_authenticator_ok(request, secret)
        assert not request_authenticator_ok(request, secret + b"x")
    reply = decode(encode_reply(request, Code.ACCESS_ACCEPT, body, secret))
    verify_reply(reply, request.authenticator, secret, require_message_authenticator=True)
    with pytest.raises(PacketRefused):
        verify_reply(reply, bytes(16), secret + b"x", require_message_authenticator=False)


@given(at=st.integers(0, 59), flip=st.integers(1, 255))
def test_no_octet_of_a_signed_request_can_be_changed(at: int, flip: int) -> None:
    sent = encode_request(Code.ACCESS_REQUEST, 3, [(1, b"some user"), (4, bytes(4)), (61, bytes(4))], SECRET)
    changed = bytearray(sent)
    changed[at % len(sent)] ^= flip
    try:
        packet = decode(bytes(changed))
        # One whose type was changed away is a packet without it, which is refused by policy, not here.
        assert message_authenticator_ok(packet, SECRET) in {False, None}
    except PacketRefused:
        pass


def test_accounting_is_answered_without_message_authenticator_unless_it_is_asked_for() -> None:
    request = decode(encode_request(Code.ACCOUNTING_REQUEST, 1, [(40, bytes(4))], SECRET))

    plain = decode(encode_reply(request, Code.ACCOUNTING_RESPONSE, [], SECRET))
    signed = decode(encode_reply(request, Code.ACCOUNTING_RESPONSE, [], SECRET, message_authenticator=True))

    assert message_authenticator_ok(request, SECRET) is None
    assert plain.attributes == ()
    verify_reply(plain, request.authenticator, SECRET, require_message_authenticator=False)
    verify_reply(signed, request.authenticator, SECRET, require_message_authenticator=True)


def test_an_accounting_request_is_signed_over_zeros() -> None:
    """RFC 2866, section 3, and RFC 5176, section 2.3, computed here a second time and from the text."""
    sent = encode_request(Code.COA_REQUEST, 5, [(31, b"00-10-a4-23-19-c0")], SECRET)
    zeroed = sent[:4] + bytes(16) + sent[20:]
    unsigned = zeroed[:22] + bytes(16) + zeroed[38:]

    assert sent[20:22] == bytes((80, 18))
    assert sent[22:38] == hmac.new(SECRET, unsigned, hashlib.md5).digest()
    assert sent[4:20] == hashlib.md5(zeroed + SECRET, usedforsecurity=False).digest()


@pytest.mark.parametrize("values", [[bytes(16), bytes(16)], [bytes(15)], [bytes(17)], [b""]])
def test_several_message_authenticators_or_one_of_another_length_are_refused(values: list[bytes]) -> None:
    body = b"".join(bytes((80, len(value) + 2)) + value for value in values)
    packet = decode(bytes((1, 1)) + (20 + len(body)).to_bytes(2, "big") + bytes(16) + body)

    with pytest.raises(PacketRefused) as refused:
        message_authenticator_ok(packet, SECRET)

    assert refused.value.code == "radius.packet.message_authenticator_form"


@pytest.mark.parametrize("attributes", [[], [(EAP_MESSAGE, b"\x03\x01\x00\x04")]])
def test_a_reply_without_message_authenticator_is_believed_only_where_it_may_be(
    attributes: list[tuple[int, bytes]],
) -> None:
    request = decode(encode_request(Code.ACCESS_REQUEST, 1, [], SECRET))
    reply = decode(encode_reply(request, Code.ACCESS_ACCEPT, attributes, SECRET, message_authenticator=False))

    with pytest.raises(PacketRefused) as refused:
        verify_reply(reply, request.authenticator, SECRET, require_message_authenticator=not attributes)

    assert refused.value.code == "radius.packet.message_authenticator_missing"


def test_a_forged_accept_with_a_right_md5_is_refused_for_its_message_authenticator() -> None:
    """What Blast-RADIUS makes: the Response Authenticator holds, the Message-Authenticator is somebody else's."""
    request = decode(encode_request(Code.ACCESS_REQUEST, 1, [], SECRET))
    body = bytes((80, 18)) + bytes(16)
    head = bytes((2, 1)) + (20 + len(body)).to_bytes(2, "big")
    forged = head + hashlib.md5(head + request.authenticator + body + SECRET, usedforsecurity=False).digest() + body

    with pytest.raises(PacketRefused) as refused:
        verify_reply(decode(forged), request.authenticator, SECRET, require_message_authenticator=False)

    assert refused.value.code == "radius.packet.message_authenticator"


def test_too_much_for_a_packet_is_refused_before_it_is_sent() -> None:
    request = decode(encode_request(Code.ACCESS_REQUEST, 1, [(PROXY_STATE, bytes(253))] * 2, SECRET))

    with pytest.raises(PacketRefused) as refused:
        encode_reply(request, Code.ACCESS_ACCEPT, [(11, bytes(253))] * 14, SECRET)

    assert refused.value.code == "radius.packet.too_long"


@pytest.mark.parametrize("kind", [MESSAGE_AUTHENTICATOR, PROXY_STATE])
def test_a_caller_cannot_put_a_second_message_authenticator_or_proxy_state_into_a_reply(kind: int) -> None:
    request = decode(encode_request(Code.ACCESS_REQUEST, 1, [], SECRET))

    with pytest.raises(ValueError, match="by the encoder"):
        encode_reply(request, Code.ACCESS_ACCEPT, [(kind, bytes(16))], SECRET)


def test_radius_1_1_computes_nothing_and_is_matched_by_its_token() -> None:
    """RFC 9765, section 4."""
    bare = Protection(b"radsec", bare=True)
    token = b"\x01\x02\x03\x04" + bytes(12)
    request = decode(
        encode_request(Code.ACCESS_REQUEST, 0, [(1, b"a"), (PROXY_STATE, b"p")], bare, authenticator=token)
    )
    reply = decode(encode_reply(request, Code.ACCESS_ACCEPT, [(1, b"b")], bare))

    assert request.attributes == ((1, b"a"), (PROXY_STATE, b"p"))
    assert reply.attributes == ((1, b"b"), (PROXY_STATE, b"p"))
    assert reply.authenticator == token
    verify_reply(reply, token, bare, require_message_authenticator=True)
    with pytest.raises(PacketRefused):
        verify_reply(reply, bytes(16), bare, require_message_authenticator=True)


def test_a_secret_does_not_show_when_its_protection_is_printed() -> None:
    assert "radsec" not in repr(Protection(b"radsec"))
    assert decode(encode_request(4, 1, [], Protection(SECRET))).code == Code.ACCOUNTING_REQUEST


@given(eap=st.binary(max_size=1500))
def test_eap_is_split_at_253_octets_and_joined_again(eap: bytes) -> None:
    request = decode(encode_request(Code.ACCESS_REQUEST, 1, eap_attributes(eap), SECRET))

    assert request.joined(EAP_MESSAGE) == eap
    assert all(len(value) == 253 for value in request.all(EAP_MESSAGE)[:-1])
    assert request.all(EAP_MESSAGE)[0] == eap[:253]
