"""Windows as far as it can be had here: its Python under Wine. ``scripts/setup --windows`` puts both into ``.windows``.

The interpreter is CPython's build for Windows, with the wheels for Windows of what is locked; Wine is what runs it.
TPM Base Services are a double (``tbs_double.c``) with a software TPM behind it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.tbs_double import windows_library

_ROOT = Path(__file__).parents[2]
_HOME = _ROOT / ".windows"
#: Ends what hangs.
_SECONDS = 600


@dataclass
class Windows:
    """Runs this tree's ``troth`` with Windows' Python."""

    environment: dict[str, str] = field(default_factory=dict)

    def troth(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``troth ARGUMENTS``; whatever it ends with."""
        return self.python("-m", "troth", *arguments)

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Windows' Python."""
        environment = {
            "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "WINEPREFIX": str(_HOME / "prefix"),
            "WINEDEBUG": "-all", "WINEDLLOVERRIDES": "tbs=n;mscoree,mshtml=", "PYTHONPATH": path(_ROOT / "src"),
            "PYTHONDONTWRITEBYTECODE": "1", **self.environment,
        }  # fmt: skip
        command = ["wine", str(_HOME / "python" / "python.exe"), *arguments]
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            env=environment,
            check=False,
        )


def path(here: Path) -> str:
    """What Windows calls a file of this system."""
    return "Z:" + str(here.absolute()).replace("/", "\\")


@pytest.fixture(scope="session")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Windows:
    """Windows, with the double of TPM Base Services where Windows has the real one."""
    if shutil.which("wine") is None or not (_HOME / "ready").exists():
        pytest.skip("Wine or Windows' Python is not here; `scripts/setup --windows` gets both")
    made = windows_library(tmp_path_factory.mktemp("tbs"))
    shutil.copyfile(made, _HOME / "prefix" / "drive_c" / "windows" / "system32" / "tbs.dll")
    return Windows()
