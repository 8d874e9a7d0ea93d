"""Sessions on pages, over the API, on the command line's ways, and in the metrics."""

from __future__ import annotations

from datetime import timedelta

from tests.integration.radius.conftest import Joins, joins  # noqa: F401 -- a fixture
from tests.support.dashboard import House, sequencing
from troth.access.roles import Role
from troth.radius.sessions import order_store, store
from troth.radius.sessions.orders import order_for
from troth.status.session_metrics import session_metrics
from troth.status.session_store import sessions
from troth.store.unit import Unit


async def test_pages_show_who_is_there_and_nothing_in_them_is_markup(house: House, joins: Joins) -> None:  # noqa: F811
    session = await joins(await house.trust.subject(), user_name="<b>alice</b>")
    browser = await house.logged_in(Role.AUDITOR)
    for path in (
        "/network/sessions",
        f"/network/sessions/{session.id}",
        "/network/sessions?mac=0200.0000.0001&all=yes",
    ):
        page = await browser.get(path)
        assert page.status_code == 200
        assert "&lt;b&gt;alice" in page.text
        assert "<b>alice" not in page.text
    assert "alice" not in (await browser.get("/network/sessions?user=bob")).text
    assert (await browser.get("/network/sessions?cursor=junk")).status_code == 400
    assert (await browser.get("/network/sessions/00000000-0000-7000-8000-000000000000")).status_code == 404
    assert "Disconnect</button>" not in (await browser.get(f"/network/sessions/{session.id}")).text


async def test_who_may_ends_a_session_from_its_page_and_the_ledger_tells(house: House, joins: Joins) -> None:  # noqa: F811
    session = await joins(await house.trust.subject())
    auditor, operator = await house.logged_in(Role.AUDITOR), await house.logged_in(Role.OPERATOR)
    path = f"/network/sessions/{session.id}"
    assert (await auditor.post(path, data={"verb": "disconnect"})).status_code == 403
    assert (await auditor.post(f"/api/v1{path}/disconnect", json={})).status_code == 403
    async with sequencing(house):
        answer = await operator.post(path, data={"verb": "disconnect", "note": "lost"})
        assert answer.status_code == 303
        assert (await operator.post(path, data={"verb": "junk"})).status_code == 400
    (order,) = await order_store.of_session(house.trust.database, session.id)
    assert (order.kind, order.automated, order.reason) == ("disconnect", False, "lost")
    detail = (await operator.get(f"/api/v1{path}")).json()
    assert [one["state"] for one in detail["orders"]] == ["waiting"]
    unit = Unit()
    store.close(unit, session, at=house.trust.clock.now(), by="age")
    await house.trust.database.commit(unit)
    refused = await operator.post(path, data={"verb": "disconnect"})
    assert (refused.status_code, "it ended at" in refused.text) == (409, True)


async def test_many_are_previewed_first_and_everybody_must_be_said(house: House, joins: Joins) -> None:  # noqa: F811
    subject = await house.trust.subject()
    for _ in range(3):
        await joins(subject)
    operator = await house.logged_in(Role.OPERATOR)
    path = "/api/v1/network/session-orders"
    would = (await operator.post(path, json={"kind": "reauthorize", "network": "corp", "preview": True})).json()
    assert (len(would["sessions"]), would["preview"]) == (3, True)
    assert await order_store.listed(house.trust.database) == []
    assert (await operator.post(path, json={"kind": "disconnect"})).status_code == 422
    done = await operator.post(path, json={"kind": "disconnect", "subject": str(subject), "reason": "a drill"})
    assert (done.status_code, len(done.json()["sessions"])) == (202, 3)
    assert len((await operator.get(f"{path}?status=waiting&limit=2")).json()["items"]) == 2


async def test_what_a_cap_has_staged_waits_for_a_person(house: House, joins: Joins) -> None:  # noqa: F811
    unit, at = Unit(), house.trust.clock.now()
    for number in range(2):
        session = await joins(await house.trust.subject(f"laptop-{number}"))
        order_store.plan(
            unit,
            order_for(session, "reauthorize", origin=f"event:{number}", actor="system:policy", automated=True, at=at,
                      staged=True),
        )  # fmt: skip
    await house.trust.database.commit(unit)
    browser = await house.logged_in(Role.OPERATOR)
    assert "Waits for a person" in (await browser.get("/network/sessions")).text
    second, first = (await browser.get("/api/v1/network/session-orders?status=staged")).json()["items"]
    assert (
        await browser.post(f"/network/session-orders/{first['id']}", data={"verdict": "approve"})
    ).status_code == 303
    dropped = await browser.post(f"/api/v1/network/session-orders/{second['id']}/drop", json={"reason": "a mistake"})
    assert dropped.status_code == 204
    again = await browser.post(f"/api/v1/network/session-orders/{second['id']}/approve", json={})
    assert (again.status_code, again.json()["code"]) == (404, "radius.session.order_unknown")
    states = [one.state for one in reversed(await order_store.listed(house.trust.database))]
    assert states == ["waiting", "dropped"]


async def test_metrics_tell_who_is_there_and_what_waits(house: House, joins: Joins) -> None:  # noqa: F811
    session = await joins(await house.trust.subject())
    now = house.trust.clock.now()
    unit = Unit()
    order_store.plan(
        unit, order_for(session, "disconnect", origin="person:1", actor="admin:alice", automated=False, at=now)
    )
    await house.trust.database.commit(unit)
    families = session_metrics(await sessions(house.trust.database), now + timedelta(seconds=7))
    told = {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}
    assert told["troth_radius_sessions", "corp"] == 1
    assert told["troth_radius_orders", "waiting"] == 1
    assert told["troth_radius_orders_waiting_seconds", "waiting"] == 7
    assert told["troth_radius_inbox_age_seconds",] == 0
