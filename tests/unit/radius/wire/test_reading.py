from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from troth.radius.wire.dictionary import DICTIONARY
from troth.radius.wire.hiding import mppe_keys
from troth.radius.wire.packet import Attribute, Packet
from troth.radius.wire.reading import read
from troth.radius.wire.signing import eap_attributes

AUTHENTICATOR = bytes(range(16))
SECRETS: dict[str, bytes | str] = {
    "User-Password": b"arctangent",
    "Tunnel-Password": b"tunnel!",
    "MS-MPPE-Send-Key": b"send-key",
    "CHAP-Password": b"chap-proof",
    "CHAP-Challenge": b"challenge",
    "State": b"state-token",
    "EAP-Message": b"eap-octets",
    "MS-CHAP2-Response": b"mschap-proof",
    "Mikrotik-Wireless-PSK": "wpa-psk-text",
    "Aruba-MPSK-Passphrase": b"passphrase",
    "Message-Authenticator": b"authenticator-16",
    "Ruckus-DPSK": b"dpsk-octets",
}


def packet(*attributes: Attribute) -> Packet:
    return Packet(1, 0, AUTHENTICATOR, attributes, b"")


def test_a_packet_is_told_in_plain_words() -> None:
    value = DICTIONARY.value
    told = read(packet(
        value("User-Name", "anonymous@example.org"), value("NAS-Port-Type", "Wireless-802.11"), value("NAS-Port", 7),
        value("Tunnel-Type", "VLAN", tag=2), value("Tunnel-Private-Group-ID", "staff"), value("Class", b"\x01\xff"),
        value("Framed-IPv6-Prefix", "2001:db8::/32"), value("Cisco-AVPair", "url-redirect=https://t.example/"),
        value("Service-Type", 99), (5, b"\x01"), (250, b"abc"), (26, b"\0\0\x4e\x20\x01\x05abc"),
        (26, b"\0\0\0\x09\x4d\x03a"),
    ))  # fmt: skip

    assert told == [
        ("User-Name", "anonymous@example.org"), ("NAS-Port-Type", "Wireless-802.11"), ("NAS-Port", "7"),
        ("Tunnel-Type", "VLAN (tag 2)"), ("Tunnel-Private-Group-ID", "staff"), ("Class", "01ff"),
        ("Framed-IPv6-Prefix", "2001:db8::/32"), ("Cisco-AVPair", "url-redirect=https://t.example/"),
        ("Service-Type", "99"), ("NAS-Port", "(1 octets that are no integer)"), ("Attribute-250", "(3 octets)"),
        ("Vendor-20000-1", "(3 octets)"), ("Cisco-77", "(1 octets)"),
    ]  # fmt: skip


def test_no_secret_is_shown_hidden_or_not() -> None:
    for name, secret in SECRETS.items():
        octets = secret if isinstance(secret, bytes) else secret.encode()
        sent = DICTIONARY.value(name, secret, secret=b"shared", authenticator=AUTHENTICATOR)
        ((shown, text),) = read(packet(sent))

        assert shown == name
        assert text.endswith(" octets)")
        assert octets.decode() not in text
        assert octets.hex() not in text
        assert sent[1].hex() not in text
    for _, text in read(packet(*mppe_keys(bytes(range(64)), b"shared", AUTHENTICATOR))):
        assert text == "(50 octets)"


def test_a_pair_whose_name_says_that_it_is_a_secret_shows_its_name_alone() -> None:
    pairs = ["psk=hunter2!", "leap:session-key=hunter2!", "ipsec:tunnel-password*hunter2!", "shared-SECRET=hunter2!=x"]
    told = read(packet(*(DICTIONARY.value("Cisco-AVPair", pair) for pair in pairs)))

    assert [text for _, text in told] == [
        "psk=(8 characters)", "leap:session-key=(8 characters)", "ipsec:tunnel-password=(8 characters)",
        "shared-SECRET=(10 characters)",
    ]  # fmt: skip


def test_one_message_in_several_parts_is_told_once() -> None:
    told = read(packet((1, b"a"), *eap_attributes(bytes(600)), (5, bytes(4))))

    assert told == [("User-Name", "a"), ("EAP-Message", "(600 octets)"), ("NAS-Port", "0")]


@given(
    attributes=st.lists(st.tuples(st.sampled_from([1, 26, 31, 81, 97, 241, 245]), st.binary(max_size=80)), max_size=6)
)
def test_what_strangers_send_is_safe_to_show(attributes: list[tuple[int, bytes]]) -> None:
    for name, text in read(packet(*attributes)):
        assert name.isprintable()
        assert text.isprintable()
        assert len(text) < 300
