"""The stream API and polling as a receiver meets them: one test for each condition that OpenID's suite names for
transmitters, worded from SSF 1.0, the interoperability profile and RFC 8936."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integration.connect.ssf.transmitter.conftest import ACTOR, Wire
from troth.connect.ssf.model import POLL, PUSH
from troth.connect.ssf.secevent import parse
from troth.connect.ssf.transmitter import store
from troth.connect.ssf.transmitter.definitions import SUPPORTED, may_push_to, parse_receivers
from troth.connect.ssf.transmitter.errors import ReceiverRefused
from troth.connect.ssf.transmitter.polling import read_poll_request

POLLED = {"delivery": {"method": POLL}, "events_requested": list(SUPPORTED)}


@pytest.fixture
async def api(wire: Wire) -> Wire:
    """The receiver ``vpn``, with its access token on every request."""
    await wire.grant()
    wire.http.headers["authorization"] = f"Bearer {await wire.token()}"
    return wire


async def made(api: Wire, **body: Any) -> dict[str, Any]:
    answer = await api.http.post("/ssf/stream", json=POLLED | body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_metadata_have_what_the_profile_wants(wire: Wire) -> None:
    answer = await wire.http.get("/.well-known/ssf-configuration")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    found = answer.json()
    assert (found["spec_version"], found["issuer"]) == ("1_0", wire.base)
    assert set(found["delivery_methods_supported"]) == {PUSH, POLL}
    assert {"spec_urn": "urn:ietf:rfc:6749"} in found["authorization_schemes"]
    for name in ("jwks_uri", "configuration_endpoint", "status_endpoint", "verification_endpoint",
                 "add_subject_endpoint", "remove_subject_endpoint"):  # fmt: skip
        assert found[name].startswith(wire.base)
    assert all(value != [] for value in found.values())


async def test_no_access_without_a_token_with_a_wrong_one_or_one_in_the_query(api: Wire) -> None:
    stream = (await made(api))["stream_id"]
    good = api.http.headers.pop("authorization")
    calls: tuple[tuple[str, str, Any], ...] = (
        ("POST", "/ssf/stream", POLLED), ("GET", "/ssf/stream", None), ("PATCH", "/ssf/stream", {"stream_id": stream}),
        ("PUT", "/ssf/stream", POLLED | {"stream_id": stream}), ("DELETE", f"/ssf/stream?stream_id={stream}", None),
        ("GET", f"/ssf/status?stream_id={stream}", None), ("POST", "/ssf/status", {"stream_id": stream}),
        ("POST", "/ssf/verify", {"stream_id": stream}), ("POST", "/ssf/subjects:add", {"stream_id": stream}),
        ("POST", "/ssf/subjects:remove", {"stream_id": stream}), ("POST", f"/ssf/poll?stream_id={stream}", {}),
    )  # fmt: skip
    token = good.removeprefix("Bearer ")
    for method, path, body in calls:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {token}"},
                        {"authorization": good[:-4] + "AAAA"}):  # fmt: skip
            answer = await api.http.request(method, path, json=body, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="troth"')
        join = "&" if "?" in path else "?"
        assert (await api.http.request(method, f"{path}{join}access_token={token}", json=body)).status_code == 401
    api.http.headers["authorization"] = good
    assert (await api.http.get(f"/ssf/status?stream_id={stream}")).json()["status"] == "enabled"


async def test_a_token_ends_after_an_hour_and_with_the_secret_that_it_was_got_by(api: Wire) -> None:
    assert (await api.http.get("/ssf/stream")).status_code == 200
    api.trust.clock.advance(timedelta(minutes=60))
    assert (await api.http.get("/ssf/stream")).status_code == 401
    api.http.headers["authorization"] = f"Bearer {await api.token()}"
    assert (await api.http.get("/ssf/stream")).status_code == 200
    former, api.secret = api.secret, await api.receivers.new_secret("vpn", actor=ACTOR)
    assert (await api.http.get("/ssf/stream")).status_code == 401
    refused = await api.http.post("/ssf/token", data={"grant_type": "client_credentials"}, auth=("vpn", former))
    assert (refused.status_code, refused.json()) == (401, {"error": "invalid_client"})


async def test_the_token_endpoint_takes_header_and_form_and_nothing_else(api: Wire) -> None:
    good = {"grant_type": "client_credentials", "client_id": "vpn", "client_secret": api.secret}
    answer = await api.http.post("/ssf/token", data=good)
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 3600)
    for bad in (good | {"grant_type": "password"}, good | {"client_secret": "x"}, good | {"client_id": "nobody"}, {}):
        assert (await api.http.post("/ssf/token", data=bad)).status_code == 401
    assert (await api.http.post("/ssf/token", json=good)).status_code == 401
    unscoped = await api.http.post("/ssf/token", data=good | {"scope": "admin"})
    assert (unscoped.status_code, unscoped.json()) == (400, {"error": "invalid_scope"})


async def test_who_may_only_read_changes_nothing(api: Wire) -> None:
    stream = (await made(api))["stream_id"]
    api.http.headers["authorization"] = f"Bearer {await api.token('ssf.read')}"
    assert (await api.http.get(f"/ssf/stream?stream_id={stream}")).status_code == 200
    calls: tuple[tuple[str, str, Any], ...] = (
        ("POST", "/ssf/stream", POLLED), ("DELETE", f"/ssf/stream?stream_id={stream}", None),
        ("POST", "/ssf/verify", {"stream_id": stream}),
        ("POST", f"/ssf/poll?stream_id={stream}", {"ack": ["x"], "returnImmediately": True}),
    )  # fmt: skip
    for method, path, body in calls:
        answer = await api.http.request(method, path, json=body)
        assert answer.status_code == 403
        assert "insufficient_scope" in answer.headers["www-authenticate"]


async def test_create_read_update_replace_delete(api: Wire) -> None:
    stream = await made(api, description="Stream for Receiver A")
    assert stream["iss"] == api.base
    assert stream["aud"] == ["https://vpn.example.com"]
    assert stream["events_delivered"] == list(SUPPORTED)
    assert stream["delivery"]["endpoint_url"].startswith(f"{api.base}/ssf/poll")
    one = await api.http.get(f"/ssf/stream?stream_id={stream['stream_id']}")
    assert (one.json(), one.headers["cache-control"]) == (stream, "no-store")
    assert (await api.http.get("/ssf/stream")).json() == [stream]
    patch = {"stream_id": stream["stream_id"], "events_requested": [SUPPORTED[0], "urn:example:unknown"]}
    changed = (await api.http.patch("/ssf/stream", json=patch)).json()
    assert changed["events_delivered"] == [SUPPORTED[0]]
    assert (changed["description"], changed["delivery"]) == (stream["description"], stream["delivery"])
    put = (await api.http.put("/ssf/stream", json=POLLED | {"stream_id": stream["stream_id"]})).json()
    assert "description" not in put
    gone = await api.http.delete(f"/ssf/stream?stream_id={stream['stream_id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await api.http.get("/ssf/stream")).json() == []


async def test_without_a_delivery_a_stream_is_polled(api: Wire) -> None:
    answer = await api.http.post("/ssf/stream", json={})
    assert (answer.status_code, answer.json()["delivery"]["method"]) == (201, POLL)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b'{"delivery": 7}', b'{"delivery": {"method": "carrier-pigeon"}}',
     b'{"events_requested": "all"}', b'{"events_requested": [7]}', b'{"description": 7}',
     b'{"description": "a\\u0000b"}',
     b'{"delivery": {"method": "urn:ietf:rfc:8935"}}', b"\xff", b"[" * 5000],
)  # fmt: skip
async def test_create_stream_with_broken_input(api: Wire, body: bytes) -> None:
    answer = await api.http.post("/ssf/stream", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 403), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_create_stream_with_duplicate_config(api: Wire) -> None:
    await made(api)
    answer = await api.http.post("/ssf/stream", json=POLLED)
    assert (answer.status_code, answer.json()["code"]) == (409, "ssf.receiver.stream_exists")
    await api.grant(streams=2)
    await made(api)


async def test_an_unknown_stream_and_another_receivers_are_the_same(api: Wire) -> None:
    stream = (await made(api))["stream_id"]
    await api.receivers.apply(parse_receivers({"ssf_receivers": [{"name": "other", "audience": ["a"]}]}), actor=ACTOR)
    secret = await api.receivers.new_secret("other", actor=ACTOR)
    form = {"grant_type": "client_credentials", "client_id": "other", "client_secret": secret}
    token = (await api.http.post("/ssf/token", data=form)).json()["access_token"]
    for name, headers in (("nobody", {}), (stream, {"authorization": f"Bearer {token}"})):
        for method, path, body in (
            ("GET", f"/ssf/stream?stream_id={name}", None), ("DELETE", f"/ssf/stream?stream_id={name}", None),
            ("PATCH", "/ssf/stream", {"stream_id": name}), ("PUT", "/ssf/stream", POLLED | {"stream_id": name}),
            ("GET", f"/ssf/status?stream_id={name}", None), ("POST", "/ssf/verify", {"stream_id": name}),
            ("POST", "/ssf/status", {"stream_id": name, "status": "paused"}),
            ("POST", "/ssf/subjects:add", {"stream_id": name, "subject": {"format": "email", "email": "a@b"}}),
            ("POST", f"/ssf/poll?stream_id={name}", {}),
        ):  # fmt: skip
            answer = await api.http.request(method, path, json=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (404, "ssf.receiver.stream_unknown"), path
    assert (await api.http.get("/ssf/stream", headers={"authorization": f"Bearer {token}"})).json() == []


async def test_what_is_the_transmitters_may_be_repeated_and_not_changed(api: Wire) -> None:
    stream = await made(api)
    assert (await api.http.patch("/ssf/stream", json=stream)).status_code == 200
    for change in ({"iss": "https://evil.example"}, {"aud": ["x"]}, {"events_delivered": []}):
        answer = await api.http.patch("/ssf/stream", json={"stream_id": stream["stream_id"]} | change)
        assert answer.status_code == 400


@pytest.mark.parametrize(
    "url", ["https://evil.example/", "http://169.254.169.254/", "https://127.0.0.1@evil.example/", "ftp://127.0.0.1/",
            "https://127.0.0.1:0/", "https://127.0.0.1.evil.example/", "//127.0.0.1/", "https:///x", "x" * 2000],
)  # fmt: skip
async def test_nothing_is_pushed_to_hosts_that_were_not_granted(api: Wire, url: str) -> None:
    body = POLLED | {"delivery": {"method": PUSH, "endpoint_url": url}}
    answer = await api.http.post("/ssf/stream", json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "ssf.receiver.not_granted")


async def test_the_authorization_header_is_kept_sealed_and_never_told_back(api: Wire) -> None:
    delivery = {"method": PUSH, "endpoint_url": f"{api.base}/x", "authorization_header": "Bearer sesame-sesame"}
    stream = await made(api, delivery=delivery)
    assert "sesame" not in str(stream)
    assert "sesame" not in (await api.http.get("/ssf/stream")).text
    row = await api.trust.database.fetchrow("SELECT * FROM ssf_out_stream")
    assert "sesame" not in str(dict(row or {}))
    for header in ("a\nb", "ü", 7):
        answer = await api.http.patch(
            "/ssf/stream",
            json={"stream_id": stream["stream_id"], "delivery": delivery | {"authorization_header": header}},
        )
        assert answer.status_code == 400


async def test_verification_by_poll_carries_the_state_and_names_the_stream(api: Wire) -> None:
    stream = (await made(api))["stream_id"]
    asked = await api.http.post("/ssf/verify", json={"stream_id": stream, "state": "VGhpcyBpcyBhbiBleGFtcGxl"})
    assert (asked.status_code, asked.content) == (204, b"")
    again = await api.http.post("/ssf/verify", json={"stream_id": stream})
    assert (again.status_code, again.json()["code"]) == (429, "ssf.receiver.too_often")
    answer = await api.http.post(f"/ssf/poll?stream_id={stream}", json={"returnImmediately": True})
    ((jti, text),) = answer.json()["sets"].items()
    token = parse(text)
    assert (token.header["typ"], token.header["alg"]) == ("secevent+jwt", "RS256")
    claims = token.claims
    assert (claims["jti"], claims["iss"], claims["sub_id"]) == (jti, api.base, {"format": "opaque", "id": stream})
    assert "exp" not in claims
    assert "sub" not in claims
    assert claims["iat"] <= api.trust.clock.now().timestamp()
    assert list(claims["events"].values()) == [{"state": "VGhpcyBpcyBhbiBleGFtcGxl"}]
    api.trust.clock.advance(timedelta(seconds=31))
    await api.http.post("/ssf/verify", json={"stream_id": stream})
    answer = await api.http.post(f"/ssf/poll?stream_id={stream}", json={"ack": [jti], "returnImmediately": True})
    ((_, text),) = answer.json()["sets"].items()
    assert list(parse(text).claims["events"].values()) == [{}]


async def test_poll_ack_only_and_what_stays_until_it_is_acknowledged(api: Wire) -> None:
    stream = (await made(api))["stream_id"]
    alice = await api.trust.subject("alice", kind="user")
    for _ in range(2):
        await api.tell(alice, "trusted", "restricted", attributes={"email": "a@example.com"})
    poll = f"/ssf/poll?stream_id={stream}"
    first = (await api.http.post(poll, json={"maxEvents": 1})).json()
    assert (len(first["sets"]), first["moreAvailable"]) == (1, True)
    assert (await api.http.post(poll, json={"maxEvents": 1})).json() == first
    (jti,) = first["sets"]
    only = await api.http.post(poll, json={"maxEvents": 0, "ack": [jti, "never sent"]})
    assert only.json() == {"sets": {}}
    second = (await api.http.post(poll, json={})).json()
    assert (len(second["sets"]), "moreAvailable" in second, jti in second["sets"]) == (1, False, False)
    (other,) = second["sets"]
    error = {other: {"err": "authentication_failed", "description": "no"}}
    await api.http.post(poll, json={"maxEvents": 0, "setErrs": error})
    assert (await api.http.post(poll, json={"returnImmediately": True})).json() == {"sets": {}}
    row = await api.trust.database.fetchrow("SELECT refused FROM ssf_out_token")
    assert row is not None
    assert row["refused"] == "authentication_failed: no"


async def test_a_long_poll_waits_and_brings_what_comes_meanwhile(api: Wire) -> None:
    stream = (await made(api))["stream_id"]
    poll = f"/ssf/poll?stream_id={stream}"
    assert (await api.http.post(poll, json={})).json() == {"sets": {}}
    alice = await api.trust.subject("alice", kind="user")
    polling = asyncio.create_task(api.http.post(poll, json={}))
    await api.tell(alice, "trusted", "restricted", attributes={"email": "a@example.com"})
    assert len((await polling).json()["sets"]) == 1


@pytest.mark.parametrize("body", [b"[]", b'{"ack": 7}', b'{"maxEvents": -1}', b'{"maxEvents": "1"}', b'{"setErrs": []}',
                                  b'{"ack": ["a\\u0000"]}', b"{"])  # fmt: skip
async def test_a_poll_that_is_none_is_refused(api: Wire, body: bytes) -> None:
    stream = (await made(api))["stream_id"]
    answer = await api.http.post(f"/ssf/poll?stream_id={stream}", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "ssf.receiver.request")


async def test_status_is_read_and_set_and_a_disabled_stream_holds_nothing(api: Wire) -> None:
    stream = (await made(api))["stream_id"]
    alice = await api.trust.subject("alice", kind="user")
    await api.tell(alice, "trusted", "restricted", attributes={"email": "a@example.com"})
    body = {"stream_id": stream, "status": "disabled", "reason": "Disabled by administrator action."}
    assert (await api.http.post("/ssf/status", json=body)).json() == body
    assert (await api.http.get(f"/ssf/status?stream_id={stream}")).json() == body
    await api.tell(alice, "restricted", "trusted", attributes={"email": "a@example.com"})
    assert await api.waiting() == []
    for wrong in ({"status": "sleeping"}, {"status": 7}, {}, {"status": "paused", "reason": 7}):
        assert (await api.http.post("/ssf/status", json={"stream_id": stream} | wrong)).status_code == 400


async def test_the_stream_itself_cannot_be_taken_out(api: Wire) -> None:
    stream = (await made(api))["stream_id"]
    body = {"stream_id": stream, "subject": {"format": "opaque", "id": stream}}
    assert (await api.http.post("/ssf/subjects:remove", json=body)).status_code == 400
    for subject in (7, {"format": "email"}, {}):
        wrong = {"stream_id": stream, "subject": subject}
        assert (await api.http.post("/ssf/subjects:remove", json=wrong)).status_code == 400


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.sampled_from(["name", "audience", "events", "scope", "push_hosts", "push_url", "streams", "dialect"])


@given(st.dictionaries(_FIELDS, _JSON))
def test_any_definition_of_a_receiver_is_one_or_is_refused(change: dict[str, Any]) -> None:
    try:
        parse_receivers({"ssf_receivers": [{"name": "a", "audience": ["x"]} | change]})
    except ReceiverRefused:
        pass


@given(st.text(max_size=60) | st.sampled_from(["https://a.example.com/x", "https://[::1]/", "https://A.EXAMPLE.COM"]))
def test_a_place_to_push_to_is_at_a_granted_host_or_none(url: str) -> None:
    (definition,) = parse_receivers(
        {"ssf_receivers": [{"name": "a", "audience": ["x"], "push_hosts": ["*.example.com"]}]}
    )
    if may_push_to(definition, url):
        assert ".example.com" in url.lower()


@given(st.binary(max_size=100) | st.sampled_from([b'{"maxEvents":1}', b'{"ack":["a"],"setErrs":{"b":{"err":"x"}}}']))
def test_any_poll_is_read_or_refused(body: bytes) -> None:
    try:
        read_poll_request(body)
    except ReceiverRefused:
        pass


async def test_a_stream_that_people_stopped_stays_so_until_they_resume_it(api: Wire) -> None:
    stream = (await made(api))["stream_id"]
    await api.receivers.set_status(stream, "disabled", actor=ACTOR, reason="leaked")
    answer = await api.http.post("/ssf/status", json={"stream_id": stream, "status": "enabled"})
    assert (answer.status_code, answer.json()["code"]) == (403, "ssf.receiver.stream_held")
    assert (await api.http.get(f"/ssf/status?stream_id={stream}")).json()["status"] == "disabled"
    await api.receivers.set_status(stream, "enabled", actor=ACTOR)
    answer = await api.http.post("/ssf/status", json={"stream_id": stream, "status": "paused"})
    assert answer.status_code == 200


async def test_requests_at_once_do_not_undo_each_other(api: Wire) -> None:
    stream = (await made(api))["stream_id"]
    subjects = [{"format": "email", "email": f"user{number}@example.com"} for number in range(8)]
    removed = await asyncio.gather(
        *(api.http.post("/ssf/subjects:remove", json={"stream_id": stream, "subject": one}) for one in subjects)
    )
    assert {one.status_code for one in removed} == {204}
    (known,) = await store.streams(api.trust.database)
    assert sorted(one["email"] for one in known.removed) == [one["email"] for one in subjects]
    asked = await asyncio.gather(*(api.http.post("/ssf/verify", json={"stream_id": stream}) for _ in range(6)))
    assert sorted(one.status_code for one in asked) == [204, *[429] * 5]
