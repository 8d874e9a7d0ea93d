"""What can be wrong with an application's question."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

CALLER_UNKNOWN = reason(
    "connect.authz.caller_unknown",
    "no application of that token is registered, or it shows another certificate than it must",
    fix="Register it with 'troth application add', and have it send 'Authorization: Bearer TOKEN'.",
    status=401,
)
TOO_MANY = reason(
    "connect.authz.too_many",
    "the application asks more often than it may",
    fix="Wait a moment; 'troth application list' shows the limit.",
    status=429,
)
MALFORMED = reason(
    "connect.authz.malformed",
    "the question cannot be read",
    fix="See docs/applications.md for what is asked and how.",
)
UNSUPPORTED = reason(
    "connect.authz.unsupported",
    "this part of AuthZEN is not offered",
    fix="Ask about one subject, action and resource at a time; the metadata names what there is.",
    status=501,
)
UNDECIDED = reason(
    "connect.authz.undecided",
    "it cannot be decided just now, so nobody is let in",
    fix="Ask again in a moment; 'troth status' says what is away.",
    status=503,
)
NO_CERTIFICATE = reason(
    "connect.authz.no_certificate",
    "the proxy told of no client certificate",
    fix="Have the proxy ask for one and pass it on; see docs/applications.md.",
    status=403,
)
NO_PROFILE = reason(
    "connect.authz.no_profile",
    "the application may ask about certificates alone",
    fix="Give it a profile whose policy judges who shows none: 'troth application add --profile'.",
    status=403,
)
NOT_ACCEPTED = reason(
    "connect.authz.not_accepted",
    "certificates of this profile are not accepted there",
    fix="Show one of a profile that the application accepts.",
    status=403,
)
APPLICATION_INVALID = reason(
    "connect.application.invalid",
    "an application cannot be registered so",
    fix="A name is lower-case letters, digits and hyphens; 'troth application add --help' tells the rest.",
)
APPLICATION_TAKEN = reason(
    "connect.application.taken",
    "an application of that name is registered",
    fix="Take another name, or remove that one first.",
    status=409,
)
APPLICATION_UNKNOWN = reason(
    "connect.application.not_found",
    "there is no such application",
    fix="'troth application list' shows them.",
    status=404,
)


class AuthzError(TrothError):
    """A question that is not answered, or an application that is none."""
