from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.kit.config import ConfigError, Setting, describe, load, parse, public_values
from troth.kit.settings import Config


def code(error: pytest.ExceptionInfo[ConfigError]) -> str:
    return error.value.code


def test_a_missing_file_means_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, {}) == Config()


def test_the_file_overrides_the_defaults_and_the_environment_the_file(tmp_path: Path) -> None:
    (tmp_path / "troth.toml").write_text("[acme]\nhttp_port = 8080\nattempts = 2\n")
    config = load(tmp_path, {"TROTH__ACME__HTTP_PORT": "8081", "PATH": "/bin"})
    assert (config.acme.http_port, config.acme.attempts) == (8081, 2)


def test_variables_are_read_in_the_type_of_their_setting() -> None:
    environ = {
        "TROTH__PROCESSES__WEB": "4",
        "TROTH__ACME__CONTACT_REQUIRED": "yes",
        "TROTH__ACME__DENIED_NETWORKS": "10.0.0.0/8, 192.168.0.0/16",
        "TROTH__LOG__LEVEL": "debug",
    }
    config = parse("", environ)
    assert config.processes.web == 4
    assert config.acme.contact_required is True
    assert config.acme.denied_networks == ("10.0.0.0/8", "192.168.0.0/16")
    assert config.log.level == "debug"


@pytest.mark.parametrize(
    ("text", "environ", "nearest"),
    [
        ("[acme]\nhttp_prot = 1\n", {}, "acme.http_port"),
        ("[acm]\n", {}, "acme"),
        ("[trust]\ncap_percnt = 1\n", {}, "trust.cap_percent"),
        ("", {"TROTH__OCSP__VALIDITY": "1"}, "TROTH__OCSP__VALIDITY_SECONDS"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(text: str, environ: dict[str, str], nearest: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(text, environ)
    assert code(error) == "config.unknown_key"
    assert error.value.detail.endswith(f"did you mean {nearest}?")


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("[acme]\nhttp_port = 0\n", {}),
        ("[acme]\nhttp_port = '80'\n", {}),
        ("[acme]\ncontact_required = 1\n", {}),
        ("acme = 1\n", {}),
        ("[listen]\npublic_url = 'http://plain.example'\n", {}),
        ("[listen]\npublic_url = 'https://slash.example/'\n", {}),
        ("", {"TROTH__ACME__HTTP_PORT": "eighty"}),
        ("", {"TROTH__LOG__LEVEL": "loud"}),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(text: str, environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as error:
        parse(text, environ)
    assert code(error) == "config.bad_value"


def test_a_refused_value_is_not_repeated_in_the_message() -> None:
    with pytest.raises(ConfigError) as error:
        parse("[database]\nurl = ['postgresql://troth:hunter2@db/troth']\n", {})
    assert "hunter2" not in str(error.value)


def test_broken_toml_and_broken_encoding_are_told_apart_from_wrong_values(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        parse("[acme\n", {})
    assert code(error) == "config.syntax"
    (tmp_path / "troth.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError) as error:
        load(tmp_path, {})
    assert code(error) == "config.unreadable"


def test_passwords_are_blotted_out_of_what_is_shown() -> None:
    shown = public_values(parse("", {"TROTH__DATABASE__URL": "postgresql://troth:hunter2@db:5432/troth?x=1"}))
    assert shown["database"]["url"] == "postgresql://troth:[redacted]@db:5432/troth?x=1"


def test_every_setting_says_what_it_is_and_every_length_of_time_its_unit() -> None:
    for section in describe():
        assert section.about, section.name
        for setting in section.settings:
            assert setting.description, setting.name
            assert setting.key.endswith("_seconds") == (setting.unit == "seconds"), setting.name


@given(st.text())
def test_any_text_gives_a_configuration_or_a_refusal(text: str) -> None:
    try:
        config = parse(text, {})
    except ConfigError:
        return
    assert isinstance(config, Config)


@given(st.sampled_from([one for section in describe() for one in section.settings]), st.text(min_size=1))
def test_any_variable_text_gives_a_configuration_or_a_refusal(setting: Setting, text: str) -> None:
    try:
        config = parse("", {setting.variable: text})
    except ConfigError as error:
        code = error.code
    else:
        code = "config.bad_value"
        assert isinstance(config, Config)
    assert code == "config.bad_value"


def test_no_directory_takes_the_place_of_the_unpause_page() -> None:
    table = '[acme.directories.{}]\nprofiles = ["tls-server"]\n'
    assert "unpaused" in parse(table.format("unpaused"), {}).acme.directories
    with pytest.raises(ConfigError, match="directories"):
        parse(table.format("unpause"), {})
