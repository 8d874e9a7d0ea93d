"""Definitions of connectors, and what a vendor has against one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.connect.definition import ConnectorDefinition, parse_connectors
from troth.connect.errors import ConnectorInvalid
from troth.connect.vendors import VENDORS, base_url_of, check, egress_for, is_own, vendor_of
from troth.kit.settings import EgressSettings

GOOD = """
connectors:
  - name: falcon
    vendor: crowdstrike
    feed: edr
    cloud: eu-1
    client_id: 0123abcd
    poll_seconds: 60
    options: {read: [alerts], trust_serial: true}
"""


def test_a_definition_is_read_with_its_defaults() -> None:
    (one,) = parse_connectors(GOOD)
    assert (one.name, one.feed, one.poll_seconds, one.snapshot_hours) == ("falcon", "edr", 60, 6)
    assert check(one).trust_serial
    assert base_url_of(one, vendor_of(one)) == "https://api.eu-1.crowdstrike.com"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("name: falcon", "name: Falcon"), "name"),
        (("feed: edr", "feed: agent"), "Troth's own words"),
        (("vendor: crowdstrike", "vendor: acme"), "none of"),
        (("cloud: eu-1", "cloud: moon"), "cloud"),
        (("cloud: eu-1", "tenant: x"), "base_url"),
        (("cloud: eu-1", "cloud: eu-1\n    base_url: https://x.example"), "not both"),
        (("cloud: eu-1", "base_url: ftp://x.example"), "base_url"),
        (("cloud: eu-1", "base_url: https://u:p@x.example"), "base_url"),
        (("cloud: eu-1", "base_url: https://x.example?a=b"), "base_url"),
        (("cloud: eu-1", "base_url: 'https://x.example:99999999'"), "base_url"),
        (("client_id: 0123abcd", "secret: hunter2"), "unknown field"),
        (("client_id: 0123abcd", "tenant: x"), "client_id"),
        (("poll_seconds: 60", "poll_seconds: 1"), "poll_seconds"),
        (("read: [alerts]", "read: [everything]"), "options"),
        (("read: [alerts]", "red: [alerts]"), "options"),
        (("read: [alerts]", "read: [stream]"), "app_id"),
        (("connectors:", "connections:"), "connectors"),
        (("options: {", "options: [{"), "line"),
    ],
)
def test_a_mistake_is_told_with_its_field(change: tuple[str, str], told: str) -> None:
    with pytest.raises(ConnectorInvalid) as caught:
        list(map(check, parse_connectors(GOOD.replace(*change))))
    assert told in caught.value.detail


def test_one_name_stands_for_one_connector() -> None:
    second = GOOD.split("connectors:")[1]
    with pytest.raises(ConnectorInvalid, match="twice"):
        parse_connectors(GOOD + second)


def test_a_vendors_own_names_need_no_setting_and_an_address_of_ones_own_does() -> None:
    (one,) = parse_connectors(GOOD)
    vendor = vendor_of(one)
    allowed = egress_for(EgressSettings(hosts=("proxy.example",)), vendor)
    assert "*.crowdstrike.com" in allowed.hosts
    assert "proxy.example" in allowed.hosts
    own = ConnectorDefinition("x", "crowdstrike", "edr", base_url="https://10.0.0.7", client_id="a")
    assert is_own(own, vendor)
    assert not any("10.0.0.7" in host for host in allowed.hosts)


def test_every_vendor_can_be_told_from_the_others_and_says_what_secret_it_takes() -> None:
    for name, vendor in VENDORS.items():
        assert vendor.name == name
        assert vendor.secrets
        assert vendor.push_secrets <= vendor.secrets.keys()
        assert vendor.pulls or vendor.pushes
        assert all(url.startswith("https://") for url in vendor.clouds.values())


@given(st.text(max_size=200))
def test_any_text_is_a_definition_or_refused(text: str) -> None:
    try:
        parse_connectors("connectors:\n  - " + text)
    except ConnectorInvalid:
        pass
