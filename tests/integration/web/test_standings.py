"""Standing rules, exemptions, re-evaluation and rollout over API and pages."""

from __future__ import annotations

from datetime import timedelta

from tests.integration.web.test_approvals import Office, logged_in
from tests.support.approving import person
from tests.support.dashboard import House
from troth.access.roles import Role
from troth.store.jobs import JobQueue
from troth.trust.enforcement.enforce import Enforcer
from troth.trust.enforcement.reevaluation import REEVALUATE_JOB, Reevaluation
from troth.trust.standing import Standing

MILDER = "standing:\n  weights: {edr.intrusion: 50}\n"


async def work(house: House) -> None:
    """Do the re-evaluation that waits."""
    trust = house.trust
    anew = Reevaluation(trust.database, trust.clock, Enforcer())
    for job in await JobQueue(trust.database, trust.clock).claim([REEVALUATE_JOB], lease=timedelta(seconds=60)):
        await anew.run(job)


async def test_a_standing_document_is_tried_applied_shown_and_evaluated_by(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    await house.apply("devices: [{name: laptop-1}]")
    await house.trust.feed()
    await house.trust.take("edr.intrusion", "laptop-1")
    (shipped,) = (await browser.get("/api/v1/standing/rules")).json()
    assert (shipped["version"], shipped["active"]) == (0, True)
    outlook = (await browser.post("/api/v1/standing/outlook", content=MILDER)).json()
    assert outlook["moves"] == [{"before": "quarantined", "after": "restricted", "subjects": 1}]
    assert outlook["examples"] == ["device laptop-1: quarantined to restricted"]
    dry = (await browser.post("/api/v1/apply?dry_run=true", content=MILDER)).json()
    assert "standing: 1 would go from quarantined to restricted" in dry["notes"]
    applied = await browser.post("/api/v1/apply", content=MILDER)
    assert applied.json()["changes"][0]["action"] == "created", applied.text
    assert (await browser.get("/api/v1/standing/run")).json()["running"] is True
    await work(house)
    assert await house.trust.standing(await house.subject("laptop-1")) is Standing.RESTRICTED
    assert [one["version"] for one in (await browser.get("/api/v1/standing/rules")).json()] == [1, 0]
    page = await browser.get("/standing")
    assert "Version 1" in page.text
    assert "in force" in page.text
    assert "What would change now" in page.text
    shown = await browser.post("/standing/reevaluate", data={"act": "look"})
    assert "Nobody would come to stand elsewhere." in shown.text
    begun = await browser.post("/standing/reevaluate", data={"act": "start"})
    assert begun.status_code == 303
    wrong = await browser.post("/api/v1/apply", content="standing: {restrict: {up: 900}}")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "standing.malformed")
    assert (await browser.post("/api/v1/standing/outlook", content="x" * 70_000)).status_code == 400
    assert (await browser.post("/api/v1/standing/outlook", content=b"\xff")).status_code == 400


async def test_who_may_not_write_policies_applies_no_standing_rules(house: House) -> None:
    operator = await house.logged_in(Role.OPERATOR)
    assert (await operator.post("/api/v1/apply", content=MILDER)).status_code == 403
    assert (await operator.post("/api/v1/standing/reevaluate")).status_code == 403


async def test_a_subjects_page_says_how_it_adds_up_and_when_it_heals(house: House) -> None:
    browser = await house.logged_in(Role.OPERATOR)
    await house.apply("devices: [{name: laptop-1}]")
    await house.trust.feed()
    await house.trust.take("edr.alert", "laptop-1", severity=90, cause="alert-7")
    await house.trust.take("edr.contained", "laptop-1")
    device = await house.subject("laptop-1")
    explained = (await browser.get(f"/api/v1/subjects/{device}")).json()["explained"]
    assert explained[0].startswith("Score 71.9 %")
    assert any("edr says edr.alert (alert-7): 7" in line and "halved every 1 day" in line for line in explained)
    assert any("edr.contained" in line and "quarantined at once" in line for line in explained)
    assert any(line.startswith("It is looked at again by itself at") for line in explained)
    assert "How it adds up" in (await browser.get(f"/subjects/{device}")).text


