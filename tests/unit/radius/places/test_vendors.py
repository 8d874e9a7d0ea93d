"""The vendors' data: whole, checked, and honest about what no document confirms."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from troth.radius.places.errors import VendorDataWrong
from troth.radius.places.vendors import read_vendor, vendor, vendors

_FILES = resources.files("troth.radius.places").joinpath("data")
_GENERIC = _FILES.joinpath("generic.yaml").read_text("utf-8")

#: Everything that is not confirmed by a document of the vendor's. A row that gains one leaves this list.
UNCONFIRMED = {
    "aruba-aos": {"accept.session_timeout", "accept.idle_timeout", "accept.redirect"},
    "aruba-cx": {"accept.vlan", "accept.voice_vlan", "accept.session_timeout", "accept.idle_timeout"},
    "cisco-9800": {
        "accept.vlan", "accept.acl", "accept.session_timeout", "accept.idle_timeout", "ladder.disconnect",
    },
    "cisco-ios-xe": {"accept.role", "accept.sgt", "accept.idle_timeout", "accept.redirect"},
    "cisco-wlc-aireos": {
        "accept.role", "accept.sgt", "accept.redirect", "accept.bandwidth", "ladder.reauthenticate",
        "ladder.disconnect",
    },
    "fortinet-fortigate": {"accept.role", "accept.session_timeout"},
    "fortinet-fortiswitch": {"accept.voice_vlan", "accept.role"},
    "generic": set(),
    "hostapd": set(),
    "hpe-aos-s": {
        "accept.vlan", "accept.voice_vlan", "accept.idle_timeout", "accept.bandwidth", "ladder.disconnect",
    },
    "juniper-ex": {
        "accept.vlan", "accept.voice_vlan", "accept.session_timeout", "ladder.disconnect", "ladder.bounce",
    },
    "juniper-mist": set(),
    "meraki-mr": {"accept.vlan", "accept.sgt", "accept.session_timeout"},
    "meraki-ms": {"accept.sgt", "accept.session_timeout"},
    "mikrotik": {"ladder.disconnect"},
    "ruckus-icx": {
        "accept.vlan", "accept.voice_vlan", "accept.both_vlans", "accept.session_timeout", "accept.idle_timeout",
        "ladder.reauthenticate", "ladder.bounce",
    },
    "ruckus-smartzone": set(),
    "strongswan": set(),
    "unifi": {"accept.session_timeout", "ladder.disconnect"},
}  # fmt: skip


@pytest.mark.parametrize("name", vendors())
def test_what_no_document_confirms_is_known_and_said(name: str) -> None:
    assert set(vendor(name).unconfirmed()) == UNCONFIRMED[name]


@pytest.mark.parametrize("name", vendors())
def test_sources_are_pages(name: str) -> None:
    known = vendor(name)
    assert known.sources
    assert all(address.startswith(("https://", "http://")) and " " not in address for address in known.sources.values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("vendor: generic", "vendor: other"), "stands in the file of"),
        (("Filter-Id = {role}", "Filter-It = {role}"), "there is no attribute"),
        (("Filter-Id = {role}", "Filter-Id={role}"), "is no line of the form"),
        (("Filter-Id = {role}", "Filter-Id = {acl}"), "there is no placeholder 'acl'"),
        (("Filter-Id = {role}", "Filter-Id = {role.__class__}"), "there is no placeholder"),
        (("Filter-Id = {role}", "Filter-Id = {role[0]}"), "there is no placeholder"),
        (("Filter-Id = {role}", "Filter-Id = {role!r}"), "formatted in no way"),
        (("Filter-Id = {role}", "Filter-Id = {role:>99999999}"), "formatted in no way"),
        (("source: rfc4849", "source: rfc1"), "named and not there"),
        (("    - step: wait\n", ""), "the last is to wait"),
        (("dialect: ipfilter", "dialect: klingon"), "dialect is for acl_rules"),
        (("code: disconnect", "code: bounce"), "Invalid enum value"),
        (("  port: 3799", "  port: 0"), "port"),
        (("exclusive:\n  - [acl, role]", "exclusive:\n  - [acl, rank]"), "nothing is called 'rank'"),
        (("medium: both", "medium: both\ncolour: red"), "colour"),
    ],
)
def test_a_file_that_does_not_hold_together_stops_the_start(change: tuple[str, str], words: str) -> None:
    broken = _GENERIC.replace(*change, 1)
    assert broken != _GENERIC
    with pytest.raises(VendorDataWrong, match=words):
        read_vendor(broken, name="generic")


def test_a_page_that_nothing_stands_on_is_no_source() -> None:
    with pytest.raises(VendorDataWrong, match="named by nothing"):
        read_vendor(_GENERIC.replace("sources:\n", "sources:\n  more: https://example.com\n"), name="generic")


def _row(name: str) -> str:
    """The vendor's row in docs/places.md."""
    known, starred = vendor(name), set(vendor(name).unconfirmed())
    says = (f"{one}{'*' if f'accept.{one}' in starred else ''}" for one in known.accept if one != "both_vlans")
    steps = (f"{one.step}{'*' if f'ladder.{one.step}' in starred else ''}" for one in known.ladder.rungs)
    return f"| `{name}` | {', '.join(says)} | {' → '.join(steps)} |"


@pytest.mark.parametrize("name", vendors())
def test_the_documents_say_what_the_data_says(name: str) -> None:
    assert _row(name) in (Path(__file__).resolve().parents[4] / "docs" / "places.md").read_text("utf-8")
