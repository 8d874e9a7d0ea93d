"""Places over API and pages: applied, shown as vendors are told of them, removed; and who may do so."""

from __future__ import annotations

from tests.support.dashboard import House
from troth.access.roles import Role

PLACES = """
places:
  - name: staff
    vlan: 20
    role: employee
    session_timeout: 8h
  - name: quarantine
    vlan: 900
    acl_rules: [permit udp to any port 53]
    redirect_url: https://help.example.com/q
    redirect_acl: REDIRECT
"""


async def test_places_are_applied_shown_as_vendors_are_told_and_removed(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    dry = (await browser.post("/api/v1/apply?dry_run=true", content=PLACES)).json()
    assert [(one["kind"], one["name"], one["action"]) for one in dry["changes"]] == [
        ("place", "staff", "created"), ("place", "quarantine", "created"),
    ]  # fmt: skip
    assert (await browser.get("/api/v1/network/places")).json() == []
    assert (await browser.post("/api/v1/apply", content=PLACES)).status_code == 200
    again = (await browser.post("/api/v1/apply", content=PLACES)).json()
    assert {one["action"] for one in again["changes"]} == {"unchanged"}
    changed = (await browser.post("/api/v1/apply", content=PLACES.replace("vlan: 900", "vlan: 901"))).json()
    assert [one["action"] for one in changed["changes"]] == ["unchanged", "changed"]

    listed = (await browser.get("/api/v1/network/places")).json()
    assert [(one["name"], one["version"], one["essential"]) for one in listed] == [
        ("quarantine", 2, ["vlan"]), ("staff", 1, ["vlan"]),
    ]  # fmt: skip
    sent = (await browser.get("/api/v1/network/places/quarantine/render?vendor=cisco-ios-xe")).json()
    assert {"name": "Tunnel-Private-Group-ID", "value": "901"} in sent["attributes"]
    assert {"name": "Cisco-AVPair", "value": "ip:inacl#1=permit udp any any eq 53"} in sent["attributes"]
    assert sent["refused"] is None
    lost = (await browser.get("/api/v1/network/places/staff/render?vendor=unifi&medium=wireless")).json()
    assert [(one["field"], one["refused"]) for one in lost["losses"]] == [("role", False)]

    assert (await browser.delete("/api/v1/network/places/staff")).status_code == 204
    gone = await browser.get("/api/v1/network/places/staff")
    assert (gone.status_code, gone.json()["code"]) == (404, "radius.place.unknown")
    kinds = [(kind, data["place"]) for kind, data in await house.trust.events() if kind.startswith("place.")]
    assert kinds == [
        ("place.applied", "staff"), ("place.applied", "quarantine"), ("place.applied", "quarantine"),
        ("place.removed", "staff"),
    ]  # fmt: skip


async def test_a_place_that_a_vendor_cannot_be_told_of_is_refused_there_in_words(house: House) -> None:
    await house.apply("places: [{name: lab, role: lab}]")
    browser = await house.logged_in(Role.AUDITOR)
    sent = (await browser.get("/api/v1/network/places/lab/render?vendor=unifi")).json()
    assert sent["attributes"] == []
    assert "role" in sent["refused"]
    assert "clients are rejected" in (await browser.get("/network/places/lab")).text
    assert "clients there are rejected" in (await browser.get("/network/places/lab?vendor=unifi")).text


async def test_a_mistake_anywhere_leaves_everything_unapplied(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    wrong = await browser.post("/api/v1/apply", content=PLACES + "  - {name: x, vlan: 5000}\n")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "radius.place.invalid")
    assert "line 1" in wrong.json()["detail"]
    assert (await browser.get("/api/v1/network/places")).json() == []
    nowhere = await browser.get("/api/v1/network/places/x/render?vendor=generic")
    assert nowhere.status_code == 404


async def test_who_may_only_look_changes_nothing(house: House) -> None:
    await house.apply(PLACES)
    for role in (Role.AUDITOR, Role.OPERATOR):
        browser = await house.logged_in(role)
        assert (await browser.get("/api/v1/network/places/staff")).status_code == 200
        assert "/remove" not in (await browser.get("/network/places/staff")).text
        assert (await browser.post("/api/v1/apply", content=PLACES)).status_code == 403
        assert (await browser.delete("/api/v1/network/places/staff")).status_code == 403
        assert (await browser.post("/network/places/staff/remove")).status_code == 403


async def test_applying_places_can_be_proposed_to_others(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    proposed = await browser.post("/api/v1/apply?propose=true", content=PLACES)
    assert proposed.status_code == 202, proposed.text
    assert proposed.json()["kind"] == "place.apply"
    assert (await browser.get("/api/v1/network/places")).json() == []


async def test_the_pages_show_and_do_the_same(house: House) -> None:
    await house.apply(PLACES)
    browser = await house.logged_in(Role.ADMINISTRATOR)
    listed = (await browser.get("/network/places")).text
    for part in ("/network/places/staff", "VLAN 20", "Cisco Catalyst switches", "/network/vendors/unifi"):
        assert part in listed
    shown = (await browser.get("/network/places/quarantine?vendor=hpe-aos-s")).text
    assert "permit in udp from any to any 53" in shown
    vendor = (await browser.get("/network/vendors/ruckus-icx")).text
    assert "No document of the vendor" in vendor
    assert "docs.commscope.com" in vendor
    assert (await browser.get("/network/vendors/none")).status_code == 422
    asked = (await browser.get("/network/places/staff/remove")).text
    assert "Sessions that are there stay" in asked
    done = await browser.post("/network/places/staff/remove")
    assert (done.status_code, done.headers["location"]) == (303, "/network/places?done=place_removed")
    assert (await browser.post("/network/places/staff/remove")).status_code == 404
