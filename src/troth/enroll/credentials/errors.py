"""Why an enrolment is refused, or cannot be made."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

ENROLMENT_INVALID = reason(
    "enroll.enrolment.invalid",
    "the enrolment cannot be made like this",
    fix="The detail names the field; `troth enrolment create --help` tells what each takes.",
)
ENROLMENT_UNKNOWN = reason(
    "enroll.enrolment.unknown",
    "there is no such enrolment",
    fix="`troth enrolment list` names those there are.",
    status=404,
)
ENROLMENT_CLOSED = reason(
    "enroll.enrolment.closed",
    "the enrolment is revoked or has expired",
    fix="Ask the operator for a new one.",
    status=403,
)
ENROLMENT_USED_UP = reason(
    "enroll.enrolment.used_up",
    "the enrolment has been used as often as it may",
    fix="Ask the operator for a new one.",
    status=403,
)


class EnrolmentRefused(TrothError):
    """The enrolment does not do what was asked of it."""
