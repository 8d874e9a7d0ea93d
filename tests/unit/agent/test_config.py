"""One strict file; a refusal names the key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.agent.config import Identifier, identifiers, issuer_of, load, owner_of, parse, troubles
from troth.agent.errors import CONFIG, AgentError
from troth.agent.settings import FileKeySettings, ListenHttp, ProveTls

ISSUER = '[issuer.troth]\ndirectory = "https://pki.example/acme/tls-server/directory"\n'
EST = """
[issuer.troth]
est = "https://pki.example/.well-known/est/hosts"
trust = "/etc/troth/root.pem"
est_user = "id"
est_secret_file = "/etc/troth/secret"
"""
WEB = '[certificate.web]\nnames = ["www.example.org"]\n'

WHOLE = """
[agent]
state = "/srv/agent"
metrics_file = "/srv/metrics/troth.prom"

[issuer.troth]
directory = "https://pki.example/acme/tls-server/directory"
trust = "/etc/troth/root.pem"
eab_key_id = "kid-1"
eab_key_file = "/etc/troth/eab.key"

[certificate.web]
names = ["www.example.org", "192.0.2.7", "2001:DB8::7"]
profile = "tls-server"
purposes = ["server"]
challenge = { kind = "http-01", port = 8080 }
reload = { command = ["systemctl", "reload", "nginx"] }
prove = { kind = "tls", port = 8443 }
staple = { path = "/etc/nginx/web.ocsp" }

[[certificate.web.output]]
form = "fullchain"
path = "/etc/nginx/web.pem"

[[certificate.web.output]]
form = "key"
path = "/etc/nginx/web.key"
group = "www-data"
mode = "0640"

