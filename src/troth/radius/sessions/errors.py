"""Why an Accounting-Request is not answered, and what can be wrong with a request about sessions."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

AUTHENTICATOR = reason(
    "radius.accounting.authenticator",
    "the authenticator of the accounting packet is wrong",
    fix="The shared secrets differ (accounting often has a field of its own), or somebody forges packets.",
)
STATUS_MISSING = reason(
    "radius.accounting.status_missing",
    "the accounting packet does not say what it reports",
    fix="Acct-Status-Type is missing (RFC 2866, 5.1). Update the access server, and report the packet to its vendor.",
)
SESSION_MISSING = reason(
    "radius.accounting.session_missing",
    "the accounting packet does not say which session it is about",
    fix="Acct-Session-Id is missing (RFC 2866, 5.5). Update the access server, and report the packet to its vendor.",
)
BUSY = reason(
    "radius.accounting.busy",
    "more accounting waits for the database than is kept",
    fix="The database is slow or away; access servers send again. See the health page, and the age of the inbox there.",
)
SESSION_UNKNOWN = reason(
    "radius.session.unknown",
    "there is no such session",
    fix="List the sessions with `troth session list --all`; they are kept for a limited time.",
    status=404,
)
SESSION_ENDED = reason(
    "radius.session.ended",
    "this session has ended",
    fix="Nothing is left to be done to it. `troth session list` lists those that go on.",
    status=409,
)
NOBODY_MEANT = reason(
    "radius.session.nobody_meant",
    "the request does not say which sessions it means",
    fix="Name a station, user, certificate, subject, access server or network; for all of them say so (`--all`).",
    status=422,
)
ORDER_UNKNOWN = reason(
    "radius.session.order_unknown",
    "there is no such order, or it does not wait for a person",
    fix="List what waits with `troth session orders --state staged`.",
    status=404,
)


class AccountingRefused(TrothError):
    """An Accounting-Request that is dropped without an answer."""


class SessionRefused(TrothError):
    """A request about sessions that was refused; nothing was written."""
