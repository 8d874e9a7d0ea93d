"""Claims of JWT-SVIDs, and the times of their keys."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from troth.client.jose import VerifyingKey, b64url_decode
from troth.kit.canonical import canonical_json
from troth.pki import jwt_svid
from troth.pki.jwt_svid import ANNOUNCED, FORGOTTEN, ROTATED, Claims, read_claims
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import KeyMetadata, KeyPurpose

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
AT = int(NOW.timestamp())
GOOD: dict[str, Any] = {
    "sub": "spiffe://corp.example/production/shop", "aud": ["db"], "exp": AT + 300, "iat": AT, "jti": "a1",
}  # fmt: skip
KEY = ec.generate_private_key(ec.SECP256R1())
SPKI = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key(age: timedelta, name: str = "jwt-1") -> KeyMetadata:
    made = NOW - age
    return KeyMetadata(name, KeyPurpose.JWT, KeyAlgorithm.P256, SPKI, made, use_until=made + FORGOTTEN)


def test_claims_are_read_as_they_were_written() -> None:
    claims = Claims(GOOD["sub"], ("db", "queue"), AT, AT + 3600, "a1")
    assert read_claims(claims.encode(), NOW) == claims


@pytest.mark.parametrize(
    "change",
    [
        {"sub": "spiffe://corp.example"}, {"sub": "https://corp.example/a"}, {"sub": 1}, {"sub": None},
        {"aud": []}, {"aud": "db"}, {"aud": [""]}, {"aud": ["a", "a"]}, {"aud": [1]}, {"aud": ["a\n"]},
        {"aud": [str(n) for n in range(17)]}, {"aud": ["x" * 513]},
        {"exp": AT}, {"exp": AT - 1}, {"exp": AT + 3601}, {"exp": str(AT + 300)}, {"exp": True}, {"exp": 1 << 60},
        {"iat": AT + 61, "exp": AT + 300}, {"iat": AT - 61}, {"iat": -1},
        {"jti": ""}, {"jti": "x" * 65}, {"jti": "ä"}, {"iss": "https://x"}, {"nbf": AT},
    ],
)  # fmt: skip
def test_what_is_no_token_of_a_workload_of_this_moment_is_refused(change: dict[str, Any]) -> None:
    read_claims(canonical_json(GOOD), NOW)
    with pytest.raises(ValueError):  # noqa: PT011 - each has words of its own
        read_claims(canonical_json({**GOOD, **change}), NOW)


def test_claims_have_one_form_only() -> None:
    plain = canonical_json(GOOD)
    double = plain[:-1] + b',"sub":"spiffe://corp.example/production/vault"}'
    for other in (b" " + plain, json.dumps(GOOD).encode(), double, plain + b"\n", b"\xff", b"[]", b"", plain[:-1]):
        with pytest.raises(ValueError):  # noqa: PT011
            read_claims(other, NOW)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_whatever_the_octets_they_are_claims_or_refused(noise: bytes, at: int) -> None:
    plain = canonical_json(GOOD)
    for octets in (noise, plain[:at] + noise + plain[at + len(noise) :]):
        try:
            assert read_claims(octets, NOW).encode() == octets
        except ValueError:
            continue


@given(
    st.lists(st.text(min_size=1, max_size=20).filter(str.isprintable), min_size=1, max_size=16, unique=True),
    st.integers(1, 3600),
)
def test_every_token_verifies_under_its_key_as_the_bundle_tells_it(audience: list[str], life: int) -> None:
    claims = Claims(GOOD["sub"], tuple(audience), AT, AT + life, "a1").encode()
    signature = KEY.sign(jwt_svid.signing_input("jwt-1", claims), ec.ECDSA(hashes.SHA256()))
    token = jwt_svid.compact("jwt-1", claims, signature)
    header, payload, raw = token.split(".")
    told = jwt_svid.jwk(key(timedelta(0)))
    assert json.loads(b64url_decode(header)) == {"alg": "ES256", "kid": told["kid"], "typ": "JWT"}
    assert json.loads(b64url_decode(payload))["aud"] == audience
    VerifyingKey.from_jwk({name: told[name] for name in ("kty", "crv", "x", "y")}).verify(
        "ES256", f"{header}.{payload}".encode(), b64url_decode(raw)
    )


def test_a_key_is_told_of_before_it_signs_unless_it_is_the_only_one() -> None:
    assert jwt_svid.signs_now([], NOW) is None
    only = key(timedelta(0))
    assert jwt_svid.signs_now([only], NOW) is only
    old, young = key(ROTATED, "old"), key(ANNOUNCED - timedelta(seconds=1), "young")
    assert jwt_svid.signs_now([young, old], NOW) is old
    assert jwt_svid.signs_now([young, old], NOW + timedelta(seconds=1)) is young
    assert [one.key_id for one in jwt_svid.in_use([young, old], NOW)] == ["old", "young"]
    assert jwt_svid.in_use([old], NOW + FORGOTTEN) == []
    assert jwt_svid.signs_now([old], NOW - ROTATED + FORGOTTEN) is None


def test_over_months_each_token_verifies_under_what_was_told_when_it_was_made_and_until_its_end() -> None:
    """A worker looks each hour; readers fetch the bundle at most an hour late."""
    keys: list[KeyMetadata] = []
    for hour in range(24 * 90):
        now = NOW + timedelta(hours=hour)
        keys = [one for one in keys if one.use_until is not None and one.use_until > now]  # the signer forgets
        if jwt_svid.due(keys, now):
            keys.append(key(-timedelta(hours=hour), f"jwt-{hour}"))
        signing = jwt_svid.signs_now(keys, now)
        assert signing is not None
        if hour:
            assert signing.created <= now - ANNOUNCED  # a bundle of an hour ago has it
        assert signing.use_until is not None
        assert signing.use_until > now + jwt_svid.LONGEST
        assert len(keys) <= 4
