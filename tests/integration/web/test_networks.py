"""Networks over API and pages: applied, refused in words, shown, removed; conversations found and read."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta

from msgspec import structs

from tests.support.dashboard import House
from tests.unit.radius.admission.partner import ANCHOR, crl
from tests.unit.radius.admission.world import World
from troth.access.roles import Role
from troth.kit.ids import new_id
from troth.pki.anchors import add_anchor
from troth.radius.admission import conversation_store, source_store
from troth.radius.admission.conversations import conversation, encode
from troth.radius.admission.keeping import ConversationPartitions, take
from troth.status.operations import OperationsWatch
from troth.store.unit import Unit

PLACES = "places: [{name: staff, vlan: 20}, {name: healing, vlan: 900}]"
NETWORKS = """
networks:
  - name: corp
    match: {ssids: [Corp], port_types: [wireless]}
    authorities: [issuing]
    profiles: [client-device]
    places: {allow: staff, quarantine: healing}
"""


async def test_networks_are_applied_with_their_places_shown_and_removed(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    both = f"{PLACES}\n---\n{NETWORKS}"
    dry = (await browser.post("/api/v1/apply?dry_run=true", content=both)).json()
    assert [(one["kind"], one["name"], one["action"]) for one in dry["changes"]][-1] == ("network", "corp", "created")
    assert (await browser.post("/api/v1/apply", content=both)).status_code == 200
    wider = (
        await browser.post("/api/v1/apply", content=NETWORKS.replace("[client-device]", "[client-device, quarantine]"))
    ).json()
    assert [(one["action"], one["detail"]) for one in wider["changes"]] == [("changed", "profiles")]
    listed = (await browser.get("/api/v1/network/networks")).json()
    assert [(one["name"], one["version"], one["places"]["allow"]) for one in listed] == [("corp", 2, "staff")]
    for page in ("/network/networks", "/network/networks/corp", "/network/connections"):
        shown = await browser.get(page)
        assert shown.status_code == 200, shown.text
    in_use = await browser.delete("/api/v1/network/places/staff")
    assert (in_use.status_code, in_use.json()["code"]) == (409, "radius.place.in_use")
    assert (await browser.delete("/api/v1/network/networks/corp")).status_code == 204
    assert (await browser.get("/api/v1/network/networks/corp")).status_code == 404


async def test_a_network_that_names_what_is_not_there_is_refused_with_the_field(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    await house.apply(PLACES)
    for wrong, field in (
        (NETWORKS.replace("[issuing]", "[nobody]"), "authorities"),
        (NETWORKS.replace("[client-device]", "[nothing]"), "profiles"),
        (NETWORKS.replace("staff", "nowhere"), "places.allow"),
        (NETWORKS.replace("    profiles: [client-device]\n", ""), "profiles"),
        (NETWORKS.replace("[wireless]}", "[wireless]}\n    anchors: [Partner]"), "foreign"),
    ):
        refused = await browser.post("/api/v1/apply", content=wrong)
        assert (refused.status_code, refused.json()["code"]) == (422, "network.invalid")
        assert refused.json()["field"] == field


async def test_an_auditor_sees_networks_and_changes_none(house: House) -> None:
    await house.apply(PLACES)
    await house.apply(NETWORKS)
    browser = await house.logged_in(Role.AUDITOR)
    assert (await browser.get("/api/v1/network/networks")).status_code == 200
    assert (await browser.delete("/api/v1/network/networks/corp")).status_code == 403
    assert (await browser.post("/api/v1/apply", content=NETWORKS)).status_code == 403


async def test_a_conversation_is_found_by_mac_user_and_serial_and_its_hostile_text_is_harmless(house: House) -> None:
    world = World()
    device = world.device()
    attempt = world.attempt(device, identity="evil\x1b[31m\u202e", at=house.trust.clock.now())
    verdict = world.decider.decide(world.attempt(device))
    made = conversation(attempt, verdict, [(0.0, "the supplicant began\r\nInjected: line")])
    unit = Unit()
    await take(unit, [encode(made), encode(made)])
    await house.trust.database.commit(unit)
    browser = await house.logged_in(Role.AUDITOR)
    for query in ("mac=02:00:00:00:00:01", "user=laptop-1.corp.example", f"serial={verdict.serial.upper()}"):
        found = (await browser.get(f"/api/v1/network/conversations?{query}")).json()
        assert [one["id"] for one in found] == [str(made.id)]
    assert (await browser.get("/api/v1/network/conversations?mac=02:00:00:00:00:02")).json() == []
    one = (await browser.get(f"/api/v1/network/conversations/{made.id}")).json()
    assert one["identity"] == "evil\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}"
    assert (
        one["steps"][0]["said"]
        == "the supplicant began\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}Injected: line"
    )
    assert one["steps"][-1]["said"].startswith("accepted: allow, place=staff")
    shown = await browser.get(f"/network/connections/{made.id}")
    assert shown.status_code == 200
    assert "laptop-1.corp.example" in (await browser.get("/network/connections?user=laptop-1.corp.example")).text
    assert (await browser.get(f"/api/v1/network/conversations/{new_id()}")).status_code == 404


async def test_days_of_conversations_are_made_ahead_and_forgotten_whole(house: House) -> None:
    database, clock = house.trust.database, house.trust.clock
    kept = ConversationPartitions(database, clock, timedelta(days=30))
    assert await kept.run_once() == 0
    world = World()
    device = world.device()
    made = conversation(world.attempt(device, at=clock.now()), world.decider.decide(world.attempt(device)), [])
    unit = Unit()
    await take(unit, [encode(made)])
    await database.commit(unit)
    assert await database.fetchval("SELECT count(*) FROM radius_conversation_other") == 0
    clock.advance(timedelta(days=20))
    assert await kept.run_once() == 0
    clock.advance(timedelta(days=12))
    assert await kept.run_once() > 0
    assert await database.fetchval("SELECT count(*) FROM radius_conversation") == 0


async def test_a_day_whose_conversations_came_before_its_partition_keeps_them_and_the_other_days_are_made(
    house: House,
) -> None:
    database, clock = house.trust.database, house.trust.clock
    world = World()
    device = world.device()
    made = conversation(world.attempt(device, at=clock.now()), world.decider.decide(world.attempt(device)), [])
    unit = Unit()
    await take(unit, [encode(made)])
    await database.commit(unit)
    await ConversationPartitions(database, clock, timedelta(days=30)).run_once()
    assert await database.fetchval("SELECT count(*) FROM radius_conversation_other") == 1
    assert len(await conversation_store.days(database)) == 7


async def test_revocation_lists_of_others_are_taken_once_and_only_if_newer(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    database, now = house.trust.database, house.trust.clock.now()
    await database.commit(add_anchor(Unit(), replace(ANCHOR, added_at=now)))

    async def hand_over(number: int, anchor: str = "Partner Root") -> tuple[int, str]:
        der = crl(5, number=number, begins=now - timedelta(hours=1), ends=now + timedelta(days=7))
        sent = {"anchor": anchor, "crl": base64.b64encode(der).decode()}
        answer = await browser.post("/api/v1/network/crls", json=sent)
        return answer.status_code, answer.json().get("code", "")

    assert await hand_over(2) == (200, "")
    assert await hand_over(2) == (422, "network.crl_refused")
    assert await hand_over(1) == (422, "network.crl_refused")
    assert await hand_over(3) == (200, "")
    assert await hand_over(4, "Nobody") == (422, "network.crl_refused")
    [one] = (await browser.get("/api/v1/network/crls")).json()
    assert (one["number"], one["in_force"], one["entries"]) == ("3", True, 1)
    assert "Partner Root" in (await browser.get("/network/networks")).text


async def test_where_lists_of_others_are_fetched_from_is_shown_and_hurried(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    database, clock, unit = house.trust.database, house.trust.clock, Unit()
    source_store.declare(unit, "Partner Root", "http://x/y.crl", (), every=timedelta(hours=1), at=clock.now())
    await database.commit(unit)
    source = await source_store.claim(database, now=clock.now(), until=clock.now() + timedelta(hours=1))
    assert source is not None
    unit = Unit()
    source_store.failed(unit, source, "answered 404", due=clock.now() + timedelta(hours=1))
    await database.commit(unit)
    [one] = (await browser.get("/api/v1/network/crl-sources")).json()
    assert (one["url"], one["state"], one["failures"]) == ("http://x/y.crl", "failing", 1)
    assert "answered 404" in (await browser.get("/network/networks")).text
    assert (await browser.post("/api/v1/network/crl-sources/fetch")).status_code == 202
    assert await source_store.claim(database, now=clock.now(), until=clock.now()) is not None
    watch = OperationsWatch(database, clock)
    await watch.look()
    assert watch.last is not None
    assert watch.last.foreign_lists.failures == (("Partner Root", "http://x/y.crl", 1),)


async def test_a_certificate_and_its_subject_show_where_they_wanted_to_join(house: House) -> None:
    subject = await house.trust.subject("laptop-31")
    certificate = await house.trust.certificate(subject)
    row = await house.trust.row(certificate)
    world = World()
    device = world.device()
    made = structs.replace(
        world.decider.decide(world.attempt(device)), certificate_id=certificate, serial=row.serial.hex(),
        subjects=(replace(world.decider.decide(world.attempt(device)).subjects[0], id=subject),),
    )  # fmt: skip
    unit = Unit()
    one = conversation(world.attempt(device, at=house.trust.clock.now()), made, [])
    await take(unit, [encode(one)])
    await house.trust.database.commit(unit)
    browser = await house.logged_in(Role.AUDITOR)
    for page in (f"/certificates/{certificate}", f"/subjects/{subject}"):
        assert f"/network/connections/{one.id}" in (await browser.get(page)).text
