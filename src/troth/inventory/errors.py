"""Why a report is not taken."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

REPORT_MALFORMED = reason(
    "inventory.report",
    "the report is not as it should be",
    fix="Run an agent of this version; docs/agent.md says what stands in a report.",
)
REPORT_TOO_OFTEN = reason(
    "inventory.too_often",
    "this agent reports too often",
    fix="Wait a minute; a report every few hours is enough.",
    status=429,
)
CURSOR = reason(
    "inventory.cursor",
    "this cursor is none of ours",
    fix="Begin again without a cursor, and pass on what the answer gives as `next`.",
)


class ReportRefused(TrothError):
    """Nothing of the report was written."""
