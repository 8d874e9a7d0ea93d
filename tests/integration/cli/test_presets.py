"""The way of a newcomer to certificates of the shipped profiles: the commands of docs/profiles.md, word for word."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from cryptography import x509

from tests.integration.cli.test_nouns import Run, run, served
from tests.support.dashboard import House
from troth.cli.main import DENIED
from troth.pki.profile import shipped_profiles

__all__ = ["run", "served"]

_GUIDE = Path(__file__).parents[3] / "docs/profiles.md"


def _block(language: str) -> str:
    """The first block in ``language`` of the section for newcomers."""
    section = _GUIDE.read_text(encoding="utf-8").partition("\n## From nothing to a certificate\n")[2]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


async def test_the_commands_for_newcomers_issue_what_they_say(
    run: Run, house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("campus.yaml").write_text(_block("yaml"))
    commands = [shlex.split(line) for line in _block("sh").splitlines()]
    profiles = [words[3] for words in commands if words[1:3] == ["cert", "issue"]]
    catalogue = house.trust.mint.catalogue
    for name in {*profiles, "smartcard-logon"} - set(catalogue.profiles):
        await catalogue.apply_profile(shipped_profiles()[name], actor="test:presets")

    for program, *words in commands:
        assert program == "troth"
        said = await run(*words)
        assert said.code == 0, (words, said.err)

    issued = [path for path in Path().rglob("*.crt") if ".fullchain" not in path.name]
    assert len(issued) == len(profiles)
    told = {path: x509.load_pem_x509_certificate(path.read_bytes()).subject.rfc4514_string() for path in issued}
    assert told[Path("vpn/vpn.corp.example.crt")] == "CN=vpn.corp.example"
    assert told[Path("mail/alice.crt")] == "CN=alice@corp.example"
    # A log-on out of a key in a file: refused, whoever asks.
    refused = await run("cert", "issue", "smartcard-logon", "alice", "--key", "rsa3072", "--out", "card")
    assert refused.code == DENIED
    assert "the trust decision refused" in refused.err
