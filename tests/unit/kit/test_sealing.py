"""Secrets sealed at rest."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from troth.kit.sealing import SealBroken, SecretBox


def test_a_sealed_secret_opens_for_its_own_name_purpose_and_key_only() -> None:
    box = SecretBox(b"k" * 32, purpose="feed")
    sealed = box.seal("edr", b"s" * 32)
    assert box.open("edr", sealed) == b"s" * 32
    assert b"s" * 8 not in sealed
    for other, name, data in [
        (box, "mdm", sealed),
        (SecretBox(b"x" * 32, purpose="feed"), "edr", sealed),
        (SecretBox(b"k" * 32, purpose="enrolment"), "edr", sealed),
        (box, "edr", sealed[:-1]),
        (box, "edr", b""),
    ]:
        with pytest.raises(SealBroken, match="does not open"):
            other.open(name, data)


def test_the_boxs_key_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "feeds.secret"
    sealed = SecretBox.at(path, purpose="feed").seal("edr", b"s")
    assert SecretBox.at(path, purpose="feed").open("edr", sealed) == b"s"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["feeds.secret"]
