"""What a receiver is told, and what people are."""

from __future__ import annotations

from troth.connect.ssf.errors import SsfError
from troth.kit.errors import Reason, reason

RECEIVER_UNKNOWN = reason(
    "ssf.receiver.unknown",
    "there is no such receiver",
    fix="List the receivers with `troth ssf receiver list`.",
    status=404,
)
RECEIVER_INVALID = reason(
    "ssf.receiver.invalid",
    "the definition of this receiver does not hold together",
    fix="Correct the named field; docs/shared-signals.md describes them all.",
    status=422,
)
UNAUTHORIZED = reason(
    "ssf.receiver.unauthorized",
    "no receiver proves itself with this",
    fix="Ask for an access token at the token endpoint with the client id and secret of the receiver.",
    status=401,
)
SCOPE_MISSING = reason(
    "ssf.receiver.scope",
    "the access token does not have the scope for this",
    fix="Ask for a token with the scope ssf.manage.",
    status=403,
)
REQUEST_INVALID = reason(
    "ssf.receiver.request",
    "the request is not what SSF 1.0 or RFC 8936 describes",
    fix="The detail names the field.",
    status=400,
)
OUT_STREAM_UNKNOWN = reason(
    "ssf.receiver.stream_unknown",
    "this receiver has no such stream",
    fix="Read the list of streams without a stream_id.",
    status=404,
)
STREAM_EXISTS = reason(
    "ssf.receiver.stream_exists",
    "the receiver has as many streams as it may",
    fix="Read the stream that there is and change it with PATCH or PUT.",
    status=409,
)
NOT_GRANTED = reason(
    "ssf.receiver.not_granted",
    "the receiver was not granted this",
    fix="Widen `events` or `push_hosts` of the receiver if it should be.",
    status=403,
)
STREAM_HELD = reason(
    "ssf.receiver.stream_held",
    "people here have stopped this stream",
    fix="Ask them; `troth ssf receiver resume` sets it going again.",
    status=403,
)
TOO_OFTEN = reason(
    "ssf.receiver.too_often",
    "verification was asked for too soon after the last",
    fix="Keep to min_verification_interval of the stream's configuration.",
    status=429,
)


class ReceiverRefused(SsfError):
    """A receiver's request that is not done, or a definition that is not taken."""


def refused(reason: Reason, detail: str = "", **facts: object) -> ReceiverRefused:
    """A refusal, to raise."""
    return ReceiverRefused(reason, detail, **facts)
