"""``python -m scripts.checks``: print every finding; exit 1 if there is one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from scripts.checks.exceptions import without_exceptions
from scripts.checks.fences import fences
from scripts.checks.reasons import reason_codes
from scripts.checks.rules import RULES
from scripts.checks.source import Finding, Source, read_tree

PRODUCT = Path(__file__).resolve().parents[2] / "src" / "troth"


def check(sources: Sequence[Source]) -> Iterator[Finding]:
    """Everything that the rules, the fences and the reason registry find in ``sources``."""
    for source in sources:
        for rule in (*RULES, fences):
            yield from rule(source)
    yield from reason_codes(sources)


def main() -> int:
    """The exit code."""
    sources = read_tree(PRODUCT)
    findings = sorted(without_exceptions(check(sources)))
    for finding in findings:
        print(finding)
    print(f"{len(sources)} modules, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
