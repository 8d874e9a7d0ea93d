from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from hypothesis import given
from hypothesis import strategies as st

from troth.client.errors import JOSE_ALGORITHM, JOSE_KEY, JOSE_SIGNATURE, JoseError
from troth.client.jose import ALGORITHMS, SigningKey, VerifyingKey, b64url_decode, b64url_encode, thumbprint

# RFC 7515, A.1 and RFC 7638, 3.1.
RSA_JWK = {
    "kty": "RSA",
    "n": (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3ok"
        "njhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6"
        "qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awa"
        "pJzKnqDKgw"
    ),
    "e": "AQAB",
}
# RFC 7515, A.3.
ES256_JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
ES256_INPUT = b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"  # noqa: E501 -- a published vector
ES256_SIGNATURE = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
# RFC 8037, A.2 to A.4.
ED25519_JWK = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    assert VerifyingKey.from_jwk(RSA_JWK).thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_the_thumbprint_of_an_ed25519_key_is_that_of_rfc_8037() -> None:
    assert VerifyingKey.from_jwk(ED25519_JWK).thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_es256_example_of_rfc_7515_verifies() -> None:
    VerifyingKey.from_jwk(ES256_JWK).verify("ES256", ES256_INPUT, b64url_decode(ES256_SIGNATURE))


def test_the_eddsa_example_of_rfc_8037_verifies() -> None:
    signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    VerifyingKey.from_jwk(ED25519_JWK).verify(
        "EdDSA", b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", b64url_decode(signature)
    )


def test_members_that_are_not_required_do_not_change_the_thumbprint() -> None:
    more = {**ES256_JWK, "kid": "mine", "use": "sig", "alg": "ES256"}
    key = VerifyingKey.from_jwk(more)
    assert set(key.jwk) == {"crv", "kty", "x", "y"}
    assert key.thumbprint == VerifyingKey.from_jwk(ES256_JWK).thumbprint == thumbprint(ES256_JWK)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_a_key_signs_its_public_half_verifies(algorithm: str) -> None:
    key = SigningKey.generate(algorithm)
    signature = key.sign(b"a message")
    assert len(signature) == key.public.signature_size
    again = VerifyingKey.from_jwk(dict(key.public.jwk))
    assert again.spki() == key.public.spki()
    again.verify(algorithm, b"a message", signature)
    with pytest.raises(JoseError) as refused:
        again.verify(algorithm, b"another message", signature)
    assert refused.value.reason is JOSE_SIGNATURE


@pytest.mark.parametrize("algorithm", ["ES256", "ES512"])
def test_signatures_with_leading_zeros_survive_the_way_to_der_and_back(algorithm: str) -> None:
    key = SigningKey.generate(algorithm)
    half = key.public.signature_size // 2
    seen = set()
    for number in range(1200):
        message = b"%d" % number
        signature = key.sign(message)
        key.public.verify(algorithm, message, signature)
        seen.add(signature[0] == 0 or signature[half] == 0)
    assert seen == {True, False}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(forged=st.binary(max_size=140))
def test_no_forged_octets_verify(algorithm: str, forged: bytes) -> None:
    key = _keys[algorithm]
    with pytest.raises(JoseError) as refused:
        key.verify(algorithm, b"a message", forged)
    assert refused.value.reason is JOSE_SIGNATURE


_keys = {algorithm: SigningKey.generate(algorithm).public for algorithm in ALGORITHMS}


def test_an_all_zero_ecdsa_signature_is_refused() -> None:
    # CVE-2022-21449: r = s = 0 verified everything in Java.
    for algorithm in ("ES256", "ES384", "ES512"):
        with pytest.raises(JoseError):
            _keys[algorithm].verify(algorithm, b"", bytes(_keys[algorithm].signature_size))


@pytest.mark.parametrize("algorithm", ["ES384", "none", "HS256", "RS256", ""])
def test_an_algorithm_that_does_not_fit_the_key_is_refused(algorithm: str) -> None:
    with pytest.raises(JoseError) as refused:
        _keys["ES256"].verify(algorithm, b"", bytes(64))
    assert refused.value.reason is JOSE_ALGORITHM


@pytest.mark.parametrize(
    "jwk",
    [
        None,
        [],
        "EC",
        {},
        {"kty": "oct", "k": "AAAA"},
        {"kty": 5},
        {"kty": "EC", "crv": "P-256"},
        {**ES256_JWK, "crv": "secp256k1"},
        {**ES256_JWK, "crv": ["P-256"]},
        {**ES256_JWK, "crv": "P-384"},
        {**ES256_JWK, "x": 7},
        {**ES256_JWK, "x": ES256_JWK["y"]},
        {**ES256_JWK, "x": ES256_JWK["x"] + "="},
        {**ES256_JWK, "x": "é"},
        {**ES256_JWK, "x": "\ud800"},
        {**ES256_JWK, "x": b64url_encode(bytes(32)), "y": b64url_encode(bytes(32))},
        {**ES256_JWK, "d": "AAAA"},
        {**RSA_JWK, "p": "AAAA"},
        {**RSA_JWK, "n": ""},
        {**RSA_JWK, "e": ""},
        {**RSA_JWK, "e": "AAEAAQ"},
        {**RSA_JWK, "n": "_" * 8192},
        {**RSA_JWK, "n": "AQAB"},
        {"kty": "OKP", "crv": "X25519", "x": ED25519_JWK["x"]},
        {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
    ],
)
def test_a_jwk_that_is_no_public_key_is_refused(jwk: object) -> None:
    with pytest.raises(JoseError):
        VerifyingKey.from_jwk(jwk)


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP256K1()).public_key(), ed448.Ed448PrivateKey.generate().public_key(), None]
)
def test_keys_without_an_algorithm_here_are_refused(key: object) -> None:
    with pytest.raises(JoseError) as refused:
        VerifyingKey.from_public_key(key)
    assert refused.value.reason is JOSE_KEY


def test_a_wrapped_key_is_the_key_itself() -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    assert SigningKey.wrap(private).public.public_key == private.public_key()


@given(st.binary())
def test_base64url_reads_back(data: bytes) -> None:
    text = b64url_encode(data)
    assert "=" not in text
    assert b64url_decode(text) == data


@given(st.text())
def test_one_value_has_one_text(text: str) -> None:
    try:
        data = b64url_decode(text)
    except JoseError:
        return
    assert b64url_encode(data) == text


@pytest.mark.parametrize("text", ["AA==", "AA=", "A", "AB", "A A", "AAA\n", "A+AA", "A/AA", "AÄ", "AAAAA", "\ud800"])
def test_base64url_that_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(JoseError):
        b64url_decode(text)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_is_the_same_whether_its_point_is_written_anew_or_taken_from_its_spki(algorithm: str) -> None:
    key = SigningKey.generate(algorithm).public
    assert VerifyingKey.from_public_key(key.public_key, spki=key.spki()) == key
