"""Places as a worker has them: read as a whole, and removed from under nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.support.clocks import FakeClock
from troth.kit.sealing import SecretBox
from troth.radius.nas.definition import parse_nas
from troth.radius.nas.desk import NasDesk
from troth.radius.places.book import load_book
from troth.radius.places.errors import PlaceError, PlaceUnknown
from troth.radius.places.model import PlaceDefinition, parse_places
from troth.radius.places.service import PlaceDesk
from troth.store.pool import Database
from troth.trust.applied import Applied


async def test_a_book_has_what_was_applied(database: Database, clock: FakeClock) -> None:
    desk = PlaceDesk(database, clock)
    await desk.apply(parse_places("places: [{name: staff, vlan: 20}, {name: lab, vlan: Lab}]"), actor="admin:a")
    book = await load_book(database)
    assert (book.place(name="staff").vlan, book.place(name="lab").vlan) == (20, "Lab")
    await desk.remove("lab", actor="admin:a")
    with pytest.raises(PlaceUnknown):
        (await load_book(database, book)).place(name="lab")


async def test_two_who_create_the_same_place_at_once_both_succeed_and_one_changes_it(
    database: Database, clock: FakeClock
) -> None:
    desks = [PlaceDesk(database, clock) for _ in range(4)]
    made = [PlaceDefinition(name="staff", vlan=vlan) for vlan in (20, 21, 22, 23)]
    found = await asyncio.gather(*(desk.apply([one], actor="admin:a") for desk, one in zip(desks, made, strict=True)))
    changes = [applied[0].change for applied in found]
    assert changes.count(Applied.CREATED) == 1
    assert (await desks[0].find("staff")).version == 4


async def test_a_place_that_networks_lead_to_stays(database: Database, clock: FakeClock) -> None:
    async def users(name: str) -> Sequence[str]:
        return ("corp-wifi",) if name == "staff" else ()

    desk = PlaceDesk(database, clock, users=users)
    await desk.apply([PlaceDefinition(name="staff", vlan=20)], actor="admin:a")
    with pytest.raises(PlaceError, match="corp-wifi"):
        await desk.remove("staff", actor="admin:a")
    assert (await desk.find("staff")).name == "staff"


async def test_what_is_lost_is_told_of_the_equipment_that_there_is(database: Database, clock: FakeClock) -> None:
    servers = NasDesk(database, clock, SecretBox(b"n" * 32, purpose="nas"))
    await servers.apply(
        parse_nas(
            "nas:\n  - {name: roof, addresses: [192.0.2.1], vendor: unifi}\n"
            "  - {name: hall, addresses: [192.0.2.2], vendor: aruba-cx}\n"
            "  - {name: gone, addresses: [192.0.2.3], vendor: hostapd}\n"
        ),
        actor="admin:a",
    )
    await servers.retire("gone", reason="sold", actor="admin:a")
    (applied,) = await PlaceDesk(database, clock).preview([PlaceDefinition(name="lab", role="lab")])
    assert [(one.vendor, one.loss.field, one.refused) for one in applied.lost] == [("unifi", "role", True)]
