"""Why a security event token or a stream is refused, and by which code its transmitter is told (RFC 8935, 2.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from troth.kit.errors import Reason, TrothError, reason

SET_MALFORMED = reason(
    "ssf.set.malformed",
    "this is no security event token that the Shared Signals Framework allows",
    fix="The detail names the claim; compare with SSF 1.0, section 4, and RFC 8417.",
)
SET_KEY = reason(
    "ssf.set.key",
    "the transmitter publishes no acceptable key of this id",
    fix="Publish the signing key in the key set at jwks_uri; RSA from 2,048 bits, or an elliptic curve.",
)
SET_SIGNATURE = reason(
    "ssf.set.signature",
    "the signature of the token does not verify",
    fix="Sign with the key that `kid` names, by RS256, PS256, ES256, ES384, ES512 or EdDSA.",
)
SET_ISSUER = reason(
    "ssf.set.issuer",
    "the token's issuer is not the transmitter of this stream",
    fix="`iss` must be the issuer of the transmitter's metadata and of the stream, letter by letter.",
)
SET_AUDIENCE = reason(
    "ssf.set.audience",
    "the token is for somebody else",
    fix="`aud` must name the audience of the stream's configuration.",
)
SET_TIME = reason(
    "ssf.set.time",
    "the token was issued in the future, or too long ago to be told from a repetition",
    fix="Set the transmitter's clock; ssf.keep_days says how old a token may be.",
)
SET_REUSED = reason(
    "ssf.set.reused",
    "this jti came before with another token",
    fix="Give each token its own jti; repeat one only with the same token.",
)
SET_STATE = reason(
    "ssf.set.state",
    "the verification event has another state than was asked for",
    fix="Echo the state of the latest verification request; leave it out of one that nobody asked for.",
)
UNAUTHENTICATED = reason(
    "ssf.unauthenticated",
    "no stream here is delivered with this authorization header",
    fix="Send the authorization_header of the stream's configuration with each delivery.",
    status=401,
)
NOT_A_SET = reason(
    "ssf.not_a_set",
    "the body is not a security event token",
    fix="POST one token with the content type application/secevent+jwt.",
)
STREAM_UNKNOWN = reason(
    "ssf.stream.unknown",
    "there is no such stream",
    fix="List the streams with `troth ssf stream list`.",
    status=404,
)
STREAM_INVALID = reason(
    "ssf.stream.invalid",
    "the definition of this stream does not hold together",
    fix="Correct the named field; docs/shared-signals.md describes them all.",
    status=422,
)
STREAM_STATE = reason(
    "ssf.stream.state",
    "the stream is in no state for this",
    fix="Connect it first (`troth ssf stream connect`), or see its status.",
    status=409,
)
TRANSMITTER_REFUSED = reason(
    "ssf.transmitter.refused",
    "the transmitter refused the request",
    fix="The detail has its status and words; 401 and 403 are about the credential or its scopes.",
    status=502,
)
TRANSMITTER_CREDENTIAL = reason(
    "ssf.transmitter.credential",
    "the transmitter or its authorization server does not take our credential",
    fix="Give the secret anew with `troth ssf stream secret`, and check client id and token URL.",
    status=502,
)
TRANSMITTER_SCOPE = reason(
    "ssf.transmitter.scope",
    "our credential is good but lacks a scope",
    fix="Grant the client the scopes ssf.read and ssf.manage, or what the transmitter calls them.",
    status=502,
)
TRANSMITTER_ANSWER = reason(
    "ssf.transmitter.answer",
    "the transmitter's answer is not what the specification promises",
    fix="The detail names the field; ask the transmitter's maker, or set the stream's dialect.",
    status=502,
)
TRANSMITTER_BUSY = reason(
    "ssf.transmitter.busy",
    "the transmitter asks to come back later",
    fix="Wait; min_verification_interval of the stream says how often a verification may be asked for.",
    status=503,
)
WIDE_UNKNOWN = reason(
    "ssf.wide.unknown",
    "there is no such event waiting for a person",
    fix="List them with `troth ssf wide list`.",
    status=404,
)
WIDE_SETTLED = reason(
    "ssf.wide.settled",
    "this event was settled before",
    fix="Nothing to do; the ledger says who settled it.",
    status=409,
)

#: What a transmitter is told: RFC 8935, 2.4 and SSF 1.0, 8.1.4.1. Whatever else went wrong is our own affair.
WIRE_CODES: Final[Mapping[str, str]] = {
    SET_MALFORMED.code: "invalid_request",
    NOT_A_SET.code: "invalid_request",
    SET_TIME.code: "invalid_request",
    SET_REUSED.code: "invalid_request",
    SET_KEY.code: "invalid_key",
    SET_SIGNATURE.code: "authentication_failed",
    UNAUTHENTICATED.code: "authentication_failed",
    SET_ISSUER.code: "invalid_issuer",
    SET_AUDIENCE.code: "invalid_audience",
    SET_STATE.code: "invalid_state",
}


class SsfError(TrothError):
    """Anything that this room refuses."""


class SetRefused(SsfError):
    """A token that is not taken, whoever delivers it how often."""

    @property
    def wire_code(self) -> str:
        """The ``err`` that its transmitter is told."""
        return WIRE_CODES.get(self.code, "invalid_request")


class StreamInvalid(SsfError):
    """A definition that was refused."""


class StreamUnknown(SsfError):
    """No stream of that name."""


class StreamState(SsfError):
    """The stream cannot do this now."""


class TransmitterFailed(SsfError):
    """The other side refused, or answered nonsense."""


def refused(reason: Reason, detail: str = "", **facts: object) -> SetRefused:
    """A refusal of a token, to raise."""
    return SetRefused(reason, detail, **facts)
