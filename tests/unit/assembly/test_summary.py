"""What ``troth up`` says once it is ready."""

from __future__ import annotations

import json
from pathlib import Path

from msgspec import structs

from troth.assembly.summary import RadiusSummary, Summary, render


def summary(data: Path) -> Summary:
    return Summary(
        https_url="https://localhost:8443",
        http_url="http://localhost:8080",
        admin_url="https://localhost:8444",
        acme_directories={"tls-server": "https://localhost:8443/acme/tls-server/directory"},
        root_certificate=str(data / "root.pem"),
        admin_token_file=str(data / "admin.token"),
        data_dir=str(data),
        est_url="https://localhost:8443/.well-known/est",
    )


def test_a_person_is_told_where_everything_is_how_to_trust_it_and_how_to_log_in(tmp_path: Path) -> None:
    (tmp_path / "admin.token").write_text("troth-setup-x")
    text = render(summary(tmp_path))
    for told in (
        "https://localhost:8444",
        "http://localhost:8080",
        "/acme/tls-server/directory",
        "/.well-known/est",
        "root.pem",
        "--cacert",
    ):
        assert told in text
    assert f"the token in {tmp_path / 'admin.token'}, once" in text


def test_once_an_administrator_exists_nobody_is_sent_to_a_token_that_is_gone(tmp_path: Path) -> None:
    assert "admin.token" not in render(summary(tmp_path))


def test_where_radius_answers_is_told_while_it_is_on(tmp_path: Path) -> None:
    radius = RadiusSummary(auth_port=1812, acct_port=1813, secret_file="/s/radius-local.secret", server_name="r.corp")
    on = structs.replace(summary(tmp_path), radius=radius)

    assert json.loads(on.json())["radius"] == {
        "auth_port": 1812, "acct_port": 1813, "secret_file": "/s/radius-local.secret", "server_name": "r.corp",
        "radsec": "",
    }  # fmt: skip
    assert "1812 and 1813" in render(on)
    assert "/s/radius-local.secret" in render(on)
    assert "RADIUS" not in render(summary(tmp_path))
    over_tls = structs.replace(radius, auth_port=None, acct_port=None, secret_file="", radsec="*:2083")
    told = render(structs.replace(on, radius=over_tls))
    assert "TLS at *:2083, as r.corp" in told
    assert "UDP" not in told


def test_a_program_is_told_the_same_in_one_line_of_json(tmp_path: Path) -> None:
    line = summary(tmp_path).json()
    assert "\n" not in line
    assert {"https_url", "http_url", "admin_url", "acme_directories", "root_certificate", "admin_token_file",
            "data_dir", "est_url", "radius"} == set(json.loads(line))  # fmt: skip
