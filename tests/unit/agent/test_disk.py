"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from troth.agent import disk
from troth.agent.errors import DISK, AgentError


def test_a_file_has_its_bytes_and_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        disk.write(tmp_path / "one", b"first", mode=0o644)
    finally:
        os.umask(old)
    disk.write(tmp_path / "two", b"second")

    assert ((tmp_path / "one").read_bytes(), (tmp_path / "one").stat().st_mode & 0o777) == (b"first", 0o644)
    assert (tmp_path / "two").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("call", ["write", "fsync", "fchmod", "rename"])
def test_a_write_that_fails_at_any_step_leaves_the_old_file_and_nothing_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    place = tmp_path / "file"
    disk.write(place, b"old")

    def full(*_arguments: object, **_more: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(AgentError) as refused:
        disk.write(place, b"new")

    assert refused.value.reason is DISK
    assert refused.value.facts == {"errno": errno.ENOSPC}
    assert "No space left" in refused.value.detail
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"file": b"old"}


def test_what_a_cut_short_write_left_is_replaced_and_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / ".file.troth-new").symlink_to(victim)

    disk.write(tmp_path / "file", b"new")

    assert victim.read_bytes() == b"mine"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "victim"]


def test_a_link_is_turned_in_one_step(tmp_path: Path) -> None:
    link = tmp_path / "current"
    disk.point(link, "1")
    disk.point(link, "2")

    assert disk.read_link(link) == "2"
    assert [one.name for one in tmp_path.iterdir()] == ["current"]
    assert disk.read_link(tmp_path / "none") is None


def test_reading_says_what_is_not_there_and_takes_no_pipe_and_nothing_endless(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(bytes(disk.MAX_READ + 1))

    assert disk.read(tmp_path / "none") is None
    for name in ("pipe", "long"):
        with pytest.raises(AgentError, match=name):
            disk.read(tmp_path / name)


def test_directories_are_made_with_their_mode_and_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    disk.make_directory(tmp_path / "a" / "b", 0o755)
    disk.make_directory(tmp_path / "a" / "b", 0o700)
    (tmp_path / "file").touch()

    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o755
    with pytest.raises(AgentError, match="file"):
        disk.make_directory(tmp_path / "file" / "c")


def test_removing_twice_is_removing(tmp_path: Path) -> None:
    disk.write(tmp_path / "file", b"")
    disk.remove(tmp_path / "file")
    disk.remove(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []
