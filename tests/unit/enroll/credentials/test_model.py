"""Which names an enrolment covers, and which enrolments can be made."""

from __future__ import annotations

import ipaddress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.enroll.credentials.errors import EnrolmentRefused
from troth.enroll.credentials.model import Covering, NameRules, Wanted, checked
from troth.kit.ids import new_id

WANTED = Wanted(kind="external-account", name="web servers", seconds=3600)


@pytest.mark.parametrize(
    ("rules", "kind", "value", "covered"),
    [
        (NameRules(), "dns", "anything.example", True),
        (NameRules(names=("a.example",)), "dns", "a.example", True),
        (NameRules(names=("a.example",)), "dns", "b.a.example", False),
        (NameRules(names=("a.example",)), "dns", "*.a.example", False),
        (NameRules(names=("*.a.example",)), "dns", "*.a.example", True),
        (NameRules(suffixes=("a.example",)), "dns", "a.example", True),
        (NameRules(suffixes=("a.example",)), "dns", "x.y.a.example", True),
        (NameRules(suffixes=("a.example",)), "dns", "*.x.a.example", True),
        (NameRules(suffixes=("a.example",)), "dns", "*.a.example", True),
        (NameRules(suffixes=("a.example",)), "dns", "ba.example", False),
        (NameRules(suffixes=("a.example",)), "dns", "example", False),
        (NameRules(suffixes=("a.example",)), "ip", "10.0.0.1", False),
        (NameRules(names=("10.0.0.1",)), "ip", "10.0.0.1", True),
        (NameRules(networks=("10.0.0.0/8",)), "ip", "10.200.0.1", True),
        (NameRules(networks=("10.0.0.0/8",)), "ip", "11.0.0.1", False),
        (NameRules(networks=("::/0",)), "ip", "10.0.0.1", False),
        (NameRules(networks=("fd00::/8",)), "ip", "fd00::1", True),
        (NameRules(devices=("SN1",)), "permanent-identifier", "SN1", True),
        (NameRules(devices=("SN1",)), "permanent-identifier", "sn1", False),
        (NameRules(devices=("SN1/1.2.3",)), "hardware-module", "SN1/1.2.3", True),
        (NameRules(devices=("sn1",)), "dns", "sn1", False),
        (NameRules(names=("sn1",)), "permanent-identifier", "sn1", False),
    ],
)
def test_rules_cover_what_they_say_and_nothing_else(rules: NameRules, kind: str, value: str, covered: bool) -> None:
    assert Covering(rules)(kind, value) is covered


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_a_network_covers_its_addresses(number: int, length: int) -> None:
    address = ipaddress.IPv4Address(number)
    network = ipaddress.ip_network((number, length), strict=False)
    assert Covering(NameRules(networks=(str(network),)))("ip", str(address))


def test_rules_are_kept_in_canonical_form() -> None:
    rules = NameRules(
        names=("B.Example", "2001:DB8:0::1", "b.example"), suffixes=(".A.example",), networks=("10.0.0.0/8",)
    )
    made = checked(msgspec.structs.replace(WANTED, name=" web ", rules=rules))
    assert made.name == "web"
    assert made.rules == NameRules(
        names=("2001:db8::1", "b.example"), suffixes=("a.example",), networks=("10.0.0.0/8",)
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"seconds": 59}, "minute"),
        ({"seconds": 10**10}, "ten years"),
        ({"most_accounts": 0}, "most_accounts"),
        ({"most_orders": -1}, "most_orders"),
        ({"rules": NameRules(names=("not a name",))}, "names"),
        ({"rules": NameRules(suffixes=("*.a.example",))}, "suffixes"),
        ({"rules": NameRules(networks=("10.0.0.1/8",))}, "networks"),
        ({"rules": NameRules(devices=("a\x00",))}, "devices"),
        ({"rules": NameRules(devices=("",))}, "devices"),
        ({"rules": NameRules(names=tuple(f"a{one}.example" for one in range(201)))}, "200"),
        ({"vouches": True}, "vouches"),
        ({"kind": "client-identifier"}, "one device"),
        ({"kind": "client-identifier", "rules": NameRules(devices=("a", "b"))}, "one device"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(changes: dict[str, object], told: str) -> None:
    with pytest.raises(EnrolmentRefused, match=told):
        checked(msgspec.structs.replace(WANTED, **changes))


def test_a_client_identifier_stands_for_one_device() -> None:
    for changes in ({"rules": NameRules(devices=("SN1",))}, {"device_id": new_id()}):
        checked(msgspec.structs.replace(WANTED, kind="client-identifier", **changes))


@given(st.lists(st.text(max_size=60), max_size=4), st.lists(st.text(max_size=60), max_size=4))
def test_rules_out_of_any_text_are_made_canonical_or_refused(names: list[str], networks: list[str]) -> None:
    wanted = msgspec.structs.replace(WANTED, rules=NameRules(names=tuple(names), networks=tuple(networks)))
    try:
        made = checked(wanted)
    except EnrolmentRefused:
        return
    assert checked(made) == made
    Covering(made.rules)("dns", "a.example")
