"""``troth attest inspect``: everything that can be said of a statement, without a server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.support.attesting import android, apple, maker, new_key, step, tpm
from troth.cli.main import main

VECTORS = Path(__file__).parents[2] / "vectors" / "attest"
AUTHORIZATION = "token.thumbprint"
AT = "2026-11-28T12:00:00Z"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with the roots of the tests' makers."""
    for kind in ("apple", "tpm", "android-key", "step"):
        pem = maker(kind).root.certificate.public_bytes(serialization.Encoding.PEM)
        (tmp_path / f"{kind}.pem").write_bytes(pem)
    (tmp_path / "status.json").write_text('{"entries":{}}')
    return tmp_path


def test_a_real_security_key_is_shown_with_what_was_not_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = VECTORS / "yubikey-piv" / "25515003"
    file = tmp_path / "chain.pem"
    file.write_bytes((found / "Slot9CAttestation.pem").read_bytes() + (found / "SlotF9Intermediate.pem").read_bytes())
    assert main(["attest", "inspect", str(file), "--at", AT, "--every"]) == 0
    said = capsys.readouterr().out
    for word in ("25515003", "not refused", "CN=Yubico PIV Root CA Serial 263751", "not asked", "chain.path", "5.4.3"):
        assert word in said
    assert '"issuer": "CN=Yubico PIV Root CA Serial 263751"' in said


def test_each_format_is_accepted_with_all_that_is_known_and_refused_for_another_device(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = datetime(2026, 11, 28, 11, tzinfo=UTC)
    made = {
        "apple": (apple(new_key(), AUTHORIZATION, begin=begin), "C02TROTH01"),
        "tpm": (tpm(new_key(), AUTHORIZATION), "LAB-SERIAL-1"),
        "android-key": (android(new_key(), AUTHORIZATION), "PHONE-1"),
        "step": (step(new_key(), AUTHORIZATION), "25515003"),
    }
    for kind, (statement, serial) in made.items():
        file = place / f"{kind}.cbor"
        file.write_bytes(statement)
        known = ["--key-authorization", AUTHORIZATION, "--root", str(place / f"{kind}.pem"), "--at", AT]
        known += ["--status-list", str(place / "status.json"), "-o", "json"]
        for value, verdict, code in ((serial, "accepted", 0), ("OTHER", "refused", 1)):
            line = ["attest", "inspect", str(file), *known, "--identifier", f"permanent-identifier:{value}"]
            assert main(line) == code
            report = json.loads(capsys.readouterr().out)
            assert (report["format"], report["verdict"]) == (kind, verdict)
            failed = [one["name"] for one in report["checks"] if one["result"] == "failed"]
            assert failed == ([] if code == 0 else ["identifier"])


def test_without_a_status_list_android_is_not_good_enough(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = place / "phone.cbor"
    file.write_bytes(android(new_key(), AUTHORIZATION))
    assert main(["attest", "inspect", str(file), "--root", str(place / "android-key.pem"), "--at", AT]) == 1
    said = capsys.readouterr().out
    assert "there is no status list" in said
    assert "unknown" in said


@pytest.mark.parametrize("line", [["/nowhere"], [__file__], [__file__, "--at", "yesterday"]])
def test_what_cannot_be_read_is_said_on_standard_error(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attest", "inspect", *line]) != 0
    assert capsys.readouterr().err
