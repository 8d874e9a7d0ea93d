from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.client.acme_session import sign_jws
from troth.client.jose import ALGORITHMS, SigningKey, b64url_encode
from troth.enroll.acme.flattened import _restore_zeros
from troth.enroll.acme.jwk import AccountKeys, encode_jwk
from troth.enroll.acme.jws import MAX_BODY, SignedBy, SignedRequest, open_key_change, open_request
from troth.enroll.acme.problems import URN, AcmeProblem

PREFIX = "https://ca.example/acme/tls-server/acct/"
URL = "https://ca.example/acme/tls-server/new-order"
KID = PREFIX + "1"


@dataclass
class Account:
    jwk: bytes
    status: str = "valid"


@dataclass
class Nonces:
    """Takes ``good`` once, as the real map does."""

    consumed: list[str] = field(default_factory=list)

    def consume(self, nonce: str) -> bool:
        self.consumed.append(nonce)
        return nonce == "good" and self.consumed.count("good") == 1


KEYS = {algorithm: SigningKey.generate(algorithm) for algorithm in ALGORITHMS}
KEY = KEYS["ES256"]
ACCOUNTS = {
    "1": Account(encode_jwk(KEY.public)),
    "gone": Account(encode_jwk(KEY.public), "deactivated"),
    "thrown-out": Account(encode_jwk(KEY.public), "revoked"),
    **{algorithm: Account(encode_jwk(key.public)) for algorithm, key in KEYS.items()},
}


async def find_account(rest: str) -> Account | None:
    return ACCOUNTS.get(rest)


async def opened(
    body: bytes,
    *,
    content_type: str | None = "application/jose+json",
    signed_by: SignedBy = "kid",
    nonces: Nonces | None = None,
    max_body: int = MAX_BODY,
) -> SignedRequest[Account]:
    return await open_request(
        body,
        content_type=content_type,
        url=URL,
        signed_by=signed_by,
        account_prefix=PREFIX,
        find_account=find_account,
        keys=AccountKeys(),
        nonces=nonces or Nonces(),
        max_body=max_body,
    )


def header(**changes: Any) -> dict[str, Any]:
    """A good header with ``changes``; None takes a member out."""
    full = {"alg": "ES256", "kid": KID, "nonce": "good", "url": URL, **changes}
    return {name: value for name, value in full.items() if value is not None}


def signed(payload: bytes = b"{}", key: SigningKey = KEY, **changes: Any) -> bytes:
    return sign_jws(key, header(**changes), payload)


def raw(protected: bytes, payload: bytes = b"{}", key: SigningKey = KEY) -> bytes:
    """A JWS around a header that no JSON writer would write."""
    first, second = b64url_encode(protected), b64url_encode(payload)
    signature = b64url_encode(key.sign(f"{first}.{second}".encode()))
    return json.dumps({"protected": first, "payload": second, "signature": signature}).encode()


def altered(**changes: Any) -> bytes:
    """A good JWS whose members are replaced; None takes one out."""
    members = {**json.loads(signed()), **changes}
    return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_request_signed_by_an_account_opens(algorithm: str) -> None:
    request = await opened(signed(b'{"a":1}', KEYS[algorithm], alg=algorithm, kid=PREFIX + algorithm))
    assert request.account is ACCOUNTS[algorithm]
    assert request.json() == {"a": 1}
    assert not request.is_post_as_get


async def test_a_request_that_carries_its_key_opens() -> None:
    request = await opened(signed(kid=None, jwk=dict(KEY.public.jwk)), signed_by="jwk")
    assert request.account is None
    assert request.key.thumbprint == KEY.public.thumbprint


async def test_either_way_of_naming_the_signer_opens_where_both_are_taken() -> None:
    assert (await opened(signed(), signed_by="either")).account is ACCOUNTS["1"]
    assert (await opened(signed(kid=None, jwk=dict(KEY.public.jwk)), signed_by="either")).account is None


async def test_an_empty_payload_is_post_as_get() -> None:
    assert (await opened(signed(b""))).is_post_as_get


