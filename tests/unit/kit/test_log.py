from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import structlog

from troth.kit import log


@dataclass
class Lines:
    """What has been written to standard error."""

    capture: pytest.CaptureFixture[str]
    written: str = ""

    def text(self) -> str:
        self.written += self.capture.readouterr().err
        return self.written

    def last(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self.text().splitlines()[-1])
        return line


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """Standard error, with logging put back after the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Lines(capsys)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_is_one_json_object_with_role_room_level_and_utc_time(lines: Lines) -> None:
    log.configure(role="web")
    log.get_logger("pki").info("certificate.issued", serial="0a")
    line = lines.last()
    assert (line["event"], line["role"], line["room"], line["level"]) == ("certificate.issued", "web", "pki", "info")
    assert line["serial"] == "0a"
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("key", sorted(log._SECRET_KEYS))
def test_the_value_of_a_secret_key_is_never_written(lines: Lines, key: str) -> None:
    log.configure(role="web")
    log.get_logger("access").warning("login.refused", **{key: "hunter2"})
    assert lines.last()[key] == "[redacted]"
    assert "hunter2" not in lines.text()


def test_a_secret_bound_earlier_is_redacted_too(lines: Lines) -> None:
    log.configure(role="web")
    structlog.contextvars.bind_contextvars(token="hunter2")
    log.get_logger("access").bind(password="hunter2").info("login.accepted")
    assert "hunter2" not in lines.text()


def test_lines_for_people_are_redacted_as_well(lines: Lines) -> None:
    log.configure(role="web", json_lines=False)
    log.get_logger("access").info("login.accepted", passphrase="hunter2")
    assert "login.accepted" in lines.text()
    assert "hunter2" not in lines.text()


def test_lines_below_the_level_are_not_written(lines: Lines) -> None:
    log.configure(role="web", level="warning")
    log.get_logger("pki").info("quiet")
    assert lines.text() == ""


def test_an_exception_is_written_on_its_one_line(lines: Lines) -> None:
    log.configure(role="web")
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        log.get_logger("pki").exception("gate.failed")
    assert len(lines.text().splitlines()) == 1
    assert "RuntimeError: broken" in lines.last()["exception"]


def test_a_line_and_its_end_are_one_write(monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    written: list[str] = []
    monkeypatch.setattr("sys.stderr.write", written.append)
    log.configure(role="web")
    log.get_logger("acme").info("order.placed")
    assert len(written) == 1
    assert written[0].endswith("}\n")
