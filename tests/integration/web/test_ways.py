"""Pools of other servers and devices without certificates over API and page: made, shown without secrets, removed."""

from __future__ import annotations

from tests.support.dashboard import House
from troth.access.roles import Role

PROXIES = """
proxies:
  - name: nps
    realms: [corp.test]
    servers: [{address: 10.0.0.5:1812}]
  - name: eduroam
    realms: ["*"]
    foreign: true
    servers: [{address: flr.example.net:2083, transport: radsec}]
"""
SECRET = "a secret that NPS has too"


async def test_pools_are_applied_lack_their_secrets_until_given_and_never_show_them(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    applied = (await browser.post("/api/v1/apply", content=PROXIES)).json()
    assert [(one["kind"], one["name"], one["action"]) for one in applied["changes"]] == [
        ("proxy", "nps", "created"), ("proxy", "eduroam", "created"),
    ]  # fmt: skip
    assert "troth proxy secret nps" in applied["changes"][0]["detail"]
    shared = {"server": "10.0.0.5:1812", "secret": SECRET}
    assert (await browser.post("/api/v1/network/proxies/nps/secret", json=shared)).status_code == 204
    listed = (await browser.get("/api/v1/network/proxies")).text
    page = (await browser.get("/network/ways")).text
    assert SECRET not in listed + page
    assert "lacks its secret" not in page
    assert "flr.example.net:2083" in page
    wrong = (await browser.post("/api/v1/network/proxies/nps/secret", json={"server": "x:1", "secret": SECRET})).json()
    assert wrong["code"] == "proxy.secret_invalid"
    refused = (await browser.post("/api/v1/apply", content=PROXIES.replace("corp.test", "nowhere"))).json()
    assert refused["code"] == "proxy.invalid"
    assert (await browser.delete("/api/v1/network/proxies/nps")).status_code == 204
    assert (await browser.get("/api/v1/network/proxies/nps")).status_code == 404


async def test_who_may_join_without_a_certificate_is_made_by_a_person_and_told(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    mac = {"mac": "0200.5e10.0001", "note": "the scanner in hall 3"}
    assert (await browser.post("/api/v1/network/addresses", json=mac)).json()["mac"] == "02-00-5e-10-00-01"
    made = (
        await browser.post("/api/v1/network/accounts", json={"name": "badge", "note": "reader", "udp": True})
    ).json()
    password = made["password"]
    page = (await browser.get("/network/ways")).text
    assert "the scanner in hall 3" in page
    assert password not in page + (await browser.get("/api/v1/network/accounts")).text
    assert len(password) >= 20
    assert (await browser.delete("/api/v1/network/addresses/02-00-5E-10-00-01")).status_code == 204
    assert (await browser.delete("/api/v1/network/accounts/badge")).status_code == 204
    assert (await browser.delete("/api/v1/network/accounts/badge")).status_code == 404
    kinds = [kind for kind, _ in await house.trust.events() if kind.startswith(("mab.", "pap."))]
    assert kinds == ["mab.added", "pap.added", "mab.removed", "pap.removed"]


async def test_an_auditor_looks_and_changes_nothing(house: House) -> None:
    browser = await house.logged_in(Role.AUDITOR)
    assert (await browser.get("/network/ways")).status_code == 200
    for method, url, body in (
        ("POST", "/api/v1/network/addresses", {"mac": "02005e100001", "note": "x"}),
        ("POST", "/api/v1/network/accounts", {"name": "x", "note": "x"}),
        ("POST", "/api/v1/network/proxies/nps/secret", {"server": "x:1", "secret": SECRET}),
        ("DELETE", "/api/v1/network/proxies/nps", None),
    ):
        answer = await browser.request(method, url, json=body)
        assert answer.status_code == 403, url
