"""``troth place snippet`` needs no installation: it prints what equipment must be told."""

from __future__ import annotations

import pytest

from troth.cli.main import FAILED, main


def test_a_configuration_is_printed_without_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["place", "snippet", "hostapd", "--server", "192.0.2.53", "--auth-port", "11812"]) == 0
    printed = capsys.readouterr().out
    assert "auth_server_addr=192.0.2.53\nauth_server_port=11812\n" in printed
    assert "THE-SHARED-SECRET" in printed


def test_what_is_no_address_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["place", "snippet", "hostapd", "--server", "nowhere"]) == FAILED
    assert "radius.place.snippet" in capsys.readouterr().err
