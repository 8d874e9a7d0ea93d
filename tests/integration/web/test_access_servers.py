"""Access servers over API and pages: applied, given secrets that are shown once, replaced, ended; and who may do so."""

from __future__ import annotations

from datetime import timedelta

from tests.support.dashboard import Browser, House
from troth.access.roles import Role
from troth.kit.sealing import SecretBox
from troth.radius.nas.loading import NasBook
from troth.radius.nas.model import Nas
from troth.radius.nas.sightings import Sightings

NAS = """
nas:
  - name: switches
    addresses: [10.1.0.0/24]
    vendor: cisco-ios-xe
    site: berlin
    coa: {unsigned_answers: true}
  - name: old-aps
    addresses: [10.2.0.0/24]
    require_message_authenticator: no
"""


async def health(browser: Browser) -> tuple[str, str]:
    checks = (await browser.get("/api/v1/status")).json()["checks"]
    return next((one["state"], one["detail"]) for one in checks if one["name"] == "Access servers")


async def loaded(house: House, name: str) -> Nas:
    book = NasBook(house.trust.database, SecretBox(b"n" * 32, purpose="nas"))
    await book.refresh()
    found = book.table.named(name)
    assert found is not None
    return found


async def test_access_servers_are_applied_and_given_a_secret_that_is_shown_once(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    dry = (await browser.post("/api/v1/apply?dry_run=true", content=NAS)).json()
    assert [(one["kind"], one["name"], one["action"]) for one in dry["changes"]] == [
        ("nas", "switches", "created"), ("nas", "old-aps", "created"),
    ]  # fmt: skip
    assert (await browser.get("/api/v1/network/nas")).json() == []
    applied = (await browser.post("/api/v1/apply", content=NAS)).json()
    assert "troth nas secret switches" in applied["changes"][0]["detail"]
    assert (await browser.get("/api/v1/network/nas/switches")).json()["state"] == "incomplete"
    one = (await browser.get("/api/v1/network/nas/switches")).json()
    assert one["coa_unsigned"]
    assert "believed without Message-Authenticator" in one["warnings"][0]
    assert await health(browser) == ("warn", "old-aps, switches without a secret: see `troth nas list`")

    made = (await browser.post("/api/v1/network/nas/switches/secret", json={})).json()
    assert len(made["secret"]) == 32
    switches = await loaded(house, "switches")
    assert switches.secrets == (made["secret"].encode(), None)
    assert switches.coa is not None
    assert (switches.coa.unsigned, switches.require_message_authenticator) == (True, "yes")
    shown = (await browser.get("/api/v1/network/nas/switches")).text
    assert made["secret"] not in shown
    assert (await browser.get("/api/v1/network/nas/switches")).json()["state"] == "silent"
    brought = {"secret": "this-one-is-brought-by-hand", "how": "rotate"}
    kept = (await browser.post("/api/v1/network/nas/switches/secret", json=brought)).json()
    assert kept == {"nas": "switches", "secret": ""}
    assert (await loaded(house, "switches")).secrets[1] == b"this-one-is-brought-by-hand"
    weak = await browser.post("/api/v1/network/nas/old-aps/secret", json={"secret": "testing123"})
    assert (weak.status_code, weak.json()["code"]) == (422, "nas.secret")
    kinds = [kind for kind, _ in await house.trust.events() if kind.startswith("nas.")]
    assert kinds == ["nas.applied", "nas.applied", "nas.secret_set", "nas.rotation_begun"]


async def test_what_does_not_sign_or_has_another_secret_is_reported_and_a_rotation_shows_how_far_it_is(
    house: House,
) -> None:
    await house.apply(NAS)
    browser = await house.logged_in(Role.ADMINISTRATOR)
    for name in ("switches", "old-aps"):
        await browser.post(f"/api/v1/network/nas/{name}/secret", json={})
    sightings, clock = Sightings(house.services.clock), house.services.clock
    switches, aps = await loaded(house, "switches"), await loaded(house, "old-aps")
    for number in range(1, 15):
        sightings.proved(switches, f"10.1.0.{number}", switches.secrets[0] or b"", signed=True)
    sightings.unsigned(aps, "10.2.0.1")
    sightings.wrong(aps, "10.2.0.2")
    await sightings.flush(house.trust.database)
    await browser.post("/api/v1/network/nas/switches/secret", json={"how": "rotate"})
    switches = await loaded(house, "switches")
    house.trust.clock.advance(timedelta(minutes=1))
    for number in range(1, 13):
        sightings.proved(switches, f"10.1.0.{number}", switches.secrets[1] or b"", signed=True)
    await sightings.flush(house.trust.database)

    rotating = (await browser.get("/api/v1/network/nas/switches")).json()
    assert (rotating["state"], rotating["moved"], rotating["proved"]) == ("rotating", 12, 14)
    assert "12 of 14 addresses seen with the new secret" in rotating["warnings"]
    state, words = await health(browser)
    assert (state, "old-aps not signing requests" in words) == ("warn", True)
    assert "old-aps sending what their secret does not prove" in words
    loose = (await browser.get("/api/v1/network/nas/old-aps")).json()
    assert (loose["unsigned"], loose["wrong"]) == (1, 1)
    assert "CVE-2024-3596" in loose["warnings"][0]
    assert "it has another secret, or somebody forges requests" in loose["warnings"][1]
    addresses = (await browser.get("/api/v1/network/nas/switches/addresses")).json()
    assert {one["secret"] for one in addresses if one["address"] == "10.1.0.13"} == {"current"}
    page = (await browser.get("/network/nas/switches")).text
    assert "10.1.0.14" in page
    early = await browser.post("/api/v1/network/nas/switches/finish", json={})
    assert (early.status_code, early.json()["code"]) == (409, "nas.rotation_open")
    done = await browser.post("/api/v1/network/nas/switches/finish", json={"force": True})
    assert done.json()["state"] == "asking"
    assert clock.now() == house.trust.clock.now()


async def test_the_pages_make_replace_and_end(house: House) -> None:
    await house.apply(NAS)
    browser = await house.logged_in(Role.ADMINISTRATOR)
    listed = (await browser.get("/network/nas")).text
    assert "lacks a secret" in listed
    first = await browser.post("/network/nas/switches/secret", data={"how": "set", "secret": ""})
    secret = ((await loaded(house, "switches")).secrets[0] or b"").decode()
    assert secret in first.text
    assert "shown this once" in first.text
    assert secret not in (await browser.get("/network/nas/switches")).text
    wrong = await browser.post("/network/nas/switches/secret", data={"how": "set", "secret": "too short"})
    assert wrong.status_code == 422
    assert (await browser.post("/network/nas/switches/secret", data={"how": "other"})).status_code == 400
    await browser.post("/network/nas/switches/secret", data={"how": "rotate", "secret": ""})
    assert "Finish: the new one alone" in (await browser.get("/network/nas/switches")).text
    given_up = await browser.post("/network/nas/switches/do", data={"what": "abandon"})
    assert given_up.headers["location"] == "/network/nas/switches?done=nas_abandon"
    refused = await browser.post("/network/nas/switches/do", data={"what": "finish"})
    assert refused.status_code == 409

    assert (await browser.get("/network/nas/switches/retire")).status_code == 200
    mistyped = await browser.post("/network/nas/switches/retire", data={"typed": "other", "note": ""})
    assert mistyped.status_code == 400
    await browser.post("/network/nas/switches/retire", data={"typed": "switches", "note": "sold"})
    assert "sold" in (await browser.get("/network/nas/switches")).text
    assert (await browser.get("/network/nas/switches/remove")).status_code == 200
    gone = await browser.post("/network/nas/switches/remove", data={"typed": "switches"})
    assert gone.headers["location"] == "/network/nas?done=nas_removed"
    assert (await browser.get("/network/nas/switches")).status_code == 404
    assert (await browser.delete("/api/v1/network/nas/old-aps")).status_code == 204


async def test_who_may_only_look_changes_nothing(house: House) -> None:
    await house.apply(NAS)
    for role in (Role.AUDITOR, Role.OPERATOR):
        browser = await house.logged_in(role)
        assert (await browser.get("/api/v1/network/nas/switches")).status_code == 200
        assert (await browser.get("/network/nas/switches")).status_code == 200
        answers = [
            await browser.post("/api/v1/network/nas/switches/secret", json={}),
            await browser.post("/api/v1/network/nas/switches/finish", json={}),
            await browser.post("/api/v1/network/nas/switches/abandon"),
            await browser.post("/api/v1/network/nas/switches/retire", json={"note": ""}),
            await browser.delete("/api/v1/network/nas/switches"),
            await browser.post("/api/v1/apply", content=NAS),
            await browser.post("/network/nas/switches/secret", data={"how": "set"}),
            await browser.post("/network/nas/switches/remove", data={"typed": "switches"}),
        ]
        assert {answer.status_code for answer in answers} == {403}
    assert (await loaded(house, "switches")).secrets == (None, None)


async def test_a_mistake_leaves_everything_unapplied_and_names_its_line(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    wrong = await browser.post("/api/v1/apply", content=NAS + "  - {name: x, addresses: [10.1.0.0/24]}\n")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "nas.invalid")
    assert "10.1.0.0/24 is that of 'switches' already" in wrong.json()["detail"]
    assert (await browser.get("/api/v1/network/nas")).json() == []
    for path in ("finish", "retire", "secret"):
        nowhere = await browser.post(
            f"/api/v1/network/nas/nobody/{path}", json={"note": ""} if path == "retire" else {}
        )
        assert (nowhere.status_code, nowhere.json()["code"]) == (404, "nas.unknown")
