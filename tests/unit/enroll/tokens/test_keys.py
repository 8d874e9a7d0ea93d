"""An issuer's keys: found, rotated, kept while the issuer is away, and no weak one among them."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from tests.support.platform_tokens import ISSUER, OidcPlatform, rsa_key
from tests.unit.fuzz.test_parsers import mutated
from troth.client.jose import SigningKey
from troth.enroll.tokens.errors import TokenRefused
from troth.enroll.tokens.keys import KeySet, read_keys
from troth.kit.clock import FakeClock
from troth.kit.http import REFUSED, EgressRefused


@pytest.fixture
def platform() -> OidcPlatform:
    return OidcPlatform()


@pytest.fixture
def keys(platform: OidcPlatform, clock: FakeClock) -> KeySet:
    return KeySet(platform, clock, issuer=ISSUER)


async def test_keys_are_discovered_and_kept_for_an_hour(platform: OidcPlatform, keys: KeySet, clock: FakeClock) -> None:
    assert (await keys.find("k1")).thumbprint == platform.keys["k1"].public.thumbprint
    assert platform.requests == [f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/keys"]
    clock.advance(timedelta(minutes=59))
    await keys.find("k1")
    assert len(platform.requests) == 2
    clock.advance(timedelta(minutes=2))
    await keys.find("k1")
    assert len(platform.requests) == 4


async def test_a_new_key_is_found_and_strangers_do_not_make_us_ask_again_and_again(
    platform: OidcPlatform, keys: KeySet, clock: FakeClock
) -> None:
    await keys.find("k1")
    platform.keys["k2"] = SigningKey.wrap(rsa_key(1))
    for _ in range(5):
        with pytest.raises(TokenRefused, match="no key of this id"):
            await keys.find("k2")
    assert len(platform.requests) == 2
    clock.advance(timedelta(seconds=60))
    assert await keys.find("k2")
    del platform.keys["k1"]
    clock.advance(timedelta(hours=2))
    with pytest.raises(TokenRefused):
        await keys.find("k1")


async def test_while_the_issuer_is_away_its_keys_serve_for_a_day(
    platform: OidcPlatform, keys: KeySet, clock: FakeClock
) -> None:
    await keys.find("k1")
    platform.fails = EgressRefused(REFUSED, "as the test wishes")
    clock.advance(timedelta(hours=23))
    assert await keys.find("k1")
    clock.advance(timedelta(hours=1))
    with pytest.raises(TokenRefused, match=r"enroll\.token\.keys"):
        await keys.find("k1")
    platform.fails = None
    clock.advance(timedelta(minutes=1))
    assert await keys.find("k1")


async def test_a_token_without_key_id_takes_the_only_key(
    platform: OidcPlatform, keys: KeySet, clock: FakeClock
) -> None:
    assert await keys.find(None)
    platform.keys["k2"] = SigningKey.wrap(rsa_key(1))
    with pytest.raises(TokenRefused):
        await KeySet(platform, FakeClock(clock.now()), issuer=ISSUER).find(None)


@pytest.mark.parametrize(
    "document", [b"[]", b"{", b'{"issuer":"https://other","jwks_uri":"https://other/keys"}', b"{}"]
)
async def test_a_discovery_document_of_another_is_refused(
    platform: OidcPlatform, keys: KeySet, document: bytes
) -> None:
    platform.answers[f"{ISSUER}/.well-known/openid-configuration"] = document
    with pytest.raises(TokenRefused, match=r"enroll\.token\.keys"):
        await keys.find("k1")


async def test_keys_may_lie_in_a_file_or_at_an_address(
    platform: OidcPlatform, clock: FakeClock, tmp_path: Path
) -> None:
    path = tmp_path / "jwks.json"
    pinned = KeySet(platform, clock, issuer=ISSUER, file=str(path))
    with pytest.raises(TokenRefused):
        await pinned.find("k1")
    path.write_bytes(platform.jwks())
    clock.advance(timedelta(minutes=1))
    assert await pinned.find("k1")
    assert platform.requests == []
    addressed = KeySet(platform, clock, issuer="https://elsewhere", url=f"{ISSUER}/keys")
    assert await addressed.find("k1")
    gone = KeySet(platform, clock, issuer=ISSUER, url=f"{ISSUER}/nothing")
    with pytest.raises(TokenRefused):
        await gone.find("k1")


def test_keys_that_are_weak_unknown_or_for_encryption_are_left_out() -> None:
    good = SigningKey.generate("ES256").public.jwk
    weak = SigningKey.wrap(rsa.generate_private_key(65537, 1024)).public.jwk  # noqa: S505 -- refused
    found = read_keys(json.dumps({"keys": [
        {**good, "kid": "good"}, {**weak, "kid": "weak"}, {**good, "kid": "enc", "use": "enc"},
        {"kty": "oct", "k": "AA"}, "junk", {**good},
    ]}).encode())  # fmt: skip
    assert set(found) == {"good", ""}


@given(st.integers(0, 6), st.integers(0, 2**32))
def test_whatever_an_issuer_says_is_read_or_refused(changes: int, number: int) -> None:
    seed = b'{"keys":[{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ","kid":"a"},{"kty":"RSA","n":"AQAB","e":"AQAB"}]}'
    with contextlib.suppress(TokenRefused):
        read_keys(mutated(seed, changes, number))
