from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import find_program

KILLED, FAILED, UNMOVED, HELD_ALREADY = -9, 3, 1, 7


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("kind", "how"),
    [("root", "kill"), ("root", "fail"), ("root-crl", "kill"), ("token-root", "kill"), ("token-crl", "kill")],
)
def test_a_ceremony_that_ends_at_any_step_is_whole_or_absent_and_its_plan_signs_one_thing(
    tmp_path: Path, kind: str, how: str
) -> None:
    if kind.startswith("token"):
        find_program("softhsm2-util")
    program = [sys.executable, "-m", "tests.chaos.killable_ceremony", str(tmp_path), kind, how]
    done = subprocess.run(program, check=True, capture_output=True, text=True, timeout=150)
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(runs) > (10 if kind == "token-crl" else 20)
    assert runs[-1]["first"] == 0
    for number, run in enumerate(runs[:-1], 1):
        assert run["first"] in ((KILLED,) if how == "kill" else (FAILED, UNMOVED)), (number, run)
    for number, run in enumerate(runs, 1):
        # Run again, the same plan is finished, or says that it was.
        assert run["again"] == (HELD_ALREADY if run["whole_before"] else 0), (number, run)
        assert run["opened"] == 0, (number, run)
        assert run["missing"] == [], (number, run)
        assert run["different_messages"] == 1, (number, run)
        assert run["left"] == [], (number, run)
