"""External account bindings taken apart and believed (RFC 8555, 7.3.4)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.client.jose import SigningKey, b64url_encode
from troth.enroll.acme.binding import Binding, read_binding
from troth.enroll.acme.problems import URN, AcmeProblem

URL = "https://ca.example/acme/tls-server/new-account"
KEY, OTHER = SigningKey.generate(), SigningKey.generate()
MAC_KEY = bytes(range(32))
HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def binding(
    payload: object = None, *, mac_key: bytes = MAC_KEY, hashed: str = "HS256", **header: object
) -> dict[str, Any]:
    """A binding, sound unless something is changed; None removes a member of the header."""
    protected = {"alg": "HS256", "kid": "kid-1", "url": URL} | header
    first = b64url_encode(msgspec.json.encode({name: one for name, one in protected.items() if one is not None}))
    said = dict(KEY.public.jwk) if payload is None else payload
    second = b64url_encode(said if isinstance(said, bytes) else msgspec.json.encode(said))
    mac = hmac.new(mac_key, f"{first}.{second}".encode(), HASHES[hashed]).digest()
    return {"protected": first, "payload": second, "signature": b64url_encode(mac)}


def read(value: object) -> Binding:
    return read_binding(value, url=URL, key=KEY.public)


@pytest.mark.parametrize("algorithm", sorted(HASHES))
def test_a_sound_binding_is_believed(algorithm: str) -> None:
    found = read(binding(alg=algorithm, hashed=algorithm))
    assert found.kid == "kid-1"
    found.verify(MAC_KEY)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        [],
        {},
        {**binding(), "header": {}},
        {**binding(), "signature": 1},
        {**binding(), "signature": "AA=="},
        binding(alg="ES256"),
        binding(alg="none"),
        binding(alg=None),
        binding(alg=1),
        binding(kid=None),
        binding(kid=""),
        binding(kid="ü"),
        binding(url=URL + "/"),
        binding(url=None),
        binding(nonce="abc"),
        binding(jwk=dict(KEY.public.jwk)),
        binding(crit=["url"]),
        binding(b64=False),
        binding(dict(OTHER.public.jwk)),
        binding({**KEY.public.jwk, "d": "AQ"}),
        binding([]),
        binding(b"{}"),
        binding(b"\xff"),
    ],
)
def test_what_is_no_binding_of_this_request_is_malformed(value: object) -> None:
    with pytest.raises(AcmeProblem) as refused:
        read(value)
    assert refused.value.type == URN + "malformed"
    assert refused.value.status == 400


def test_another_key_or_algorithm_than_that_of_the_mac_is_refused() -> None:
    for value, key in [
        (binding(), b"x" * 32),
        (binding(mac_key=b""), MAC_KEY),
        (binding(alg="HS384"), MAC_KEY),
        ({**binding(), "signature": ""}, MAC_KEY),
        ({**binding(), "signature": binding()["signature"][:-3]}, MAC_KEY),
    ]:
        with pytest.raises(AcmeProblem) as refused:
            read(value).verify(key)
        assert refused.value.type == URN + "unauthorized"
        assert refused.value.status == 403


def test_neither_a_binding_nor_its_mac_is_shown() -> None:
    assert binding()["signature"] not in repr(read(binding()))


@given(st.integers(0, 2), st.integers(0, 400), st.characters(codec="ascii"))
def test_no_changed_binding_is_believed(member: int, place: int, put: str) -> None:
    sound = binding()
    name = ("protected", "payload", "signature")[member]
    place %= len(sound[name])
    changed = {**sound, name: sound[name][:place] + put + sound[name][place + 1 :]}
    if changed == sound:
        return
    with pytest.raises(AcmeProblem):
        read(changed).verify(MAC_KEY)
