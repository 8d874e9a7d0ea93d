"""A stream's life with its transmitter over HTTP: SSF 1.0, 7 and 8.1, from the receiver's side.

The names follow the conditions that OpenID's conformance suite has for receivers; the words are the specification's.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.integration.connect.ssf.conftest import ACTOR, Room
from tests.support.ssf import CAEP, RISC
from tests.support.vendors.ssf_transmitter import POLL, PUSH, Fault
from troth.connect.ssf.errors import StreamState, StreamUnknown, TransmitterFailed
from troth.connect.ssf.events import REQUESTED
from troth.connect.ssf.model import well_known
from troth.kit.http import EgressRefused, HttpFailed


async def test_happy_path_create_read_update_replace_delete(room: Room) -> None:
    stream = await room.connected()
    assert stream.status == "enabled"
    assert stream.configuration is not None
    assert stream.configuration.method == POLL
    assert stream.configuration.endpoint_url.startswith(room.fake.origin)
    assert set(stream.configuration.events_delivered) == set(room.fake.supported)
    assert (await room.manager.refresh("idp")).configuration == stream.configuration
    await room.define(description="another word", events=["caep.session-revoked"])
    stream = await room.manager.connect("idp", actor=ACTOR)
    assert room.fake.streams[room.remote_id].configuration["description"] == "another word"
    assert stream.configuration is not None
    assert stream.configuration.events_delivered == (CAEP + "session-revoked",)
    await room.manager.replace("idp", actor=ACTOR)
    await room.manager.delete("idp", actor=ACTOR)
    assert room.fake.streams == {}
    methods = [one[0] for one in room.fake.requests if one[1].startswith("/stream")]
    assert methods == ["POST", "GET", "GET", "PATCH", "PUT", "DELETE"]
    assert room.fake.breaches == []
    with pytest.raises(StreamUnknown):
        await room.stream()
    assert await room.events() == [
        "ssf.stream_applied", "ssf.secret_set", "ssf.stream_connected", "ssf.stream_applied", "ssf.secret_set",
        "ssf.stream_connected", "ssf.stream_replaced", "ssf.stream_deleted",
    ]  # fmt: skip


async def test_a_pushed_stream_gets_an_address_and_a_header_of_its_own(room: Room) -> None:
    stream = await room.connected(delivery="push")
    delivery = room.fake.streams[room.remote_id].configuration["delivery"]
    assert delivery["method"] == PUSH
    assert delivery["endpoint_url"] == "https://troth.example.com/ssf/receive/idp"
    assert len(delivery["authorization_header"]) > 40
    assert delivery["authorization_header"] not in repr(stream)
    row = await room.trust.database.fetchrow("SELECT * FROM ssf_stream")
    assert delivery["authorization_header"] not in str(dict(row or {}))
    assert room.fake.secret not in str(dict(row or {}))


async def test_what_is_asked_for_is_what_is_understood_and_never_empty(room: Room) -> None:
    await room.connected()
    sent = next(one[3] for one in room.fake.requests if one[:2] == ("POST", "/stream"))
    assert sent["events_requested"] == list(REQUESTED)
    assert RISC + "sessions-revoked" in REQUESTED


async def test_metadata_are_found_between_host_and_path(room: Room) -> None:
    assert well_known("https://tr.example.com") == "https://tr.example.com/.well-known/ssf-configuration"
    assert well_known("https://tr.example.com/") == "https://tr.example.com/.well-known/ssf-configuration"
    assert (
        well_known("https://tr.example.com/issuer1") == "https://tr.example.com/.well-known/ssf-configuration/issuer1"
    )
    room.fake.path = "/tenant-7"
    stream = await room.connected()
    assert stream.metadata is not None
    assert stream.metadata.issuer.endswith("/tenant-7")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"issuer": "https://evil.example"}, "metadata are those of"), ({"jwks_uri": None}, "jwks_uri"),
        ({"configuration_endpoint": None}, "configuration_endpoint"),
        ({"delivery_methods_supported": [PUSH]}, "does not offer"), ({"issuer": 7}, "issuer is no text"),
        ({"delivery_methods_supported": "poll"}, "no list"),
    ],
)  # fmt: skip
async def test_metadata_that_do_not_validate_are_not_used(room: Room, change: dict[str, object], told: str) -> None:
    room.fake.metadata_changes = change
    await room.define()
    with pytest.raises(TransmitterFailed, match=told):
        await room.manager.connect("idp", actor=ACTOR)
    stream = await room.stream()
    assert (stream.status, stream.metadata) == ("planned", None)
    assert told in stream.error


async def test_the_streams_issuer_and_audience_must_be_the_expected_ones(room: Room) -> None:
    await room.define(audience=["https://somebody.example"])
    with pytest.raises(TransmitterFailed, match="the stream is for"):
        await room.manager.connect("idp", actor=ACTOR)
    delivery = b'{"method":"urn:ietf:rfc:8936","endpoint_url":"http://x/"}'
    answer = b'{"stream_id":"x","iss":"https://evil.example","aud":"a","delivery":' + delivery + b"}"
    room.fake.fail("/stream", Fault(201, answer))
    with pytest.raises(TransmitterFailed, match="iss is"):
        await room.manager.connect("idp", actor=ACTOR)


@pytest.mark.parametrize(
    ("place", "fault", "code"),
    [
        ("/token", Fault(401, b'{"error":"invalid_client"}'), "ssf.transmitter.credential"),
        ("/token", Fault(400, b'{"error":"invalid_scope"}'), "ssf.transmitter.scope"),
        ("/stream", Fault(403, b"{}"), "ssf.transmitter.scope"),
        ("/stream", Fault(429, b"{}"), "ssf.transmitter.busy"),
        ("/stream", Fault(400, b'{"error":"no"}'), "ssf.transmitter.refused"),
        ("/stream", Fault(500, b"oops"), "ssf.transmitter.refused"),
        ("/stream", Fault(201, b"<html>"), "ssf.transmitter.answer"),
        ("/stream", Fault(201, b"[]"), "ssf.transmitter.answer"),
        ("/stream", Fault(201, b'{"stream_id":"x"}'), "ssf.transmitter.answer"),
        ("/status", Fault(200, b'{"status":"sleeping"}'), "ssf.transmitter.answer"),
    ],
)
async def test_each_failure_has_its_name_and_is_kept_with_the_stream(
    room: Room, place: str, fault: Fault, code: str
) -> None:
    await room.define()
    room.fake.fail(place, fault)
    with pytest.raises(TransmitterFailed) as caught:
        await room.manager.connect("idp", actor=ACTOR)
    assert caught.value.code == code
    stream = await room.stream()
    assert stream.error.startswith(code)
    room.fake.streams.clear()
    assert (await room.manager.connect("idp", actor=ACTOR)).error == ""


async def test_an_answer_that_is_cut_off_and_one_that_never_comes(room: Room) -> None:
    await room.define()
    for fault in (Fault(cut=True), Fault(delay=3.0)):
        room.fake.fail("/stream", fault)
        with pytest.raises(HttpFailed):
            await room.manager.connect("idp", actor=ACTOR)


async def test_nothing_is_fetched_where_the_settings_do_not_let_it(room: Room) -> None:
    await room.define(issuer="https://192.0.2.7", token_url="https://192.0.2.7/token")
    with pytest.raises(EgressRefused):
        await room.manager.connect("idp", actor=ACTOR)


async def test_an_access_token_is_used_until_its_end_and_fetched_anew_when_it_is_refused(room: Room) -> None:
    await room.connected()
    assert room.fake.count("POST", "/token") == 1
    await room.manager.refresh("idp")
    assert room.fake.count("POST", "/token") == 1
    room.fake.tokens.clear()
    await room.manager.refresh("idp")
    assert room.fake.count("POST", "/token") == 2
    room.advance(seconds=3_600)
    await room.manager.refresh("idp")
    assert room.fake.count("POST", "/token") == 3
    await room.desk.set_secret("idp", "wrong", actor=ACTOR)
    with pytest.raises(TransmitterFailed, match="invalid_client"):
        await room.manager.refresh("idp")


async def test_a_token_that_a_person_gave_is_sent_as_it_is(room: Room) -> None:
    room.fake.tokens.add("given")
    await room.define(auth="token")
    await room.desk.set_secret("idp", "given", actor=ACTOR)
    assert (await room.manager.connect("idp", actor=ACTOR)).status == "enabled"
    assert room.fake.count("POST", "/token") == 0


async def test_where_one_stream_is_allowed_the_one_that_is_there_is_taken_up(room: Room) -> None:
    await room.connected()
    room.fake.one_stream = True
    await room.trust.database.fetchval("UPDATE ssf_stream SET configuration = NULL, remote_id = NULL")
    before = room.remote_id
    stream = await room.manager.connect("idp", actor=ACTOR)
    assert room.remote_id == before
    assert stream.configuration is not None
    assert stream.configuration.stream_id == before
    await room.trust.database.fetchval("UPDATE ssf_stream SET configuration = NULL")
    await room.define(delivery="push")
    with pytest.raises(TransmitterFailed, match="another delivery method"):
        await room.manager.connect("idp", actor=ACTOR)


async def test_a_stream_that_is_gone_over_there_is_made_anew(room: Room) -> None:
    await room.connected()
    room.fake.streams.clear()
    stream = await room.manager.connect("idp", actor=ACTOR)
    assert stream.configuration is not None
    assert stream.configuration.stream_id == room.remote_id


async def test_a_change_that_is_accepted_and_not_made_yet_is_told_as_such(room: Room) -> None:
    await room.connected()
    room.fake.accept_later = True
    with pytest.raises(TransmitterFailed, match="not made it yet"):
        await room.manager.connect("idp", actor=ACTOR)


async def test_stream_status_update_from_our_side(room: Room) -> None:
    await room.connected()
    for status in ("paused", "disabled", "enabled"):
        stream = await room.manager.set_status("idp", status, actor=ACTOR, reason="maintenance")
        assert (stream.status, stream.status_reason) == (status, "maintenance")
        assert room.fake.streams[room.remote_id].status == status


async def test_subjects_are_added_and_removed(room: Room) -> None:
    await room.connected()
    subject = {"format": "email", "email": "example.user@example.com"}
    await room.manager.subject("idp", subject, add=True, actor=ACTOR)
    assert room.fake.streams[room.remote_id].subjects == [subject]
    await room.manager.subject("idp", subject, add=False, actor=ACTOR)
    assert room.fake.streams[room.remote_id].subjects == []
    sent = [one[3] for one in room.fake.requests if one[1].startswith("/subjects:")]
    assert sent[0] == {"stream_id": room.remote_id, "subject": subject, "verified": True}


async def test_verification_is_asked_for_heard_and_never_depended_on_at_once(room: Room) -> None:
    await room.connected()
    state = await room.manager.verify("idp", actor=ACTOR)
    stream = await room.stream()
    assert [one.state for one in stream.verifications] == [state]
    assert stream.verified_at is None
    assert await room.poll() == 1
    stream = await room.stream()
    assert stream.verified_at == room.trust.clock.now() == stream.heard_at
    assert stream.verifications == ()


async def test_verifications_are_the_heartbeat_and_keep_to_the_transmitters_pace(room: Room) -> None:
    await room.connected(verify_seconds=60)
    assert await room.manager.run_due() == 1
    assert await room.manager.run_due() == 0
    room.advance(seconds=61)
    assert await room.manager.run_due() == 1
    assert room.fake.count("POST", "/verify") == 2
    # The transmitter wants longer pauses than we do.
    remote = room.fake.streams[room.remote_id]
    remote.configuration["min_verification_interval"] = 600
    await room.manager.refresh("idp")
    room.advance(seconds=61)
    assert await room.manager.run_due() == 0
    room.advance(seconds=600)
    room.fake.fail("/verify", Fault(429))
    assert await room.manager.run_due() == 0
    assert (await room.stream()).error.startswith("ssf.transmitter.busy")


async def test_a_stream_that_is_silent_for_two_beats_is_late_and_changes_nothing(room: Room) -> None:
    alice = await room.user()
    stream = await room.connected(verify_seconds=60)
    assert not stream.late(room.trust.clock.now())
    room.advance(seconds=121)
    assert (await room.stream()).late(room.trust.clock.now())
    assert (await room.trust.standing(alice)).value == "trusted"


async def test_what_is_planned_is_connected_by_itself_once_it_has_its_secret(room: Room) -> None:
    from troth.connect.ssf.definitions import parse_streams

    definition = {"name": "idp", "feed": "idp", "issuer": room.fake.issuer, "client_id": "troth",
                  "token_url": f"{room.fake.origin}/token"}  # fmt: skip
    await room.desk.apply(parse_streams({"ssf_streams": [definition]}), actor=ACTOR)
    room.advance(seconds=16)
    assert await room.manager.run_due() == 0
    await room.desk.set_secret("idp", room.fake.secret, actor=ACTOR)
    room.fake.fail("/stream", Fault(500))
    assert await room.manager.run_due() == 0
    assert await room.manager.run_due() == 0  # not at once again
    room.advance(seconds=61)
    assert await room.manager.run_due() == 1
    assert (await room.stream()).status == "enabled"


async def test_two_that_connect_at_once_make_one_stream(room: Room) -> None:
    await room.define()
    both = (room.manager.connect("idp", actor=ACTOR), room.manager.connect("idp", actor=ACTOR))
    results = await asyncio.gather(*both, return_exceptions=True)
    assert not all(isinstance(one, BaseException) for one in results), results
    assert all(isinstance(one, StreamState) for one in results if isinstance(one, BaseException)), results
    assert len(room.fake.streams) == 1


async def test_one_that_was_overtaken_before_it_connected_makes_no_second_stream(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looked before the other had made the stream, and has its turn after it."""
    from troth.store.lease import Held, Lease

    await room.define()
    acquire, overtaken = Lease.acquire, False

    async def late(lease: Lease) -> Held | None:
        nonlocal overtaken
        if not overtaken:
            overtaken = True
            await room.manager.connect("idp", actor=ACTOR)
        return await acquire(lease)

    monkeypatch.setattr(Lease, "acquire", late)
    await room.manager.connect("idp", actor=ACTOR)
    assert len(room.fake.streams) == 1


