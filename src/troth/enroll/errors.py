"""Why a proved request still gets no certificate."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

REFUSED = reason(
    "enroll.refused",
    "the trust decision refused this request",
    fix="`troth why` shows the decision: each condition, the value seen and what would have to change.",
    status=403,
)


class IssuanceRefused(TrothError):
    """The judge said no; ``facts`` holds ``decision_id`` and ``outcome``."""
