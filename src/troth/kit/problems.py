"""Refusals as RFC 9457 words them, for doors that have no types of their own as ACME has."""

from __future__ import annotations

import msgspec

from troth.kit.errors import Reason


def problem(reason: Reason, detail: str, status: int = 0) -> bytes:
    """A problem document (``application/problem+json``), with our code and the fix beside it.

    ``status`` stands in the place of the reason's own where the door answers with another.
    """
    document = {
        "type": "about:blank", "title": reason.summary, "status": status or reason.status, "detail": detail,
        "code": reason.code, "fix": reason.fix,
    }  # fmt: skip
    return msgspec.json.encode(document)
