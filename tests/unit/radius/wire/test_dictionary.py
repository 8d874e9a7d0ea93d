from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.radius.wire.definitions import EXTENDED, LONG_EXTENDED, Definition, entries
from troth.radius.wire.dictionary import DICTIONARY
from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.packet import Attribute, Packet, decode, encode_attributes
from troth.radius.wire.signing import Protection

SECRET = b"xyzzy5461"
AUTHENTICATOR = bytes(range(16))
LEAVES = [one for one in entries()[1] if one.data != "tlv" and "." not in one.name]

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": st.text(max_size=40),
    "avpair": st.text(max_size=40),
    "string": st.binary(max_size=100),
    "concat": st.binary(max_size=900),
    "integer": st.integers(0, 2**32 - 1),
    "enum": st.integers(0, 2**32 - 1),
    "integer64": st.integers(0, 2**64 - 1),
    "time": st.datetimes(datetime(1970, 1, 1), datetime(2106, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
        lambda at: at.replace(microsecond=0)
    ),
    "ipv4addr": st.ip_addresses(v=4),
    "ipv6addr": st.ip_addresses(v=6),
    "ipv4prefix": st.tuples(st.ip_addresses(v=4), st.integers(0, 32)).map(
        lambda made: ipaddress.IPv4Network(made, strict=False)
    ),
    "ipv6prefix": st.tuples(st.ip_addresses(v=6), st.integers(0, 128)).map(
        lambda made: ipaddress.IPv6Network(made, strict=False)
    ),
    "ifid": st.binary(min_size=8, max_size=8),
}


def packet(*attributes: Attribute) -> Packet:
    return Packet(1, 0, AUTHENTICATOR, attributes, b"")


def octets(text: str) -> Attribute:
    data = bytes.fromhex(text)
    assert data[1] == len(data)
    return data[0], data[2:]


def test_names_and_numbers_are_each_given_once() -> None:
    vendors, definitions = entries()

    assert len({one.name for one in definitions}) == len(definitions)
    assert len({(one.vendor, one.path) for one in definitions}) == len(definitions)
    assert {one.vendor for one in definitions} - {0} <= {vendor.id for vendor in vendors}
    for one in definitions:
        assert all(0 < part < 256 for part in one.path)
        assert one.vendor or len(one.path) == 1 or one.path[0] in EXTENDED | LONG_EXTENDED
        assert (one.data == "enum") is bool(one.names)
        assert len(set(one.names.values())) == len(one.names)


def test_the_vendors_whose_equipment_is_spoken_have_the_numbers_of_iana() -> None:
    numbers = {vendor.name: vendor.id for vendor in entries()[0]}

    assert numbers == {
        "Cisco": 9, "HP": 11, "Microsoft": 311, "USR": 429, "Foundry": 1991, "Juniper": 2636, "Lucent": 4846,
        "Starent": 8164, "FreeRADIUS": 11344, "Fortinet": 12356, "WISPr": 14122, "Airespace": 14179, "Aruba": 14823,
        "MikroTik": 14988, "Ruckus": 25053, "Meraki": 29671, "Ubiquiti": 41112,
    }  # fmt: skip


@given(data=st.data(), definition=st.sampled_from(LEAVES), tag=st.integers(0, 31))
def test_every_attribute_comes_back_as_it_was_given(data: st.DataObject, definition: Definition, tag: int) -> None:
    value = data.draw(VALUES[definition.data])
    if definition.tagged and definition.data in {"integer", "enum"}:
        value &= 0xFFFFFF
    if definition.hidden == "password":
        value = value.rstrip(b"\0")
    if isinstance(value, bytes) and not value and definition.path[0] in EXTENDED | LONG_EXTENDED:
        value = b"x"  # these are never empty
    made = DICTIONARY.values(
        definition.name, value, tag=tag if definition.tagged else 0, secret=SECRET, authenticator=AUTHENTICATOR
    )
    body = encode_attributes(made)
    read = decode(b"\x01\x00" + (20 + len(body)).to_bytes(2, "big") + AUTHENTICATOR + body)

    found = DICTIONARY.all(read, definition.name, secret=SECRET)

    if definition.data == "concat":
        assert b"".join(found) == value
    else:
        assert found == [value]


