"""Enrolments and ACME accounts as operators meet them, over API and pages."""

from __future__ import annotations

import plistlib
from uuid import UUID

from tests.support.dashboard import House
from troth.access.roles import Role
from troth.client.jose import SigningKey
from troth.enroll.acme.account_store import ADD_ACCOUNT
from troth.enroll.acme.jwk import encode_jwk
from troth.enroll.acme.limit_store import SET_FAILING
from troth.enroll.acme.model import Account
from troth.enroll.est.store import ISSUED
from troth.kit.ids import new_id
from troth.store.unit import Unit

WEB = {"kind": "external-account", "name": "web servers", "suffixes": ["shop.example"], "vouches": True}


async def test_an_operator_makes_looks_at_and_ends_an_enrolment(house: House) -> None:
    operator, auditor = await house.logged_in(Role.OPERATOR), await house.logged_in(Role.AUDITOR)
    assert (await auditor.post("/api/v1/enrolments", json=WEB)).status_code == 403
    made = (await operator.post("/api/v1/enrolments", json=WEB)).json()
    identifier = made["key_id"]
    assert made["directory_urls"] == ["https://acme.test:8443/acme/tls-server/directory"]
    assert len(made["secret"]) == 43
    listed = await auditor.get("/api/v1/enrolments?kind=external-account")
    assert [one["id"] for one in listed.json()["items"]] == [identifier]
    assert made["secret"] not in listed.text
    shown = await auditor.get(f"/api/v1/enrolments/{identifier}")
    assert (shown.json()["state"], shown.json()["certificates"]) == ("valid", 0)
    assert made["secret"] not in shown.text

    ended = await operator.post(f"/api/v1/enrolments/{identifier}/revoke", json={"certificates": True})
    assert ended.json()["state"] == "revoked"
    again = await operator.post(f"/api/v1/enrolments/{identifier}/revoke", json={})
    assert (again.status_code, again.json()["code"]) == (403, "enroll.enrolment.closed")
    assert (await operator.post(f"/api/v1/enrolments/{new_id()}/revoke", json={})).status_code == 404


async def test_what_cannot_be_is_refused_before_anything_is_made(house: House) -> None:
    operator = await house.logged_in(Role.OPERATOR)
    wrong = [
        {"directories": ["nothing"]},
        {"profiles": ["nothing"]},
        {"suffixes": ["*."]},
        {"suffixes": [], "vouches": True},
        {"apple": {"directory": "tls-server"}},
        {"kind": "directory", "apple": {"directory": "nothing", "client_identifier": "SN"}},
        {"kind": "directory", "apple": {"directory": "tls-server"}},
    ]
    for changes in wrong:
        answer = await operator.post("/api/v1/enrolments", json={**WEB, **changes})
        assert (answer.status_code, answer.json()["code"]) == (400, "enroll.enrolment.invalid"), changes
    answer = await operator.post("/api/v1/enrolments", json={**WEB, "device": "nobody"})
    assert answer.status_code == 404
    assert (await operator.get("/api/v1/enrolments?kind=x")).status_code == 400
    assert (await operator.get("/api/v1/enrolments?cursor=x")).status_code == 400
    assert (await operator.get("/api/v1/enrolments")).json()["items"] == []


async def test_an_enrolment_for_an_apple_device_comes_with_its_profile(house: House) -> None:
    operator = await house.logged_in(Role.OPERATOR)
    body = {
        "kind": "directory", "name": "Laptop", "devices": ["C02X"], "most_accounts": 1,
        "apple": {"directory": "tls-server", "client_identifier": "C02X"},
    }  # fmt: skip
    made = (await operator.post("/api/v1/enrolments", json=body)).json()
    [payload] = plistlib.loads(made["apple"]["mobileconfig"].encode())["PayloadContent"]
    assert payload["DirectoryURL"] == made["directory_urls"][0]
    assert f"/e/{made['secret']}/" in payload["DirectoryURL"]
    once = {**body, "kind": "client-identifier"}
    made = (await operator.post("/api/v1/enrolments", json=once)).json()
    [payload] = plistlib.loads(made["apple"]["mobileconfig"].encode())["PayloadContent"]
    assert payload["ClientIdentifier"] == made["secret"]
    assert payload["DirectoryURL"].endswith("/acme/tls-server/directory")


async def an_account(house: House) -> UUID:
    key = SigningKey.generate().public
    account = Account(
        new_id(), "tls-server", key.thumbprint, encode_jwk(key), "valid", ("mailto:a@example.org",), True,
        house.services.clock.now(),
    )  # fmt: skip
    unit = Unit().claim(
        ADD_ACCOUNT, account.thumbprint, account.id, account.directory, account.jwk, '["mailto:a@example.org"]', True,
        account.created_at, None, None, refuse=AssertionError(),
    )  # fmt: skip
    at = house.services.clock.now()
    unit.write(SET_FAILING, account.id, "dns", "moved.example", 50, at, at, at)
    await house.trust.database.commit(unit)
    return account.id


