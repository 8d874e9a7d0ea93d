"""Configurations to copy: whole, for every vendor, and without a secret."""

from __future__ import annotations

import re

import pytest

from troth.radius.places.errors import PlaceError, VendorUnknown
from troth.radius.places.snippets import PLACEHOLDER, snippet
from troth.radius.places.vendors import vendor, vendors

#: Where a vendor has no place for the port of dynamic authorization in its configuration, or calls it otherwise.
_PORTLESS = {
    "cisco-9800", "cisco-wlc-aireos", "aruba-aos", "aruba-cx", "hpe-aos-s", "ruckus-icx", "fortinet-fortigate",
    "fortinet-fortiswitch",
}  # fmt: skip
_COA = re.compile(
    r"dynamic-author|rfc-?3576|coa|dyn-authorization|dynamic-request|disconnect|das_client|incoming", re.I
)


@pytest.mark.parametrize("name", vendors())
def test_a_configuration_names_the_server_its_ports_and_who_may_cut_sessions_off(name: str) -> None:
    text = snippet(name, server="192.0.2.53", auth_port=11812, acct_port=11813)
    for part in ("192.0.2.53", "11812", "11813", PLACEHOLDER):
        assert part in text
    assert "$" not in text
    assert _COA.search(text)
    if name not in _PORTLESS:
        assert str(vendor(name).ladder.rungs[0].port) in text


@pytest.mark.parametrize("name", vendors())
def test_accounting_comes_every_ten_minutes_where_the_equipment_can_be_told(name: str) -> None:
    interim = re.search(r"\b600\b|\b10\b|10m\b|interim", snippet(name, server="2001:db8::53"))
    assert interim is not None or name in {"meraki-ms"}


@pytest.mark.parametrize("server", ["troth.example.com", "192.0.2.53\nno aaa new-model", "", "fe80::1%eth0", "$secret"])
def test_nothing_but_an_address_is_written_into_it(server: str) -> None:
    with pytest.raises(PlaceError):
        snippet("cisco-ios-xe", server=server)


def test_there_is_none_for_a_vendor_that_is_not_known() -> None:
    with pytest.raises(VendorUnknown):
        snippet("../generic", server="192.0.2.53")
    with pytest.raises(PlaceError, match="port"):
        snippet("generic", server="192.0.2.53", auth_port=0)
