"""Early renewals over API and page: shown before it is done, done by who may, and ended."""

from __future__ import annotations

from tests.support.dashboard import House
from troth.access.roles import Role

API = "/api/v1/renewal-incidents"


async def test_an_operator_sees_what_it_would_hit_begins_it_and_ends_it(house: House) -> None:
    browser = await house.logged_in(Role.OPERATOR)
    command = {"profile": "tls-server", "per_minute": 60, "note": "keys of a bad batch"}
    shown = (await browser.post(API, json=command)).json()
    assert (shown["dry_run"], shown["incident"]) == (True, None)
    assert (await browser.get(API)).json() == []
    begun = await browser.post(f"{API}?dry_run=false", json=command)
    assert begun.status_code == 200, begun.text
    incident = begun.json()["incident"]
    (one,) = (await browser.get(API)).json()
    assert (one["id"], one["state"], one["selector"]) == (incident, "spreading", {"profile": "tls-server"})
    assert "keys of a bad batch" in (await browser.get("/renewals")).text
    ended = (await browser.post(f"{API}/{incident}/end", json={"note": "enough"})).json()
    assert ended["state"] == "ended"
    assert (await browser.get(f"{API}/{incident}")).json()["ended_at"] is not None


async def test_the_page_shows_before_it_does(house: House) -> None:
    browser = await house.logged_in(Role.OPERATOR)
    form = {"profile": "tls-server", "per_minute": "5", "note": "why not", "act": "preview"}
    assert "0 certificates are renewed before their time" in (await browser.post("/renewals", data=form)).text
    assert (await browser.post("/renewals", data=form | {"per_minute": "many"})).status_code == 400
    assert (await browser.post("/renewals", data=form | {"issued_before": "soon"})).status_code >= 400
    done = await browser.post("/renewals", data=form | {"act": "start"})
    assert done.headers["location"] == "/renewals"
    (one,) = (await browser.get(API)).json()
    assert (await browser.post(f"/renewals/{one['id']}/end", data={"note": ""})).headers["location"] == "/renewals"
    assert (await browser.post(f"/renewals/{one['id']}/end", data={"note": ""})).status_code == 409


async def test_what_is_wrong_or_not_one_s_own_to_do_is_refused(house: House) -> None:
    operator = await house.logged_in(Role.OPERATOR)
    percent = await operator.post(API, json={"profile": "tls-server", "percent": 10})
    assert "At most 60 of them in a minute" in percent.text
    doubly = {"profile": "tls-server", "per_minute": 1, "percent": 1}
    for command in ({"per_minute": 5}, {"profile": "tls-server"}, doubly,
                    {"profile": "tls-server", "per_minute": 100_000}, {"per_minute": 0},
                    {"serials": ["xyz"], "per_minute": 1}):  # fmt: skip
        assert (await operator.post(f"{API}?dry_run=false", json=command)).status_code in (400, 409, 422), command
    auditor = await house.logged_in(Role.AUDITOR)
    assert (await auditor.get(API)).status_code == 200
    assert (await auditor.post(API, json={"profile": "tls-server", "per_minute": 5})).status_code == 403
    assert (await auditor.post("/renewals", data={"act": "preview"})).status_code == 403