# Octets as RFC 2868, RFC 3162, RFC 4675, RFC 5580, RFC 6929 and the vendors' papers have them, and as FreeRADIUS' and
# Wireshark's tests and captures show them.
@pytest.mark.parametrize(
    ("name", "value", "tag", "expected"),
    [
        ("User-Name", "nemo", 0, "01066e656d6f"),
        ("NAS-IP-Address", "192.168.1.16", 0, "0406c0a80110"),
        ("Service-Type", "Framed-User", 0, "060600000002"),
        ("Service-Type", 77, 0, "06060000004d"),
        ("Tunnel-Type", "VLAN", 0, "40060000000d"),
        ("Tunnel-Medium-Type", "IEEE-802", 1, "410601000006"),
        ("Tunnel-Private-Group-ID", "42", 0, "51043432"),
        ("Tunnel-Private-Group-ID", "42", 1, "5105013432"),
        ("Tunnel-Private-Group-ID", "\x0142", 0, "510600013432"),
        ("Event-Timestamp", datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC), 0, "37063b9aca00"),
        ("NAS-IPv6-Address", "2001:db8::1", 0, "5f1220010db8000000000000000000000001"),
        ("Framed-IPv6-Prefix", "2001:db8::/32", 0, "6108002020010db8"),
        ("Framed-IPv6-Prefix", "::/0", 0, "61040000"),
        ("Framed-Interface-Id", bytes(range(8)), 0, "600a0001020304050607"),
        ("MIP6-Feature-Vector", 1, 0, "7c0a0000000000000001"),
        ("Cisco-AVPair", "foo", 0, "1a0b00000009 0105666f6f"),
        ("Airespace-ACL-Name", "guests", 0, "1a0e00003763 0608677565737473"),
        ("Aruba-User-Vlan", 10, 0, "1a0c000039e7 02060000000a"),
        ("UBNT-Data-Rate-DL", 1, 0, "1a100000a098 010a0000000000000001"),
        ("Original-Packet-Code", 4, 0, "f1070400000004"),
    ],
)
def test_a_value_has_the_octets_that_its_rfc_gives(name: str, value: Any, tag: int, expected: str) -> None:
    made = DICTIONARY.value(name, value, tag=tag)

    assert encode_attributes([made]) == bytes.fromhex(expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("No-Such-Name", 1), ("Session-Timeout", -1), ("Session-Timeout", 2**32), ("Session-Timeout", "10"),
        ("Session-Timeout", True), ("Session-Timeout", None), ("Filter-Id", "x" * 254), ("Filter-Id", 1),
        ("Cisco-AVPair", "x" * 248), ("NAS-IP-Address", "192.168.1"), ("NAS-IP-Address", "2001:db8::1"),
        ("Tunnel-Type", 2**24), ("Framed-IPv6-Prefix", "2001:db8::1/32"), ("Service-Type", "No-Such-Word"),
        ("Event-Timestamp", datetime(2026, 1, 1)),  # noqa: DTZ001
        ("EAP-Message", bytes(254)), ("IP-Port-Range", {}), ("DHCPv4-Options", bytes(300)),
        ("Framed-Interface-Id", b"x"),
        ("Operator-NAS-Identifier", bytes(253)), ("Operator-NAS-Identifier", b""), ("DHCPv4-Options", b""),
    ],
)  # fmt: skip
def test_a_value_that_an_attribute_cannot_hold_is_refused(name: str, value: Any) -> None:
    with pytest.raises(PacketRefused):
        DICTIONARY.value(name, value)


def test_a_tag_is_no_more_than_31() -> None:
    with pytest.raises(PacketRefused):
        DICTIONARY.value("Tunnel-Type", "VLAN", tag=32)


def test_a_tunnel_password_is_tagged_salted_and_hidden() -> None:
    kind, value = DICTIONARY.value("Tunnel-Password", b"secret", tag=3, secret=SECRET, authenticator=AUTHENTICATOR)

    assert (kind, value[0], value[1] & 0x80) == (69, 3, 0x80)
    assert b"secret" not in value
    assert DICTIONARY.get(packet((kind, value)), "Tunnel-Password", secret=SECRET) == b"secret"


