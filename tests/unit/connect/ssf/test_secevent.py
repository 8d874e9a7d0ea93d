"""Security event tokens: what the profile of SSF 1.0 wants of one, each condition by a token that breaks it alone."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.ssf import AUDIENCE, CAEP, ISSUER, claims_of, examples, expected, rsa_signer, token
from troth.client.jose import SigningKey, b64url_encode
from troth.connect.ssf import events, secevent, subjects
from troth.connect.ssf.errors import SetRefused
from troth.connect.ssf.mapping import Heard, read, rules

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
EVENT = {CAEP + "session-revoked": {"event_timestamp": int(NOW.timestamp()) - 3}}


def judged(text: str, *, key: SigningKey | None = None, now: datetime = NOW, **fields: Any) -> secevent.SecurityEvent:
    signer = key or rsa_signer()
    return secevent.verify(secevent.parse(text), text, signer.public, expected(**fields), now=now)


def refusal(text: str, **fields: Any) -> str:
    with pytest.raises(SetRefused) as caught:
        judged(text, **fields)
    return caught.value.wire_code


def made(**claims: Any) -> str:
    return token(claims_of(EVENT, at=NOW, **claims))


def test_a_good_token_is_read_whole() -> None:
    text = made(txn="8675309", jti="j-1", aud=["https://other.example", AUDIENCE])
    found = judged(text)
    assert (found.issuer, found.jti, found.transaction, found.key_id) == (ISSUER, "j-1", "8675309", "k1")
    assert found.type == CAEP + "session-revoked"
    assert found.issued_at == NOW
    assert found.subject == {"format": "email", "email": "alice@example.com"}
    assert found.digest == hashlib.sha256(text.encode()).digest()


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"])
def test_every_algorithm_of_the_list_is_verified(algorithm: str) -> None:
    key = rsa_signer() if algorithm[:2] in ("RS", "PS") else SigningKey.generate(algorithm)
    text = token(claims_of(EVENT, at=NOW), key, alg=algorithm)
    assert judged(text, key=key).type
    head, body, signature = text.split(".")
    other = b64url_encode(b"\0" * (len(signature) * 3 // 4))
    assert refusal(f"{head}.{body}.{other}", key=key) == "authentication_failed"


def test_no_token_without_a_signature_and_none_signed_with_the_public_key_as_a_secret() -> None:
    claims = claims_of(EVENT, at=NOW)
    head, body = (b64url_encode(json.dumps(one).encode()) for one in ({"alg": "none", "typ": secevent.TYPE}, claims))
    assert refusal(f"{head}.{body}.") == "authentication_failed"
    head = b64url_encode(json.dumps({"alg": "HS256", "typ": secevent.TYPE, "kid": "k1"}).encode())
    mac = hmac.digest(rsa_signer().public.spki(), f"{head}.{body}".encode(), "sha256")
    assert refusal(f"{head}.{body}.{b64url_encode(mac)}") == "authentication_failed"


def test_another_algorithm_than_the_keys_and_another_key_are_refused() -> None:
    ec = SigningKey.generate("ES256")
    text = token(claims_of(EVENT, at=NOW), ec, alg="RS256")
    assert refusal(text, key=ec) == "authentication_failed"
    assert refusal(token(claims_of(EVENT, at=NOW), rsa_signer(1))) == "authentication_failed"


def test_the_type_is_explicit() -> None:
    claims = claims_of(EVENT, at=NOW)
    for typ in (None, "JWT", "secevent", "application/jwt"):
        assert refusal(token(claims, typ=typ)) == "invalid_request"
    for typ in ("secevent+jwt", "application/secevent+jwt", "SecEvent+JWT"):
        assert judged(token(claims, typ=typ)).jti
    # One transmitter's tokens are older than that rule.
    assert judged(token(claims, typ=None), untyped=True).jti
    assert judged(token(claims, typ="JWT"), untyped=True).jti
    assert refusal(token(claims, typ="at+jwt"), untyped=True) == "invalid_request"


def test_exp_and_sub_must_not_be_there() -> None:
    assert refusal(made(exp=int(NOW.timestamp()) + 60)) == "invalid_request"
    assert refusal(made(sub="alice")) == "invalid_request"


def test_the_issuer_is_the_streams_to_the_letter() -> None:
    for issuer in ("https://idp.example.com/", "https://IDP.example.com", "https://evil.example", 7):
        assert refusal(made(iss=issuer)) == "invalid_issuer"
    assert refusal(token({k: v for k, v in claims_of(EVENT, at=NOW).items() if k != "iss"})) == "invalid_issuer"


def test_the_audience_is_ours() -> None:
    for audience in ("https://other.example", ["https://other.example"], [], 7, [7]):
        assert refusal(made(aud=audience)) == "invalid_audience"
    assert refusal(token({k: v for k, v in claims_of(EVENT, at=NOW).items() if k != "aud"})) == "invalid_audience"
    assert refusal(made(), audiences=frozenset()) == "invalid_audience"


def test_iat_is_neither_in_the_future_nor_beyond_what_is_remembered() -> None:
    at = int(NOW.timestamp())
    assert judged(made(iat=at + 299)).jti
    assert judged(made(iat=at + 0.5)).jti
    for iat in (at + 301, at - 31 * 86_400, "now", -1, True, 1 << 60, 1 << 39):
        assert refusal(made(iat=iat)) == "invalid_request"
    assert refusal(token({k: v for k, v in claims_of(EVENT, at=NOW).items() if k != "iat"})) == "invalid_request"


def test_jti_is_a_text() -> None:
    for jti in ("", 7, "j" * 2_000, "a\0b"):
        assert refusal(made(jti=jti)) == "invalid_request"


def test_one_event_and_it_is_an_object() -> None:
    two = {CAEP + "session-revoked": {}, CAEP + "credential-change": {}}
    for found in ({}, two, [], "x", {CAEP + "session-revoked": []}, {CAEP + "session-revoked": None}):
        text = token(claims_of({}, at=NOW) | {"events": found})
        assert refusal(text) == "invalid_request"


def test_two_readings_of_one_token_are_impossible() -> None:
    claims = json.dumps(claims_of(EVENT, at=NOW))
    doubled = claims[:-1] + ', "iss": "https://evil.example"}'
    key = rsa_signer()
    head = b64url_encode(json.dumps({"alg": "RS256", "typ": secevent.TYPE}).encode())
    text = f"{head}.{b64url_encode(doubled.encode())}"
    assert refusal(f"{text}.{b64url_encode(key.sign(text.encode()))}") == "invalid_request"
    assert refusal(token(claims_of(EVENT, at=NOW), crit=["x"])) == "invalid_request"
    assert refusal("a.b") == "invalid_request"
    assert refusal("A" * 70_000) == "invalid_request"
    assert refusal(made() + "=") == "invalid_request"


def test_what_is_built_is_what_is_verified() -> None:
    key = rsa_signer()
    text = secevent.build(
        key.sign, algorithm="RS256", key_id="k1", issuer=ISSUER, audience=[AUDIENCE], jti="j", issued_at=NOW,
        event_type=CAEP + "session-revoked", event={"reason_admin": {"en": "gone"}},
        subject={"format": "opaque", "id": "x"}, transaction="t",
    )  # fmt: skip
    found = judged(text)
    assert (found.jti, found.transaction, found.subject) == ("j", "t", {"format": "opaque", "id": "x"})
    with pytest.raises(ValueError, match="none"):
        secevent.build(
            key.sign, algorithm="none", key_id="k", issuer="i", audience="a", jti="j", issued_at=NOW,
            event_type="e", event={}, subject={},
        )  # fmt: skip


@pytest.mark.parametrize("example", examples(), ids=lambda one: f"{one['spec']} {one['title']}"[:60])
def test_the_examples_of_the_specifications_are_understood(example: dict[str, Any]) -> None:
    claims = example["claims"]
    audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    if claims["iat"] > 1 << 33:
        claims = claims | {"iat": claims["iat"] // 10}  # the specification's own slip of the pen
    at = datetime.fromtimestamp(claims["iat"], UTC)
    found = judged(token(claims), now=at, issuer=claims["iss"], audiences=frozenset(audience))
    kind = events.known(found.type, found.event)
    assert kind is not None
    subject = subjects.parse_subject(found.subject)
    assert read(Heard(found, kind, subject)).outcome
    assert events.happened_at(found.event, found.issued_at) <= at


def test_the_table_has_a_row_for_every_type() -> None:
    assert {one.name for one in events.TYPES.values()} == set(rules())


@given(st.text(max_size=300))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    with pytest.raises(SetRefused):
        judged(text)


@given(st.dictionaries(st.sampled_from(["iss", "aud", "jti", "iat", "events", "sub_id", "txn", "exp", "sub"]),
                       st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20),
                                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                                        st.text(max_size=10), inner, max_size=3), max_leaves=8)))  # fmt: skip
def test_any_signed_claims_are_an_event_or_refused(changed: dict[str, Any]) -> None:
    try:
        found = judged(token(claims_of(EVENT, at=NOW) | changed))
        known = events.known(found.type, found.event)
        if known is not None:
            read(Heard(found, known, subjects.parse_subject(found.subject)))
    except SetRefused:
        pass


def test_a_token_older_than_the_window_is_refused_whatever_its_signature() -> None:
    assert refusal(made(), now=NOW + timedelta(days=31)) == "invalid_request"
