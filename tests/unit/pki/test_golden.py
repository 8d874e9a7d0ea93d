from __future__ import annotations

import pytest

from scripts.golden import GOLDEN, golden
from troth.pki.profile import shipped_profiles


@pytest.mark.parametrize("name", sorted(shipped_profiles()))
def test_a_shipped_profile_makes_what_its_golden_file_says(name: str) -> None:
    assert golden(name) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_there_is_no_golden_file_without_its_profile() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(shipped_profiles())
