"""The application in front of the rooms: who gets in, what passes the door, what pages and API do."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.dashboard import ORIGIN, PASSWORD, Browser, House, new_csr, sequencing
from troth.access.roles import Role
from troth.pki.errors import FENCED, Fenced

COOKIE = "__Host-troth"


# --- the door ----------------------------------------------------------------------------------------------------


async def test_the_first_administrator_sets_up_and_gets_a_strict_cookie(house: House, tmp_path: Path) -> None:
    token = tmp_path / "admin.token"
    await house.access.invitations.ensure_bootstrap(token)
    async with Browser(house.app) as browser:
        assert (await browser.get("/login")).headers["location"] == "/setup"
        form = {"token": token.read_text(), "name": "dora", "password": PASSWORD, "again": PASSWORD}
        wrong = await browser.post("/setup", data=form | {"again": "something else"})
        assert wrong.status_code == 422
        assert "the two passwords differ" in wrong.text
        weak = await browser.post("/setup", data=form | {"password": "dora", "again": "dora"})
        assert weak.status_code == 422
        made = await browser.post("/setup", data=form)
        assert (made.status_code, made.headers["location"]) == (303, "/")
        cookie = made.headers["set-cookie"].lower()
        assert cookie.startswith(COOKIE.lower())
        for word in ("httponly", "secure", "samesite=strict", "path=/"):
            assert word in cookie
        assert "domain" not in cookie
        assert (await browser.get("/")).status_code == 200
        assert (await browser.get("/api/v1/me")).json()["via"] == "session"


async def test_log_out_ends_the_session_on_the_server(house: House) -> None:
    browser = await house.logged_in(Role.OPERATOR)
    secret = browser.cookies[COOKIE]
    assert (await browser.post("/logout")).status_code == 303
    async with Browser(house.app, cookies={COOKIE: secret}) as thief:
        assert (await thief.get("/api/v1/me")).status_code == 401


async def test_a_failed_log_in_is_told_the_same_for_any_name_and_never_echoes_the_password(house: House) -> None:
    await house.account(Role.OPERATOR, "oscar")
    pages = []
    async with Browser(house.app) as browser:
        for name in ("oscar", "nobody"):
            answer = await browser.post("/login", data={"name": name, "password": "my secret guess", "next": "/"})
            assert answer.status_code == 401
            assert "my secret guess" not in answer.text
            pages.append(answer.text.replace(name, "NAME"))
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    "after", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/\tx", "/a\\b"]
)
async def test_a_log_in_never_leads_to_another_site(house: House, after: str) -> None:
    await house.account(Role.OPERATOR, "oscar")
    async with Browser(house.app) as browser:
        answer = await browser.post("/login", data={"name": "oscar", "password": PASSWORD, "next": after})
        assert answer.headers["location"] == "/"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "", "origin": "https://evil.example"},
        {"sec-fetch-site": "", "origin": "null"},
        {"sec-fetch-site": "", "origin": "http://localhost:8444"},
    ],
)
async def test_another_sites_page_changes_nothing(house: House, headers: dict[str, str]) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    answer = await browser.post("/enforcement/unfreeze", headers=headers)
    assert answer.status_code == 403
    assert answer.json()["code"] == "web.cross_origin"


async def test_a_cookie_without_any_word_of_its_origin_changes_nothing(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    del browser.headers["sec-fetch-site"]
    assert (await browser.post("/api/v1/enforcement/unfreeze")).status_code == 403
    assert (await browser.post("/api/v1/enforcement/unfreeze", headers={"origin": ORIGIN})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "127.0.0.2", "[::1]"])
async def test_another_host_name_is_refused_before_anything_is_looked_at(house: House, host: str) -> None:
    async with Browser(house.app) as browser:
        answer = await browser.get("/login", headers={"host": host})
        assert answer.status_code == 421


async def test_a_token_acts_without_cookies_and_only_within_its_role(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    made = await browser.post("/api/v1/tokens", json={"name": "ci", "role": "auditor"})
    secret = made.json()["secret"]
    async with Browser(house.app, headers={"authorization": f"Bearer {secret}"}) as program:
        assert (await program.get("/api/v1/certificates")).status_code == 200
        refused = await program.post("/api/v1/enforcement/freeze", json={"reason": "x"})
        assert (refused.status_code, refused.json()["permission"]) == (403, "enforcement.freeze")
    async with Browser(house.app, headers={"authorization": "Bearer troth_nonsense"}) as stranger:
        assert (await stranger.get("/api/v1/certificates")).status_code == 401


async def test_the_unix_socket_knows_its_owner_and_no_other_user(house: House) -> None:
    async with Browser(house.app, peer_uid=os.getuid()) as owner:
        me = (await owner.get("/api/v1/me", headers={"host": "whatever"})).json()
        assert (me["role"], me["via"]) == ("administrator", "socket")
        assert (await owner.post("/api/v1/enforcement/unfreeze")).status_code == 200
        # A browser that was talked into a socket is still a browser.
        assert (await owner.post("/api/v1/enforcement/unfreeze", headers={"origin": ORIGIN})).status_code == 403
    async with Browser(house.app, peer_uid=54321) as other:
        assert (await other.get("/api/v1/me")).status_code == 401


async def test_no_header_makes_a_stranger_a_local_user(house: House) -> None:
    headers = {"peer_uid": "0", "x-peer-uid": "0", "x-forwarded-for": "127.0.0.1"}
    async with Browser(house.app, headers=headers) as stranger:
        assert (await stranger.get("/api/v1/me")).status_code == 401


async def test_an_oversized_body_is_refused(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    answer = await browser.post("/api/v1/apply", content=b"x" * (4 * 1024 * 1024 + 1))
    assert answer.status_code == 413


async def test_what_fails_inside_is_told_by_a_number_only(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(house.services.authorities, "list", broken)
    browser = await house.logged_in(Role.ADMINISTRATOR)
    for path in ("/authorities", "/api/v1/authorities"):
        answer = await browser.get(path)
        assert answer.status_code == 500
        assert "the secret inside" not in answer.text
        assert "internal.error" in answer.text


# --- certificates ------------------------------------------------------------------------------------------------


async def test_a_certificate_is_issued_held_released_and_revoked_over_the_api(house: House) -> None:
    operator = await house.logged_in(Role.OPERATOR)
    command = {"profile": "tls-server", "subject": "www.example.org", "csr": new_csr("www.example.org")}
    issued = await operator.post("/api/v1/certificates", json=command)
    assert issued.status_code == 201, issued.text
    serial = issued.json()["serial"]
    assert issued.json()["certificate"].startswith("-----BEGIN CERTIFICATE-----")
    assert len(issued.json()["chain"]) == 1
    path = f"/api/v1/certificates/{serial}"

    held = (await operator.post(f"{path}/hold", json={"note": "odd"})).json()
    assert (held["status"], [one["cause"] for one in held["holds"]]) == ("held", ["admin:operator-1"])
    admin = await house.logged_in(Role.ADMINISTRATOR)
    not_his = await admin.post(f"{path}/release", json={})
    assert (not_his.status_code, not_his.json()["code"]) == (409, "signal.cause_not_open")
    assert (await operator.post(f"{path}/release", json={})).json()["status"] == "good"
    revoked = (await operator.post(f"{path}/revoke", json={"reason": 4})).json()
    assert (revoked["status"], revoked["revocation_reason"]) == ("revoked", 4)
    again = await operator.post(f"{path}/hold", json={})
    assert (again.status_code, again.json()["code"]) == (409, "pki.certificate.already_revoked")
    assert (await operator.post(f"{path}/revoke", json={"reason": 2})).status_code == 400


async def test_a_fenced_installation_refuses_by_its_code_and_is_logged_as_no_failure(house: House) -> None:
    operator = await house.logged_in(Role.OPERATOR)
    house.trust.mint.interlock.refusal = Fenced(FENCED, "the archive is of yesterday")
    command = {"profile": "tls-server", "subject": "www.example.org", "csr": new_csr("www.example.org")}
    with capture_logs() as lines:
        refused = await operator.post("/api/v1/certificates", json=command)
    assert (refused.status_code, refused.json()["code"]) == (503, "ops.fenced")
    [told] = [line for line in lines if line["event"].startswith("web.")]
    assert told["event"] == "web.refused"
    assert (told["log_level"], told["code"]) == ("warning", "ops.fenced")
    assert told["detail"] == "the archive is of yesterday"
    assert "exc_info" not in told
    assert told["correlation"] == refused.json()["correlation"]


async def test_what_policy_refuses_is_refused_with_the_way_to_the_decision(house: House) -> None:
    await house.apply("users: [{name: carol, enabled: false}]\ndevices: [{name: tablet-1, owner: carol}]\n")
    operator = await house.logged_in(Role.OPERATOR)
    command = {"profile": "client-device", "subject": "tablet-1", "csr": new_csr("tablet-1.corp.example")}
    refused = await operator.post("/api/v1/certificates", json=command)
    assert refused.status_code == 403, refused.text
    problem = refused.json()
    assert problem["code"] == "enroll.refused"
    why = (await operator.get(f"/api/v1/decisions/{problem['decision_id']}")).json()
    assert (why["outcome"], why["rule"]) == ("deny", "owner-disabled")
    assert why["changes"]
    page = await operator.get(f"/decisions/{problem['decision_id']}")
    assert "What would have to change" in page.text
    assert (await operator.get("/api/v1/why/tablet-1")).json()["id"] == problem["decision_id"]


async def test_a_name_that_belongs_to_another_cannot_be_taken_under_a_good_subject(house: House) -> None:
    await house.apply(
        "users: [{name: alice, enabled: true}]\ndevices:\n"
        "  - {name: good, owner: alice, names: [good.corp.example]}\n"
        "  - {name: bad, owner: alice, names: [bad.corp.example]}\n"
    )
    operator = await house.logged_in(Role.OPERATOR)
    command = {"profile": "tls-server", "subject": "good", "csr": new_csr("bad.corp.example")}
    refused = await operator.post("/api/v1/certificates", json=command)
    assert (refused.status_code, refused.json()["code"]) == (409, "web.name_of_another")


@pytest.mark.parametrize("csr", ["", "no csr", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END X-----", "\u2603"])
async def test_a_bad_csr_is_refused_and_leaves_nothing(house: House, csr: str) -> None:
    operator = await house.logged_in(Role.OPERATOR)
    command = {"profile": "tls-server", "subject": "www.example.org", "csr": csr}
    refused = await operator.post("/api/v1/certificates", json=command)
    assert refused.status_code in (400, 422), refused.text
    assert (await operator.get("/api/v1/certificates")).json()["items"] == []


async def test_certificates_are_found_by_serial_name_subject_and_state(house: House) -> None:
    made = await house.fleet(6)
    browser = await house.logged_in(Role.AUDITOR)

    async def names(**query: str | int) -> list[str]:
        answer = await browser.get("/api/v1/certificates", params=query)
        assert answer.status_code == 200, answer.text
        return [one["common_name"] or one["names"][0]["value"] for one in answer.json()["items"]]

    one = (await browser.get(f"/api/v1/certificates/{made['laptop-02']}")).json()
    assert await names(q=one["serial"]) == ["laptop-02.corp.example"]
    assert await names(q=one["serial"][:16].upper()) == ["laptop-02.corp.example"]
    assert await names(q="laptop-02.corp.example") == ["laptop-02.corp.example"]
    assert len(await names(q="corp.example")) == 6
    assert await names(q="laptop-0") == [f"laptop-0{n}.corp.example" for n in range(6, 0, -1)]
    assert await names(status="held") == ["mail.example.org", "laptop-03.corp.example", "laptop-02.corp.example"]
    assert await names(status="expiring") == ["laptop-05.corp.example"]
    assert await names(q="no such thing") == []
    found = await browser.get("/search", params={"q": one["serial"]})
    assert found.headers["location"] == f"/certificates/{made['laptop-02']}"
    subject = await browser.get("/search", params={"q": "laptop-02"})
    assert subject.headers["location"].startswith("/subjects/")


async def test_a_list_is_walked_by_cursors_without_gaps_or_doubles(house: House) -> None:
    made = await house.fleet(6)
    browser = await house.logged_in(Role.AUDITOR)
    for path, total in (("/api/v1/certificates", len(made)), ("/api/v1/subjects", 11)):
        seen: list[str] = []
        cursor = None
        while True:
            page = (await browser.get(path, params={"limit": 3} | ({"cursor": cursor} if cursor else {}))).json()
            seen += [one["id"] for one in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) == total
        assert (await browser.get(path, params={"cursor": "nonsense"})).status_code == 400


# --- trust -------------------------------------------------------------------------------------------------------


async def test_a_staged_action_is_approved_once(house: House) -> None:
    await house.fleet(6)
    approver = await house.logged_in(Role.APPROVER)
    (staged,) = (await approver.get("/api/v1/staged")).json()
    assert (staged["subject"]["name"], staged["action"], staged["certificates"]) == ("laptop-04", "quarantined", 1)
    page = await approver.post(f"/staged/{staged['id']}", data={"verdict": "approve", "note": "confirmed by phone"})
    assert page.headers["location"] == "/staged?done=approved"
    again = await approver.post(f"/api/v1/staged/{staged['id']}/reject", json={})
    assert again.status_code == 409
    subject = (await approver.get("/api/v1/subjects/laptop-04")).json()
    assert subject["standing"] == "quarantined"
    assert subject["causes"][0]["source"] == "feed:edr"


async def test_documents_are_applied_by_those_who_may_and_planned_without_harm(house: House) -> None:
    operator, admin = await house.logged_in(Role.OPERATOR), await house.logged_in(Role.ADMINISTRATOR)
    people = "users: [{name: alice, enabled: true}]\n"
    feeds = "feeds: [{name: mdm, kinds: [mdm.*]}]\n"
    dry = await operator.post("/api/v1/apply", params={"dry_run": "true"}, content=people)
    assert dry.json() == {
        "changes": [{"kind": "user", "name": "alice", "action": "created", "detail": "", "secret": None}],
        "dry_run": True,
        "notes": [],
    }
    assert (await operator.get("/api/v1/subjects")).json()["items"] == []
    refused = await operator.post("/api/v1/apply", content=f"{people}---\n{feeds}")
    assert (refused.status_code, refused.json()["permission"]) == (403, "feed.write")
    assert (await operator.get("/api/v1/subjects")).json()["items"] == []
    applied = (await admin.post("/api/v1/apply", content=f"{people}---\n{feeds}")).json()
    secret = next(one["secret"] for one in applied["changes"] if one["kind"] == "feed")
    assert secret.startswith("whsec_")
    assert secret not in (await admin.get("/api/v1/feeds")).text
    changed = (await admin.post("/api/v1/feeds/mdm/secret", json={"leaked": True})).json()["secret"]
    assert changed != secret
    bad = await admin.post("/api/v1/apply", content="users: [{name: alice, enabled: maybe}]\n")
    assert (bad.status_code, bad.json()["field"]) == (422, "enabled") or bad.status_code == 400
    assert "line" in bad.json()
    nothing = await admin.post("/api/v1/apply", content="colour: blue\n")
    assert nothing.json()["code"] == "web.malformed"


async def test_enforcement_is_frozen_and_says_by_whom(house: House) -> None:
    browser = await house.logged_in(Role.OPERATOR)
    await browser.post("/enforcement/freeze", data={"note": "the EDR has gone mad"})
    state = (await browser.get("/api/v1/enforcement")).json()
    assert (state["frozen"], state["by"], state["reason"]) == (True, "admin:operator-1", "the EDR has gone mad")
    assert "the EDR has gone mad" in (await browser.get("/")).text
    await browser.post("/enforcement/unfreeze")
    assert not (await browser.get("/api/v1/enforcement")).json()["frozen"]


# --- pages -------------------------------------------------------------------------------------------------------


async def test_names_from_strangers_are_shown_as_text(house: House) -> None:
    nasty = '<img src=x onerror="alert(1)">'
    await house.apply(f"users: [{{name: '{nasty}', enabled: true}}]\n")
    browser = await house.logged_in(Role.ADMINISTRATOR)
    async with sequencing(house):
        await asyncio.sleep(0.5)
        for path in ("/subjects", "/events", "/"):
            page = (await browser.get(path)).text
            assert "<img" not in page
        assert "&lt;img" in (await browser.get("/subjects")).text


async def test_live_events_come_with_data_and_a_row_and_go_on_where_a_browser_left_off(house: House) -> None:
    from troth.web.pages import stream
    from troth.web.render import Renderer
    from troth.web.static import Assets

    async with sequencing(house):
        await house.services.live.start()
        renderer = Renderer(house.services, Assets())
        frames = stream._frames(house.services, renderer, house.admin, None, None)
        assert (await anext(frames)).startswith(b"retry:")
        certificate_id = await house.issue("live.example.org", "live.example.org")
        seen: list[dict[str, Any]] = []
        while not any(one["kind"] == "certificate.issued" for one in seen):
            frame = await asyncio.wait_for(anext(frames), 120)
            if frame.startswith(b"event: ledger"):
                seen.append(json.loads(frame.split(b"data: ", 1)[1]))
        issued = seen[-1]
        assert issued["data"]["certificate_id"] == str(certificate_id)
        assert "Issued a certificate for live.example.org" in issued["html"]
        await frames.aclose()
        again = stream._frames(house.services, renderer, house.admin, None, issued["index"] - 1)
        await anext(again)
        assert json.loads((await anext(again)).split(b"data: ", 1)[1])["index"] == issued["index"]
        await again.aclose()
        await house.services.live.stop()


async def test_open_streams_end_at_the_first_word_of_the_end(house: House) -> None:
    from troth.audit.store import LedgerStore
    from troth.audit.stream import Stream
    from troth.web.live import Live

    ending = asyncio.Event()
    live = Live(Stream(house.trust.database, house.trust.clock), LedgerStore(house.trust.database), ending)
    await live.start()
    with live.subscribe() as subscription:
        waiting = asyncio.create_task(subscription.take(600))
        await asyncio.sleep(0)
        ending.set()
        assert await asyncio.wait_for(waiting, 120) == []
        assert subscription.closed
    with live.subscribe() as late:
        assert late.closed
    await live.stop()


async def test_a_subscriber_that_does_not_keep_up_is_told_so_and_holds_up_nobody(house: House) -> None:
    from troth.audit.event import StreamEvent
    from troth.kit.ids import new_id
    from troth.web.live import Subscription

    slow = Subscription()
    for index in range(1001):
        slow.offer(StreamEvent(index, new_id(), new_id(), house.trust.clock.now(), "made.up", "system:test", (), {}))
    assert slow.lost
    assert await slow.take(0.01) == []
