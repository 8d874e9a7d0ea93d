"""docs/reason-codes.md, made from the registry.

``python -m scripts.reasons`` prints the page, ``--write`` writes it, ``--check`` exits 1 if the page is stale.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import troth
from troth.kit.errors import Reason, registered_reasons

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reason-codes.md"

_HEAD = """# Reason codes

Every refusal and every recorded cause in Troth has one of these codes: the same in the log, the API, the dashboard
and here. Codes are stable; what a code means does not change. *Status* is the HTTP status that an API answers with.

This page is made by `make reasons`; a test keeps it true.
"""


def all_reasons() -> list[Reason]:
    """Every reason of the product: imports each module, so that each has registered its own."""
    for module in pkgutil.walk_packages(troth.__path__, "troth."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return list(registered_reasons().values())


def render(reasons: Iterable[Reason]) -> str:
    """The page in Markdown: a table per first word of the codes."""
    parts = [_HEAD]
    in_order = sorted(reasons, key=lambda one: one.code)
    for family, members in groupby(in_order, key=lambda one: one.code.split(".")[0]):
        parts.append(f"\n## {family}\n\n| code | what it means | what to do | status |\n|---|---|---|---|\n")
        parts.extend(f"| `{one.code}` | {_cell(one.summary)} | {_cell(one.fix)} | {one.status} |\n" for one in members)
    return "".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main(arguments: list[str]) -> int:
    """The exit code."""
    page = render(all_reasons())
    if arguments == ["--write"]:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if arguments == ["--check"]:
        if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page:
            return 0
        print("docs/reason-codes.md is stale: run `make reasons`", file=sys.stderr)
        return 1
    print(page, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
