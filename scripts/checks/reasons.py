"""The reason registry, seen statically: each code once, as a literal, in its room's ``errors.py``."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from scripts.checks.source import Finding, Source


def reason_codes(sources: Iterable[Source]) -> Iterator[Finding]:
    """Codes that are defined twice, computed, or not in an ``errors.py`` (``*_errors.py``; in kit, anywhere).

    ``reason()`` refuses a doubled code too, but only in a process that imports both rooms.
    """
    first: dict[str, str] = {}
    for source in sources:
        for call in source.calls("reason"):
            if source.dotted(call.func) not in {"troth.kit.errors.reason", "reason"}:
                continue
            code = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "code"), None)
            if source.room != "kit" and not source.file_name.endswith("errors.py"):
                yield source.finding("reasons", call, "a reason is defined in its room's errors.py")
            if not isinstance(code, ast.Constant) or not isinstance(code.value, str):
                yield source.finding("reasons", call, "a reason code is a literal, so that it can be searched for")
            elif code.value in first:
                yield source.finding("reasons", call, f"{code.value} is defined already in {first[code.value]}")
            else:
                first[code.value] = f"{source.path}:{call.lineno}"
