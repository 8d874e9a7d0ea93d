"""Standard error that cannot fail."""

from __future__ import annotations

import io
from pathlib import Path

from troth.agent.console import Console


def test_what_can_be_written_is_and_what_cannot_is_lost() -> None:
    kept = io.StringIO()
    print("told", file=Console(kept), flush=True)
    assert kept.getvalue() == "told\n"
    with Path("/dev/full").open("w", buffering=1) as full:
        console = Console(full)
        for _ in range(3):
            print("lost " * 4000, file=console, flush=True)
            console.flush()
        try:
            full.close()
        except OSError:
            return
