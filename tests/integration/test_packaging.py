"""What ``pip install`` would get: the whole product, and nothing of the workshop."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_holds_every_file_of_the_product_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("troth-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        about = {name.split("/")[-1] for name in archive.namelist() if ".dist-info/" in name}
        entry_points = next(archive.read(n).decode() for n in archive.namelist() if n.endswith("entry_points.txt"))
    shipped = [
        path for path in (ROOT / "src" / "troth").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    assert inside == {path.relative_to(ROOT / "src").as_posix() for path in shipped}
    assert "LICENSE" in about
    assert "troth = troth.cli.main:main" in entry_points
