"""What a verdict's words for a place come to."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.radius.places.octets import cisco, text
from troth.radius.places.book import PlaceBook
from troth.radius.places.downloads import acl_name
from troth.radius.places.errors import NotExpressible, PlaceInvalid, PlaceUnknown
from troth.radius.places.model import PlaceDefinition
from troth.radius.places.rendering import render
from troth.radius.wire.packet import Packet

BOOK = PlaceBook(
    [
        PlaceDefinition(name="staff", vlan=20, role="employee", session_timeout="8h"),
        PlaceDefinition(name="lab", vlan=30, acl_rules=("permit tcp to any port 443",), downloadable=True),
    ]
)


def test_a_place_is_found_by_its_name_and_the_shorter_time_holds() -> None:
    assert BOOK.place(name="staff").session_timeout == 28_800
    assert BOOK.place(name="staff", session_time=timedelta(minutes=5)).session_timeout == 300
    assert BOOK.place(name="staff", session_time=timedelta(days=1)).session_timeout == 28_800
    assert BOOK.place(name="lab", session_time=timedelta(hours=1)).session_timeout == 3_600


def test_nobody_is_put_into_a_place_that_is_not_there() -> None:
    with pytest.raises(PlaceUnknown, match="'guests'"):
        BOOK.place(name="guests", vlan="20")


def test_what_the_policy_says_over_a_place_is_essential() -> None:
    place = BOOK.place(name="staff", role="contractor", vlan="40")
    assert (place.vlan, place.role, place.essential) == (40, "contractor", {"vlan", "role"})
    with pytest.raises(NotExpressible, match="role"):
        render(place, "unifi", None)


def test_an_acl_of_the_policy_replaces_rules() -> None:
    place = BOOK.place(name="lab", acl="LAB")
    assert (place.acl, place.acl_rules, place.essential) == ("LAB", (), {"vlan", "acl"})


def test_a_policy_may_describe_a_place_without_naming_one() -> None:
    place = BOOK.place(vlan="Guests", session_time=timedelta(minutes=10))
    assert (place.name, place.vlan, place.essential) == ("policy", "Guests", {"vlan"})


@pytest.mark.parametrize("vlan", ["0", "4095", "99999999999999999999", "²", "a\nb", "", "x=y"])
def test_no_vlan_of_a_policy_is_sent_that_is_none(vlan: str) -> None:
    with pytest.raises(PlaceInvalid):
        BOOK.place(name="staff", vlan=vlan)


def test_the_former_books_acls_can_still_be_asked_for() -> None:
    changed = PlaceBook([PlaceDefinition(name="lab", vlan=30)], BOOK)
    name = acl_name(BOOK.place(name="lab"))
    asked = Packet(1, 0, bytes(16), (text(1, name), cisco("aaa:event=acl-download")), b"")
    assert len(changed) == 1
    assert changed.downloads.acl_download(asked) == BOOK.downloads.acl_download(asked)
    assert PlaceBook().downloads.acl_download(asked) is None
