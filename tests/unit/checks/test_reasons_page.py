from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from scripts.reasons import render
from troth.kit.errors import Reason

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_is_what_the_registry_says() -> None:
    # In a process of its own: other tests of this one may have registered codes of theirs.
    done = subprocess.run(
        [sys.executable, "-m", "scripts.reasons", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_page_has_a_table_for_each_first_word_and_escapes_bars() -> None:
    page = render([Reason("b.c", "two", "do | this", 404), Reason("a.z", "one", ""), Reason("a.b", "first", "")])
    assert page.index("## a") < page.index("`a.b`") < page.index("`a.z`") < page.index("## b") < page.index("`b.c`")
    assert "| `b.c` | two | do \\| this | 404 |" in page
