from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import troth
from troth.cli.config import markdown
from troth.cli.main import exit_code, main, wants_json
from troth.kit.config import describe
from troth.kit.errors import Reason, TrothError

REFERENCE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_configuration_page_is_what_the_command_prints() -> None:
    assert REFERENCE.read_text() == markdown(describe()), "run: troth config reference > docs/configuration.md"


def test_version_is_told_in_words_and_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"troth {troth.__version__}\n"
    assert main(["version", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["troth"] == troth.__version__


@pytest.mark.parametrize("words", [["bogus"], ["up", "--bogus"], ["serve", "--role", "king"], ["version", "-o", "xml"]])
def test_wrong_usage_is_exit_code_2_and_said_on_standard_error(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("troth: ")


def test_a_failure_says_what_why_and_the_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "troth.toml").write_text("[acme]\nhttp_prot = 1\n")
    assert main(["config", "check", "--data", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "did you mean acme.http_port?" in told
    assert "[config.unknown_key]" in told
    assert main(["config", "check", "--data", str(tmp_path), "-o", "json"]) == 1
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "config.unknown_key"


@pytest.mark.parametrize(("status", "code"), [(404, 3), (403, 4), (400, 1), (500, 1)])
def test_exit_codes_tell_not_found_and_denied_apart(status: int, code: int) -> None:
    assert exit_code(TrothError(Reason("a.b", "", "", status))) == code


@pytest.mark.parametrize(
    ("words", "wanted"),
    [(["up", "-o", "json"], True), (["up", "--output=json"], True), (["up"], False), (["up", "--data", "json"], False)],
)
def test_the_wish_for_json_is_seen_before_the_command_runs(words: list[str], wanted: bool) -> None:
    assert wants_json(words) is wanted


def test_config_check_shows_what_is_in_force_without_passwords(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TROTH__DATABASE__URL", "postgresql://troth:hunter2@db/troth")
    assert main(["config", "check", "--data", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "database.url" in told
    assert "hunter2" not in told


def test_light_commands_do_not_import_heavy_rooms() -> None:
    heavy = ["asyncpg", "uvicorn", "litestar", "httpx", "cryptography", "rich.console"]
    run = "import sys; from troth.cli.main import main; main(['version'])"
    code = f"{run}; print([m for m in {heavy} if m in sys.modules])"
    source = str(Path(troth.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": source}
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_config_check_names_open_directories(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "--data", str(tmp_path)]) == 0
    assert "tls-server is open" in capsys.readouterr().out
    table = '[limits]\nenabled = false\n[acme.directories.tls-server]\nprofiles = ["tls-server"]\nrequires = "{}"\n'
    for requires in ("external-account", "enrolment"):
        (tmp_path / "troth.toml").write_text(table.format(requires))
        assert main(["config", "check", "--data", str(tmp_path)]) == 0
        told = capsys.readouterr().out
        assert "is open" not in told
        assert "no limit counts" in told


def test_config_check_names_what_cannot_work_or_should_not_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = """[acme]
%s
[acme.directories.web]
profiles = ["tls-server"]
caa = true
challenges = ["dns-persist-01", "dns-01"]
[acme.vantages.far]
resolver = "192.0.2.53"
[acme_test]
enabled = true
"""
    notes = ("none of them can allow it", "it is left out", "acme.quorum is 0", "test mode")
    for line, there in (("", True), ('issuer_domains = ["ca.example"]\nquorum = 1', False)):
        (tmp_path / "troth.toml").write_text(table % line)
        assert main(["config", "check", "--data", str(tmp_path)]) == 0
        told = capsys.readouterr().out
        assert [note in told for note in notes] == [there, there, there, True]