async def test_parameters_of_the_content_type_and_unknown_header_members_are_tolerated() -> None:
    body = signed(typ="JOSE+JSON", extra={"any": ["thing"]})
    assert await opened(body, content_type="Application/JOSE+JSON; charset=utf-8")


async def test_white_space_between_members_is_tolerated() -> None:
    assert await opened(json.dumps(json.loads(signed()), indent=2).encode())


MALFORMED: list[tuple[str, Callable[[], bytes]]] = [
    ("empty", lambda: b""),
    ("no JSON", lambda: b"protected.payload.signature"),
    ("not UTF-8", lambda: b'{"protected":"\xff"}'),
    ("null", lambda: b"null"),
    ("array", lambda: b"[" + signed() + b"]"),
    ("two documents", lambda: signed() + signed()),
    ("deeply nested", lambda: b"[" * 60_000),
    ("without protected", lambda: altered(protected=None)),
    ("without payload (detached)", lambda: altered(payload=None)),
    ("without signature", lambda: altered(signature=None)),
    ("payload null", lambda: json.dumps({**json.loads(signed()), "payload": None}).encode()),
    ("payload an object", lambda: altered(payload={})),
    ("unprotected header", lambda: altered(header={"kid": KID})),
    ("general serialisation", lambda: altered(signatures=[])),
    ("unknown member", lambda: altered(more="")),
    ("doubled member", lambda: signed()[:-1] + b',"payload":""}'),
    ("doubled member, escaped", lambda: signed()[:-1] + b',"\\u0070ayload":""}'),
    ("padding", lambda: altered(payload="e30=")),
    ("stray bits", lambda: altered(payload="e31")),
    ("standard alphabet", lambda: altered(payload="+/+/")),
    ("white space in base64url", lambda: altered(payload="e30 ")),
    ("lone surrogate", lambda: altered(payload="\ud800")),
    ("header no JSON", lambda: raw(b"{")),
    ("header an array", lambda: raw(b"[]")),
    ("header not UTF-8", lambda: raw(b'{"alg":"\xff"}')),
    ("header deeply nested", lambda: raw(b"[" * 12_000)),
    ("header that is long", lambda: signed(more="x" * 12_300)),
    ("header with doubled alg", lambda: raw(b'{"alg":"ES256",' + json.dumps(header()).encode()[1:])),
    ("header with doubled member inside", lambda: raw(json.dumps(header()).encode()[:-1] + b',"x":{"a":1,"a":2}}')),
    ("header with NaN", lambda: raw(json.dumps(header()).encode()[:-1] + b',"x":NaN}')),
    ("header with an endless number", lambda: raw(json.dumps(header()).encode()[:-1] + b',"x":' + b"1" * 9000 + b"}")),
    ("without alg", lambda: signed(alg=None)),
    ("alg no text", lambda: signed(alg=["ES256"])),
    ("crit", lambda: signed(crit=["exp"])),
    ("b64 false", lambda: signed(b64=False)),
    ("b64 true", lambda: signed(b64=True)),
    ("neither kid nor jwk", lambda: signed(kid=None)),
    ("kid and jwk", lambda: signed(jwk=dict(KEY.public.jwk))),
    ("jwk where kid belongs", lambda: signed(kid=None, jwk=dict(KEY.public.jwk))),
    ("kid no text", lambda: signed(kid=1)),
    ("kid of another directory", lambda: signed(kid="https://ca.example/acme/other/acct/1")),
    ("kid without the account", lambda: signed(kid=PREFIX)),
    ("kid a bare number", lambda: signed(kid="1")),
    ("without url", lambda: signed(url=None)),
    ("url no text", lambda: signed(url=5)),
    ("url beyond ASCII", lambda: signed(url=URL + "é")),
    ("without nonce", lambda: signed(nonce=None)),
    ("nonce no text", lambda: signed(nonce=17)),
    ("empty nonce", lambda: signed(nonce="")),
]


