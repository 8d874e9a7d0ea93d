"""Places where a rule does not hold, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from scripts.checks.source import Finding

#: (path below src/troth, rule) → why it may.
EXCEPTIONS: Mapping[tuple[str, str], str] = {}


def without_exceptions(
    findings: Iterable[Finding], exceptions: Mapping[tuple[str, str], str] = EXCEPTIONS
) -> Iterator[Finding]:
    """``findings`` without the excepted ones, and a finding for each exception that nothing needs any more."""
    needed: set[tuple[str, str]] = set()
    for finding in findings:
        place = (finding.path, finding.rule)
        if exceptions.get(place):
            needed.add(place)
        else:
            yield finding
    for path, rule in exceptions.keys() - needed:
        yield Finding(path, 1, "exceptions", f"nothing here breaks the rule {rule!r} any more; take the exception out")
