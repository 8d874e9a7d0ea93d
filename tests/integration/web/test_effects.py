"""Effects on the page, over the API, in the metrics and in ``troth why``; reactions as a document that is applied."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.support.dashboard import House, sequencing
from tests.support.effects import RecordingPort
from troth.access.roles import Role
from troth.kit.ids import new_id
from troth.kit.sealing import SecretBox
from troth.status.effect_metrics import effect_metrics
from troth.trust.decision.why import Why
from troth.trust.outbox.desk import EffectDesk
from troth.trust.outbox.document_store import DocumentStore
from troth.trust.outbox.model import Outcome
from troth.trust.outbox.runner import EffectRunner
from troth.trust.subjects.store import SubjectStore

_REACTIONS = """
reactions:
  - when: [quarantined]
    then: ["webhook:soc", "crowdstrike.contain:falcon"]
targets:
  - {name: soc, kind: webhook, url: "https://soc.example.com/troth"}
  - {name: mail, kind: mail, server: mx.example.com, sender: a@example.com, to: [b@example.com], user: troth}
"""


@pytest.fixture
async def quarantined(house: House) -> str:
    """A device that was quarantined; its webhook was sent, and Falcon refused. The device's id."""
    await house.apply(_REACTIONS)
    await house.trust.feed()
    laptop = await house.trust.subject("lap<b>top")
    await house.trust.take("edr.intrusion", laptop)
    house.trust.clock.advance(timedelta(milliseconds=250))
    ports = {"webhook": RecordingPort(), "crowdstrike": RecordingPort(answers=[Outcome.refused("403: <i>no</i>")])}
    await EffectRunner(house.trust.database, house.trust.clock, ports).drain()
    return str(laptop)


async def test_the_page_shows_targets_latencies_and_effects_and_nothing_in_them_is_markup(
    house: House, quarantined: str
) -> None:
    browser = await house.logged_in(Role.AUDITOR)
    page = (await browser.get("/enforcement")).text
    for part in ("webhook", "given up", "250 ms", "falcon", "lap&lt;b&gt;top", "&lt;i&gt;no"):
        assert part in page
    assert "<i>no" not in page
    assert "Effects elsewhere" in (await browser.get(f"/subjects/{quarantined}")).text
    checks = {one["name"]: one for one in (await browser.get("/api/v1/status")).json()["checks"]}
    assert checks["Effects elsewhere"]["state"] == "warn"
    assert "1 were given up" in checks["Effects elsewhere"]["detail"]
    for state in ("dead", "waiting", "junk"):
        assert (await browser.get(f"/enforcement?status={state}")).status_code == 200
    assert (await browser.get("/enforcement?cursor=junk")).status_code == 400


async def test_a_dead_letter_is_tried_again_or_given_up_by_who_may(house: House, quarantined: str) -> None:
    browser = await house.logged_in(Role.OPERATOR)
    (dead,) = (await browser.get("/api/v1/effects", params={"status": "dead"})).json()["items"]
    assert (dead["port"], dead["detail"], dead["latency_ms"]) == ("crowdstrike.contain", "403: <i>no</i>", 250)
    auditor = await house.logged_in(Role.AUDITOR)
    assert (await auditor.post(f"/api/v1/effects/{dead['id']}/retry", json={})).status_code == 403
    assert "Try again" not in (await auditor.get(f"/effects/{dead['id']}")).text
    assert "Try again" in (await browser.get(f"/effects/{dead['id']}")).text
    again = await browser.post(f"/api/v1/effects/{dead['id']}/retry", json={"reason": "granted it"})
    assert (again.status_code, again.json()["state"]) == (200, "waiting")
    twice = await browser.post(f"/api/v1/effects/{dead['id']}/retry", json={})
    assert (twice.status_code, twice.json()["code"]) == (409, "effect.not_open")
    done = await browser.post(f"/api/v1/effects/{dead['id']}/drop", json={"reason": "by hand"})
    assert done.json()["detail"] == "dropped: by hand"
    assert (await browser.get(f"/api/v1/effects/{new_id()}")).json()["code"] == "effect.unknown"


