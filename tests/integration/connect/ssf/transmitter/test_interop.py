"""Our transmitter and our receiver over real HTTP: made, verified, told, paused, rotated, repeated, ended."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.connect.ssf.transmitter.conftest import ACTOR, Wire
from troth.connect.ssf.errors import SetRefused, TransmitterFailed
from troth.connect.ssf.transmitter import queue_store, store
from troth.connect.ssf.transmitter.keys import AFTER, AHEAD, LIFE

ALICE = {"attributes": {"email": "alice@example.com"}}


async def _deliver(wire: Wire, delivery: str) -> None:
    """Have everything that waits delivered, whichever way."""
    if delivery == "poll":
        while await wire.poller.poll_once(await wire.streams.stream("own"), wait=False):
            pass
    else:
        for stream in await store.streams(wire.trust.database):
            while await wire.pusher.push(stream):
                pass


@pytest.mark.parametrize("delivery", ["poll", "push"])
async def test_a_stream_lives_from_its_making_to_its_end(wire: Wire, delivery: str) -> None:
    alice = await wire.trust.subject("alice", kind="user")
    await wire.grant()
    stream = await wire.connected(delivery=delivery)
    assert stream.configuration is not None
    assert stream.configuration.audience == ("https://vpn.example.com",)
    assert len(stream.configuration.events_delivered) == 4
    await wire.manager.verify("own", actor=ACTOR)
    await _deliver(wire, delivery)
    assert (await wire.streams.stream("own")).verified_at == wire.trust.clock.now()
    with pytest.raises(TransmitterFailed, match="429"):
        await wire.manager.verify("own", actor=ACTOR)

    told = await wire.tell(alice, "trusted", "quarantined", **ALICE)
    assert told.detail == "2 tokens queued for 1 streams"
    await _deliver(wire, delivery)
    assert await wire.heard() == [
        ("stream", "verification"), ("signals", "risk-level-change"), ("signals", "session-revoked"),
    ]  # fmt: skip
    assert await wire.waiting() == []
    assert await queue_store.counts(wire.trust.database) == {(stream.configuration.stream_id, "delivered"): 3}

    await wire.manager.set_status("own", "paused", actor=ACTOR)
    await wire.tell(alice, "quarantined", "trusted", **ALICE)
    await _deliver(wire, delivery)
    assert len(await wire.heard()) == 3
    await wire.manager.set_status("own", "enabled", actor=ACTOR)
    await _deliver(wire, delivery)
    # What was held while it was paused: the risk is low again, and no session was revoked by that.
    assert (await wire.heard())[3:] == [("signals", "risk-level-change")]

    await wire.manager.replace("own", actor=ACTOR)
    await wire.manager.delete("own", actor=ACTOR)
    assert await store.streams(wire.trust.database) == []


async def test_a_repetition_of_the_effect_queues_nothing_twice(wire: Wire) -> None:
    from troth.kit.ids import new_id

    alice, effect = await wire.trust.subject("alice", kind="user"), new_id()
    await wire.grant()
    await wire.connected()
    for _ in range(3):
        await wire.tell(alice, "trusted", "quarantined", id=effect, **ALICE)
    assert len(await wire.waiting()) == 2


async def test_a_token_that_is_sent_again_is_the_same_and_taken_once(wire: Wire) -> None:
    alice = await wire.trust.subject("alice", kind="user")
    await wire.grant()
    stream = await wire.connected()
    await wire.tell(alice, "trusted", "restricted", **ALICE)
    row = await wire.trust.database.fetchrow("SELECT token FROM ssf_out_token")
    assert row is not None
    first = await wire.receiver.take(stream, row["token"])
    again = await wire.receiver.take(stream, row["token"])
    assert (first.again, again.again) == (False, True)


async def test_keys_are_known_before_they_sign_and_after_and_then_are_gone(wire: Wire) -> None:
    alice = await wire.trust.subject("alice", kind="user")
    await wire.keys.ensure()
    await wire.grant()
    await wire.connected()
    (first,) = (await wire.keys.jwks())["keys"]
    assert (first["kty"], first["alg"], first["use"], "d" in first) == ("RSA", "RS256", "sig", False)

    async def told() -> str:
        from troth.connect.ssf.secevent import parse

        await wire.tell(alice, "trusted", "restricted", **ALICE)
        row = await wire.trust.database.fetchrow("SELECT token FROM ssf_out_token ORDER BY id DESC LIMIT 1")
        assert row is not None
        await _deliver(wire, "poll")
        return str(parse(row["token"]).text_of("kid"))

    assert await told() == first["kid"]
    wire.trust.clock.advance(LIFE - AHEAD)
    await wire.keys.ensure()
    both = (await wire.keys.jwks())["keys"]
    assert len(both) == 2
    assert await told() == first["kid"]
    wire.trust.clock.advance(AHEAD)
    assert await told() == both[1]["kid"]
    assert [outcome for outcome, _ in await wire.heard()] == ["signals"] * 3
    wire.trust.clock.advance(AFTER)
    await wire.keys.ensure()
    assert (await wire.keys.jwks())["keys"] == [both[1]]
    row = await wire.trust.database.fetchrow("SELECT private FROM ssf_key")
    assert row is not None
    assert b"RSA" not in row["private"]


async def test_another_audience_is_refused_and_told_back(wire: Wire) -> None:
    alice = await wire.trust.subject("alice", kind="user")
    await wire.grant()
    await wire.connected()
    await wire.grant(audience=["https://somebody.example"])
    await wire.tell(alice, "trusted", "restricted", **ALICE)
    await _deliver(wire, "poll")
    assert await wire.heard() == []
    row = await wire.trust.database.fetchrow("SELECT refused FROM ssf_out_token")
    assert row is not None
    assert row["refused"].startswith("invalid_audience")
    assert "ssf.out_refused" in [kind for kind, _ in await wire.trust.events()]


async def test_a_receiver_that_is_away_is_tried_again_later_and_later_and_then_paused(wire: Wire) -> None:
    from troth.connect.ssf.transmitter import pusher

    alice = await wire.trust.subject("alice", kind="user")
    await wire.grant()
    await wire.connected(delivery="push")
    await wire.trust.database.fetchval("UPDATE ssf_stream SET header_digest = NULL, former_digest = NULL")
    await wire.tell(alice, "trusted", "restricted", **ALICE)

    async def stream() -> store.OutStream:
        (found,) = await store.streams(wire.trust.database)
        return found

    for failures in (1, 2, 3):
        assert await wire.pusher.push(await stream()) == 0
        found = await stream()
        assert (found.failures, found.error) == (failures, "status 401")
        assert await wire.pusher.push(found) == 0  # not before its time
        assert found.retry_at is not None
        wire.trust.clock.advance(found.retry_at - wire.trust.clock.now())
    await wire.trust.database.fetchval("UPDATE ssf_out_stream SET failures = $1", pusher.MOST_FAILURES - 1)
    await wire.pusher.push(await stream())
    assert ((await stream()).status, len(await wire.waiting())) == ("paused", 2)
    assert "ssf.out_paused" in [kind for kind, _ in await wire.trust.events()]


async def test_a_receiver_that_asks_for_nothing_for_two_weeks_is_paused(wire: Wire) -> None:
    await wire.grant()
    await wire.connected()
    wire.trust.clock.advance(timedelta(days=15))
    await wire.pusher.run_due()
    assert await wire.poller.poll_once(await wire.streams.stream("own"), wait=False) == 1
    stream = await wire.streams.stream("own")
    assert (stream.status, "two weeks" in stream.status_reason) == ("paused", True)


async def test_what_is_not_granted_is_not_heard(wire: Wire) -> None:
    alice = await wire.trust.subject("alice", kind="user")
    laptop = await wire.trust.subject("laptop-1", groups=["staff"])
    await wire.grant(events=["caep.session-revoked"], scope={"subjects": ["device"], "groups": ["staff"]})
    await wire.connected()
    await wire.tell(alice, "trusted", "quarantined", **ALICE)
    await wire.tell(laptop, "trusted", "quarantined")
    (claims,) = await wire.waiting()
    assert list(claims["events"]) == ["https://schemas.openid.net/secevent/caep/event-type/session-revoked"]
    assert claims["sub_id"] == {
        "format": "complex", "device": {"format": "iss_sub", "iss": wire.base, "sub": str(laptop)},
    }  # fmt: skip
    (event,) = claims["events"].values()
    assert event["reason_admin"]["en"]
    assert event["initiating_entity"] == "policy"


async def test_a_distrusted_device_has_its_certificates_named_by_issuer_and_serial_number(wire: Wire) -> None:
    laptop = await wire.trust.subject("laptop-1")
    await wire.trust.certificate(laptop)
    await wire.grant()
    await wire.connected()
    await wire.tell(laptop, "trusted", "distrusted")
    change = next(event for claims in await wire.waiting() for uri, event in claims["events"].items()
                  if uri.endswith("credential-change"))  # fmt: skip
    assert (change["credential_type"], change["change_type"]) == ("x509", "revoke")
    await _deliver(wire, "poll")
    # Our own receiver finds the certificate by that.
    assert ("signals", "credential-change") in await wire.heard()


async def test_okta_is_pushed_to_without_a_stream_of_its_making_in_its_own_words(wire: Wire) -> None:
    alice = await wire.trust.subject("alice", kind="user")
    await wire.grant(dialect="okta", subject_format="email", push_url=f"{wire.base}/ssf/receive/okta")
    await wire.tell(alice, "trusted", "restricted", **ALICE)
    (claims,) = await wire.waiting()
    ((uri, event),) = claims["events"].items()
    assert uri == "https://schemas.okta.com/secevent/okta/event-type/user-risk-change"
    assert (event["current_level"], event["previous_level"]) == ("medium", "low")
    assert event["subject"] == {"user": {"format": "email", "email": "alice@example.com"}}


async def test_a_removed_receiver_hears_nothing_and_its_tokens_are_worth_nothing(wire: Wire) -> None:
    await wire.grant()
    await wire.connected()
    await wire.receivers.remove("vpn", actor=ACTOR)
    with pytest.raises(TransmitterFailed):
        await wire.manager.refresh("own")
    assert await store.streams(wire.trust.database) == []
    alice = await wire.trust.subject("alice", kind="user")
    assert (await wire.tell(alice, "trusted", "restricted", **ALICE)).detail == "nobody receives"


async def test_subjects_that_were_taken_out_are_not_told_of(wire: Wire) -> None:
    alice, bob = await wire.trust.subject("alice", kind="user"), await wire.trust.subject("bob", kind="user")
    await wire.grant()
    await wire.connected()
    about = {"format": "email", "email": "alice@example.com"}
    await wire.manager.subject("own", about, add=False, actor=ACTOR)
    await wire.tell(alice, "trusted", "restricted", **ALICE)
    await wire.tell(bob, "trusted", "restricted", attributes={"email": "bob@example.com"})
    assert [claims["sub_id"]["email"] for claims in await wire.waiting()] == ["bob@example.com"]
    await wire.manager.subject("own", about, add=True, actor=ACTOR)
    await wire.tell(alice, "restricted", "trusted", **ALICE)
    assert len(await wire.waiting()) == 2


async def test_a_token_made_by_somebody_else_for_the_same_stream_is_refused(wire: Wire) -> None:
    from tests.support.ssf import token

    await wire.grant()
    stream = await wire.connected()
    claims = {"iss": wire.base, "aud": "https://vpn.example.com", "jti": "x", "iat": 1, "events": {"e": {}}}
    with pytest.raises(SetRefused):
        await wire.receiver.take(stream, token(claims))
