"""Tokens of OpenID Connect: read strictly, held against key, issuer, audience and times."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.platform_tokens import AUDIENCE, ISSUER, OidcPlatform
from tests.unit.fuzz.test_parsers import mutated
from troth.client.jose import SigningKey, b64url_encode
from troth.enroll.tokens.errors import TokenRefused
from troth.enroll.tokens.jwt import Token
from troth.kit.clock import FakeClock

PLATFORM = OidcPlatform()
KEY = PLATFORM.keys["k1"].public
TWICE = b64url_encode(b'{"alg":"RS256","alg":"none"}')
CRITICAL = b64url_encode(b'{"crit":["b64"],"b64":false}')


def checked(clock: FakeClock, **more: Any) -> Token:
    token = Token.parse(PLATFORM.token(PLATFORM.claims(clock.now(), **more)))
    token.verify(KEY, ("RS256",))
    token.check(
        issuer=ISSUER, audience=AUDIENCE, now=clock.now(), skew=timedelta(seconds=60), max_age=timedelta(seconds=600)
    )
    return token


def test_a_sound_token_is_taken(clock: FakeClock) -> None:
    assert checked(clock).claims["repository"] == "org/shop"
    checked(clock, aud=["other", AUDIENCE])
    checked(clock, nbf=None)
    checked(clock, exp=float(int(clock.now().timestamp()) + 5))


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"iss": ISSUER + "/"}, "claim"),
        ({"iss": None}, "claim"),
        ({"aud": "troth2"}, "claim"),
        ({"aud": None}, "claim"),
        ({"aud": {"troth": 1}}, "claim"),
        ({"exp": None}, "claim"),
        ({"iat": None}, "claim"),
        ({"exp": "1"}, "claim"),
        ({"exp": True}, "claim"),
        ({"exp": 1e300}, "claim"),
        ({"exp": -1}, "claim"),
        ({"exp": 1.5}, "claim"),
    ],
)
def test_a_claim_that_is_missing_or_anothers_is_refused(clock: FakeClock, more: dict[str, Any], code: str) -> None:
    with pytest.raises(TokenRefused, match=rf"enroll\.token\.{code}"):
        checked(clock, **more)


@pytest.mark.parametrize(
    ("name", "seconds", "taken"),
    [
        ("exp", -59, True), ("exp", -60, False), ("iat", 60, True), ("iat", 61, False), ("nbf", 60, True),
        ("nbf", 61, False), ("iat", -659, True), ("iat", -660, False),
    ],
)  # fmt: skip
def test_times_count_with_the_skew_and_no_more(clock: FakeClock, name: str, seconds: int, taken: bool) -> None:
    at = int(clock.now().timestamp()) + seconds
    if taken:
        checked(clock, **{name: at})
    else:
        with pytest.raises(TokenRefused, match=r"enroll\.token\.time"):
            checked(clock, **{name: at})


@pytest.mark.parametrize(
    "header",
    [{"alg": "none"}, {"alg": "HS256"}, {"alg": None}, {"alg": "ES256"}, {"alg": 5}, {"alg": "RS512"}],
)
def test_an_algorithm_that_is_not_listed_is_refused(clock: FakeClock, header: dict[str, Any]) -> None:
    token = Token.parse(PLATFORM.token(PLATFORM.claims(clock.now()), **header))
    with pytest.raises(TokenRefused, match=r"enroll\.token\.signature"):
        token.verify(KEY, ("RS256", "ES512"))


def test_another_key_and_changed_claims_are_refused(clock: FakeClock) -> None:
    other = SigningKey.generate("ES256")
    text = PLATFORM.token(PLATFORM.claims(clock.now()), key=other)
    with pytest.raises(TokenRefused):
        Token.parse(text).verify(KEY, ("ES256",))
    Token.parse(text).verify(other.public, ("ES256",))
    head, _, signature = PLATFORM.token(PLATFORM.claims(clock.now())).split(".")
    forged = b64url_encode(json.dumps(PLATFORM.claims(clock.now(), repository="org/evil")).encode())
    with pytest.raises(TokenRefused, match=r"enroll\.token\.signature"):
        Token.parse(f"{head}.{forged}.{signature}").verify(KEY, ("RS256",))


@pytest.mark.parametrize(
    "text",
    [
        "", "a.b", "a.b.c.d", "..", "é.e30.AA", "e30.e30.A=", "W10.e30.AA", "e30.W10.AA", "x" * 20_000,
        f"{TWICE}.e30.AA", f"{CRITICAL}.e30.AA",
    ],
)  # fmt: skip
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(TokenRefused, match=r"enroll\.token\.malformed"):
        Token.parse(text)


@given(st.integers(0, 6), st.integers(0, 2**32))
def test_whatever_is_sent_is_read_or_refused(changes: int, number: int) -> None:
    seed = ".".join((b64url_encode(b'{"alg":"RS256","kid":"a"}'), b64url_encode(b'{"iss":"a"}'), "AAAA")).encode()
    with contextlib.suppress(TokenRefused):
        Token.parse(mutated(seed, changes, number).decode("latin-1"))
