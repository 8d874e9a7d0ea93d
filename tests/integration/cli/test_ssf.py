"""``troth ssf`` against the real application and a transmitter on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from tests.integration.cli.test_nouns import Run
from tests.integration.cli.test_nouns import run as run
from tests.integration.cli.test_nouns import served as served
from tests.integration.web.test_shared_signals import FEEDS, _key, _waiting
from tests.support.dashboard import House
from tests.support.vendors.ssf_transmitter import FakeTransmitter, Fault
from tests.support.vendors.ssf_transmitter import transmitter as transmitter
from troth.cli.main import FAILED, NOT_FOUND


@pytest.fixture
async def fake(house: House, transmitter: FakeTransmitter) -> FakeTransmitter:
    transmitter.now = house.trust.clock.now
    await house.apply(FEEDS)
    return transmitter


async def test_a_stream_is_made_verified_paused_and_ended(
    run: Run, house: House, fake: FakeTransmitter, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(fake.secret + "\n")
    made = await run(
        "ssf", "stream", "create", "okta", "--issuer", fake.issuer, "--feed", "idp", "--client-id", "troth",
        "--token-url", f"{fake.origin}/token", "--secret-file", str(secret), "--event", "caep.session-revoked",
    )  # fmt: skip
    assert made.code == 0, made.err
    assert "enabled" in made.out
    assert "caep.session-revoked" in made.out
    assert fake.secret not in made.out
    assert "okta" in (await run("ssf", "stream", "list")).out
    # Nobody polls here, so the event does not come: that is told, and nothing is pretended.
    late = await run("ssf", "stream", "verify", "okta", "--timeout", "0")
    assert (late.code, "no verification event came" in late.err) == (FAILED, True)
    for verb, state in (("pause", "paused"), ("resume", "enabled"), ("disable", "disabled")):
        done = await run("ssf", "stream", verb, "okta", "--reason", "tests")
        assert (done.code, state in done.out) == (0, True), done.err
    about = '{"format": "email", "email": "alice@example.com"}'
    assert (await run("ssf", "stream", "subject", "okta", about)).code == 0
    assert (await run("ssf", "stream", "subject", "okta", about, "--remove")).code == 0
    assert (await run("ssf", "stream", "subject", "okta", "{")).code == FAILED
    assert (await run("ssf", "stream", "connect", "okta", "--replace")).code == 0
    fake.fail("/stream", Fault(403))
    refused = await run("ssf", "stream", "connect", "okta")
    assert (refused.code, "ssf.transmitter.scope" in refused.err) == (FAILED, True)
    assert (await run("ssf", "stream", "tokens", "okta")).out.strip() == "Nothing has come."
    assert (await run("ssf", "stream", "delete", "okta")).code == 0
    assert fake.streams == {}
    assert (await run("ssf", "stream", "show", "okta")).code == NOT_FOUND


async def test_a_verification_that_comes_is_waited_for(
    run: Run, house: House, fake: FakeTransmitter, tmp_path: Path
) -> None:
    from troth.client.jose import VerifyingKey
    from troth.connect.ssf.poller import Poller
    from troth.connect.ssf.receiver import Receiver
    from troth.kit.ids import new_id
    from troth.trust.intake.inbox import Inbox

    class Keys:
        async def find(self, uri: str, key_id: str | None) -> VerifyingKey:
            return fake.keys["k1"].public

    token = tmp_path / "token"
    token.write_text("given")
    fake.tokens.add("given")
    made = await run(
        "ssf", "stream", "create", "idp", "--issuer", fake.issuer, "--secret-file", str(token), "-o", "json"
    )
    assert json.loads(made.out)["state"] == "enabled", made.err
    database, clock = house.trust.database, house.trust.clock
    receiver = Receiver(database, clock, Inbox(database, clock), Keys())
    stop = asyncio.Event()
    poller = Poller(database, clock, new_id(), house.services.streams._manager, receiver)
    polling = asyncio.create_task(poller.run(stop))
    try:
        verified = await run("ssf", "stream", "verify", "idp", "--timeout", "20")
        assert (verified.code, "Verified" in verified.out) == (0, True), verified.err
    finally:
        stop.set()
        with contextlib.suppress(asyncio.CancelledError):
            await polling
    assert "ssf.verification" in (await run("ssf", "stream", "tokens", "idp")).out


async def test_what_is_about_everybody_is_shown_before_it_is_acted_on(
    run: Run, house: House, fake: FakeTransmitter
) -> None:
    await house.apply("users: [{name: alice}, {name: bob}]")
    event = await _waiting(house)
    assert event in (await run("ssf", "wide", "list")).out
    looked = await run("ssf", "wide", "act", event)
    assert "2 subjects" in looked.out
    assert "Nothing was done" in looked.out
    assert "2 subjects" in (await run("ssf", "wide", "act", event, "--yes")).out
    assert (await run("ssf", "wide", "dismiss", event)).code == FAILED


async def test_a_receiver_is_added_listed_given_a_new_secret_and_removed(
    run: Run, house: House, tmp_path: Path
) -> None:
    added = await run(
        "ssf", "receiver", "add", "vpn", "--audience", "https://vpn.test", "--event", "caep.session-revoked",
        "--group", "staff", "--push-host", "vpn.test",
    )  # fmt: skip
    assert added.code == 0, added.err
    assert "client id       vpn" in added.out
    assert "https://troth.test/ssf/token" in added.out
    listed = await run("ssf", "receiver", "list")
    assert "caep.session-revoked" in listed.out
    assert "none yet" in listed.out
    again = await run("ssf", "receiver", "secret", "vpn", "--output", "json")
    assert json.loads(again.out)["client_id"] == "vpn"
    okta = await run(
        "ssf", "receiver", "add", "okta", "--audience", "okta", "--dialect", "okta", "--push-url", "https://okta.test/x"
    )
    assert (okta.code, "troth ssf receiver header okta" in okta.out) == (0, True), okta.err
    secret = tmp_path / "header"
    secret.write_text("SSWS abc\n")
    assert (await run("ssf", "receiver", "header", "okta", "--file", str(secret))).out.strip() == "Kept, sealed."
    assert (await run("ssf", "receiver", "header", "okta", "--file", str(tmp_path / "none"))).code == FAILED
    await _key(house)
    for verb, state in (("pause", "paused"), ("resume", "enabled")):
        done = await run("ssf", "receiver", verb, "static-okta", "--reason", "tests")
        assert (done.code, state in done.out) == (0, True), done.err
    assert (await run("ssf", "receiver", "remove", "okta")).code == 0
    assert (await run("ssf", "receiver", "remove", "okta")).code == NOT_FOUND
    wrong = await run("ssf", "receiver", "add", "vpn", "--audience", "x", "--event", "caep.nothing")
    assert (wrong.code, "ssf.receiver.invalid" in wrong.err) == (FAILED, True)
