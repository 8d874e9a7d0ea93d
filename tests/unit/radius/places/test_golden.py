"""What each vendor is sent for one and the same places, octet for octet, as its documents have it."""

from __future__ import annotations

import pytest

from tests.unit.radius.places.octets import cisco, number, text, times, vlan, vsa
from troth.radius.places.model import parse_places, place_of
from troth.radius.places.rendering import rendered
from troth.radius.places.vendors import vendor, vendors

_PLACES = """
places:
  - name: staff
    vlan: 20
    role: employee
    session_timeout: 8h
    idle_timeout: 10m
    sgt: 26
    bandwidth_down: 20000
    bandwidth_up: 5000
  - name: named
    vlan: Guests
    acl: GUEST-ACL
  - name: phone
    vlan: 20
    voice_vlan: 120
  - name: quarantine
    vlan: 900
    acl_rules:
      - permit udp to any port 53
      - permit tcp to 192.0.2.10/32 port 443
      - permit tcp to 198.51.100.0/24 port 8000-8100
      - permit icmp to any
    redirect_url: https://help.example.com/q
    redirect_acl: REDIRECT
    session_timeout: 30m
  - name: quarantine4
    vlan: 900
    ipv6: false
    acl_rules:
      - permit udp to any port 53
      - permit tcp to 192.0.2.10/32 port 443
"""
_ALL = {one.name: place_of(one) for one in parse_places(_PLACES)}
_QUARANTINE = [
    "permit in udp from any to any 53", "permit in tcp from any to 192.0.2.10 443",
    "permit in tcp from any to 198.51.100.0/24 8000-8100", "permit in icmp from any to any",
    "permit in 58 from any to any", "deny in ip from any to any",
]  # fmt: skip
_IOS4 = [
    "permit udp any any eq 53", "permit tcp any host 192.0.2.10 eq 443",
    "permit tcp any 198.51.100.0 0.0.0.255 range 8000 8100", "permit icmp any any", "deny ip any any",
]  # fmt: skip
_IOS6 = ["permit udp any any eq 53", "permit icmp any any", "deny ipv6 any any"]
_IN = [f"ip:inacl#{at}={rule}" for at, rule in enumerate(_IOS4, 1)]
_IN6 = [f"ipv6:inacl#{at}={rule}" for at, rule in enumerate(_IOS6, 1)]
_URL = "https://help.example.com/q"
_CISCO_REDIRECT = [cisco(f"url-redirect={_URL}"), cisco("url-redirect-acl=REDIRECT")]

