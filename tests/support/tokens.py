"""SoftHSM tokens for tests: a PKCS#11 token that can be pulled out and put back."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.programs import find_program

LIBRARY = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "94217-pin-of-a-test"


@dataclass(frozen=True)
class SoftToken:
    """One token in a directory of its own; SOFTHSM2_CONF of this process points there."""

    directory: Path
    label: str

    @property
    def library(self) -> str:
        return LIBRARY

    @property
    def pin_file(self) -> Path:
        return self.directory / "pin"

    @property
    def environ(self) -> dict[str, str]:
        return {"SOFTHSM2_CONF": str(self.directory / "softhsm2.conf")}

    def pull(self) -> None:
        """Take the token out."""
        (self.directory / "tokens").rename(self.directory / "pulled")

    def put_back(self) -> None:
        """Put the token in again."""
        (self.directory / "pulled").rename(self.directory / "tokens")

    def swap(self) -> None:
        """Put another, freshly made token of the same label and PIN in its place."""
        (self.directory / "tokens").rename(self.directory / f"old-{os.urandom(4).hex()}")
        initialise(self.directory, self.label)


def initialise(directory: Path, label: str) -> SoftToken:
    """A fresh token in ``directory``."""
    token = SoftToken(directory, label)
    (directory / "tokens").mkdir(parents=True)
    (directory / "softhsm2.conf").write_text(
        f"directories.tokendir = {directory}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "so-pin-of-a-test"],
        env={**os.environ, **token.environ}, check=True, capture_output=True,
    )  # fmt: skip
    token.pin_file.write_text(PIN + "\n")
    token.pin_file.chmod(0o600)
    return token


@pytest.fixture
def soft_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftToken:
    """A token of its own for a test; the library reads the configuration anew when it is restarted."""
    find_program("softhsm2-util")
    # A label of its own: the library of this process may still know the token of the test before.
    token = initialise(tmp_path / "softhsm", f"troth {os.urandom(4).hex()}")
    for name, value in token.environ.items():
        monkeypatch.setenv(name, value)
    return token