@pytest.mark.parametrize(("name", "body"), MALFORMED, ids=[name for name, _ in MALFORMED])
async def test_a_message_of_another_shape_is_malformed(name: str, body: Callable[[], bytes]) -> None:
    nonces = Nonces()
    with pytest.raises(AcmeProblem) as refused:
        await opened(body(), nonces=nonces)
    assert (refused.value.type, refused.value.status) == (URN + "malformed", 400)
    assert nonces.consumed == []


async def test_kid_where_jwk_belongs_is_malformed() -> None:
    with pytest.raises(AcmeProblem) as refused:
        await opened(signed(), signed_by="jwk")
    assert refused.value.type == URN + "malformed"


@pytest.mark.parametrize("content_type", [None, "", "application/json", "application/jose", "text/plain", "jose+json"])
async def test_another_content_type_is_refused_with_415(content_type: str | None) -> None:
    with pytest.raises(AcmeProblem) as refused:
        await opened(signed(), content_type=content_type)
    assert (refused.value.type, refused.value.status) == (URN + "malformed", 415)


async def test_a_large_body_is_refused_with_413_before_it_is_parsed() -> None:
    with pytest.raises(AcmeProblem) as refused:
        await opened(b"x" * (MAX_BODY + 1))
    assert (refused.value.type, refused.value.status) == (URN + "malformed", 413)
    large = signed(b"x" * MAX_BODY)
    assert await opened(large, max_body=len(large))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "PS256", "RS512", "ES256K", "es256", "é", ""])
async def test_other_algorithms_are_refused_with_the_list_of_ours(algorithm: str) -> None:
    with pytest.raises(AcmeProblem) as refused:
        await opened(signed(alg=algorithm))
    document = refused.value.document()
    assert (document["type"], document["status"]) == (URN + "badSignatureAlgorithm", 400)
    assert document["algorithms"] == list(ALGORITHMS)


@pytest.mark.parametrize("algorithm", ["ES384", "RS256", "EdDSA"])
async def test_an_algorithm_of_another_kind_of_key_is_refused_with_the_fitting_one(algorithm: str) -> None:
    with pytest.raises(AcmeProblem) as refused:
        await opened(signed(alg=algorithm))
    document = refused.value.document()
    assert document["type"] == URN + "badSignatureAlgorithm"
    assert document["algorithms"] == ["ES256"]


@pytest.mark.parametrize("jwk", [{}, {"kty": "oct", "k": "AAAA"}, "text", 5, [], {**KEY.public.jwk, "d": "AAAA"}])
async def test_a_key_that_is_none_is_a_bad_public_key(jwk: object) -> None:
    with pytest.raises(AcmeProblem) as refused:
        await opened(signed(kid=None, jwk=jwk), signed_by="jwk")
    assert (refused.value.type, refused.value.status) == (URN + "badPublicKey", 400)


async def test_an_unknown_account_does_not_exist() -> None:
    with pytest.raises(AcmeProblem) as refused:
        await opened(signed(kid=PREFIX + "2"))
    assert (refused.value.type, refused.value.status) == (URN + "accountDoesNotExist", 400)


@pytest.mark.parametrize("account", ["gone", "thrown-out"])
async def test_an_account_that_is_no_longer_valid_is_unauthorized_with_401(account: str) -> None:
    with pytest.raises(AcmeProblem) as refused:
        await opened(signed(kid=PREFIX + account))
    assert (refused.value.type, refused.value.status) == (URN + "unauthorized", 401)


