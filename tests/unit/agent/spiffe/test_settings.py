"""What `troth agent check` says of the Workload API, and what the systemd unit opens for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from troth.agent.config import AgentConfig, parse, troubles
from troth.agent.services import Host, build_services
from troth.agent.spiffe import settings
from troth.agent.unit import unit

CONFIG = """
[issuer.troth]
directory = "https://pki.example/"
[certificate.node]
names = ["node.example"]
[spiffe]
server = "https://pki.example"
certificate = "node"
socket = "/srv/spiffe/workload.sock"
[spiffe.kubernetes]
kubelet = "https://127.0.0.1:10250"
token_file = "/nowhere/token"
"""


@pytest.fixture
def config() -> AgentConfig:
    return parse(CONFIG)


def test_files_and_an_extra_that_are_not_there_are_told(config: AgentConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one for one in troubles(config) if one.startswith("spiffe")] == [
        "spiffe.kubernetes: there is no file /nowhere/token"
    ]
    monkeypatch.setattr(settings, "find_spec", lambda _: None)
    assert any("troth[spiffe]" in one for one in troubles(config))


def test_the_unit_opens_the_sockets_directory(config: AgentConfig) -> None:
    assert "ReadWritePaths=-/srv/spiffe\n" in unit(config, Path("/etc/troth/agent.toml"), "/bin/true")
    usual = parse(CONFIG.replace('socket = "/srv/spiffe/workload.sock"\n', ""))
    assert "ReadWritePaths" not in unit(usual, Path("/etc/troth/agent.toml"), "/bin/true")


def test_without_its_table_there_is_no_service() -> None:
    nothing = parse('[issuer.troth]\ndirectory = "https://pki.example/"\n')

    def never(*_: object) -> None:
        raise AssertionError("nobody is asked")

    host = Host(nothing, never, never, never, never, never)  # type: ignore[arg-type]
    assert build_services(host) == []
