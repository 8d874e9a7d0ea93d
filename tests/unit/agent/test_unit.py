"""The systemd unit."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.programs import find_program
from troth.agent.config import parse
from troth.agent.unit import NAME, hidden, unit

ISSUER = '[issuer.troth]\ndirectory = "https://pki.example/"\n'
WEB = """
[certificate.web]
names = ["www.example.org"]
challenge = { kind = "webroot", path = "/srv/100% web" }
staple = { path = "/etc/nginx/ocsp/web.ocsp" }
output = [{ form = "key", path = "/etc/nginx/tls/web.key" }, { form = "cert", path = "/etc/nginx/tls/web.pem" }]
"""


def test_exactly_what_the_configuration_writes_is_open() -> None:
    text = unit(parse('[agent]\nmetrics_file = "/var/lib/node/troth.prom"\n' + ISSUER + WEB), Path("/etc/a.toml"), "/t")

    assert re.findall(r"ReadWritePaths=(.*)", text) == [
        "-/etc/nginx/ocsp", "-/etc/nginx/tls", "'-/srv/100%% web'", "-/var/lib/node",
    ]  # fmt: skip
    assert "ExecStart=/t agent run --config /etc/a.toml\n" in text
    assert "StateDirectory=troth-agent\n" in text


def test_a_state_directory_elsewhere_is_open_too() -> None:
    assert "ReadWritePaths=-/srv/agent\n" in unit(parse('[agent]\nstate = "/srv/agent"'), Path("/a"), "/t")


def test_what_only_the_agent_itself_would_find_is_named() -> None:
    text = '[agent]\nstate = "/tmp/agent"\n' + ISSUER + WEB.replace("/etc/nginx/ocsp", "/var/tmp")
    assert hidden(parse(text.replace("/srv/100% web", "/srv/tmp"))) == ["/tmp/agent", "/var/tmp/web.ocsp"]
    assert hidden(parse(ISSUER + WEB)) == []


def test_systemd_takes_it_and_finds_it_well_held(tmp_path: Path) -> None:
    program = find_program("systemd-analyze")
    place = tmp_path / NAME
    place.write_text(unit(parse(ISSUER + WEB.replace("100% ", "")), Path("/etc/troth/agent.toml"), "/bin/true"))
    verified = subprocess.run(
        [program, "verify", "--recursive-errors=no", place], capture_output=True, text=True, timeout=300, check=False
    )
    assert NAME not in verified.stderr, verified.stderr
    judged = subprocess.run(
        [program, "security", "--offline=true", "--threshold=45", place],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stdout[-600:] + judged.stderr
