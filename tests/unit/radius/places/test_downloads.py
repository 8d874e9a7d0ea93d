"""Downloadable ACLs: named by their content, given to who asks for exactly that name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.radius.places.octets import cisco, text
from troth.radius.places.downloads import Downloads, acl_name, fits_download, is_download
from troth.radius.places.errors import NotExpressible
from troth.radius.places.model import Place, PlaceDefinition, place_of
from troth.radius.places.rendering import render
from troth.radius.wire.packet import Packet

PLACE = place_of(
    PlaceDefinition(
        name="quarantine", vlan=900, downloadable=True,
        acl_rules=("permit udp to any port 53", "permit tcp to 192.0.2.10/32 port 443"),
    )
)  # fmt: skip


def _asks(name: str, *pairs: str, code: int = 1) -> Packet:
    return Packet(code, 0, bytes(16), (text(1, name), *map(cisco, pairs)), b"")


def _download(name: str) -> Packet:
    return _asks(name, "aaa:service=ip_admission", "aaa:event=acl-download")


def test_a_switch_is_told_a_name_and_gets_the_rules_by_it() -> None:
    named = [value for kind, value in render(PLACE, "cisco-ios-xe", None) if b"CiscoSecure-Defined-ACL" in value]
    assert named == [cisco(f"ACS:CiscoSecure-Defined-ACL={acl_name(PLACE)}")[1]]
    assert Downloads([PLACE]).acl_download(_download(acl_name(PLACE))) == [
        cisco("ip:inacl#1=permit udp any any eq 53"),
        cisco("ip:inacl#2=permit tcp any host 192.0.2.10 eq 443"),
        cisco("ip:inacl#3=deny ip any any"),
    ]


def test_ipv6_is_filtered_by_rules_that_go_along() -> None:
    octets = [value for _, value in render(PLACE, "cisco-ios-xe", None)]
    assert cisco("ipv6:inacl#2=deny ipv6 any any")[1] in octets


def test_other_rules_have_another_name_and_the_same_rules_the_same() -> None:
    changed = replace(PLACE, acl_rules=PLACE.acl_rules[1:])
    assert acl_name(changed) != acl_name(PLACE)
    assert acl_name(replace(PLACE, vlan=901)) == acl_name(PLACE)


def test_a_switch_that_asks_just_after_a_change_gets_what_it_was_told() -> None:
    before = Downloads([PLACE])
    changed = replace(PLACE, acl_rules=PLACE.acl_rules[1:])
    after = Downloads([changed], before)
    assert after.acl_download(_download(acl_name(PLACE))) == before.acl_download(_download(acl_name(PLACE)))
    assert after.acl_download(_download(acl_name(changed)))
    assert Downloads([changed], after).acl_download(_download(acl_name(PLACE))) is None


@pytest.mark.parametrize(
    "name",
    ["", "#ACSACL#-IP-quarantine", "#ACSACL#-IP-quarantine-0000000000000000", "#ACSACL#-IP-\xff", "#ACSACL#-IP-../x-0"],
)
def test_a_name_that_was_never_told_gets_nothing(name: str) -> None:
    assert Downloads([PLACE]).acl_download(_download(name)) is None


def test_the_name_alone_is_no_download() -> None:
    """Somebody may call himself so; without the pair of the switch he is a user like others."""
    name = acl_name(PLACE)
    assert not is_download(_asks(name))
    assert Downloads([PLACE]).acl_download(_asks(name)) is None
    assert not is_download(_asks(name, "aaa:event=acl-download", code=4))
    assert not is_download(_asks("somebody", "aaa:event=acl-download"))


def test_places_without_rules_are_no_acl() -> None:
    place = Place(name="plain", vlan=20)
    assert Downloads([place]).acl_download(_download(acl_name(place))) is None


def test_the_most_rules_there_are_may_not_fit_into_one_answer() -> None:
    rules = tuple(f"permit tcp to 198.51.{n}.0/24 port 10000-20000" for n in range(64))
    assert fits_download(PLACE)
    big = place_of(PlaceDefinition(name="big", role="r", downloadable=True, acl_rules=rules))
    assert not fits_download(big)
    with pytest.raises(NotExpressible, match="do not fit"):
        render(big, "cisco-ios-xe", None)
