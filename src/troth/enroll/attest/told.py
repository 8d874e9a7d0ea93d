"""A report as JSON: what the API answers, the dashboard shows, the command prints and the database keeps."""

from __future__ import annotations

from troth.enroll.attest.model import Report, Result
from troth.kit.canonical import Json


def verdict(report: Report) -> str:
    """``accepted``, ``refused``, ``unknown`` (what must be known is not), or ``not refused`` (not all was asked)."""
    found = {one.result for one in report.checks}
    if Result.FAILED in found:
        return "refused"
    if Result.UNKNOWN in found:
        return "unknown"
    return "not refused" if Result.NOT_ASKED in found else "accepted"


def attestation_report(report: Report) -> dict[str, Json]:
    """Verdict, checks, evidence and every decoded field."""
    evidence = report.evidence
    return {
        "format": report.format,
        "sha256": report.sha256,
        "verdict": verdict(report),
        "root": None if report.root is None else {"name": report.root[0], "sha256": report.root[1]},
        "identifiers": [{"type": kind, "value": value} for kind, value in sorted(evidence.identifiers)],
        "key_sha256": evidence.spki_sha256,
        "attested_by": evidence.attested_by,
        "facts": dict(evidence.facts),
        "checks": [
            {
                "name": one.name,
                "result": one.result.value,
                "expected": one.expected,
                "got": one.got,
                "reason": one.reason.code,
            }
            for one in report.checks
        ],
        "fields": dict(report.fields),
    }
