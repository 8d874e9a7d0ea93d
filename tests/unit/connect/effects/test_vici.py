"""VICI's messages, byte for byte as its documentation has them, and whose connections are ended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.connect.effects.vici import Value, ViciError, decode, encode, parse_packet
from troth.connect.effects.vpn import _of, identities
from troth.kit.ids import new_id
from troth.trust.outbox.model import EffectSubject
from troth.trust.outbox.reactions import ViciTarget

#: strongSwan 5.9, src/libcharon/plugins/vici/README.md, "Message Format": the example and its encoding.
_EXAMPLE: dict[str, Value] = {
    "key1": "value1",
    "section1": {"sub-section": {"key2": "value2"}, "list1": ["item1", "item2"]},
}
_ENCODED = (
    b"\x03\x04key1\x00\x06value1"
    b"\x01\x08section1"
    b"\x01\x0bsub-section\x03\x04key2\x00\x06value2\x02"
    b"\x04\x05list1\x05\x00\x05item1\x05\x00\x05item2\x06"
    b"\x02"
)

_names = st.text(min_size=1, max_size=60)
_messages = st.recursive(
    st.dictionaries(_names, st.one_of(st.text(max_size=80), st.lists(st.text(max_size=20), max_size=4)), max_size=4),
    lambda inner: st.dictionaries(_names, st.one_of(inner, st.text(max_size=20)), max_size=3),
    max_leaves=8,
)


def test_the_documents_example_is_encoded_as_there() -> None:
    assert encode(_EXAMPLE) == _ENCODED
    assert decode(_ENCODED) == _EXAMPLE


@given(_messages)
def test_what_was_encoded_is_decoded(message: dict[str, Value]) -> None:
    assert decode(encode(message)) == message


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    for read in (decode, parse_packet):
        try:
            read(data)
        except ViciError:
            pass


@pytest.mark.parametrize(
    "data",
    [
        _ENCODED[:-1], _ENCODED[:5], b"\x02", b"\x06", b"\x05\x00\x01x", b"\x07", b"\x04\x01l\x03\x01k\x00\x00\x06",
        b"\x01\x01a" * 40 + b"\x02" * 40,
    ],
)  # fmt: skip
def test_what_is_cut_off_misplaced_or_nested_too_deeply_is_refused(data: bytes) -> None:
    with pytest.raises(ViciError):
        decode(data)


def test_names_and_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ViciError):
        encode({"": "x"})
    with pytest.raises(ViciError):
        encode({"k" * 256: "x"})
    with pytest.raises(ViciError):
        encode({"k": "v" * 65_536})


def test_a_connection_is_its_subjects_by_what_the_peer_proved_and_by_nothing_else() -> None:
    laptop = EffectSubject(
        new_id(), "device", "laptop-17", False, {"email": "Alice@Example.com"}, ("laptop-17.example.com",)
    )
    known = identities(ViciTarget(name="vpn"), laptop)

    def ended(**fields: Value) -> bool:
        return _of({"conn": {"uniqueid": "7", **fields}}, known) == ["7"]

    assert ended(**{"remote-id": "laptop-17.example.com"})
    assert ended(**{"remote-id": "LAPTOP-17"})
    assert ended(**{"remote-id": "C=DE, O=Example, CN=laptop-17"})
    assert ended(**{"remote-id": "gateway", "remote-eap-id": "alice@example.com"})
    assert not ended(**{"remote-id": "laptop-170"})
    assert not ended(**{"remote-id": "C=DE, OU=laptop-17, CN=other"})
    assert not ended(**{"local-id": "laptop-17", "remote-host": "laptop-17"})
    assert not ended()