async def test_an_exemption_takes_another_person_though_there_is_no_rule(house: House) -> None:
    people = {name: await person(house.access, name, role) for name, role in (
        ("ann", Role.ADMINISTRATOR), ("ben", Role.APPROVER))}  # fmt: skip
    office = Office(house, people, {name: await logged_in(house, one) for name, one in people.items()})
    ann = office.browsers["ann"]
    await house.apply("devices: [{name: laptop-1}]")
    await house.trust.feed()
    await house.trust.take("edr.contained", "laptop-1")
    device = await house.subject("laptop-1")
    asked = await ann.post(
        "/api/v1/exemptions", json={"subject": "laptop-1", "reason": "the surgeon waits", "hours": 4}
    )
    assert (asked.status_code, asked.json()["kind"], asked.json()["needed"]) == (202, "exemption.grant", 1), asked.text
    assert await house.trust.standing(device) is Standing.QUARANTINED
    # Who proposes does not approve.
    refused = await ann.post(f"/api/v1/approvals/{asked.json()['proposal']}/question")
    assert refused.status_code >= 400
    assert (await office.approve("ben", asked.json()["proposal"])).json()["state"] == "executed"
    assert await house.trust.standing(device) is Standing.TRUSTED
    (one,) = (await ann.get("/api/v1/exemptions")).json()
    assert (one["subject"], one["proposed_by"], one["approved_by"]) == (
        "device laptop-1", "admin:ann", ["admin:ben"],
    )  # fmt: skip
    assert "the surgeon waits" in (await ann.get("/standing")).text
    ended = await ann.delete(f"/api/v1/exemptions/{one['id']}")
    assert ended.status_code == 204
    assert await house.trust.standing(device) is Standing.QUARANTINED
    assert (await ann.delete(f"/api/v1/exemptions/{one['id']}")).status_code == 404
    assert (await ann.get("/api/v1/exemptions")).json() == []
    assert (await ann.get("/api/v1/exemptions?all=true")).json()[0]["state"] == "over"
    # From the page it is proposed as well.
    assert "Exempt laptop-1" in (await ann.get(f"/subjects/{device}/exempt")).text
    proposed = await ann.post(f"/subjects/{device}/exempt", data={"hours": "2", "reason": "again"})
    assert (proposed.status_code, "/approvals/" in proposed.headers["location"]) == (303, True)
    for hours in ("0", "25", "x", "9" * 9):
        wrong = await ann.post(f"/subjects/{device}/exempt", data={"hours": hours, "reason": "again"})
        assert 400 <= wrong.status_code < 500
    for browser in office.browsers.values():
        await browser.aclose()


async def test_a_feed_is_rolled_out_step_by_step_with_its_report(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    await house.apply("devices: [{name: laptop-1}]\n---\nfeeds: [{name: edr, kinds: ['edr.*'], rollout: shadow}]")
    await house.trust.take("edr.intrusion", "laptop-1")
    report = (await browser.get("/api/v1/feeds/edr/shadow")).json()
    assert report["rollout"] == {"*": 0}
    assert [(one["kind"], one["standing"], one["subjects"]) for one in report["lines"]] == [
        ("edr.intrusion", "quarantined", 1)
    ]
    assert (report["busiest"], report["allowed"]) == (1, 10)
    page = await browser.get("/feeds/edr/shadow")
    assert "only watched" in page.text
    assert "device laptop-1: trusted to quarantined by edr.intrusion" in page.text
    assert "only watched" in (await browser.get("/feeds")).text
    done = await browser.post("/api/v1/feeds/edr/rollout", json={"stage": "100", "kind": "*", "reason": "good"})
    assert done.json() == {"feed": "edr", "rollout": {"*": 100}}
    await work(house)
    assert await house.trust.standing(await house.subject("laptop-1")) is Standing.QUARANTINED
    back = await browser.post("/feeds/edr/rollout", data={"stage": "5", "kind": "edr.alert", "note": "new"})
    assert back.status_code == 303
    assert (await browser.get("/api/v1/feeds/edr/shadow")).json()["rollout"] == {"*": 100, "edr.alert": 5}
    wrong = await browser.post("/api/v1/feeds/edr/rollout", json={"stage": "5", "kind": "mdm.lost"})
    assert wrong.json()["code"] == "approval.payload_invalid", wrong.text
    assert (await browser.post("/api/v1/feeds/nobody/rollout", json={"stage": "5"})).status_code == 404
    assert (await browser.get("/feeds/nobody/shadow")).status_code == 404


async def test_staged_revocations_say_why_they_are_proposed(house: House) -> None:
    browser = await house.logged_in(Role.OPERATOR)
    await house.apply("devices: [{name: laptop-1}]")
    await house.trust.feed()
    await house.trust.feed("mdm")
    await house.trust.take("edr.intrusion", "laptop-1")
    await house.trust.take("mdm.threat_detected", "laptop-1", feed="mdm")
    (staged,) = (await browser.get("/api/v1/staged")).json()
    assert (staged["kind"], staged["cap"].startswith("several sources agree: score")) == ("revoke", True)
