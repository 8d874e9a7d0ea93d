"""Passkeys (WebAuthn level 3): options for the browser, and verification of what it sends back. Keeps nothing.

The library is imported where it is used: it costs every process a seventh of a second, and most log nobody in.
Credentials are discoverable, so that a log-in needs no name, and user verification is required, so that a passkey is
two factors by itself. No attestation is asked for: it matters that the key is the same one, not who made it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from troth.access.errors import PASSKEY_INVALID, AccessError

#: A browser's answer is about 1 kB; anything far larger is not one.
MAXIMUM_ANSWER = 32_768


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Whom passkeys are made for: ``id`` is the admin listener's host name, ``origins`` the addresses served there."""

    id: str
    origins: tuple[str, ...]
    name: str = "Troth"


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """A verified registration."""

    credential_id: bytes
    public_key: bytes
    sign_count: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a browser sent, parsed as far as needed to look up the rest. Nothing in it is proved yet."""

    raw: dict[str, Any]
    credential_id: bytes
    challenge: bytes


def parse(answer: object) -> Answer:
    """The credential id and the challenge out of a browser's JSON. Raises AccessError(PASSKEY_INVALID)."""
    from webauthn.helpers import base64url_to_bytes

    try:
        if not isinstance(answer, dict):
            raise TypeError("not an object")
        client_data = base64url_to_bytes(cast("str", answer["response"]["clientDataJSON"]))
        if len(client_data) > MAXIMUM_ANSWER:
            raise ValueError("too large")
        challenge = base64url_to_bytes(cast("str", json.loads(client_data)["challenge"]))
        return Answer(answer, base64url_to_bytes(cast("str", answer["rawId"])), challenge)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise AccessError(PASSKEY_INVALID, "the browser's answer is malformed") from error


def registration_options(
    party: RelyingParty, *, account: bytes, name: str, challenge: bytes, known: Sequence[bytes] = ()
) -> dict[str, Any]:
    """Options for ``navigator.credentials.create``, as JSON values. ``known`` credentials are not made twice."""
    from webauthn import generate_registration_options, options_to_json
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        PublicKeyCredentialDescriptor,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    options = generate_registration_options(
        rp_id=party.id,
        rp_name=party.name,
        user_id=account,
        user_name=name,
        challenge=challenge,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=credential) for credential in known],
    )
    return cast("dict[str, Any]", json.loads(options_to_json(options)))


def verify_registration(party: RelyingParty, answer: Answer) -> NewPasskey:
    """Check a new credential. The caller has found ``answer.challenge`` among its own, unused ones."""
    from webauthn import verify_registration_response
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        verified = verify_registration_response(
            credential=answer.raw,
            expected_challenge=answer.challenge,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            require_user_verification=True,
        )
    except (WebAuthnException, KeyError, TypeError, ValueError) as error:
        raise AccessError(PASSKEY_INVALID) from error
    return NewPasskey(verified.credential_id, verified.credential_public_key, verified.sign_count)


def authentication_options(party: RelyingParty, *, challenge: bytes) -> dict[str, Any]:
    """Options for ``navigator.credentials.get``: no list of credentials, so none is given away."""
    from webauthn import generate_authentication_options, options_to_json
    from webauthn.helpers.structs import UserVerificationRequirement

    options = generate_authentication_options(
        rp_id=party.id, challenge=challenge, user_verification=UserVerificationRequirement.REQUIRED
    )
    return cast("dict[str, Any]", json.loads(options_to_json(options)))


def verify_authentication(party: RelyingParty, answer: Answer, *, public_key: bytes, sign_count: int) -> int:
    """Check a log-in; returns the new signature counter. A counter that went backwards is a cloned key and refused."""
    from webauthn import verify_authentication_response
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        verified = verify_authentication_response(
            credential=answer.raw,
            expected_challenge=answer.challenge,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            credential_public_key=public_key,
            credential_current_sign_count=sign_count,
            require_user_verification=True,
        )
    except (WebAuthnException, KeyError, TypeError, ValueError) as error:
        raise AccessError(PASSKEY_INVALID) from error
    return verified.new_sign_count


def descriptor(credential_id: bytes) -> dict[str, str]:
    """A credential as options name it."""
    from webauthn.helpers import bytes_to_base64url

    return {"type": "public-key", "id": bytes_to_base64url(credential_id)}
