"""Printing answers: as JSON, as aligned columns, or as names and values.

Names in certificates and directories come from strangers, so control characters never reach the terminal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from troth.cli.options import Output


def plain(value: object) -> str:
    """``value`` as one line of printable text."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(one) for one in value) or "–"
    if isinstance(value, dict):
        return plain(value.get("value", json.dumps(value, ensure_ascii=False)))
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in str(value))


def when(text: str | None) -> str:
    """An ISO time of the API as a person reads it."""
    if not text:
        return "–"
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def as_json(value: object) -> int:
    """Print ``value`` as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
    return 0


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print rows under ``head`` in aligned columns, or ``empty`` when there are none."""
    cells = [[plain(value) for value in row] for row in rows]
    if not cells:
        print(empty)
        return
    widths = [max(len(column), *(len(row[place]) for row in cells)) for place, column in enumerate(head)]
    for row in ([title.upper() for title in head], *cells):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, the values aligned; those without a value are left out."""
    told = [(name, plain(value)) for name, value in pairs if value not in (None, "", [], ())]
    width = max((len(name) for name, _ in told), default=0)
    for name, value in told:
        print(f"{name.ljust(width)}  {value}")


def listed(page: Any, output: Output, head: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> int:
    """Print one page of a list, and how to go on."""
    if output == "json":
        return as_json(page)
    table(head, rows, empty=empty)
    if isinstance(page, dict) and page.get("next"):
        print(f"\nThere is more: --cursor {plain(page['next'])}")
    return 0


def one_version(versions: Sequence[Any], version: int | None, output: Output) -> int:
    """Print the text of one version of a document (None: the latest, which stands first), so that it can be applied."""
    found = next((one for one in versions if version in (None, one["version"])), None)
    if output == "json":
        return as_json(found)
    if found is None:
        print(f"There is no version {version}.")
        return 1
    print(found["text"], end="" if found["text"].endswith("\n") else "\n")
    return 0