async def test_targets_tell_how_they_answer_and_take_secrets_that_nobody_sees_again(
    house: House, quarantined: str
) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    found = {one["name"]: one for one in (await browser.get("/api/v1/effect-targets")).json()}
    assert (found["soc"]["kind"], found["soc"]["done"], found["falcon"]["dead"]) == ("webhook", 1, 1)
    made = (await browser.post("/api/v1/effect-targets/soc/secret", json={})).json()
    assert made["secret"].startswith("whsec_")
    given = await browser.post("/api/v1/effect-targets/mail/secret", json={"secret": "hunter2"})
    assert given.json()["secret"] is None
    bad = await browser.post("/api/v1/effect-targets/soc/secret", json={"secret": "whsec_short"})
    assert (bad.status_code, bad.json()["code"]) == (422, "effect.secret_invalid")
    nobody = await browser.post("/api/v1/effect-targets/nobody/secret", json={})
    assert (nobody.status_code, nobody.json()["code"]) == (404, "effect.target_unknown")
    rows = await house.trust.database.fetch("SELECT sealed FROM effect_secret")
    assert len(rows) == 2
    assert not any(b"hunter2" in row["sealed"] for row in rows)
    # A password that was given for one server is sent to no other, whoever changes the document.
    desk = EffectDesk(house.trust.database, house.trust.clock, SecretBox(b"e" * 32, purpose="effect"))
    assert await desk.secret("mail") == b"hunter2"
    await house.apply(_REACTIONS.replace("mx.example.com", "mx.evil.example"))
    assert await desk.secret("mail") is None
    operator = await house.logged_in(Role.OPERATOR)
    assert (await operator.post("/api/v1/effect-targets/soc/secret", json={})).status_code == 403


async def test_reactions_are_applied_like_any_document_and_only_by_who_may(house: House, quarantined: str) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    yaml = {"content-type": "application/yaml"}
    same = await browser.post("/api/v1/apply", content=_REACTIONS, headers=yaml)
    assert same.json()["changes"][0]["action"] == "unchanged"
    text = _REACTIONS + "# more\n"
    dry = await browser.post("/api/v1/apply?dry_run=true", content=text, headers=yaml)
    assert [(one["kind"], one["action"]) for one in dry.json()["changes"]] == [("reactions", "changed")]
    assert (await browser.get("/api/v1/reactions")).json()["version"] == 1
    await browser.post("/api/v1/apply", content=text, headers=yaml)
    shown = (await browser.get("/api/v1/reactions")).json()
    assert (shown["version"], shown["text"]) == (2, text)
    wrong = await browser.post("/api/v1/apply", content="reactions: [{when: [gone], then: [ssf]}]", headers=yaml)
    assert wrong.json()["code"] == "effect.reactions_invalid"
    operator = await house.logged_in(Role.OPERATOR)
    assert (await operator.post("/api/v1/apply", content=_REACTIONS, headers=yaml)).status_code == 403


async def test_metrics_have_the_histogram_and_why_has_the_latency(house: House, quarantined: str) -> None:
    documents = DocumentStore(house.trust.database)
    families = {
        one.name: one
        for one in effect_metrics(
            await documents.queues(house.trust.clock.now() - timedelta(days=1)),
            await documents.latencies(),
            house.trust.clock.now(),
        )
    }
    samples = [(one.name, one.labels, one.value) for one in families["troth_effect_latency_seconds"].samples]
    assert ("troth_effect_latency_seconds_bucket", {"port": "webhook", "le": "0.25"}, 1.0) in samples
    assert ("troth_effect_latency_seconds_bucket", {"port": "webhook", "le": "+Inf"}, 1.0) in samples
    assert ("troth_effect_latency_seconds_sum", {"port": "webhook"}, 0.25) in samples
    states = {(one.labels["target"], one.labels["state"]): one.value for one in families["troth_effects"].samples}
    assert states == {("soc", "done"): 1.0, ("falcon", "dead"): 1.0}
    (subject,) = [one for one in await SubjectStore(house.trust.database).page() if str(one.id) == quarantined]
    why, told = Why(house.trust.database), ""
    async with sequencing(house), asyncio.timeout(120):
        while "webhook at soc" not in told or "given up" not in told:
            told = (await why.subject(subject)).text()
            await asyncio.sleep(0.02)
    assert "webhook at soc done 250 ms after the signal was accepted: as asked" in told
    assert "crowdstrike.contain at falcon given up after 1 tries: 403" in told
