"""The parsers of shared signals: the same promise as of all others, and the same way to hold them to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.ssf import examples
from tests.unit.fuzz.test_parsers import EXAMPLES, mutated
from troth.client.compact import CompactJws, signing_input, strict_object
from troth.client.keyset import read_keys
from troth.connect.ssf.definitions import parse_streams
from troth.connect.ssf.events import happened_at, known, reason_of
from troth.connect.ssf.model import Configuration, Metadata
from troth.connect.ssf.remote import read_poll
from troth.connect.ssf.secevent import parse
from troth.connect.ssf.subjects import parse_subject
from troth.connect.ssf.transmitter.definitions import parse_receivers
from troth.connect.ssf.transmitter.polling import read_poll_request
from troth.kit.errors import TrothError


def _token(data: bytes) -> None:
    """A token taken apart, and what stands in it read, as if its signature were good."""
    _claims(parse(data.decode("latin-1")))


def _claims(found: CompactJws) -> None:
    events = found.claims.get("events")
    for uri, event in events.items() if isinstance(events, dict) else ():
        if isinstance(event, dict):
            known(uri, event)
            reason_of(event)
            happened_at(event, datetime(2026, 1, 1, tzinfo=UTC))
    parse_subject(found.claims.get("sub_id"))


def _inside(data: bytes) -> None:
    """The claims alone, so that what is changed is not only base64."""
    _claims(CompactJws({}, strict_object(data), b"", b""))


def _tokens() -> list[bytes]:
    heads: tuple[dict[str, Any], ...] = ({"alg": "RS256", "typ": "secevent+jwt", "kid": "k"}, {"alg": "none"})
    return [f"{signing_input(heads[n % 2], one['claims'])}.AAAA".encode() for n, one in enumerate(examples())]


PARSERS: dict[str, tuple[Callable[[bytes], object], Callable[[], list[bytes]]]] = {
    "security event token": (_token, _tokens),
    "claims of one": (_inside, lambda: [json.dumps(one["claims"]).encode() for one in examples()]),
    "poll answer": (read_poll, lambda: [b'{"sets":{"4d3559ec67504aaba65d40b0363faad8":"eyJ"},"moreAvailable":true}']),
    "stream definitions": (
        lambda data: parse_streams(data.decode("utf-8", "replace")),
        lambda: [b'ssf_streams: [{name: a, feed: b, issuer: "https://x", auth: none, events: [caep.session-revoked]}]'],
    ),
    "receiver definitions": (
        lambda data: parse_receivers(data.decode("utf-8", "replace")),
        lambda: [
            b"ssf_receivers: [{name: a, audience: [b], events: [caep.session-revoked], push_hosts: ['*.x.test']}]"
        ],
    ),
    "poll request": (
        read_poll_request,
        lambda: [b'{"ack":["a"],"setErrs":{"b":{"err":"invalid_key","description":"x"}},"maxEvents":5}'],
    ),
    "stream configuration": (
        lambda data: Configuration.read(strict_object(data)),
        lambda: [b'{"stream_id":"s","iss":"i","aud":["a"],"delivery":{"method":"m","endpoint_url":"u"}}'],
    ),
    "transmitter metadata": (
        lambda data: Metadata.read(strict_object(data)),
        lambda: [b'{"issuer":"i","critical_subject_members":["a"]}'],
    ),
    "jwk set": (
        lambda data: read_keys(data, check=lambda _key: None),
        lambda: [
            b'{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
        ],
    ),
}


@pytest.mark.parametrize("name", sorted(PARSERS))
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.differing_executors])
@given(st.data())
def test_a_parser_answers_or_refuses(name: str, data: st.DataObject) -> None:
    read, seeds = PARSERS[name]
    seed = data.draw(st.sampled_from(seeds()))
    some = mutated(seed, data.draw(st.integers(0, 6)), data.draw(st.integers(0, 2**32)))
    try:
        read(data.draw(st.binary(max_size=200)) if data.draw(st.integers(0, 4)) == 0 else some)
    except TrothError:
        pass
