"""Looking for files: by name, within bounds, without following anybody anywhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from troth.agent.survey import walk
from troth.agent.survey.walk import Walk
from troth.kit.clock import FakeClock


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.pem", "b.txt", "deep/c.CRT", "deep/er/d.jks", "deep/cacerts", "skip/e.pem"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def found(clock: FakeClock, *places: Path, exclude: str = "") -> tuple[list[str], list[str]]:
    looking = Walk(clock, frozenset({exclude}))
    names = [path.name for path in looking.files(places)]
    return names, looking.cut


def test_files_are_taken_by_name_and_named_ones_whatever_their_name(clock: FakeClock, tree: Path) -> None:
    assert found(clock, tree, exclude=str(tree / "skip"))[0] == ["a.pem", "c.CRT", "cacerts", "d.jks"]
    assert found(clock, tree / "b.txt")[0] == ["b.txt"]
    assert found(clock, tree / "a.pem", tree / "a.pem", tree / "nowhere") == (["a.pem"], [])


def test_a_link_to_a_file_is_followed_and_one_to_a_directory_is_not(clock: FakeClock, tree: Path) -> None:
    live = tree / "live"
    live.mkdir()
    (live / "cert.pem").symlink_to(tree / "a.pem")
    (live / "ring.pem").symlink_to(tree)
    (live / "gone.pem").symlink_to(tree / "nothing")
    names, cut = found(clock, live)
    assert names == ["cert.pem"]
    assert [one.rpartition(": ")[2] for one in cut] == ["No such file or directory"]


def test_bounds_hold_and_are_told(clock: FakeClock, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_FILES", 2)
    names, cut = found(clock, tree)
    assert len(names) == 2
    assert cut[0].startswith("stopped after 2 files")
    monkeypatch.setattr(walk, "MAX_FILES", 2000)
    monkeypatch.setattr(walk, "MAX_DEPTH", 1)
    names, cut = found(clock, tree)
    assert "d.jks" not in names
    assert any("deeper than 1" in one for one in cut)
    monkeypatch.setattr(walk, "MAX_SECONDS", -1.0)
    assert found(clock, tree)[0] == []
    monkeypatch.setattr(walk, "MAX_SECONDS", 30.0)
    monkeypatch.setattr(walk, "MAX_ENTRIES", 0)
    assert found(clock, tree)[0] == []


def test_what_is_no_plain_file_or_too_large_is_not_read(clock: FakeClock, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pem")
    (tmp_path / "large.pem").write_bytes(b"x" * (walk.MAX_FILE + 1))
    (tmp_path / "small.pem").write_bytes(b"x")
    looking = Walk(clock)
    assert [path.name for path in looking.files([tmp_path])] == ["large.pem", "small.pem"]
    assert looking.read(tmp_path / "pipe.pem") is None
    assert looking.read(tmp_path / "large.pem") is None
    assert looking.read(tmp_path / "small.pem") == b"x"
    assert looking.read(tmp_path / "nothing.pem") is None
    assert [one.rpartition(": ")[2] for one in looking.cut] == ["larger than 1024 KiB", "No such file or directory"]


def test_what_is_told_is_bounded_text(clock: FakeClock) -> None:
    looking = Walk(clock)
    for _ in range(100):
        looking.tell("x" * 1000 + "\udc80")
    assert (len(looking.cut), len(looking.cut[0])) == (walk.MAX_TOLD, 300)
