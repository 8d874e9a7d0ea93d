from __future__ import annotations

import math

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from troth.client.jose import SigningKey, VerifyingKey, b64url_encode
from troth.enroll.acme.jwk import AccountKeys, encode_jwk, weakness_of
from troth.enroll.acme.problems import URN, AcmeProblem

GOOD = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()


def rsa_key(modulus: int, exponent: int = 65537) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def next_prime(start: int) -> int:
    candidate = start | 1
    while pow(2, candidate - 1, candidate) != 1:
        candidate += 2
    return candidate


@pytest.mark.parametrize(
    "key",
    [GOOD, ec.generate_private_key(ec.SECP384R1()).public_key(), ed25519.Ed25519PrivateKey.generate().public_key()],
)
def test_usual_keys_have_no_known_weakness(key: object) -> None:
    assert weakness_of(key) is None


def test_a_small_rsa_key_is_weak() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()  # noqa: S505  the point of the test
    assert "1024 bits" in (weakness_of(key) or "")


@pytest.mark.parametrize("exponent", [3, 17, 2**64 + 1])
def test_an_unusual_rsa_exponent_is_weak(exponent: int) -> None:
    assert "exponent" in (weakness_of(rsa_key(GOOD.public_numbers().n, exponent)) or "")


def test_a_modulus_with_a_small_factor_is_weak() -> None:
    modulus = 751 * ((1 << 2047) // 751 + (1 << 2030) | 1)
    assert "small prime factor" in (weakness_of(rsa_key(modulus)) or "")


def test_primes_that_lie_close_together_are_weak() -> None:
    first = next_prime((3 << 1022) + 12345)
    assert "close together" in (weakness_of(rsa_key(first * next_prime(first + 2))) or "")


def test_a_modulus_with_the_fingerprint_of_cve_2017_15361_is_weak() -> None:
    # Primes of the form k·M + (65537^a mod M), M the product of the first 39 primes.
    product = math.prod(n for n in range(2, 168) if all(n % p for p in range(2, n)))

    def infineon(k: int, a: int) -> int:
        while pow(2, (p := k * product + pow(65537, a, product)) - 1, p) != 1:
            k += 1
        return p

    factor = (3 << 1022) // product
    modulus = infineon(factor, 11) * infineon(factor + (1 << 700), 29)
    assert "CVE-2017-15361" in (weakness_of(rsa_key(modulus)) or "")


def test_an_offered_key_that_is_weak_is_a_bad_public_key() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()  # noqa: S505  the point of the test
    with pytest.raises(AcmeProblem) as refused:
        AccountKeys().offered(dict(VerifyingKey.from_public_key(weak).jwk))
    assert refused.value.type == URN + "badPublicKey"


def test_an_offered_private_key_is_refused() -> None:
    with pytest.raises(AcmeProblem) as refused:
        AccountKeys().offered({**SigningKey.generate().public.jwk, "d": b64url_encode(bytes(32))})
    assert refused.value.type == URN + "badPublicKey"


def test_a_key_is_parsed_once_and_found_again_under_both_names() -> None:
    keys = AccountKeys()
    jwk = dict(SigningKey.generate().public.jwk)
    first = keys.offered(jwk)
    assert keys.offered({**jwk, "kid": "again"}) is first
    assert keys.stored(encode_jwk(first)) is first


def test_the_least_recently_used_key_is_forgotten_first() -> None:
    keys = AccountKeys(size=2)
    a, b, c = (encode_jwk(SigningKey.generate().public) for _ in range(3))
    first = keys.stored(a)
    second = keys.stored(b)
    assert keys.stored(a) is first
    keys.stored(c)
    assert keys.stored(a) is first
    assert keys.stored(b) is not second
