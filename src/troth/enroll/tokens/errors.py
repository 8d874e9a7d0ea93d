"""Why a platform's token opens nothing."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

TOKEN_REQUEST = reason(
    "enroll.token.request",
    "the request is not as this door wants it",
    fix="Send JSON with `issuer` (as configured) and `token`; docs/workloads.md has an example.",
)
TOKEN_ISSUER = reason(
    "enroll.token.issuer",
    "tokens of this issuer are not taken",
    fix="Configure it under `tokens.issuers`, or send the token to where it belongs.",
    status=403,
)
TOKEN_MALFORMED = reason(
    "enroll.token.malformed",
    "the token cannot be read",
    fix="Send it as the platform gave it out, whole.",
)
TOKEN_SIGNATURE = reason(
    "enroll.token.signature",
    "the token's signature is not the issuer's",
    fix="Look whether the issuer's keys or certificates, as configured, are the right ones.",
    status=403,
)
TOKEN_CLAIM = reason(
    "enroll.token.claim",
    "a claim of the token is not what is asked for",
    fix="The detail names it: have the platform make a token for this audience, and use it at once.",
    status=403,
)
TOKEN_TIME = reason(
    "enroll.token.time",
    "the token is not in force now, or too old",
    fix="Have a new one made; look at both clocks if it is new.",
    status=403,
)
TOKEN_USED = reason(
    "enroll.token.used",
    "the token was exchanged before",
    fix="Have a new one made; each opens one account.",
    status=403,
)
TOKEN_NO_RULE = reason(
    "enroll.token.no_rule",
    "no rule says what this token may have",
    fix="Compare its claims with `tokens.issuers.NAME.rules`; the server's log has them.",
    status=403,
)
TOKEN_KEYS = reason(
    "enroll.token.keys",
    "the issuer's keys cannot be had",
    fix="Look at the address or file of its keys, and at `egress`.",
    status=503,
)
TOKEN_TOO_MANY = reason(
    "enroll.token.too_many",
    "too many tokens at once",
    fix="Wait a minute and try again.",
    status=429,
)


class TokenRefused(TrothError):
    """The token opens nothing."""
