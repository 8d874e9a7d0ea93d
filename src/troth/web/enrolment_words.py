"""How the dashboard words enrolments, ACME accounts and their orders. See ``words``."""

from __future__ import annotations

from collections.abc import Mapping

#: Kind of status → value → (tone, symbol, word).
LOOKS: Mapping[str, Mapping[str, tuple[str, str, str]]] = {
    "enrolment": {
        "valid": ("good", "circle-check", "open"),
        "used": ("", "check", "used up"),
        "expired": ("", "clock", "expired"),
        "revoked": ("bad", "circle-x", "ended"),
    },
    "account": {
        "valid": ("good", "circle-check", "valid"),
        "deactivated": ("", "circle-pause", "closed by its client"),
        "revoked": ("bad", "circle-x", "closed"),
    },
    "order": {
        "pending": ("", "hourglass", "pending"),
        "ready": ("calm", "circle-dot", "ready"),
        "processing": ("calm", "circle-dashed", "being signed"),
        "valid": ("good", "circle-check", "issued"),
        "invalid": ("bad", "circle-x", "failed"),
    },
}

SENTENCES: Mapping[str, str] = {
    "acme.account.created": "An ACME account was opened in {directory}",
    "acme.account.paused": "Paused {name} for an ACME account, after {failures} failures in a row",
    "acme.account.unpaused": "Set {number} paused names of an ACME account going again",
    "acme.account.revoked": "Revoked an ACME account: {why}",
    "acme.accounts.closed": "Closed the ACME accounts that an enrolment had opened",
    "enrolment.created": "Made the enrolment {name} ({kind})",
    "enrolment.used": "An order used the enrolment",
    "enrolment.revoked": "Ended the enrolment {name}",
}
