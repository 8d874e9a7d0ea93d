"""Tokens as the agent keeps, fetches and judges them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from tests.support.svids import SvidServer
from troth.agent.door.client import Refused, Unavailable
from troth.agent.errors import AgentError
from troth.agent.spiffe.jwt_messages import (
    _struct,
    jwt_svid_response,
    read_jwt_svid_request,
    read_validate_jwt_svid_request,
)
from troth.agent.spiffe.jwts import Jwts, NotValid
from troth.agent.spiffe.messages import field
from troth.agent.spiffe.settings import WorkloadSettings
from troth.client.jose import SigningKey, b64url_encode
from troth.kit.clock import FakeClock

SHOP, CART = (WorkloadSettings(name=name, selectors=("unix:uid:1",)) for name in ("shop", "cart"))
BOTH, ME = frozenset({"shop", "cart"}), frozenset({"unix:uid:1"})
DOMAINS = frozenset({"spiffe://corp.example"})


@pytest.fixture
def server(clock: FakeClock) -> SvidServer:
    return SvidServer(clock)


@pytest.fixture
def jwts(server: SvidServer, clock: FakeClock) -> Jwts:
    made = Jwts(server, clock, (SHOP, CART))
    made.heard({"jwt_keys": server.jwt_keys()})
    return made


async def test_one_is_kept_until_half_of_its_life_and_for_its_audience_alone(
    jwts: Jwts, server: SvidServer, clock: FakeClock
) -> None:
    (first,) = await jwts.fetch(frozenset({"shop"}), ME, ["db"])
    assert await jwts.fetch(frozenset({"shop"}), ME, ["db"]) == [first]
    assert len(server.asked) == 1
    (other,) = await jwts.fetch(frozenset({"shop"}), ME, ["queue"])
    assert other != first
    clock.advance(timedelta(seconds=149))
    assert await jwts.fetch(frozenset({"shop"}), ME, ["db"]) == [first]
    clock.advance(timedelta(seconds=1))
    (second,) = await jwts.fetch(frozenset({"shop"}), ME, ["db"])
    assert second != first
    assert len(server.asked) == 3


async def test_while_the_server_is_away_a_good_one_serves_and_a_dead_one_does_not(
    jwts: Jwts, server: SvidServer, clock: FakeClock
) -> None:
    kept = await jwts.fetch(BOTH, ME, ["db"])
    server.fail = True
    clock.advance(timedelta(seconds=200))
    assert await jwts.fetch(BOTH, ME, ["db"]) == kept
    clock.advance(timedelta(seconds=100))
    with pytest.raises(Unavailable):
        await jwts.fetch(BOTH, ME, ["db"])


async def test_what_is_refused_is_asked_for_again_after_a_while_and_nothing_of_it_is_kept(
    jwts: Jwts, server: SvidServer, clock: FakeClock
) -> None:
    await jwts.fetch(BOTH, ME, ["db"])
    server.refuse = {"shop": "enroll.refused"}
    (cart,) = await jwts.fetch(BOTH, ME, ["other"])
    assert cart.hint == "cart"
    asked = len(server.asked)
    for _ in range(5):
        with pytest.raises(Refused):
            await jwts.fetch(frozenset({"shop"}), ME, ["db"])
    assert len(server.asked) == asked
    clock.advance(timedelta(seconds=5))
    server.refuse = {}
    assert len(await jwts.fetch(BOTH, ME, ["db"])) == 2
    jwts.forget("cart")
    asked = len(server.asked)
    await jwts.fetch(BOTH, ME, ["db"])
    assert len(server.asked) == asked + 1


@pytest.mark.parametrize(
    "change",
    [
        {"token": None}, {"token": "a.b.c"}, {"token": "x"}, {"jwt_keys": []},
        {"jwt_keys": [{"kid": "k1", "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]},
    ],
)  # fmt: skip
async def test_an_answer_that_is_no_token_of_ours_is_handed_to_nobody(
    jwts: Jwts, server: SvidServer, change: dict[str, Any]
) -> None:
    server.change = change
    with pytest.raises(AgentError, match="no JWT-SVID"):
        await jwts.fetch(BOTH, ME, ["db"])


async def test_an_answer_for_another_audience_is_handed_to_nobody(jwts: Jwts, server: SvidServer) -> None:
    server.change = {"token": server.token({"workload": "shop", "audience": ["db"]})}
    with pytest.raises(AgentError, match="somebody else"):
        await jwts.fetch(BOTH, ME, ["queue"])


_WRONG: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"alg": "none"}, {}, "header"), ({"alg": "HS256"}, {}, "header"), ({"alg": "ES384"}, {}, "no key"),
    ({"typ": "at+jwt"}, {}, "header"), ({"crit": ["x"]}, {}, "header"), ({"kid": "k2"}, {}, "no key"),
    ({}, {"sub": None}, "SPIFFE ID"), ({}, {"sub": "alice"}, "SPIFFE ID"),
    ({}, {"sub": "spiffe://other.example/shop"}, "another trust domain"),
    ({}, {"exp": None}, "no exp"), ({}, {"exp": "soon"}, "no exp"), ({}, {"exp": True}, "no exp"),
    ({}, {"exp": 1}, "run out"), ({}, {"aud": None}, "somebody else"), ({}, {"aud": {}}, "somebody else"),
    ({}, {"aud": ["queue"]}, "somebody else"), ({}, {"aud": [["db"]]}, "somebody else"),
]  # fmt: skip


@pytest.mark.parametrize(("header", "claims", "words"), _WRONG)
def test_a_token_that_says_nothing_one_may_believe_is_refused(
    jwts: Jwts, server: SvidServer, header: dict[str, Any], claims: dict[str, Any], words: str
) -> None:
    with pytest.raises(NotValid, match=words):
        jwts.validate(server.token({"workload": "shop", "audience": ["db"]}, header, **claims), "db", DOMAINS)


def test_good_tokens_are_believed(jwts: Jwts, server: SvidServer, clock: FakeClock) -> None:
    payload = {"workload": "shop", "audience": ["db", "queue"]}
    for header, claims in (({}, {}), ({"typ": None, "kid": None}, {"aud": "db"}), ({"typ": "JOSE"}, {"iat": None})):
        token = server.token(payload, header, **claims)
        found, said = jwts.validate(token, "db", DOMAINS)
        assert (found, said["sub"]) == ("spiffe://corp.example/shop",) * 2
    clock.advance(timedelta(minutes=5, seconds=30))  # a little for clocks that differ
    jwts.validate(token, "db", DOMAINS)
    clock.advance(timedelta(seconds=1))
    with pytest.raises(NotValid, match="run out"):
        jwts.validate(token, "db", DOMAINS)
    with pytest.raises(NotValid, match="no audience"):
        jwts.validate(token, "", DOMAINS)
    stranger = SigningKey.generate()
    signed = ".".join(token.split(".")[:2])
    with pytest.raises(NotValid, match="no key"):
        jwts.validate(f"{signed}.{b64url_encode(stranger.sign(signed.encode()))}", "db", DOMAINS)


@given(st.text(max_size=200), st.binary(max_size=60))
def test_whatever_is_shown_it_is_refused_in_words(text: str, noise: bytes) -> None:
    clock = FakeClock(datetime(2026, 6, 1, tzinfo=UTC))
    jwts = Jwts(SvidServer(clock), clock, (SHOP,))
    parts = [b64url_encode(noise)] * 3
    for token in (text, ".".join(parts), ".".join([b64url_encode(b'{"alg":"ES256"}'), *parts[1:]])):
        with pytest.raises(NotValid):
            jwts.validate(token, "db", DOMAINS)


@given(st.binary(max_size=80))
def test_whatever_the_message_it_is_read_or_refused(message: bytes) -> None:
    for read in (read_jwt_svid_request, read_validate_jwt_svid_request):
        try:
            read(message)
        except ValueError:
            continue


@given(st.lists(st.text(max_size=20), max_size=5), st.text(max_size=30))
def test_a_request_is_read_as_it_was_written(audience: list[str], spiffe_id: str) -> None:
    message = b"\x18\x05" + b"".join(b"\x0a" + bytes([len(one.encode())]) + one.encode() for one in audience)
    found = read_jwt_svid_request(message + field(2, spiffe_id.encode()))
    assert found == (audience, spiffe_id)
    assert jwt_svid_response([]) == b""


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 50), 1 << 50) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=10), _JSON, max_size=5))
def test_claims_are_told_as_googles_own_reader_reads_them(claims: dict[str, Any]) -> None:
    read = struct_pb2.Struct()
    read.ParseFromString(_struct(claims))
    assert msgspec.json.decode(json_format.MessageToJson(read)) == claims
