from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.authenticator import Authenticator
from troth.access.errors import AccessError
from troth.access.passkeys import (
    RelyingParty,
    authentication_options,
    parse,
    registration_options,
    verify_authentication,
    verify_registration,
)

PARTY = RelyingParty("localhost", ("https://localhost:8444",))
CHALLENGE = bytes(range(32))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)


def test_a_passkey_is_made_and_then_recognised() -> None:
    device = Authenticator()
    options = registration_options(PARTY, account=b"a" * 16, name="dora", challenge=CHALLENGE)
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert options["authenticatorSelection"]["residentKey"] == "required"
    made = verify_registration(PARTY, parse(device.create(options, PARTY.origins[0])))
    asked = authentication_options(PARTY, challenge=CHALLENGE)
    assert asked["allowCredentials"] == []
    answer = parse(device.get(asked, PARTY.origins[0]))
    assert answer.credential_id == made.credential_id
    count = verify_authentication(PARTY, answer, public_key=made.public_key, sign_count=made.sign_count)
    assert count == made.sign_count + 1


def test_an_answer_given_to_another_site_is_refused() -> None:
    device = Authenticator()
    options = registration_options(PARTY, account=b"a" * 16, name="dora", challenge=CHALLENGE)
    with pytest.raises(AccessError) as refused:
        verify_registration(PARTY, parse(device.create(options, "https://evil.example")))
    assert refused.value.code == "access.passkey_invalid"


def test_an_answer_without_user_verification_is_refused() -> None:
    device = Authenticator(verifies_user=False)
    options = registration_options(PARTY, account=b"a" * 16, name="dora", challenge=CHALLENGE)
    with pytest.raises(AccessError):
        verify_registration(PARTY, parse(device.create(options, PARTY.origins[0])))


def test_a_counter_that_went_backwards_is_refused_as_a_clone() -> None:
    device = Authenticator()
    options = registration_options(PARTY, account=b"a" * 16, name="dora", challenge=CHALLENGE)
    made = verify_registration(PARTY, parse(device.create(options, PARTY.origins[0])))
    answer = parse(device.get(authentication_options(PARTY, challenge=CHALLENGE), PARTY.origins[0]))
    with pytest.raises(AccessError):
        verify_authentication(PARTY, answer, public_key=made.public_key, sign_count=made.sign_count + 5)


def test_a_wrong_signature_is_refused() -> None:
    device, other = Authenticator(), Authenticator()
    options = registration_options(PARTY, account=b"a" * 16, name="dora", challenge=CHALLENGE)
    made = verify_registration(PARTY, parse(device.create(options, PARTY.origins[0])))
    other.credential_id = device.credential_id
    answer = parse(other.get(authentication_options(PARTY, challenge=CHALLENGE), PARTY.origins[0]))
    with pytest.raises(AccessError):
        verify_authentication(PARTY, answer, public_key=made.public_key, sign_count=0)


@given(json_values)
def test_whatever_a_browser_sends_is_parsed_or_refused(value: object) -> None:
    with contextlib.suppress(AccessError):
        parse(value)


@given(st.binary(max_size=200), st.binary(max_size=400), st.text(max_size=60))
def test_a_mangled_registration_is_refused(client_data: bytes, attestation: bytes, origin: str) -> None:
    device = Authenticator()
    options = registration_options(PARTY, account=b"a" * 16, name="dora", challenge=CHALLENGE)
    answer = device.create(options, origin)
    answer["response"]["attestationObject"] = device.b64(attestation)
    if client_data:
        try:
            json.loads(client_data)
        except ValueError:
            answer["response"]["clientDataJSON"] = device.b64(client_data)
    with pytest.raises(AccessError):
        verify_registration(PARTY, parse(answer))