async def test_accounts_are_listed_unpaused_and_closed(house: House) -> None:
    operator, auditor = await house.logged_in(Role.OPERATOR), await house.logged_in(Role.AUDITOR)
    account = await an_account(house)
    [row] = (await auditor.get("/api/v1/acme/accounts?status=valid")).json()["items"]
    assert (row["id"], row["contact"]) == (str(account), ["mailto:a@example.org"])
    [paused] = (await auditor.get("/api/v1/acme/paused")).json()["items"]
    assert (paused["value"], paused["failures"]) == ("moved.example", 50)
    for cursor in ("x", "2026_x_y", f"2026-01-01_{account}_a"):
        assert (await auditor.get(f"/api/v1/acme/paused?cursor={cursor}")).status_code == 400
    for page in ("/acme/accounts", f"/acme/accounts/{account}"):
        assert "moved.example" in (await auditor.get(page)).text
    assert (await auditor.post(f"/api/v1/acme/accounts/{account}/unpause")).status_code == 403
    assert (await operator.post(f"/api/v1/acme/accounts/{account}/unpause")).json() == {"names": 1}
    assert (await auditor.get("/api/v1/acme/paused")).json()["items"] == []
    assert "moved.example" not in (await auditor.get("/acme/accounts")).text

    shown = await operator.get(f"/acme/accounts/{account}/revoke")
    assert "shut out" in shown.text
    done = await operator.post(f"/acme/accounts/{account}/revoke", data={"reason": "certificates"})
    assert done.status_code == 303
    assert (await auditor.get(f"/api/v1/acme/accounts/{account}")).json()["status"] == "revoked"
    again = await operator.post(f"/api/v1/acme/accounts/{account}/revoke", json={})
    assert (again.status_code, again.json()["code"]) == (409, "acme.account.closed")
    assert (await auditor.get(f"/api/v1/acme/accounts/{new_id()}")).status_code == 404
    assert (await auditor.get("/api/v1/acme/directories")).json() == [
        {"name": "tls-server", "profiles": ["tls-server"]}
    ]


async def test_the_pages_make_an_enrolment_and_show_its_secret_once(house: House) -> None:
    operator = await house.logged_in(Role.OPERATOR)
    form = {
        "kind": "external-account", "name": "<b>web</b>", "directory": "tls-server",
        "names": ".shop.example 10.0.0.0/8 a.example", "days": "30", "most": "2", "vouches": "1",
    }  # fmt: skip
    page = await operator.post("/enrolments", data=form)
    assert page.status_code == 200
    assert "<b>web</b>" not in page.text
    [one] = (await operator.get("/api/v1/enrolments")).json()["items"]
    assert (one["names"], one["suffixes"], one["networks"]) == (["a.example"], ["shop.example"], ["10.0.0.0/8"])
    assert (one["most_accounts"], one["vouches"]) == (2, True)
    assert one["id"] in page.text
    for path in ("/enrolments", f"/enrolments/{one['id']}"):
        assert 'id="secret"' not in (await operator.get(path)).text
    for wrong in ({"kind": "x"}, {"days": "x"}, {"most": "x"}, {"names": "not_a_name"}):
        assert (await operator.post("/enrolments", data={**form, **wrong})).status_code == 400
    device = {**form, "kind": "client-identifier", "names": "SN1", "most": "", "vouches": ""}
    assert "SN1" in (await operator.post("/enrolments", data=device)).text

    assert "living certificates" in (await operator.get(f"/enrolments/{one['id']}/revoke")).text
    refused = await operator.post(f"/enrolments/{one['id']}/revoke", data={"typed": "web"})
    assert refused.status_code == 400
    done = await operator.post(f"/enrolments/{one['id']}/revoke", data={"typed": "<b>web</b>"})
    assert done.status_code == 303
    assert "ended" in (await operator.get(f"/enrolments/{one['id']}")).text


async def test_an_enrolment_shows_where_est_is_and_what_it_has_brought(house: House) -> None:
    operator, auditor = await house.logged_in(Role.OPERATOR), await house.logged_in(Role.AUDITOR)
    url = "https://acme.test:8443/.well-known/est/hosts"
    made = (await operator.post("/api/v1/enrolments", json={**WEB, "directories": ["tls-server", "est:hosts"]})).json()
    assert made["enrolment"]["est_urls"] == [url]
    assert (await operator.post("/api/v1/enrolments", json=WEB)).json()["enrolment"]["est_urls"] == []
    elsewhere = (await operator.post("/api/v1/enrolments", json={**WEB, "directories": ["tls-server"]})).json()
    assert elsewhere["enrolment"]["est_urls"] == []
    there = (await operator.post("/api/v1/enrolments", json={**WEB, "directories": ["est:hosts"]})).json()
    assert (there["directory_urls"], there["enrolment"]["est_urls"]) == ([], [url])
    answer = await operator.post("/api/v1/enrolments", json={**WEB, "directories": ["est:nowhere"]})
    assert answer.json()["code"] == "enroll.enrolment.invalid"
    [label] = (await auditor.get("/api/v1/est/labels")).json()
    assert (label["name"], label["profile"], label["default"], label["url"]) == ("hosts", "mutual-tls", True, url)

    certificate = await house.issue("host.shop.example", "host.shop.example")
    unit = Unit().write(
        ISSUED, certificate, "hosts", "enrolment", UUID(made["key_id"]), b"\x00" * 32, house.trust.mint.clock.now()
    )
    await house.trust.mint.database.commit(unit)
    found = (await auditor.get(f"/api/v1/enrolments/{made['key_id']}/certificates")).json()
    assert [(one["id"], one["label"], one["names"]) for one in found["items"]] == [
        (str(certificate), "hosts", ["host.shop.example"])
    ]
    assert (await auditor.get(f"/api/v1/enrolments/{made['key_id']}")).json()["certificates"] == 1
    assert (await auditor.get(f"/api/v1/enrolments/{made['key_id']}/certificates?cursor=x")).status_code == 400
    page = (await auditor.get(f"/enrolments/{made['key_id']}")).text
    assert url in page
    assert f'href="/certificates/{certificate}"' in page
    listed = (await auditor.get("/enrolments")).text
    assert "profile mutual-tls" in listed
    form = {"kind": "external-account", "name": "gear", "directory": "est:hosts", "names": ".shop.example", "days": "7"}
    answer = await operator.post("/enrolments", data={**form, "most": "", "vouches": "1"})
    assert url in answer.text
