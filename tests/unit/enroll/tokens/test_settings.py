"""The example of the documents is a configuration that loads; what contradicts itself does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from troth.kit import config as configuration
from troth.kit.config import ConfigError
from troth.kit.token_settings import OidcIssuer

ROOT = Path(__file__).resolve().parents[4]
(EXAMPLE,) = re.findall(r"^```toml\n(.*?)^```$", (ROOT / "docs/workloads.md").read_text(), re.MULTILINE | re.DOTALL)


def loaded(tmp_path: Path, text: str) -> configuration.Config:
    (tmp_path / "troth.toml").write_text(text)
    return configuration.load(tmp_path, {})


def test_the_example_loads(tmp_path: Path) -> None:
    issuers = loaded(tmp_path, EXAMPLE).tokens.issuers
    assert set(issuers) == {"github", "cluster-a"}
    github = issuers["github"]
    assert isinstance(github, OidcIssuer)
    assert github.rules["shop"].claims["ref"] == "refs/heads/main"
    assert github.algorithms == ("RS256",)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('kind = "oidc"', 'kind = "saml"'),
        ('audience = "troth"', 'audience = ""'),
        ('audience = "troth"\n', ""),
        ("https://10.0.0.1:6443", "http://10.0.0.1:6443"),
        ("[tokens.issuers.github]", '[tokens.issuers.github]\nalgorithms = ["none"]'),
        ("[tokens.issuers.github]", '[tokens.issuers.github]\nalgorithms = ["HS256"]'),
        ("claims = {", "claim = {"),
    ],
)
def test_what_would_let_anybody_in_does_not_load(tmp_path: Path, old: str, new: str) -> None:
    with pytest.raises(ConfigError):
        loaded(tmp_path, EXAMPLE.replace(old, new, 1))