[certificate.vpn]
names = ["vpn.example.org"]
key = { kind = "pkcs11", library = "/usr/lib/softhsm/libsofthsm2.so", token = "vpn", pin_file = "/etc/troth/pin" }
"""


def refusal(text: str) -> str:
    with pytest.raises(AgentError) as refused:
        parse(text)
    assert refused.value.reason is CONFIG
    return refused.value.detail


def test_a_whole_file_is_read() -> None:
    config = parse(WHOLE)
    web = config.certificate["web"]

    assert issuer_of(config, web)[0] == "troth"
    assert web.challenge == ListenHttp(port=8080)
    assert web.prove == ProveTls(port=8443)
    assert web.key == FileKeySettings()
    assert identifiers(web.names) == (
        Identifier("dns", "www.example.org"),
        Identifier("ip", "192.0.2.7"),
        Identifier("ip", "2001:db8::7"),
    )


def test_a_device_needs_no_attestation_where_its_credential_is_for_it() -> None:
    config = parse(EST + "[certificate.wifi]\nnames = ['permanent-identifier:SN-1']")
    assert config.issuer["troth"].est.endswith("/hosts")


def test_an_empty_file_asks_for_nothing() -> None:
    assert parse("").certificate == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[agent]\nstat = 1", "unknown field `stat`"),
        ("[certificates.web]", "unknown field `certificates`"),
        ("[agent]\nstate = 'here'", "agent.state"),
        ("[agent", "Expected"),
        (ISSUER + "[certificate.web]\nnames = []", "length >= 1"),
        (ISSUER + "[certificate.Web]\nnames = ['a.example']", "certificate.Web"),
        (ISSUER + "[certificate.web]\nnames = ['a b']", "neither a DNS name"),
        (ISSUER + "[certificate.web]\nnames = ['ü.example']", "neither a DNS name"),
        (ISSUER + "[certificate.web]\nnames = ['a.*.example']", "neither a DNS name"),
        (ISSUER + "[certificate.web]\nnames = ['permanent-identifier:']", "names no device"),
        (ISSUER + "[certificate.web]\nnames = ['a.example', 'A.example']", "twice"),
        (ISSUER + WEB + "issuer = 'other'", "no issuer.other"),
        (WEB, "none that there are"),
        ("[issuer.troth]\ndirectory = 'http://pki.example'", "no https URL"),
        ("[issuer.troth]\ndirectory = 'https://[pki.example'", "no https URL"),
        ("[issuer.troth]\n", "one of directory"),
        (ISSUER + "eab_key_id = 'kid'", "go together"),
        (ISSUER + WEB + "challenge = {kind = 'carrier-pigeon'}", "carrier-pigeon"),
        (ISSUER + "[certificate.web]\nnames = ['*.a.example']\nchallenge = {kind = 'http-01'}", "dns-01 alone"),
        (ISSUER + "[certificate.web]\nnames = ['::1']\nchallenge = {kind='dns-01', command=['x']}", "cannot be proved"),
        (ISSUER + WEB + "output = [{form = 'key', path = 'web.key'}]", "no absolute path"),
        (ISSUER + WEB + "output = [{form = 'key', path = '/etc/../web.key'}]", "no absolute path"),
        (ISSUER + WEB + "output = [{form = 'key', path = '/a'}, {form = 'cert', path = '/a'}]", "/a is written by"),
        (ISSUER + WEB + "output = [{form = 'key', path = '/a'}]\nstaple = {path = '/a'}", "/a is written by"),
        (ISSUER + WEB + "output = [{form = 'key', path = '/a', mode = '644'}]", "mode"),
        (ISSUER + WEB + "output = [{form = 'key', path = '/a', password_file = '/b'}]", "is for pkcs12"),
        (
            ISSUER + WEB + "key = {kind = 'pkcs11', library = '/l', token = 't', pin_file = '/p'}\n"
            "output = [{form = 'bundle', path = '/a'}]",
            "stays where it is held",
        ),
        (ISSUER + WEB + "reload = {command = []}", "length >= 1"),
        (ISSUER + "[certificate.web]\nnames = ['permanent-identifier:A1']", "proved by a key in its TPM"),
        (ISSUER + WEB + "key = {kind = 'tpm', attestation_ca = 'http://pki.example'}", "no https URL"),
        (ISSUER + WEB + "reload = {command = 'systemctl reload nginx'}", "array"),
        ("[issuer.e]\nest = 'http://pki.example/.well-known/est'\n", "issuer.e.est is no URL"),
        ("[issuer.e]\nest = 'https://pki.example/est'\n", "issuer.e.est is no URL"),
        (ISSUER + "est = 'https://pki.example/.well-known/est'\n", "one of directory"),
        (ISSUER + "est_user = 'x'\n", "go with est"),
        (ISSUER + "renewal_info = 'https://x'\n", "go with est"),
        (EST.replace("trust", "#"), "roots of its own"),
        (EST.replace("est_secret_file", "#"), "goes with est_secret_file"),
        (EST.replace("est_user", "#").replace("est_secret_file", "#"), "needs est_secret_file or"),
        (EST + "bootstrap_key = '/k'\n", "go together"),
        (EST + "contact = ['mailto:a@b.example']\n", "no accounts"),
        (EST + "renewal_info = 'http://x'\n", "no https URL"),
        (EST + WEB + "challenge = {kind = 'http-01'}", "no challenge"),
        (EST + WEB + "profile = 'x'", "which profile it is"),
        ("a = " + "[" * 5000, ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(text: str, told: str) -> None:
    assert told in refusal(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for asked in (text, ISSUER + text, f"{ISSUER}[certificate.web]\nnames = [{text!r}]"):
        try:
            parse(asked)
        except AgentError:
            continue


def test_a_file_is_named_in_its_refusal(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="no file"):
        load(tmp_path / "agent.toml")
    (tmp_path / "agent.toml").write_text("[agent]\nstat = 1")
    with pytest.raises(AgentError, match=r"agent\.toml: .*stat"):
        load(tmp_path / "agent.toml")
    (tmp_path / "agent.toml").write_bytes(b"\xff")
    with pytest.raises(AgentError, match="UTF-8"):
        load(tmp_path / "agent.toml")


def test_check_tells_what_this_machine_lacks(tmp_path: Path) -> None:
    open_secret = tmp_path / "eab.key"
    open_secret.write_text("secret")
    open_secret.chmod(0o644)
    (tmp_path / "taken.pem").touch()
    text = f"""
    [issuer.troth]
    directory = "https://pki.example/"
    trust = "{tmp_path}/root.pem"
    eab_key_id = "k"
    eab_key_file = "{open_secret}"
    [certificate.web]
    names = ["www.example.org"]
    challenge = {{ kind = "webroot", path = "{tmp_path}/nowhere" }}
    key = {{ kind = "pkcs11", library = "{tmp_path}/lib.so", token = "t", pin_file = "{tmp_path}/pin" }}
    prove = {{ kind = "tls" }}
    output = [
      {{ form = "cert", path = "{tmp_path}/taken.pem" }},
      {{ form = "chain", path = "{tmp_path}/copied.pem", copy = true, owner = "no-such-user" }},
      {{ form = "key", path = "{tmp_path}/none/key.pem" }},
    ]
    [certificate.mail]
    names = ["mail.example.org"]
    reload = {{ command = ["/no/such/program"] }}
    """
    told = "\n".join(troubles(parse(text)))

    for each in (
        "no file", "others may read it (mode 0644", "no directory", "no library", "/pin: No such file",
        "nothing is reloaded", "taken.pem is a file already", "no-such-user", "none", "no program /no/such/program",
    ):  # fmt: skip
        assert each in told
    assert len(told.splitlines()) == 10


def test_owners_are_numbers_names_or_nobody() -> None:
    assert owner_of("", "") == (-1, -1)
    assert owner_of("root", "12") == (0, 12)
    assert owner_of(str(os.getuid()), "root") == (os.getuid(), 0)
