"""``-`` in the place of a file."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from troth.cli.main import app, main


def test_lint_reads_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"neither")))
    assert main(["lint", "-"]) == 1
    assert "pki.lint.unreadable" in capsys.readouterr().err


def test_apply_takes_standard_input_among_files_and_the_options_behind_them() -> None:
    _, bound, _ = app.parse_args(["apply", "-f", "a.yaml", "-f", "-", "--dry-run"])
    assert bound.arguments == {"file": (Path("a.yaml"), Path("-")), "dry_run": True}
