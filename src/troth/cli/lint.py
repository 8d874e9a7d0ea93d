"""``troth lint``: say what is wrong with a certificate, a request or a CRL. Needs no server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from troth.cli.errors import UNREADABLE
from troth.cli.options import Output
from troth.cli.show import as_json, table
from troth.kit.errors import TrothError


def lint(
    file: Annotated[Path, Parameter(help="DER or PEM; - reads standard input.", allow_leading_hyphen=True)],
    *,
    every: Annotated[bool, Parameter(help="Also what is allowed or of no consequence.", negative="")] = False,
    output: Output = "text",
) -> int:
    """Lint a certificate, request or CRL. Exit code 1 when something would keep it from being signed."""
    # The linter takes a second to load; the list of commands does not wait for it.
    from troth.pki.lint_file import lint_file
    from troth.pki.lint_full import ALLOWED

    found = lint_file(_read(file))
    bad = any(one.bad for one in found)
    if output == "json":
        as_json(
            [
                {
                    "kind": one.kind,
                    "findings": [
                        {"severity": each.severity, "code": each.code, "where": each.where,
                         "allowed": ALLOWED.get(each.code)}
                        for each in one.findings
                    ],
                }
                for one in found
            ]
        )  # fmt: skip
        return 1 if bad else 0
    rows = [
        (one.kind, each.severity.lower(), each.code, each.where)
        for one in found
        for each in (one.findings if every else one.bad)
    ]
    table(("what", "severity", "code", "where"), rows, empty=f"Nothing is wrong with it ({len(found)} looked at).")
    return 1 if bad else 0


def _read(file: Path) -> bytes:
    import sys

    from troth.pki.lint_file import MAX_BYTES

    try:
        if str(file) == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        with file.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise TrothError(UNREADABLE, f"{file}: {error.strerror}") from error
