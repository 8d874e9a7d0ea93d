"""Windows' TPM Base Services, doubled (``tbs_double.c``): as a shared library of this system, or as a DLL."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.programs import find_program

_SOURCE = Path(__file__).with_suffix(".c")


def shared_library(directory: Path) -> Path:
    """The double for ctypes on this system."""
    made = directory / "tbs.so"
    _compiled("gcc", "-fPIC", "-o", str(made))
    return made


def windows_library(directory: Path) -> Path:
    """The double as ``tbs.dll``."""
    made = directory / "tbs.dll"
    _compiled("x86_64-w64-mingw32-gcc", "-static-libgcc", "-o", str(made), libraries=("-lws2_32",))
    return made


def _compiled(compiler: str, *arguments: str, libraries: tuple[str, ...] = ()) -> None:
    command: list[str] = [
        str(find_program(compiler)),
        "-shared",
        "-Wall",
        "-Werror",
        *arguments,
        str(_SOURCE),
        *libraries,
    ]
    subprocess.run(command, check=True, capture_output=True)
