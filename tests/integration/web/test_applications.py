"""Applications as people meet them: registered, listed, given another token, taken off."""

from __future__ import annotations

from tests.support.dashboard import House
from troth.access.roles import Role


async def test_an_application_is_registered_over_the_api_and_its_token_is_shown_once(house: House) -> None:
    admin, reader = await house.logged_in(Role.ADMINISTRATOR), await house.logged_in(Role.AUDITOR)
    asked = {"name": "vpn", "profiles": ["client-device"], "least": "allow", "per_second": 50}
    assert (await reader.post("/api/v1/applications", json=asked)).status_code == 403
    made = (await admin.post("/api/v1/applications", json=asked)).json()
    assert made["token"].startswith("trothapp_")
    [shown] = (await reader.get("/api/v1/applications")).json()
    assert (shown["name"], shown["least"], shown["profiles"]) == ("vpn", "allow", ["client-device"])
    page = await reader.get("/applications")
    assert "vpn" in page.text
    assert "Register one" not in page.text
    assert made["token"] not in page.text + str(shown)
    assert (await admin.post("/api/v1/applications", json=asked)).json()["code"] == "connect.application.taken"
    for wrong in ({"name": "Two Words"}, {"name": "x", "profiles": ["a b"]}, {"name": "x", "least": "quarantine"}):
        assert (await admin.post("/api/v1/applications", json=wrong)).status_code in (400, 422)
    changed = (await admin.post("/api/v1/applications/vpn/token", json={"leaked": True})).json()["token"]
    assert changed != made["token"]
    assert (await reader.delete("/api/v1/applications/vpn")).status_code == 403
    assert (await admin.delete("/api/v1/applications/vpn")).status_code == 204
    assert (await admin.delete("/api/v1/applications/vpn")).json()["code"] == "connect.application.not_found"
    assert (await admin.get("/api/v1/applications")).json() == []
    events = [data for kind, data in await house.trust.events() if kind.startswith("application.")]
    assert [one["name"] for one in events] == ["vpn"] * 3
    assert made["token"] not in str(events)


async def test_the_page_registers_and_takes_off(house: House) -> None:
    admin = await house.logged_in(Role.ADMINISTRATOR)
    made = await admin.post(
        "/applications", data={"name": "web", "profiles": "vpn, client-device", "least": "restrict"}
    )
    assert "trothapp_" in made.text
    assert "trothapp_" not in (await admin.get("/applications")).text
    wrong = await admin.post("/applications", data={"name": "No"})
    assert "lower-case letters" in wrong.text
    assert "within two seconds" in (await admin.get("/applications/web/remove")).text
    gone = await admin.post("/applications/web/remove", data={})
    assert gone.headers["location"] == "/applications?done=application_removed"
    assert "No application asks" in (await admin.get("/applications")).text
