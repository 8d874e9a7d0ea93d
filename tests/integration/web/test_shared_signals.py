"""Shared signals over API and pages: streams made, verified, paused and ended by a person; events that wait for one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.dashboard import House
from tests.support.vendors.ssf_transmitter import FakeTransmitter, Fault
from tests.support.vendors.ssf_transmitter import transmitter as transmitter
from troth.access.roles import Role
from troth.kit.ids import new_id
from troth.web.words import sentence

FEEDS = "feeds: [{name: idp, kinds: ['idp.*', 'mdm.*', 'edr.*'], scope: {subjects: [user, device]}}]"


def document(fake: FakeTransmitter, **more: str) -> str:
    fields = {"name": "idp", "feed": "idp", "issuer": fake.issuer, "client_id": "troth",
              "token_url": f"{fake.origin}/token"} | more  # fmt: skip
    return "ssf_streams:\n  - {" + ", ".join(f'{key}: "{value}"' for key, value in fields.items()) + "}\n"


@pytest.fixture
async def fake(house: House, transmitter: FakeTransmitter) -> FakeTransmitter:
    transmitter.now = house.trust.clock.now
    await house.apply(FEEDS)
    return transmitter


async def test_a_stream_is_applied_given_its_secret_connected_and_verified(house: House, fake: FakeTransmitter) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    dry = await browser.post("/api/v1/apply?dry_run=true", content=document(fake))
    assert dry.json()["changes"][0] | {"detail": ""} == {
        "kind": "stream", "name": "idp", "action": "created", "detail": "", "secret": None,
    }  # fmt: skip
    assert (await browser.get("/api/v1/ssf/streams")).json() == []
    assert (await browser.post("/api/v1/apply", content=document(fake))).status_code == 200
    planned = (await browser.get("/api/v1/ssf/streams/idp")).json()
    assert (planned["state"], planned["has_secret"], planned["remote_id"]) == ("planned", False, "")
    refused = await browser.post("/api/v1/ssf/streams/idp/connect")
    assert (refused.status_code, refused.json()["code"]) == (502, "ssf.transmitter.credential")
    assert (await browser.post("/api/v1/ssf/streams/idp/secret", json={"secret": fake.secret})).json()["has_secret"]
    made = (await browser.post("/api/v1/ssf/streams/idp/connect")).json()
    assert (made["state"], made["error"]) == ("enabled", "")
    assert "caep.session-revoked" in made["events"]
    asked = (await browser.post("/api/v1/ssf/streams/idp/verify")).json()
    assert (asked["awaited"], asked["verified_at"]) == (1, None)
    assert (await browser.post("/api/v1/ssf/streams/idp/refresh")).json()["remote_id"] == made["remote_id"]
    paused = await browser.post("/api/v1/ssf/streams/idp/status", json={"status": "paused", "reason": "tests"})
    assert (paused.json()["state"], paused.json()["status_reason"]) == ("paused", "tests")
    subject = {"subject": {"format": "email", "email": "alice@example.com"}}
    assert (await browser.post("/api/v1/ssf/streams/idp/subjects", json=subject)).status_code == 200
    bad = await browser.post("/api/v1/ssf/streams/idp/subjects", json={"subject": {"format": "email"}})
    assert (bad.status_code, bad.json()["code"]) == (400, "ssf.set.malformed")
    assert fake.secret not in (await browser.get("/api/v1/ssf/streams/idp")).text
    assert (await browser.post("/api/v1/ssf/streams/idp/delete", json={})).status_code == 204
    assert fake.streams == {}
    assert (await browser.get("/api/v1/ssf/streams/idp")).json()["code"] == "ssf.stream.unknown"


async def test_a_definition_that_is_wrong_is_told_by_stream_and_field(house: House, fake: FakeTransmitter) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    for more, code, told in (
        ({"feed": "nobody"}, "signal.feed_unknown", "nobody"), ({"issuer": "ftp://x"}, "ssf.stream.invalid", "issuer"),
        ({"client_id": ""}, "ssf.stream.invalid", "auth"), ({"name": "No Name"}, "ssf.stream.invalid", "name"),
    ):  # fmt: skip
        answer = await browser.post("/api/v1/apply", content=document(fake, **more))
        assert answer.json()["code"] == code, answer.text
        assert told in answer.json()["detail"]
    assert (await browser.get("/api/v1/ssf/streams")).json() == []


async def test_the_pages_show_and_do_the_same(house: House, fake: FakeTransmitter) -> None:
    await house.apply(document(fake))
    browser = await house.logged_in(Role.ADMINISTRATOR)
    assert 'href="/streams"' in (await browser.get("/feeds")).text
    listed = await browser.get("/streams")
    assert fake.issuer in listed.text
    assert "planned" in listed.text
    failed = await browser.post("/streams/idp/do", data={"what": "connect"})
    assert failed.status_code == 502
    assert "has no secret yet" in failed.text
    kept = await browser.post("/streams/idp/secret", data={"secret": fake.secret})
    assert (kept.status_code, kept.headers["location"]) == (303, "/streams/idp?done=stream_secret")
    for what in ("connect", "verify", "refresh", "paused", "enabled"):
        done = await browser.post("/streams/idp/do", data={"what": what})
        assert (done.status_code, done.headers["location"]) == (303, f"/streams/idp?done=stream_{what}"), done.text
    shown = await browser.get("/streams/idp?done=stream_verify")
    assert "A verification is asked for" in shown.text
    assert "1 asked for, not come yet" in shown.text
    assert fake.secret not in shown.text
    fake.fail("/stream", Fault(403, b"<b>no</b>"))
    refused = await browser.post("/streams/idp/do", data={"what": "refresh"})
    assert refused.status_code == 502
    assert "&lt;b&gt;no" in refused.text
    assert (await browser.post("/streams/idp/do", data={"what": "dance"})).status_code == 400
    assert "Type <b>idp</b>" in (await browser.get("/streams/idp/delete")).text
    assert (await browser.post("/streams/idp/delete", data={"typed": "x"})).status_code == 400
    ended = await browser.post("/streams/idp/delete", data={"typed": "idp"})
    assert ended.headers["location"] == "/streams?done=stream_deleted"
    assert (await browser.get("/streams/idp")).status_code == 404


async def test_who_may_only_look_changes_nothing(house: House, fake: FakeTransmitter) -> None:
    await house.apply(document(fake))
    browser = await house.logged_in(Role.AUDITOR)
    assert (await browser.get("/api/v1/ssf/streams/idp")).status_code == 200
    assert "A new secret" not in (await browser.get("/streams/idp")).text
    for path in ("connect", "verify", "refresh", "header"):
        assert (await browser.post(f"/api/v1/ssf/streams/idp/{path}")).status_code == 403
    assert (await browser.post("/streams/idp/do", data={"what": "connect"})).status_code == 403
    assert (await browser.post("/api/v1/apply", content=document(fake))).status_code == 403
    assert (await browser.post(f"/api/v1/ssf/waiting/{new_id()}/act")).status_code == 403


async def _waiting(house: House) -> str:
    from troth.connect.ssf import event_store
    from troth.connect.ssf.event_store import WideEvent
    from troth.store.unit import Unit

    unit, now, made = Unit(), house.trust.clock.now(), new_id()
    event_store.hold(unit, WideEvent(
        made, "idp", "idp", "j", "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
        "tenant: opaque <b>1</b>", (("idp.sessions_revoked", None),), {"reason": "breach"}, now, now,
    ))  # fmt: skip
    await house.trust.database.commit(unit)
    return str(made)


async def test_an_event_about_everybody_is_shown_with_its_reach_and_acted_on_or_dismissed(
    house: House, fake: FakeTransmitter
) -> None:
    await house.apply("users: [{name: alice}, {name: bob}]")
    browser = await house.logged_in(Role.APPROVER)
    event = await _waiting(house)
    assert "tenant: opaque &lt;b&gt;1" in (await browser.get("/streams")).text
    assert (await browser.get(f"/api/v1/ssf/waiting/{event}")).json()["subjects"] == 2
    assert "2 subjects are in the scope" in (await browser.get(f"/streams/waiting/{event}/act")).text
    assert (await browser.post(f"/api/v1/ssf/waiting/{event}/act")).json() == {"subjects": 2}
    again = await browser.post(f"/api/v1/ssf/waiting/{event}/act")
    assert again.json()["code"] == "ssf.wide.settled"
    assert await house.trust.database.fetchval("SELECT count(*) FROM signal_inbox") == 2
    await house.trust.database.fetchval("DELETE FROM ssf_wide")
    other = await _waiting(house)
    done = await browser.post(f"/streams/waiting/{other}/dismiss")
    assert done.headers["location"] == "/streams?done=wide_dismissed"
    assert (await browser.get("/api/v1/ssf/waiting")).json() == []


RECEIVER = (
    "ssf_receivers: [{name: vpn, audience: ['https://vpn.test'], scope: {groups: [staff]}, push_hosts: [vpn.test]}]"
)


async def test_a_receiver_is_granted_given_credentials_shown_and_ended(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    assert "Nobody is told" in (await browser.get("/streams")).text
    for action, query in (("created", "?dry_run=true"), ("created", ""), ("unchanged", "")):
        answer = await browser.post(f"/api/v1/apply{query}", content=RECEIVER)
        (change,) = answer.json()["changes"]
        assert (change["kind"], change["name"], change["action"]) == ("receiver", "vpn", action)
    (plain,) = (await browser.get("/api/v1/ssf/receivers")).json()
    assert (plain["client_id"], plain["streams"], plain["groups"]) == ("", [], ["staff"])
    assert "caep.session-revoked" in plain["events"]
    first = (await browser.post("/api/v1/ssf/receivers/vpn/secret")).json()
    assert (first["client_id"], first["token_endpoint"]) == ("vpn", "https://troth.test/ssf/token")
    assert (await browser.post("/api/v1/ssf/receivers/vpn/secret")).json()["secret"] != first["secret"]
    (known,) = (await browser.get("/api/v1/ssf/receivers")).json()
    assert known["client_id"] == "vpn"
    assert first["secret"] not in str(known)
    listed = await browser.get("/streams")
    assert "none made yet" in listed.text
    assert "in staff" in listed.text
    none = await browser.post("/api/v1/ssf/receivers/vpn/header", json={"header": "Bearer x"})
    assert (none.status_code, none.json()["code"]) == (404, "ssf.receiver.unknown")
    assert (await browser.post("/api/v1/ssf/receivers/vpn/remove")).status_code == 204
    assert (await browser.get("/api/v1/ssf/receivers")).json() == []
    assert (await browser.post("/api/v1/ssf/receivers/vpn/secret")).status_code == 404
    bad = await browser.post("/api/v1/apply", content=RECEIVER.replace("vpn.test]", "'http://x']"))
    assert (bad.status_code, bad.json()["code"]) == (422, "ssf.receiver.invalid")
    assert "push_hosts" in bad.json()["detail"]


async def _key(house: House) -> None:
    """What the worker does: see that there is a key."""
    from troth.connect.ssf.transmitter.keys import TransmitterKeyring
    from troth.kit.sealing import SecretBox

    box = SecretBox(b"s" * 32, purpose="ssf key")
    await TransmitterKeyring(house.trust.database, house.trust.clock, box).ensure()


async def _health(house: House) -> tuple[str, str]:
    checks = (await house.services.health.check()).checks
    return next((one.state, one.detail) for one in checks if one.name == "Told to others")


async def test_a_receiver_that_makes_no_stream_is_pushed_to_paused_and_shown(house: House) -> None:
    """Okta's receiver has no stream API: where to push is granted, and the header is given by a person."""
    await _key(house)
    streams = house.services.streams.receivers
    await house.apply(
        "ssf_receivers: [{name: okta, audience: [okta], dialect: okta, push_url: 'https://okta.test/set'}]"
    )
    browser = await house.logged_in(Role.ADMINISTRATOR)
    assert (await browser.post("/api/v1/ssf/receivers/okta/header", json={"header": "SSWS abc"})).status_code == 204
    (one,) = (await browser.get("/api/v1/ssf/receivers")).json()
    (stream,) = one["streams"]
    assert (stream["delivery"], stream["status"], stream["endpoint"]) == ("push", "enabled", "https://okta.test/set")
    assert "SSWS" not in str(one)
    paused = await browser.post(f"/api/v1/ssf/out/{stream['id']}/status", json={"status": "paused", "reason": "<b>x"})
    assert paused.status_code == 204
    (one,) = (await browser.get("/api/v1/ssf/receivers")).json()
    assert (one["streams"][0]["status"], one["streams"][0]["waiting"]) == ("paused", 1)
    shown = (await browser.get("/streams")).text
    assert "paused" in shown
    assert "&lt;b&gt;x" in shown
    assert (await browser.post("/api/v1/ssf/out/nothing/status", json={"status": "paused"})).status_code == 404
    assert await _health(house) == ("warn", "okta is paused (<b>x)")
    await streams.set_status(stream["id"], "enabled", "", house.admin)
    assert await _health(house) == ("ok", "1 streams, none lags")
    house.trust.clock.advance(timedelta(minutes=16))
    assert await _health(house) == ("warn", "okta lags: 2 wait")
    told = [sentence(kind, "it", data) for kind, data in await house.trust.events() if kind.startswith("ssf.")]
    assert "Receiver of shared signals okta: created" in told
    assert "Set the authorization header of the receiver okta" in told
    assert "The stream to okta went from enabled to paused" in told


async def test_who_may_only_look_grants_nothing(house: House) -> None:
    await house.apply(RECEIVER)
    browser = await house.logged_in(Role.AUDITOR)
    assert [one["name"] for one in (await browser.get("/api/v1/ssf/receivers")).json()] == ["vpn"]
    assert (await browser.post("/api/v1/apply", content=RECEIVER)).status_code == 403
    for path in ("receivers/vpn/secret", "receivers/vpn/remove"):
        assert (await browser.post(f"/api/v1/ssf/{path}")).status_code == 403
    assert (await browser.post("/api/v1/ssf/out/x/status", json={"status": "paused"})).status_code == 403


async def test_a_grant_can_be_proposed_and_its_preview_says_who_would_hear_what(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    answer = await browser.post("/api/v1/apply?propose=true", content=RECEIVER)
    assert answer.status_code == 202, answer.text
    proposal = (await browser.get(answer.json()["url"])).text
    assert "ssf.grant" in proposal
    assert "caep.session-revoked" in proposal
    assert "in staff" in proposal
    assert (await browser.get("/api/v1/ssf/receivers")).json() == []