async def test_a_stranger_is_not_told_the_state_of_an_account() -> None:
    with pytest.raises(AcmeProblem) as refused:
        await opened(signed(key=SigningKey.generate(), kid=PREFIX + "gone"))
    assert refused.value.code == "acme.jws.signature"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lambda: signed(key=SigningKey.generate()), id="another key"),
        pytest.param(lambda: altered(payload=b64url_encode(b'{"more":true}')), id="another payload"),
        pytest.param(lambda: altered(signature=b64url_encode(bytes(64))), id="zeros"),
        pytest.param(lambda: altered(signature=""), id="empty"),
        pytest.param(lambda: altered(signature=b64url_encode(b"\1" * 65)), id="long"),
        pytest.param(lambda: altered(signature=b64url_encode(b"\1" * 61)), id="three octets short"),
        pytest.param(lambda: altered(signature=b64url_encode(b"\1" * 62)), id="two octets short"),
    ],
)
async def test_a_signature_that_does_not_hold_burns_no_nonce(body: Callable[[], bytes]) -> None:
    nonces = Nonces()
    with pytest.raises(AcmeProblem) as refused:
        await opened(body(), nonces=nonces)
    assert (refused.value.code, refused.value.status) == ("acme.jws.signature", 400)
    assert nonces.consumed == []


async def test_a_request_signed_for_another_url_is_unauthorized_and_burns_no_nonce() -> None:
    nonces = Nonces()
    with pytest.raises(AcmeProblem) as refused:
        await opened(signed(url=URL + "/"), nonces=nonces)
    assert (refused.value.type, refused.value.status) == (URN + "unauthorized", 403)
    assert nonces.consumed == []


async def test_a_nonce_is_good_once() -> None:
    nonces = Nonces()
    assert await opened(signed(), nonces=nonces)
    with pytest.raises(AcmeProblem) as refused:
        await opened(signed(), nonces=nonces)
    assert (refused.value.type, refused.value.status) == (URN + "badNonce", 400)


def without_zeros(half: str) -> tuple[bytes, int]:
    """A good request whose ES256 signature lost the leading zero of r, of s, or of both, as Apple's devices do."""
    for number in range(400_000):
        members = json.loads(signed(b"%d" % number))
        signing_input = f"{members['protected']}.{members['payload']}".encode()
        signature = KEY.sign(signing_input)
        r, s = signature[:32], signature[32:]
        if half == "r" and r[0] == 0 and s[0] != 0:
            short = r[1:] + s
        elif half == "s" and s[0] == 0 and r[0] != 0:
            short = r + s[1:]
        elif half == "both" and r[0] == 0 and s[0] == 0:
            short = r[1:] + s[1:]
        else:
            continue
        return json.dumps({**members, "signature": b64url_encode(short)}).encode(), len(short)
    raise AssertionError("no such signature was found")


@pytest.mark.parametrize(("half", "length"), [("r", 63), ("s", 63)])
async def test_a_signature_that_lost_a_leading_zero_still_verifies(half: str, length: int) -> None:
    body, found = without_zeros(half)
    assert found == length
    assert await opened(body)


def test_a_signature_that_lost_two_leading_zeros_is_read_in_every_way() -> None:
    # One signature in 65,536 is such: to find one by trying would take half a minute.
    r, s = b"\0" + b"\1" * 31, b"\0" + b"\2" * 31
    assert r + s in _restore_zeros(r[1:] + s[1:], KEY.public)
    two = b"\0\0" + b"\1" * 30
    assert two + s in _restore_zeros(two[2:] + s, KEY.public)
    assert s + two in _restore_zeros(s + two[2:], KEY.public)
    assert _restore_zeros(bytes(61), KEY.public) == []
    assert _restore_zeros(bytes(63), KEYS["EdDSA"].public) == []
    assert _restore_zeros(bytes(255), KEYS["RS256"].public) == []


@pytest.mark.parametrize("payload", [b"", b"[]", b"5", b'{"a":1,"a":2}', b"\xff", b"{", b'{"a":{"b":1,"b":1}}'])
async def test_a_payload_that_is_no_object_is_malformed(payload: bytes) -> None:
    request = await opened(signed(payload))
    with pytest.raises(AcmeProblem) as refused:
        request.json()
    assert refused.value.type == URN + "malformed"


# Key change.

NEW = SigningKey.generate("ES384")


def inner(key: SigningKey = NEW, payload: object = None, **changes: Any) -> bytes:
    full = {"alg": "ES384", "jwk": dict(NEW.public.jwk), "url": URL, **changes}
    content = payload if payload is not None else {"account": KID, "oldKey": dict(KEY.public.jwk)}
    protected = {name: value for name, value in full.items() if value is not None}
    return sign_jws(key, protected, json.dumps(content).encode())


