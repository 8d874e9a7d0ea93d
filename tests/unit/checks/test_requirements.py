"""The locked dependencies: complete, hashed, the same everywhere, and free to ship."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, files, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
LOCKS = [ROOT / "requirements" / name for name in ("run.txt", "dev.txt", "tpm.txt")]

#: What a program under Apache-2.0 can be shipped with. LGPL, GPL, AGPL and SSPL are not among them.
FREE = re.compile(
    r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla|Public Domain|Unlicense|0BSD)\b", re.I
)
BOUND = re.compile(r"\b(A?GPL|LGPL|SSPL|GNU|Affero)", re.I)


def named(path: Path) -> set[str]:
    """The canonical names that a requirements file asks for."""
    lines = [line for line in path.read_text().splitlines() if line and line[0].isalnum()]
    return {canonicalize_name(Requirement(line.rstrip(" \\")).name) for line in lines}


def test_the_project_declares_the_packages_that_are_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    assert declared == named(ROOT / "requirements" / "run.in")


@pytest.mark.parametrize("name", ["run", "dev", "tpm"])
def test_everything_asked_for_is_locked(name: str) -> None:
    assert named(ROOT / "requirements" / f"{name}.in") <= named(ROOT / "requirements" / f"{name}.txt")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_pin_is_exact_and_hashed_and_names_no_place(lock: Path) -> None:
    text = lock.read_text()
    pins = re.findall(r"^\S.*?(?=^\S|\Z)", re.sub(r"^#.*\n", "", text, flags=re.M), flags=re.M | re.S)
    assert pins
    for pin in pins:
        assert re.match(r"[a-z0-9.-]+==\S+ ", pin), pin
        assert "--hash=sha256:" in pin, pin
    assert not re.search(r"://|--index-url|--find-links| @ ", text)


def test_all_locks_pin_the_same_versions() -> None:
    pinned: list[dict[str, str]] = [
        dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", lock.read_text(), re.M)) for lock in LOCKS
    ]
    _, dev, _ = pinned
    for lock in pinned:
        assert {name: dev[name] for name in lock.keys() & dev.keys()} == {
            name: lock[name] for name in lock.keys() & dev.keys()
        }


def test_everything_shipped_is_free_to_ship() -> None:
    for name in sorted(named(ROOT / "requirements" / "run.txt")):
        try:
            about = metadata(name)
        except PackageNotFoundError:
            continue  # for another platform
        classifiers = [line for line in about.get_all("Classifier", []) if line.startswith("License")]
        told = about.get("License-Expression") or "; ".join(classifiers) or (about.get("License") or "")[:200]
        licence = told or _licence_file(name)
        assert FREE.search(licence), f"{name}: {licence!r}"
        assert not BOUND.search(licence), f"{name}: {licence!r}"


def _licence_file(name: str) -> str:
    """The beginning of the licence that lies in the wheel, where its metadata say nothing (pyrage)."""
    found = [path for path in files(name) or [] if path.name.startswith("LICENSE")]
    return found[0].read_text()[:200] if found else ""
