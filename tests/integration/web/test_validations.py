"""Failed validations over API, page and metrics: who may see them, and that a stranger's text stays text."""

from __future__ import annotations

from tests.support.dashboard import House
from troth.access.roles import Role
from troth.enroll.acme.attempt_store import ADD_ATTEMPT
from troth.kit.ids import new_id
from troth.store.unit import Unit


async def test_why_a_name_was_not_proved_is_told_step_by_step(house: House) -> None:
    account, now, unit = new_id(), house.services.clock.now(), Unit()
    steps = '[{"target":"http://<b>a.test</b>/","address":"192.0.2.1","result":"HTTP 404"}]'
    for name, outcome in (("a.test", "again"), ("a.test", "invalid"), ("b.test", "valid")):
        detail = "answered with HTTP status 404"
        unit.write(
            ADD_ATTEMPT, new_id(), new_id(), account, name, "http-01", outcome, "acme.validation.incorrect", detail,
            steps, now,
        )  # fmt: skip
    await house.trust.database.commit(unit)
    browser = await house.logged_in(Role.AUDITOR)
    found = (await browser.get("/api/v1/acme/validations?name=A.test")).json()
    assert [(one["name"], one["outcome"]) for one in found] == [("a.test", "invalid"), ("a.test", "again")]
    assert found[0]["steps"] == [{"target": "http://<b>a.test</b>/", "address": "192.0.2.1", "result": "HTTP 404"}]
    assert len((await browser.get(f"/api/v1/acme/validations?account={account}")).json()) == 3
    shown = (await browser.get("/acme/validations")).text
    assert "answered with HTTP status 404" in shown
    assert "passed at last" in shown
    assert "<b>a.test</b>/" not in shown
    assert "No validation has failed" in (await browser.get("/acme/validations?name=<script>")).text
    assert len((await browser.get("/api/v1/acme/validations?limit=1")).json()) == 1
    assert (await browser.get("/api/v1/acme/validations?account=x")).status_code == 400
