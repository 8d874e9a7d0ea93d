"""Why a webhook message is refused."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

UNAUTHENTICATED = reason(
    "webhook.unauthenticated",
    "the message is not signed by a feed known here",
    fix="Check the feed's name in the URL and its secret; sign `id.timestamp.body` as Standard Webhooks 1.0 says.",
    status=401,
)
STALE = reason(
    "webhook.stale",
    "the message was stamped too far from now",
    fix="Set the sender's clock, and stamp and sign anew at each attempt (the message id stays).",
    status=401,
)
BODY_INVALID = reason(
    "webhook.body_invalid",
    "the message is not a signal",
    fix="Send the JSON object described in docs/signals.md; the detail names the field.",
    status=400,
)


class WebhookError(TrothError):
    """A message that was refused; nothing was written."""


class Unauthenticated(WebhookError):
    """No feed, no secret, or no good signature: all alike to the caller."""


class Stale(WebhookError):
    """A good signature over a timestamp that is too old or from the future."""


class BodyInvalid(WebhookError):
    """A good signature over something that is no signal."""