def test_what_is_hidden_is_not_read_without_its_secret() -> None:
    hidden = DICTIONARY.value("User-Password", b"arctangent", secret=SECRET, authenticator=AUTHENTICATOR)

    assert DICTIONARY.get(packet(hidden), "User-Password", secret=SECRET) == b"arctangent"
    with pytest.raises(ValueError, match="its secret"):
        DICTIONARY.get(packet(hidden), "User-Password")


def test_radius_1_1_sends_keys_as_they_are() -> None:
    made = DICTIONARY.value("MS-MPPE-Send-Key", b"key", secret=Protection(b"radsec", bare=True))

    assert made == octets("1a0b000001371005 6b6579")


def test_several_attributes_of_a_vendor_in_one_container_are_read() -> None:
    """RFC 2865, section 5.26 allows it."""
    found = list(DICTIONARY.walk(packet(octets("1a160000000901056f6e65010574776f0206666f6f21"))))

    assert [(field.definition and field.definition.name, field.value) for field in found] == [
        ("Cisco-AVPair", b"one"), ("Cisco-AVPair", b"two"), ("Cisco-NAS-Port", b"foo!")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ("1a0e000001ad0000bfbe000004d2", (429, (0xBFBE,), "000004d2")),
        ("1a0d00001fe400020007666f6f", (8164, (2,), "666f6f")),
        ("1a0b000012ee00020561 62", (4846, (2,), "6162")),
        ("1a1500004e20010f6c6974686961737072696e6773", (20000, (1,), "6c6974686961737072696e6773")),
        ("1a0900000009abcdef", (9, (), "abcdef")),
        ("1a05abcdef", (0, (26,), "abcdef")),
    ],
)
def test_vendors_that_write_in_another_form_are_read_in_it(container: str, expected: tuple[int, Any, str]) -> None:
    """USR, Starent and Lucent; a vendor that is not known; two that hold to no form at all."""
    (field,) = DICTIONARY.walk(packet(octets(container)))

    assert (field.vendor, field.path, field.value.hex()) == expected
    assert field.definition is None


def test_a_long_attribute_is_split_and_joined_as_rfc_6929_has_it() -> None:
    """Section 8: 245.4 with 251 times aa/bb and then cc."""
    value = b"\xaa" * 251 + b"\xcc" * 15
    made = DICTIONARY.values("DHCPv4-Options", value)

    assert [encode_attributes([one])[:4].hex() for one in made] == ["f5ff0480", "f5130400"]
    assert DICTIONARY.get(packet(*made), "DHCPv4-Options") == value
    # Fragments that do not follow each other are no attribute together: the second is one of its own.
    assert DICTIONARY.all(packet(made[0], (1, b"between"), made[1]), "DHCPv4-Options") == [b"\xcc" * 15]
    assert [field.path for field in DICTIONARY.walk(packet(made[0], (1, b"x")))] == [(245, 4), (1,)]


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ("f10c1a00000001 0474657374", (1, (241, 26, 4), b"test")),
        ("f50d1a0000000001 0474657374", (1, (245, 26, 4), b"test")),
        ("f5050400 61", (0, (245, 4), b"a")),
        ("f5040100", (0, (245,), b"\x01\x00")),
        ("f50301", (0, (245,), b"\x01")),
        ("f10306", (0, (241,), b"\x06")),
        ("f1081a0000000104", (0, (241, 26), b"\0\0\0\x01\x04")),
    ],
)
def test_the_extended_space_is_read(attribute: str, expected: tuple[int, Any, bytes]) -> None:
    (field,) = DICTIONARY.walk(packet(octets(attribute)))

    assert (field.vendor, field.path, field.value) == expected


def test_attributes_within_an_attribute_are_read() -> None:
    """RFC 8045, section 3.1.2: IP-Port-Range."""
    found = list(DICTIONARY.walk(packet(octets("f1150601060000000b 0906000007d00a0600000fa0"))))

    assert [(field.definition and field.definition.name, field.value[-2:].hex()) for field in found] == [
        ("IP-Port-Range.IP-Port-Type", "000b"),
        ("IP-Port-Range.IP-Port-Range-Start", "07d0"),
        ("IP-Port-Range.IP-Port-Range-End", "0fa0"),
    ]
