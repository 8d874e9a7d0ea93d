"""Definitions of streams, and what transmitters say of themselves: read strictly, every mistake told by its field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.connect.ssf.definitions import parse_streams
from troth.connect.ssf.errors import StreamInvalid, TransmitterFailed
from troth.connect.ssf.events import CAEP, REQUESTED, TYPES
from troth.connect.ssf.model import Configuration, Metadata, StreamDefinition, well_known

GOOD: dict[str, Any] = {
    "name": "idp", "feed": "idp", "issuer": "https://idp.example.com", "client_id": "troth",
    "token_url": "https://idp.example.com/token",
}  # fmt: skip
BY_HAND: dict[str, Any] = {
    "name": "g", "feed": "idp", "issuer": "https://accounts.google.com/", "delivery": "push", "managed": False,
    "authorization": False, "audience": ["client-1"], "dialect": "google",
}  # fmt: skip


def parsed(*definitions: dict[str, Any]) -> tuple[StreamDefinition, ...]:
    return parse_streams({"ssf_streams": list(definitions)})


def test_short_names_of_events_become_uris_and_defaults_are_careful() -> None:
    (one,) = parsed(GOOD | {"events": ["caep.session-revoked", "https://vendor.example/coffee"]})
    assert one.events == (CAEP + "session-revoked", "https://vendor.example/coffee")
    assert (one.delivery, one.dialect, one.auth, one.authorization, one.managed) == (
        "poll", "standard", "client_credentials", True, True,
    )  # fmt: skip
    assert set(REQUESTED) <= TYPES.keys()
    assert parsed(BY_HAND)[0].audience == ("client-1",)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "No"}, "name"), ({"feed": "no feed"}, "feed"), ({"issuer": "idp"}, "issuer"),
        ({"issuer": "https://x/?a=1"}, "issuer"), ({"issuer": "https://u:p@x"}, "issuer"),
        ({"issuer": "https://x:99999"}, "issuer"), ({"token_url": "file:///etc/passwd"}, "token_url"),
        ({"jwks_uri": "//x"}, "jwks_uri"), ({"client_id": ""}, "auth"), ({"events": ["coffee"]}, "events"),
        ({"identifiers": {"printer": "x"}}, "identifiers"), ({"identifiers": {"user": "No System"}}, "identifiers"),
        ({"verify_seconds": 1}, "verify_seconds"), ({"audience": ["a"] * 65}, "audience"),
        ({"description": "\x07"}, "description"), ({"managed": False}, "managed"),
        ({"delivery": "push", "authorization": False}, "authorization"),
        ({"delivery": "push", "managed": False}, "audience"),
    ],
)  # fmt: skip
def test_every_mistake_is_told_by_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(StreamInvalid) as caught:
        parsed(GOOD | change)
    assert caught.value.facts["field"] == field


def test_unknown_fields_doubled_names_and_other_documents_are_refused() -> None:
    for document in ("ssf_streams: 7", "[", "streams: []", "ssf_streams: [{name: a, colour: red}]", "a" * 300_000):
        with pytest.raises(StreamInvalid):
            parse_streams(document)
    with pytest.raises(StreamInvalid, match="twice"):
        parsed(GOOD, GOOD)


def test_a_definition_survives_its_storing() -> None:
    (one,) = parsed(BY_HAND | {"identifiers": {"user": "google.user"}, "tenants": ["t"]})
    assert msgspec.json.decode(msgspec.json.encode(one), type=StreamDefinition) == one


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from([*GOOD, "delivery", "events", "audience", "identifiers", "verify_seconds"]), _JSON)
)
def test_any_definition_is_one_or_is_refused(change: dict[str, Any]) -> None:
    try:
        parsed(GOOD | change)
    except StreamInvalid:
        pass


@given(st.dictionaries(st.sampled_from(["issuer", "jwks_uri", "critical_subject_members", "spec_version", "stream_id",
                                        "iss", "aud", "delivery", "events_delivered", "min_verification_interval"]),
                       _JSON))  # fmt: skip
def test_whatever_a_transmitter_says_of_itself_is_read_or_refused(change: dict[str, Any]) -> None:
    metadata = {"issuer": "https://x"} | change
    configuration = {
        "stream_id": "s", "iss": "https://x", "aud": "a", "delivery": {"method": "m", "endpoint_url": "u"},
    } | change  # fmt: skip
    try:
        assert Metadata.read(Metadata.read(metadata).as_json()) == Metadata.read(metadata)
    except TransmitterFailed:
        pass
    try:
        found = Configuration.read(configuration)
        assert Configuration.read(found.as_json()) == found
    except TransmitterFailed:
        pass


def test_the_specifications_examples_of_metadata_and_configuration_are_read() -> None:
    """SSF 1.0, 7.2.3 and 8.1.1.1."""
    metadata = Metadata.read(
        {
            "spec_version": "1_0", "issuer": "https://tr.example.com", "jwks_uri": "https://tr.example.com/jwks.json",
            "delivery_methods_supported": ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"],
            "configuration_endpoint": "https://tr.example.com/ssf/mgmt/stream",
            "status_endpoint": "https://tr.example.com/ssf/mgmt/status",
            "add_subject_endpoint": "https://tr.example.com/ssf/mgmt/subject:add",
            "remove_subject_endpoint": "https://tr.example.com/ssf/mgmt/subject:remove",
            "verification_endpoint": "https://tr.example.com/ssf/mgmt/verification",
            "critical_subject_members": ["tenant", "user"],
            "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}, {"spec_urn": "urn:ietf:rfc:8705"}],
            "default_subjects": "NONE",
        }
    )  # fmt: skip
    assert metadata.critical_members == ("tenant", "user")
    found = Configuration.read(
        {
            "stream_id": "f67e39a0a4d34d56b3aa1bc4cff0069f", "iss": "https://tr.example.com",
            "aud": ["https://receiver.example.com/web", "https://receiver.example.com/mobile"],
            "delivery": {"method": "urn:ietf:rfc:8935", "endpoint_url": "https://receiver.example.com/events"},
            "events_supported": ["urn:example:secevent:events:type_1"], "events_requested": [], "events_delivered": [],
            "description": "Stream for Receiver A",
        }
    )  # fmt: skip
    assert len(found.audience) == 2
    assert well_known("https://risc-tr.example.com", "risc-configuration").endswith("/.well-known/risc-configuration")


def test_lateness_is_two_beats_without_a_word() -> None:
    from troth.connect.ssf.model import Stream

    begun = datetime(2026, 12, 1, tzinfo=UTC)
    (definition,) = parsed(GOOD | {"verify_seconds": 60})
    stream = Stream(
        "idp", definition, None, (), None, None, "enabled", "", (), None, None, "", None, begun, "admin:alice"
    )  # fmt: skip
    assert not stream.late(begun + timedelta(seconds=120))
    assert stream.late(begun + timedelta(seconds=121))
