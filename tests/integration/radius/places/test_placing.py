"""What a worker says of a place: to who is let in, to a switch that fetches its rules, and to a federation."""

from __future__ import annotations

from uuid import UUID

import pytest

from troth.assembly.radius_ground import Placing
from troth.kit.clock import FakeClock
from troth.radius.admission.model import PlaceChoice, Verdict
from troth.radius.nas.model import Nas
from troth.radius.places.errors import NotExpressible, PlaceUnknown
from troth.radius.places.model import parse_places
from troth.radius.places.service import PlaceDesk
from troth.radius.places.vendors import _all
from troth.radius.proxy.eduroam import ASK, operator_name
from troth.radius.wire.dictionary import DICTIONARY
from troth.radius.wire.packet import USER_NAME, Attribute, Code, Packet
from troth.store.pool import Database
from troth.trust.model import Outcome

PLACES = """
places:
  - {name: staff, vlan: 20}
  - {name: fenced, acl_rules: [permit udp to any port 53], downloadable: true, essential: [acl_rules]}
"""


def request(*attributes: Attribute) -> Packet:
    return Packet(Code.ACCESS_REQUEST, 1, bytes(16), attributes, b"")


def nas(vendor: str) -> Nas:
    return Nas(id=UUID(int=1), name="switch", prefixes=(), vendor=vendor, secrets=(b"s" * 16, None))


def verdict(place: str | None) -> Verdict:
    return Verdict(Outcome.ALLOW, "allowed", place=PlaceChoice(place), user_name="alice")


@pytest.fixture
async def placing(database: Database, clock: FakeClock) -> Placing:
    await PlaceDesk(database, clock).apply(parse_places(PLACES), actor="admin:a")
    made = Placing(database, b"k" * 32)
    await made.refresh()
    return made


async def test_a_switch_fetches_the_rules_whose_name_it_was_told(placing: Placing) -> None:
    told = Packet(
        Code.ACCESS_ACCEPT,
        1,
        bytes(16),
        tuple(placing.attributes(verdict("fenced"), nas("cisco-ios-xe"), request())),
        b"",
    )
    pair = DICTIONARY.get(told, "Cisco-AVPair")
    name = pair.partition("ACS:CiscoSecure-Defined-ACL=")[2]
    fetch = DICTIONARY.value("Cisco-AVPair", "aaa:event=acl-download")
    rules = placing.asked(request((USER_NAME, name.encode()), fetch))
    assert not isinstance(rules, bool)
    assert any(b"ip:inacl#1=permit udp any any eq 53" in value for _, value in rules)
    assert placing.asked(request((USER_NAME, b"#ACSACL#-IP-other-00000000"), fetch)) is True
    assert placing.asked(request((USER_NAME, b"alice"))) is False


async def test_nobody_is_put_where_his_access_server_cannot_put_him(placing: Placing) -> None:
    with pytest.raises(NotExpressible):
        placing.attributes(verdict("fenced"), nas("unifi"), request())
    with pytest.raises(PlaceUnknown):
        placing.attributes(verdict("gone"), nas("unifi"), request())


@pytest.mark.parametrize("place", ["staff", None])
async def test_a_federation_that_asks_is_told_who_may_be_charged(placing: Placing, place: str | None) -> None:
    asking = request((89, ASK), operator_name("visited.example"))
    told = dict(placing.attributes(verdict(place), nas("generic"), asking))
    assert len(told[89]) == 64
    assert (81 in told) is (place is not None)
    assert 89 not in dict(placing.attributes(verdict(place), nas("generic"), request()))


async def test_nobody_waits_for_the_vendors_files_when_the_first_device_is_let_in(database: Database) -> None:
    _all.cache_clear()
    await Placing(database, b"k" * 32).refresh()
    assert _all.cache_info().currsize == 1