async def changed(payload: bytes) -> str:
    request = await opened(signed(payload))
    return open_key_change(request, account_url=KID, keys=AccountKeys()).thumbprint


async def test_a_key_change_proves_the_new_key() -> None:
    assert await changed(inner()) == NEW.public.thumbprint


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        pytest.param(lambda: b"{}", "acme.jws.malformed", id="no JWS"),
        pytest.param(lambda: inner(nonce="good"), "acme.jws.malformed", id="with a nonce"),
        pytest.param(lambda: inner(kid=KID), "acme.jws.malformed", id="with a kid"),
        pytest.param(lambda: inner(jwk=None), "acme.jws.malformed", id="without the new key"),
        pytest.param(lambda: inner(url=URL + "2"), "acme.jws.malformed", id="another url"),
        pytest.param(lambda: inner(url=None), "acme.jws.malformed", id="no url"),
        pytest.param(lambda: inner(SigningKey.generate("ES384")), "acme.jws.signature", id="another signer"),
        pytest.param(lambda: inner(alg="none"), "acme.jws.algorithm", id="alg none"),
        pytest.param(lambda: inner(jwk={"kty": "EC"}), "acme.jws.key", id="no key"),
        pytest.param(lambda: inner(payload=[]), "acme.jws.malformed", id="payload no object"),
        pytest.param(
            lambda: inner(payload={"account": PREFIX + "2", "oldKey": dict(KEY.public.jwk)}),
            "acme.jws.malformed",
            id="another account",
        ),
        pytest.param(
            lambda: inner(payload={"account": KID, "oldKey": dict(NEW.public.jwk)}),
            "acme.jws.malformed",
            id="another old key",
        ),
        pytest.param(lambda: inner(payload={"account": KID}), "acme.jws.malformed", id="no old key"),
    ],
)
async def test_a_key_change_that_proves_less_is_refused(payload: Callable[[], bytes], code: str) -> None:
    with pytest.raises(AcmeProblem) as refused:
        await changed(payload())
    assert refused.value.code == code


# Nothing but problems comes out, whatever goes in.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda deeper: st.lists(deeper, max_size=4) | st.dictionaries(st.text(), deeper, max_size=4),
    max_leaves=12,
)
member = st.sampled_from(["alg", "kid", "jwk", "nonce", "url", "crit", "b64", "kty", "crv", "x", "y", "n", "e"])
words = [*ALGORITHMS, "none", KID, URL, "good", "EC", "RSA", "OKP", "P-256", "Ed25519", "AQAB", "AAAA"]
likely = st.sampled_from(words)
headers = st.dictionaries(member, likely | json_values | st.dictionaries(member, likely | json_values, max_size=5))


def refuse(body: bytes, content_type: str | None = "application/jose+json") -> None:
    try:
        asyncio.run(opened(body, content_type=content_type, signed_by="either"))
    except AcmeProblem as problem:
        json.dumps(problem.document()).encode("ascii")


@given(st.binary(max_size=400), st.none() | st.text())
def test_any_octets_are_answered_with_a_problem(body: bytes, content_type: str | None) -> None:
    refuse(body)
    refuse(body, content_type)


@given(st.dictionaries(st.sampled_from(["protected", "payload", "signature", "header"]), json_values, max_size=4))
def test_any_json_is_answered_with_a_problem(value: dict[str, Any]) -> None:
    refuse(json.dumps(value).encode())


@settings(max_examples=300)
@given(headers, st.binary(max_size=100))
def test_any_header_is_answered_with_a_problem(protected: dict[str, Any], payload: bytes) -> None:
    refuse(raw(json.dumps(protected).encode(), payload))


@given(st.integers(0, 600), st.integers(1, 255))
def test_any_changed_octet_of_a_good_request_is_answered_with_a_problem(at: int, change: int) -> None:
    body = bytearray(signed())
    body[at % len(body)] ^= change
    refuse(bytes(body))
