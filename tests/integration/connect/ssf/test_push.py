"""Push delivery (RFC 8935) and what a token brings about, on a real database: 202 only for what is durable."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.connect.ssf.conftest import Room
from tests.support.ssf import CAEP, RISC, SSF, rsa_signer
from tests.support.vendors.ssf_transmitter import Fault
from troth.client.jose import SigningKey
from troth.kit.lane import Response
from troth.trust.standing import Standing

REVOKED = {CAEP + "session-revoked": {"reason_admin": {"en": "Landspeed Policy Violation: C076E82F"}}}
EMAIL = {"format": "email", "email": "alice@example.com"}


@pytest.fixture
async def pushed(room: Room) -> Room:
    await room.connected(delivery="push")
    return room


def err(response: Response) -> tuple[int, str]:
    said = json.loads(response.body)
    assert said["description"]
    headers = dict(response.headers)
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-language"] == b"en"
    return response.status, said["err"]


async def test_a_token_is_answered_202_with_nothing_once_it_is_durable_and_acted_on_soon_after(pushed: Room) -> None:
    alice = await pushed.user()
    response = await pushed.push(pushed.fake.sign({RISC + "account-disabled": {"reason": "hijacking"}}))
    assert (response.status, response.body) == (202, b"")
    assert await pushed.heard() == [("signals", "account-disabled")]
    await pushed.act()
    assert await pushed.trust.standing(alice) is Standing.QUARANTINED
    assert (await pushed.stream()).heard_at == pushed.trust.clock.now()


async def test_whoever_does_not_carry_the_header_learns_nothing(pushed: Room) -> None:
    text = pushed.fake.sign(REVOKED)
    answers = [
        await pushed.push(text, authorization=None),
        await pushed.push(text, authorization="Bearer wrong"),
        await pushed.push(text, name="nobody", authorization=None),
        await pushed.push(text, name="NOT-A-NAME", authorization=None),
        await pushed.push("rubbish", authorization="Bearer wrong"),
    ]
    assert {(one.status, one.body) for one in answers} == {(401, answers[0].body)}
    assert err(answers[0]) == (401, "authentication_failed")
    assert await pushed.heard() == []
    # A stream that is polled has no door.
    await pushed.define(delivery="poll")
    assert (await pushed.push(text)).status == 401


async def test_the_former_header_is_good_while_a_new_one_is_told(pushed: Room) -> None:
    remote = pushed.fake.streams[pushed.remote_id]
    former = remote.configuration["delivery"]["authorization_header"]
    await pushed.manager.connect("idp", actor="admin:alice")
    assert remote.configuration["delivery"]["authorization_header"] != former
    assert (await pushed.push(pushed.fake.sign(REVOKED), authorization=former)).status == 202
    assert (await pushed.push(pushed.fake.sign(REVOKED))).status == 202
    await pushed.manager.connect("idp", actor="admin:alice")
    assert (await pushed.push(pushed.fake.sign(REVOKED), authorization=former)).status == 401


async def test_each_refusal_has_the_code_of_the_specification(pushed: Room) -> None:
    fake = pushed.fake
    assert err(await pushed.push("no token")) == (400, "invalid_request")
    assert err(await pushed.push(b"\xff\xfe")) == (400, "invalid_request")
    assert err(await pushed.push(fake.sign(REVOKED), content_type="application/jwt")) == (400, "invalid_request")
    assert err(await pushed.push(fake.sign(REVOKED, iss="https://evil.example"))) == (400, "invalid_issuer")
    assert err(await pushed.push(fake.sign(REVOKED, aud="https://else.example"))) == (400, "invalid_audience")
    assert err(await pushed.push(fake.sign(REVOKED, exp=1))) == (400, "invalid_request")
    assert err(await pushed.push(fake.sign(REVOKED, sub_id=None))) == (400, "invalid_request")
    assert err(await pushed.push(fake.sign({CAEP + "credential-change": {}}))) == (400, "invalid_request")
    head, body, _ = fake.sign(REVOKED).split(".")
    assert err(await pushed.push(f"{head}.{body}.AAAA")) == (400, "authentication_failed")
    fake.keys["k2"] = SigningKey.generate("ES256")
    assert err(await pushed.push(fake.sign(REVOKED, kid="k2"))) == (400, "invalid_key")
    assert await pushed.heard() == []
    assert "ssf.set.key" in (await pushed.stream()).error
    assert (await pushed.push("A" * 70_000)).status == 413


async def test_a_new_key_is_found_after_a_pause_and_a_weak_one_is_none(pushed: Room) -> None:
    fake = pushed.fake
    assert (await pushed.push(fake.sign(REVOKED))).status == 202
    fake.keys["k2"] = SigningKey.generate("ES256")
    asked = fake.count("GET", "/jwks")
    for _ in range(3):
        assert (await pushed.push(fake.sign(REVOKED, kid="k2"))).status == 400
    assert fake.count("GET", "/jwks") == asked
    pushed.advance(seconds=61)
    assert (await pushed.push(fake.sign(REVOKED, kid="k2"))).status == 202
    from cryptography.hazmat.primitives.asymmetric import rsa

    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 -- that is the point
    fake.keys["weak"] = SigningKey.wrap(weak)
    pushed.advance(seconds=61)
    assert err(await pushed.push(fake.sign(REVOKED, kid="weak"))) == (400, "invalid_key")


async def test_while_the_keys_cannot_be_had_a_token_shall_come_again(pushed: Room) -> None:
    pushed.fake.fail("/jwks", Fault(500))
    response = await pushed.push(pushed.fake.sign(REVOKED))
    assert (response.status, dict(response.headers)[b"retry-after"]) == (503, b"30")
    pushed.advance(seconds=61)
    assert (await pushed.push(pushed.fake.sign(REVOKED))).status == 202


async def test_a_repetition_is_taken_once_and_another_token_under_its_jti_never(pushed: Room) -> None:
    await pushed.user()
    text = pushed.fake.sign(REVOKED, jti="j-1")
    for _ in range(3):
        assert (await pushed.push(text)).status == 202
        await pushed.act()
    assert len(await pushed.signals()) == 1
    other = pushed.fake.sign({RISC + "account-disabled": {}}, jti="j-1")
    assert err(await pushed.push(other)) == (400, "invalid_request")
    # Taken from a database that forgot the token, it is still known by its signal.
    await pushed.trust.database.fetchval("DELETE FROM ssf_event")
    assert (await pushed.push(text)).status == 202
    await pushed.act()
    assert len(await pushed.signals()) == 1


async def test_a_token_too_old_to_be_told_from_a_repetition_is_refused(pushed: Room) -> None:
    text = pushed.fake.sign(REVOKED, at=pushed.trust.clock.now() - timedelta(days=31))
    assert err(await pushed.push(text)) == (400, "invalid_request")
    ahead = pushed.fake.sign(REVOKED, at=pushed.trust.clock.now() + timedelta(minutes=6))
    assert err(await pushed.push(ahead)) == (400, "invalid_request")


async def test_unsolicited_verification_has_no_state_and_says_that_the_stream_lives(pushed: Room) -> None:
    itself = {"format": "opaque", "id": pushed.remote_id}
    event: dict[str, Any] = {SSF + "verification": {}}
    assert (await pushed.push(pushed.fake.sign(event, sub_id=itself))).status == 202
    stream = await pushed.stream()
    assert (stream.heard_at, stream.verified_at) == (pushed.trust.clock.now(), None)
    state = {SSF + "verification": {"state": "nobody asked for this"}}
    assert err(await pushed.push(pushed.fake.sign(state, sub_id=itself))) == (400, "invalid_state")
    for other in ({"format": "opaque", "id": "another"}, EMAIL):
        assert err(await pushed.push(pushed.fake.sign(event, sub_id=other))) == (400, "invalid_request")


async def test_a_verification_may_overtake_another(pushed: Room) -> None:
    states = [await pushed.manager.verify("idp") for _ in range(3)]
    itself = {"format": "opaque", "id": pushed.remote_id}
    for state, status in ((states[1], 202), (states[0], 400), (states[2], 202), (states[2], 400)):
        token = pushed.fake.sign({SSF + "verification": {"state": state}}, sub_id=itself)
        assert (await pushed.push(token)).status == status


@pytest.mark.parametrize("status", ["paused", "disabled"])
async def test_a_stream_that_its_transmitter_stops_is_known_alarmed_about_and_changes_nobody(
    pushed: Room, status: str
) -> None:
    alice = await pushed.user()
    itself = {"format": "opaque", "id": pushed.remote_id}
    event = {SSF + "stream-updated": {"status": status, "reason": "Internal error"}}
    assert (await pushed.push(pushed.fake.sign(event, sub_id=itself))).status == 202
    stream = await pushed.stream()
    assert (stream.status, stream.status_reason) == (status, "Internal error")
    assert "ssf.stream_status" in await pushed.events()
    assert await pushed.trust.standing(alice) is Standing.TRUSTED
    again = {SSF + "stream-updated": {"status": "enabled"}}
    await pushed.push(pushed.fake.sign(again, sub_id=itself))
    assert (await pushed.stream()).status == "enabled"


async def test_account_enabled_clears_what_this_feed_raised_and_nothing_else(pushed: Room) -> None:
    alice = await pushed.user()
    await pushed.trust.feed("edr")
    await pushed.trust.take("generic.raised", alice, feed="edr")
    await pushed.push(pushed.fake.sign({RISC + "account-disabled": {}}))
    await pushed.act()
    assert await pushed.trust.standing(alice) is Standing.QUARANTINED
    pushed.advance(seconds=5)
    await pushed.push(pushed.fake.sign({RISC + "account-enabled": {}}))
    await pushed.act()
    assert await pushed.trust.standing(alice) is Standing.RESTRICTED
    assert [kind for kind, _, _ in await pushed.signals()][-1] == "idp.user_enabled"


async def test_an_event_about_a_device_finds_it_by_what_the_transmitter_calls_it(pushed: Room) -> None:
    laptop = await pushed.device()
    iss = pushed.fake.issuer
    subject = {"format": "complex", "device": {"format": "iss_sub", "iss": iss, "sub": "e9297990"}}
    event = {CAEP + "device-compliance-change": {"current_status": "not-compliant", "previous_status": "compliant"}}
    await pushed.push(pushed.fake.sign(event, sub_id=subject))
    await pushed.act()
    assert (await pushed.signals())[0][1:] == (f"iss_sub {iss}|e9297990", "subject.unknown")
    await pushed.alias(laptop, "iss_sub", f"{iss}|e9297990")
    await pushed.push(pushed.fake.sign(event, sub_id=subject))
    await pushed.act()
    assert "cause.raised" in (await pushed.signals())[1][2]


async def test_identifiers_of_a_transmitter_are_known_by_the_system_that_its_definition_names(room: Room) -> None:
    laptop = await room.device(udid="0A1B2C3D-0000-1111")
    await room.connected(delivery="push", identifiers={"device": "udid"})
    subject = {"format": "complex", "device": {"format": "opaque", "id": "0a1b2c3d-0000-1111"}}
    event = {CAEP + "risk-level-change": {"principal": "DEVICE", "current_level": "HIGH"}}
    await room.push(room.fake.sign(event, sub_id=subject))
    await room.act()
    ((kind, _, effects),) = await room.signals()
    assert (kind, "cause.raised" in effects) == ("edr.suspicious", True)
    assert laptop


async def test_an_event_about_several_of_one_name_is_never_guessed(pushed: Room) -> None:
    first, second = await pushed.user(), await pushed.user(name="alice-2")
    await pushed.push(pushed.fake.sign({RISC + "account-disabled": {}}))
    await pushed.act()
    assert (await pushed.signals())[0][2] == "subject.ambiguous"
    for one in (first, second):
        assert await pushed.trust.standing(one) is Standing.TRUSTED


async def test_a_certificate_of_ours_is_found_by_issuer_and_serial_number(pushed: Room) -> None:
    laptop = await pushed.device()
    certificate = await pushed.trust.row(await pushed.trust.certificate(laptop))
    from cryptography import x509

    assert certificate.der is not None
    parsed = x509.load_der_x509_certificate(certificate.der)
    event = {CAEP + "credential-change": {
        "credential_type": "x509", "change_type": "revoke", "x509_issuer": parsed.issuer.rfc4514_string(),
        "x509_serial": f"{parsed.serial_number:x}",
    }}  # fmt: skip
    await pushed.push(pushed.fake.sign(event))
    await pushed.act()
    ((kind, _, effects),) = await pushed.signals()
    assert (kind, "cause.raised" in effects) == ("idp.credential_change", True)
    # Once it is held here, the same word is our own come back.
    await pushed.trust.take("edr.contained", laptop, feed="idp")
    assert (await pushed.trust.row(certificate.id)).status == "held"
    await pushed.push(pushed.fake.sign(event))
    assert (await pushed.heard())[-1] == ("noted", "credential-change")


async def test_what_is_not_understood_is_taken_counted_and_changes_nothing(pushed: Room) -> None:
    alice = await pushed.user()
    for event in (
        {"https://vendor.example/coffee-is-ready": {}},
        {CAEP + "session-presented": {}},
        {CAEP + "device-compliance-change": {"current_status": "in-grace-period"}},
    ):
        assert (await pushed.push(pushed.fake.sign(event))).status == 202
    await pushed.act()
    assert [outcome for outcome, _ in await pushed.heard()] == ["ignored", "noted", "unknown"]
    assert await pushed.signals() == []
    assert "ssf.unknown_value" in await pushed.events()
    assert await pushed.trust.standing(alice) is Standing.TRUSTED
    from troth.connect.ssf import event_store

    await pushed.push("rubbish")
    assert await event_store.counts(pushed.trust.database) == {
        ("idp", "ignored"): 1, ("idp", "noted"): 1, ("idp", "unknown"): 1, ("idp", "refused"): 1,
    }  # fmt: skip


async def test_an_address_that_changed_hands_is_forgotten_where_this_feed_taught_it(pushed: Room) -> None:
    alice, bob = await pushed.user(address="other@example.com"), await pushed.user("bob@example.com", "bob")
    await pushed.alias(alice, "email", "alice@example.com", source="ssf:idp")
    await pushed.alias(bob, "email", "alice@example.com", source="intune")
    await pushed.push(pushed.fake.sign({RISC + "identifier-recycled": {}}))
    from troth.trust.signals.alias_store import aliases_of

    assert await aliases_of(pushed.trust.database, alice) == []
    assert len(await aliases_of(pushed.trust.database, bob)) == 1
    told = [data for kind, data in await pushed.trust.events() if kind == "ssf.identifier_changed"]
    assert (told[0]["forgotten"], told[0]["kept"]) == (1, 1)


async def test_events_of_another_tenant_and_with_critical_members_unknown_here_are_discarded(pushed: Room) -> None:
    alice = await pushed.user()
    pushed.fake.metadata_changes = {"critical_subject_members": ["tenant", "user"]}
    await pushed.manager.connect("idp", actor="admin:alice")

    def about(tenant: str) -> dict[str, Any]:
        return {"format": "complex", "user": EMAIL, "tenant": {"format": "opaque", "id": tenant}}

    event = {RISC + "account-disabled": {}}
    assert (await pushed.push(pushed.fake.sign(event, sub_id=about("ours")))).status == 202
    await pushed.define(delivery="push", tenants=["ours"])
    assert (await pushed.push(pushed.fake.sign(event, sub_id=about("theirs")))).status == 202
    await pushed.act()
    assert [outcome for outcome, _ in await pushed.heard()] == ["discarded", "discarded"]
    assert (await pushed.events())[-1] == "ssf.discarded"
    assert await pushed.trust.standing(alice) is Standing.TRUSTED
    await pushed.push(pushed.fake.sign(event, sub_id=about("ours")))
    await pushed.act()
    assert await pushed.trust.standing(alice) is Standing.QUARANTINED


async def test_a_stream_that_was_set_up_by_hand_is_believed_by_its_keys_and_audience(room: Room) -> None:
    alice = await room.user()
    await room.define(
        delivery="push", managed=False, authorization=False, dialect="google", audience=["client-1"], auth="none",
        jwks_uri=f"{room.fake.origin}/jwks", metadata_url=f"{room.fake.origin}/.well-known/risc-configuration",
    )  # fmt: skip
    subject = {"subject_type": "email", "email": "alice@example.com"}
    event = {RISC + "account-disabled": {"subject": subject, "reason": "hijacking"}}
    text = room.fake.sign(event, aud="client-1", sub_id=None)
    assert (await room.push(text)).status == 202
    assert err(await room.push(room.fake.sign(event, aud="client-2", sub_id=None))) == (400, "invalid_audience")
    await room.act()
    assert await room.trust.standing(alice) is Standing.QUARANTINED
    before = await room.trust.database.fetchval("SELECT sum(n) FROM ssf_count")
    head, body, _ = text.split(".")
    for nonsense in ("rubbish", f"{head}.{body}.AAAA", room.fake.sign(event, aud="client-1", kid="k1") + "="):
        assert (await room.push(nonsense)).status == 400
    # Strangers, who need no header here, have written nothing.
    assert await room.trust.database.fetchval("SELECT sum(n) FROM ssf_count") == before
    verification = {RISC + "verification": {"state": "x"}}
    assert err(await room.push(room.fake.sign(verification, aud="client-1", sub_id=None))) == (400, "invalid_state")


async def test_okta_words_its_own_events_with_the_subject_inside(room: Room) -> None:
    alice = await room.user()
    await room.connected(delivery="push", dialect="okta")
    await room.alias(alice, "okta.user", "00u1")
    inside = {"user": {"format": "iss_sub", "iss": room.fake.issuer, "sub": "00u1"}}
    event = {"https://schemas.okta.com/secevent/okta/event-type/user-risk-change": {
        "current_level": "high", "previous_level": "low", "subject": inside}}  # fmt: skip
    assert (await room.push(room.fake.sign(event, sub_id=None))).status == 202
    await room.act()
    ((kind, whom, effects),) = await room.signals()
    assert (kind, whom, "cause.raised" in effects) == ("idp.user_at_risk", "okta.user 00u1", True)


async def test_two_streams_of_one_feed_may_use_the_same_jti(pushed: Room) -> None:
    from troth.connect.ssf.definitions import parse_streams

    await pushed.user()
    other = {"name": "second", "feed": "idp", "issuer": pushed.fake.issuer, "delivery": "push", "managed": False,
             "audience": ["x"], "authorization": False, "jwks_uri": f"{pushed.fake.origin}/jwks"}  # fmt: skip
    await pushed.desk.apply(parse_streams({"ssf_streams": [other]}), actor="admin:alice")
    assert (await pushed.push(pushed.fake.sign(REVOKED, jti="j"))).status == 202
    assert (await pushed.push(pushed.fake.sign(REVOKED, jti="j", aud="x"), name="second")).status == 202
    await pushed.act()
    assert len(await pushed.signals()) == 2


def test_keys_of_this_test_are_large_enough() -> None:
    assert rsa_signer().public.signature_size == 256
