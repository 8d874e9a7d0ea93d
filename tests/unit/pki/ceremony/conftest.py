from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.ceremonies import Office


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """A directory with custodians."""
    return Office(tmp_path)


@pytest.fixture(scope="module")
def rooted(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """An office whose root ceremony has been held: a P-384 key under shares."""
    made = Office(tmp_path_factory.mktemp("office"))
    made.hold(made.plan("root.yaml", made.root()))
    return made
