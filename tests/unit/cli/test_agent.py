"""``troth agent`` at the command line, with no agent running."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from troth.cli import agent
from troth.cli.main import main

CONFIG = """
[agent]
state = "{home}/state"
[issuer.troth]
directory = "https://pki.example/directory"
[certificate.web]
names = ["www.example.org"]
output = [{{ form = "key", path = "{home}/web.key" }}]
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # The log of the whole process would go on writing to this test's standard error.
    monkeypatch.setattr(agent.logging, "configure", lambda **_settings: None)
    place = tmp_path / "agent.toml"
    place.write_text(CONFIG.format(home=tmp_path))
    (tmp_path / "state").mkdir()
    return place


def run(config: Path, *arguments: str) -> int:
    return main(["agent", *arguments, "--config", str(config)])


def test_a_good_configuration_is_said_to_be(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "check") == 0
    assert "asks for 1 certificate; 0 troubles here" in capsys.readouterr().out


def test_troubles_of_this_machine_are_listed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(config.read_text().replace("web.key", "none/web.key"))
    assert run(config, "check", "-o", "json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["certificates"] == ["web"]
    assert "there is no directory" in told["troubles"][0]
    assert run(config, "check") == 1
    assert "✗ certificate.web: there is no directory" in capsys.readouterr().out


def test_a_wrong_configuration_is_told_with_its_code(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("[agent]\nstat = 1")
    assert run(config, "status") == 1
    assert "[agent.config]" in capsys.readouterr().err


def test_status_reads_what_the_last_agent_left(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "status") == 1
    told = capsys.readouterr().out
    assert "✗ web" in told
    assert "No agent runs" in told
    assert run(config, "status", "-o", "json") == 1
    assert json.loads(capsys.readouterr().out)["certificates"][0]["state"] == "absent"
    assert list((config.parent / "state").iterdir()) == [], "looking makes nothing"


def test_a_directory_that_is_not_there_yet_is_no_trouble(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "state").rmdir()
    assert run(config, "status") == 1
    assert "absent" in capsys.readouterr().out


def test_rolling_back_what_is_not_there_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "roll-back", "web") == 1
    assert "[agent.no_previous]" in capsys.readouterr().err
    assert run(config, "renew", "mail") == 3
    assert "[agent.unknown_name]" in capsys.readouterr().err


def test_a_unit_whose_own_tmp_would_hide_what_is_written_is_not_installed(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG.format(home="/tmp/host"))
    place = config.parent / "troth-agent.service"
    assert run(config, "install-unit", "--write", str(place)) == 1
    refused = capsys.readouterr().err
    assert "[agent.config]" in refused
    assert "/tmp/host/state, /tmp/host/web.key: the unit has a /tmp of its own (PrivateTmp=yes)" in refused
    assert not place.exists()
    assert run(config, "install-unit") == 0
    assert "! /tmp/host/state, /tmp/host/web.key: " in capsys.readouterr().err


def test_the_unit_is_printed_or_written(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(CONFIG.format(home="/srv/host"))
    assert run(config, "install-unit") == 0
    printed = capsys.readouterr().out
    assert f"agent run --config {config}" in printed
    place = config.parent / "troth-agent.service"
    assert run(config, "install-unit", "--write", str(place)) == 0
    assert place.read_text() == printed
    assert place.stat().st_mode & 0o777 == 0o644
    assert "systemctl enable --now troth-agent.service" in capsys.readouterr().out