#: vendor → place → attributes. Where a vendor has nothing for a field, the field is missing here.
EXPECTED: dict[str, dict[str, list[tuple[int, bytes]]]] = {
    "generic": {
        "staff": [*vlan("20"), text(11, "employee"), *times(28800, 600)],
        "named": [*vlan("Guests"), text(11, "GUEST-ACL")],
        "phone": [*vlan("20"), number(56, 0x31000078)],
        "quarantine": [*vlan("900"), text(92, "\0".join(_QUARANTINE)), *times(1800)],
    },
    "cisco-ios-xe": {
        "staff": [
            *vlan("20"), cisco("subscriber:service-name=employee"), cisco("cts:security-group-tag=001a-00"),
            *times(28800, 600),
        ],
        "named": [*vlan("Guests"), text(11, "GUEST-ACL.in")],
        "phone": [*vlan("120"), cisco("device-traffic-class=voice")],
        "quarantine": [*vlan("900"), *map(cisco, _IN), *map(cisco, _IN6), *times(1800), *_CISCO_REDIRECT],
    },
    "cisco-wlc-aireos": {
        "staff": [
            *vlan("20"), cisco("role=employee"), cisco("cts:security-group-tag=001a-00"), *times(28800),
            vsa(14179, 7, 20000), vsa(14179, 13, 5000),
        ],
        "named": [vsa(14179, 6, "GUEST-ACL")],
        "phone": vlan("20"),
        "quarantine": [*vlan("900"), *times(1800), *_CISCO_REDIRECT],
    },
    "cisco-9800": {
        "staff": [*vlan("20"), cisco("cts:security-group-tag=001a-00"), *times(28800, 600)],
        "named": [*vlan("Guests"), vsa(14179, 6, "GUEST-ACL")],
        "quarantine": [*vlan("900"), *times(1800), *_CISCO_REDIRECT],
    },
    "meraki-mr": {
        "staff": [*vlan("20"), text(11, "employee"), cisco("cts:security-group-tag=001a-00"), number(27, 28800)],
        "named": [],
        "quarantine": [*vlan("900"), number(27, 1800)],
    },
    "meraki-ms": {
        "staff": [*vlan("20"), text(11, "employee"), cisco("cts:security-group-tag=001a-00"), *times(28800)],
        "phone": [*vlan("120"), cisco("device-traffic-class=voice")],
        "quarantine": [*vlan("900"), *times(1800), cisco(f"url-redirect={_URL}")],
    },
    "aruba-aos": {
        "staff": [*vlan("20"), vsa(14823, 1, "employee"), *times(28800, 600)],
        "named": vlan("Guests"),
        "quarantine": [*vlan("900"), *times(1800), vsa(14823, 43, _URL)],
    },
    "aruba-cx": {
        "staff": [*vlan("20"), vsa(14823, 1, "employee"), *times(28800, 600)],
        "phone": [*vlan("20"), number(56, 0x31000078)],
        "quarantine": [*vlan("900"), *(vsa(14823, 51, one) for one in _QUARANTINE), *times(1800), vsa(14823, 43, _URL)],
    },
    "hpe-aos-s": {
        "staff": [*vlan("20"), vsa(11, 25, "employee"), *times(28800, 600), vsa(11, 46, 5000), vsa(11, 48, 20000)],
        "phone": [*vlan("20"), vsa(11, 64, 0x31000078)],
        "quarantine": [
            *vlan("900"), vsa(11, 63, 1), *(text(92, one) for one in _QUARANTINE), *times(1800), vsa(11, 24, _URL),
        ],
    },
    "ruckus-smartzone": {
        "staff": [
            *vlan("20"), vsa(25053, 1, "employee"), *times(28800, 600),
            vsa(14122, 7, 5_000_000), vsa(14122, 8, 20_000_000),
        ],
        "named": [],
        "quarantine": [*vlan("900"), *times(1800)],
    },
    "ruckus-icx": {
        "staff": [*vlan("U:20"), *times(28800, 600)],
        "named": [*vlan("U:Guests"), text(11, "ip.GUEST-ACL.in")],
        "phone": vlan("U:20;T:120"),
        "quarantine": [*vlan("U:900"), *times(1800)],
    },
    "juniper-ex": {
        "staff": [*vlan("20"), *times(28800)],
        "named": [*vlan("Guests"), text(11, "GUEST-ACL")],
        "phone": [*vlan("20"), vsa(2636, 49, "120")],
        "quarantine": [*vlan("900"), *times(1800)],
        "quarantine4": [
            *vlan("900"),
            vsa(2636, 48, "match destination-ip 0.0.0.0/0, ip-protocol 17, destination-port 53 action allow"),
            vsa(2636, 48, "match destination-ip 192.0.2.10/32, ip-protocol 6, destination-port 443 action allow"),
            vsa(2636, 48, "match destination-ip 0.0.0.0/0 action deny"),
        ],
    },
    "juniper-mist": {
        "staff": [*vlan("20"), text(11, "employee"), *times(28800, 600)],
        "named": vlan("Guests"),
        "quarantine": [*vlan("900"), *times(1800)],
    },
    "fortinet-fortigate": {
        "staff": [*vlan("20"), vsa(12356, 1, "employee"), *times(28800)],
        "quarantine": [*vlan("900"), *times(1800)],
    },
    "fortinet-fortiswitch": {
        "staff": [*vlan("20"), vsa(12356, 1, "employee"), *times(28800)],
        "named": [*vlan("Guests"), text(11, "GUEST-ACL")],
        "quarantine": [*vlan("900"), *times(1800)],
        "quarantine4": [
            *vlan("900"), text(92, _QUARANTINE[0]), text(92, _QUARANTINE[1]), text(92, _QUARANTINE[-1]),
        ],
    },
    "unifi": {"staff": [*vlan("20"), *times(28800)], "named": [], "quarantine": [*vlan("900"), *times(1800)]},
    "mikrotik": {
        "staff": [*vlan("20"), *times(28800, 600), vsa(14988, 8, "5000k/20000k")],
        "quarantine4": [
            *vlan("900"),
            vsa(14988, 30, "mac-protocol 2048 dst-port 53 protocol 17 action allow, mac-protocol 2048 dst-address "
                "192.0.2.10/32 dst-port 443 protocol 6 action allow, action drop"),
        ],
    },
    "strongswan": {
        "staff": [number(64, 9), text(11, "employee"), number(27, 28800)], "named": [],
        "quarantine": [number(27, 1800)],
    },
    "hostapd": {"staff": [*vlan("20"), *times(28800)], "quarantine": [*vlan("900"), *times(1800)]},
}  # fmt: skip


def test_every_vendor_has_its_octets_here() -> None:
    assert set(EXPECTED) == set(vendors())


@pytest.mark.parametrize(
    ("name", "place"), [(name, place) for name, places in EXPECTED.items() for place in places], ids=str
)
def test_a_place_is_these_octets(name: str, place: str) -> None:
    known = vendor(name)
    found = rendered(_ALL[place], known, wireless=known.medium == "wireless")
    assert list(found.attributes) == EXPECTED[name][place]


def test_a_vlan_on_a_radio_of_routeros_is_an_attribute_of_its_own() -> None:
    found = rendered(_ALL["staff"], vendor("mikrotik"), wireless=True)
    assert found.attributes[:2] == (vsa(14988, 26, 20), vsa(14988, 27, 0))
