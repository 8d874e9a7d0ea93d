"""What osquery is asked, in its own SQL, through the socket of the daemon that runs already."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

SOCKET = "var/osquery/osquery.em"
_ROOT_DISK = "SELECT d.encrypted FROM mounts m JOIN disk_encryption d ON m.device = d.name WHERE m.path = '/'"


def root_disk_encrypted(run: Callable[[Sequence[str]], str | None], root: Path) -> bool | None:
    """Whether osquery says that all of the root file system's devices are encrypted; None if it says nothing."""
    if not (root / SOCKET).is_socket():
        return None
    rows = _rows(run(["osqueryi", "--connect", str(root / SOCKET), "--json", _ROOT_DISK]))
    return all(str(row.get("encrypted")) == "1" for row in rows) if rows else None


def _rows(text: str | None) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return []
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