async def test_what_needs_the_transmitter_waits_until_it_knows_us(room: Room) -> None:
    await room.define()
    for act in (room.manager.verify("idp"), room.manager.refresh("idp"), room.manager.replace("idp", actor=ACTOR),
                room.manager.set_status("idp", "paused", actor=ACTOR)):  # fmt: skip
        with pytest.raises(StreamState):
            await act


async def test_definitions_are_applied_all_or_none_and_compared(room: Room) -> None:
    from troth.connect.ssf.definitions import parse_streams
    from troth.trust.signals.errors import FeedUnknown

    one = {"name": "a", "feed": "idp", "issuer": "https://a.example", "auth": "none"}
    applied = await room.desk.apply(parse_streams({"ssf_streams": [one]}), actor=ACTOR)
    assert [result.change.value for result in applied] == ["created"]
    found = await room.desk.preview(parse_streams({"ssf_streams": [one, one | {"name": "b"}]}))
    assert [result.change.value for result in found] == ["unchanged", "created"]
    with pytest.raises(FeedUnknown):
        await room.desk.apply(
            parse_streams({"ssf_streams": [one | {"name": "b"}, one | {"name": "c", "feed": "nobody"}]}), actor=ACTOR
        )
    assert [stream.name for stream in await room.desk.streams()] == ["a"]


async def test_a_deleted_stream_that_its_transmitter_has_lost_goes_here_too(room: Room) -> None:
    await room.connected()
    room.fake.streams.clear()
    await room.manager.delete("idp", actor=ACTOR)
    await room.connected()
    room.fake.fail("/stream", Fault(500))
    with pytest.raises(TransmitterFailed):
        await room.manager.delete("idp", actor=ACTOR)
    await room.manager.delete("idp", actor=ACTOR, only_here=True)
    assert await room.desk.streams() == []


async def test_old_tokens_are_forgotten(room: Room) -> None:
    await room.connected()
    await room.manager.verify("idp")
    await room.poll()
    await room.desk.forget(timedelta(days=30))
    assert len(await room.heard()) == 1
    room.advance(days=31)
    await room.desk.forget(timedelta(days=30))
    assert await room.heard() == []
