"""Connectors over API and pages: applied, given their secret, tested, paused, removed; and what names nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.support.dashboard import House
from tests.support.vendors.falcon import Falcon
from troth.access.roles import Role
from troth.kit.ids import new_id
from troth.trust.intake.inbox import Inbox, InboxWorker, Spoilt
from troth.trust.intake.reported import Reported
from troth.trust.signals.model import Whom
from troth.trust.standing import Standing

FEED = "feeds: [{name: edr, kinds: ['edr.*', 'generic.*'], cadence_seconds: 60}]"


@pytest.fixture
async def falcon(house: House) -> AsyncIterator[Falcon]:
    async with Falcon(house.trust.clock) as made:
        yield made


async def test_a_connector_is_applied_given_its_secret_tested_and_removed(house: House, falcon: Falcon) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    alone = await browser.post("/api/v1/apply", content=_yaml(falcon))
    assert (alone.status_code, alone.json()["code"]) == (422, "connector.invalid")
    made = await browser.post("/api/v1/apply", content=f"{FEED}\n---\n{_yaml(falcon)}")
    assert made.status_code == 200, made.text
    change = made.json()["changes"][-1]
    assert (change["kind"], change["action"]) == ("connector", "created")
    assert "troth connector secret falcon" in change["detail"]
    (listed,) = (await browser.get("/api/v1/connectors")).json()
    assert (listed["state"], listed["missing"], listed["secrets"]) == ("incomplete", ["client_secret"], {})
    refused = await browser.post("/api/v1/connectors/falcon/test")
    assert (refused.status_code, refused.json()["code"]) == (409, "connector.secret_missing")
    bad = await browser.post("/api/v1/connectors/falcon/secret", json={"secret": "x", "kind": "nonsense"})
    assert bad.json()["code"] == "connector.secret_invalid"
    kept = await browser.post("/api/v1/connectors/falcon/secret", json={"secret": falcon.client_secret + "\n"})
    assert kept.json() == {"kind": "client_secret"}
    falcon.scopes = {"Alerts: read"}
    tested = (await browser.post("/api/v1/connectors/falcon/test")).json()
    assert not tested["good"]
    assert {one["read"]: one["granted"] for one in tested["probes"]}["alerts"] is True
    assert {one["code"] for one in tested["probes"]} == {None, "connector.scope"}
    falcon.scopes = None
    assert (await browser.post("/api/v1/connectors/falcon/test")).json()["good"]
    paused = await browser.post("/api/v1/connectors/falcon/pause", json={"note": "tests"})
    assert (paused.json()["state"], paused.json()["reason"]) == ("paused", "tests")
    assert (await browser.post("/api/v1/connectors/falcon/resume", json={})).json()["state"] == "waiting"
    assert (await browser.post("/api/v1/connectors/falcon/reread")).status_code == 200
    tried = await browser.post("/api/v1/connectors/falcon/try", content="{}")
    assert tried.json()["code"] == "connector.not_tried"
    assert falcon.client_secret not in (await browser.get("/api/v1/connectors/falcon")).text
    assert falcon.client_secret not in str(await house.trust.events())
    assert (await browser.delete("/api/v1/connectors/falcon")).status_code == 204
    assert (await browser.get("/api/v1/connectors/falcon")).status_code == 404


def _yaml(falcon: Falcon) -> str:
    return (
        f"connectors:\n  - {{name: falcon, vendor: crowdstrike, feed: edr, base_url: '{falcon.url}', "
        "client_id: client-1}\n"
    )


async def test_who_may_only_look_changes_nothing(house: House, falcon: Falcon) -> None:
    await house.apply(f"{FEED}\n---\n{_yaml(falcon)}")
    browser = await house.logged_in(Role.AUDITOR)
    assert (await browser.get("/api/v1/connectors/falcon")).status_code == 200
    assert "A new secret" not in (await browser.get("/connectors/falcon")).text
    for path in ("secret", "test", "pause", "resume", "reread"):
        answer = await browser.post(f"/api/v1/connectors/falcon/{path}", json={"secret": "x", "note": ""})
        assert answer.status_code == 403, path
    assert (await browser.delete("/api/v1/connectors/falcon")).status_code == 403
    assert (await browser.post("/connectors/falcon/do", data={"what": "test"})).status_code == 403
    assert (await browser.post("/api/v1/apply", content=_yaml(falcon))).status_code == 403
    for path in (f"unresolved/{new_id()}/bind", f"unresolved/{new_id()}/aside", f"refused/{new_id()}/retry", "bind"):
        assert (await browser.post(f"/api/v1/signals/{path}", json={})).status_code == 403


async def test_applying_a_connector_can_be_proposed_to_others(house: House, falcon: Falcon) -> None:
    await house.apply(FEED)
    browser = await house.logged_in(Role.ADMINISTRATOR)
    proposed = await browser.post("/api/v1/apply?propose=true", content=_yaml(falcon))
    assert proposed.status_code == 202, proposed.text
    assert proposed.json()["kind"] == "connector.apply"
    assert (await browser.get("/api/v1/connectors")).json() == []


async def test_the_pages_show_and_do_the_same(house: House, falcon: Falcon) -> None:
    await house.apply(f"{FEED}\n---\n{_yaml(falcon)}")
    browser = await house.logged_in(Role.ADMINISTRATOR)
    feeds = (await browser.get("/feeds")).text
    for part in ('href="/connectors/falcon"', 'href="/feeds/edr"', 'href="/unresolved"', "lacks a secret"):
        assert part in feeds
    assert "It lacks client_secret" in (await browser.get("/connectors/falcon")).text
    failed = await browser.post("/connectors/falcon/do", data={"what": "test"})
    assert failed.status_code == 409
    kept = await browser.post("/connectors/falcon/secret", data={"secret": falcon.client_secret, "kind": ""})
    assert (kept.status_code, kept.headers["location"]) == (303, "/connectors/falcon?done=connector_secret")
    falcon.scopes = {"Hosts: read"}
    tested = (await browser.post("/connectors/falcon/do", data={"what": "test"})).text
    assert "Zero Trust Assessment: read" in tested
    assert "connector.scope" in tested
    for what in ("pause", "resume", "reread"):
        done = await browser.post("/connectors/falcon/do", data={"what": what, "note": "<b>why</b>"})
        assert done.headers["location"] == f"/connectors/falcon?done=connector_{what}"
    shown = (await browser.get("/connectors/falcon?done=connector_reread")).text
    assert "<b>why" not in shown
    assert falcon.client_secret not in shown
    assert (await browser.post("/connectors/falcon/do", data={"what": "dance"})).status_code == 400
    assert (await browser.post("/connectors/falcon/remove", data={"typed": "x"})).status_code == 400
    gone = await browser.post("/connectors/falcon/remove", data={"typed": "falcon"})
    assert gone.headers["location"] == "/feeds?done=connector_removed"
    assert (await browser.get("/connectors/falcon")).status_code == 404
    assert (await browser.get("/feeds/nobody")).status_code == 404


async def test_a_feed_that_falls_silent_is_shown_as_such(house: House) -> None:
    await house.apply(FEED)
    house.trust.clock.advance(timedelta(seconds=130))
    browser = await house.logged_in(Role.AUDITOR)
    (feed,) = (await browser.get("/api/v1/feeds")).json()
    assert (feed["health"], feed["heard_at"], feed["cadence_seconds"]) == ("stale", None, 60)
    assert "Nothing was heard of it for too long" in (await browser.get("/feeds/edr")).text
    assert "silent" in (await browser.get("/feeds")).text


@pytest.fixture
async def inbox(house: House) -> Inbox:
    """An inbox with a signal about nobody, a stranger, and an item that nobody can read."""
    await house.apply(FEED)
    trust = house.trust
    made, whom = Inbox(trust.database, trust.clock), Whom(alias=("crowdstrike.aid", "<b>a1</b>"))
    await made.accept(
        "edr",
        [trust.signal("edr.contained", "x", whom=whom, evidence="<script>1</script>"),
         trust.signal("mdm.lost", "laptop-1", message_id="not granted")],
        reports=[Reported(Whom(alias=("crowdstrike.aid", "<i>a2</i>")), trust.clock.now())],
        spoilt=[Spoilt("s", "connector.answer", "<u>no</u>", {"a": 1})],
    )  # fmt: skip
    await _act(house)
    return made


async def _act(house: House) -> None:
    worker = InboxWorker(house.trust.database, house.trust.clock, new_id(), house.trust.desk)
    while await worker.run_once():
        pass


async def test_what_names_nobody_is_listed_and_bound_by_hand(house: House, inbox: Inbox) -> None:
    laptop = await house.trust.subject("laptop-1")
    browser = await house.logged_in(Role.ADMINISTRATOR)
    page = (await browser.get("/unresolved")).text
    for part in ("&lt;b&gt;a1", "&lt;i&gt;a2", "&lt;u&gt;no", "&lt;script&gt;", "signal.kind_not_granted"):
        assert part in page
    for part in ("<b>a1", "<i>a2", "<u>no", "<script>1"):
        assert part not in page
    (open_one,) = (await browser.get("/api/v1/signals/unresolved")).json()
    assert (open_one["system"], open_one["several"], open_one["kind"]) == ("crowdstrike.aid", False, "edr.contained")
    (feed,) = (await browser.get("/api/v1/feeds")).json()
    assert (feed["unresolved"], feed["strangers"], feed["refused"]) == (1, 1, 2)
    bad = await browser.post(f"/api/v1/signals/unresolved/{open_one['id']}/bind", json={"subject": "nobody"})
    assert bad.status_code == 404
    assert (
        await browser.post(f"/unresolved/{open_one['id']}", data={"what": "bind", "subject": ""})
    ).status_code == 400
    done = await browser.post(f"/unresolved/{open_one['id']}", data={"what": "bind", "subject": "device:laptop-1"})
    assert done.headers["location"] == "/unresolved?done=signal_bound"
    await _act(house)
    assert await house.trust.standing(laptop) is Standing.QUARANTINED
    again = await browser.post(f"/unresolved/{open_one['id']}", data={"what": "aside"})
    assert again.status_code == 404
    named = {"system": "crowdstrike.aid", "value": "<i>a2</i>", "subject": "laptop-1"}
    assert (await browser.post("/api/v1/signals/bind", json=named)).json()["signals"] == 0
    assert (await browser.get("/api/v1/signals/strangers")).json() == []


async def test_what_was_refused_is_taken_again_once_it_is_granted(house: House, inbox: Inbox) -> None:
    laptop = await house.trust.subject("laptop-1")
    browser = await house.logged_in(Role.ADMINISTRATOR)
    refused = {one["code"]: one for one in (await browser.get("/api/v1/signals/refused")).json()}
    assert refused["connector.answer"]["readable"] is False
    one = refused["signal.kind_not_granted"]
    assert one["readable"]
    await house.apply(FEED.replace("'generic.*'", "'mdm.*'"))
    done = await browser.post(f"/unresolved/refused/{one['id']}")
    assert done.headers["location"] == "/unresolved?done=signal_retried"
    await _act(house)
    assert await house.trust.standing(laptop) is Standing.QUARANTINED


async def test_a_mapping_is_tried_before_it_is_believed(house: House) -> None:
    await house.apply(FEED)
    laptop = await house.trust.subject("laptop-1")
    mapping = "{whom: [{device: /host}], kind: {path: /t, values: {bad: edr.intrusion, ping: ignore}}}"
    await house.apply(f"connectors:\n  - {{name: siem, vendor: generic, feed: edr, options: {mapping}}}\n")
    browser = await house.logged_in(Role.AUDITOR)
    tried = await browser.post("/api/v1/connectors/siem/try", json={"host": "laptop-1", "t": "bad"})
    assert [(one["kind"], one["subject"]) for one in tried.json()] == [("edr.intrusion", str(laptop))]
    assert (await browser.post("/api/v1/connectors/siem/try", json={"t": "ping"})).json() == []
    unknown = (await browser.post("/api/v1/connectors/siem/try", json={"host": "who", "t": "?"})).json()
    assert [(one["kind"], one["subject"]) for one in unknown] == [("generic.raised", None)]
    for body in ("{", '{"t": "bad"}'):
        answer = await browser.post("/api/v1/connectors/siem/try", content=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "connector.push_unreadable")
    assert await house.trust.database.fetchval("SELECT count(*) FROM signal_inbox") == 0
    assert (await browser.get("/api/v1/connectors/siem")).json()["push_url"].endswith("/connect/generic/siem")
