"""Why a proved request still gets no certificate."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

REFUSED = reason(
    "enroll.refused",
    "the trust decision refused this request",
    fix="`troth why` shows the decision: each condition, the value seen and what would have to change.",
    status=403,
)
UNDECIDED = reason(
    "enroll.undecided",
    "what the trust decision needs to know is not known at present",
    fix="Try again later; `troth why` names the facts that are missing or too old, and who should report them.",
    status=503,
)
TOO_MANY_PROOFS = reason(
    "enroll.key_compromise.too_many",
    "too many proofs of compromise at once",
    fix="Wait a minute and send it again; a proof does not grow old.",
    status=429,
)


class ProofsLimited(TrothError):
    """The allowance of this network, or of all together, is used up."""


class IssuanceRefused(TrothError):
    """The judge said no; ``facts`` holds ``decision_id`` and ``outcome``."""


class Undecided(IssuanceRefused):
    """The judge could not say: facts are missing, stale, or their source is out of reach. Nothing was refused."""
