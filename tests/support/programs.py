"""The real programs that tests meet: found, or the test is skipped on a laptop and fails in CI."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest


def find_program(name: str) -> Path:
    """The path of ``name``: beside this Python (certbot), on PATH, or in the system's own directories.

    Skips the test where it is missing, or fails it when CI is true: a CI that skips proves nothing.
    """
    beside = Path(sys.executable).parent
    path = os.pathsep.join([str(beside), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    if found is not None:
        return Path(found)
    missing(f"{name} is not installed here; `scripts/setup --dev --peers` installs what the tests need")


def need_file(pattern: str, package: str) -> None:
    """Skip or fail, as above, where no file fits: for what a Debian package brings besides programs."""
    if not any(Path("/").glob(pattern.lstrip("/"))):
        missing(f"{package} is not installed here; `scripts/setup --dev --peers` installs what the tests need")


def missing(message: str) -> NoReturn:
    """Skip the test, or fail it when CI is true."""
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def program() -> Callable[[str], Path]:
    """``program("lego")`` → its path; see :func:`find_program`."""
    return find_program
