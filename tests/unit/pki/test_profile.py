from __future__ import annotations

import pytest

from troth.pki.errors import ProfileRefused
from troth.pki.profile import parse_profile, shipped_profiles

GOOD = shipped_profiles()["tls-server"]


def test_shipped_profiles_are_what_they_are_named() -> None:
    found = {name: parse_profile(text) for name, text in shipped_profiles().items()}
    assert set(found) == {
        "tls-server", "client-device", "quarantine", "ocsp-responder", "troth-service", "wifi-device", "wifi-user",
        "vpn", "mutual-tls", "smartcard-logon", "spiffe-workload", "radius-server", "code-signing", "s-mime",
        "device-identity", "domain-controller", "vpn-server", "tpm-attestation-key",
    }  # fmt: skip
    assert all(profile.name == name for name, profile in found.items())
    assert found["tls-server"].extended_key_usage == ("serverAuth",)
    assert found["tls-server"].max_lifetime.days == 90
    assert found["quarantine"].max_lifetime.total_seconds() == 4 * 3600
    assert found["ocsp-responder"].ocsp_nocheck


@pytest.mark.parametrize(
    "change",
    [
        ("extended_key_usage: [serverAuth]", "extended_key_usage: []"),
        ("extended_key_usage: [serverAuth]", "extended_key_usage: [anyExtendedKeyUsage]"),
        ("key_usage: [digitalSignature]", "key_usage: [keyCertSign]"),
        ("backdate: 5m", "backdate: 2h"),
        ("default: 30d", "default: 91d"),
        ("default: 30d", "default: 30"),
        ("default: 30d", "default: 0d"),
        ("wildcard: true", "wildcards: true"),
        ("wildcard: true", "wildcard: sometimes"),
        ("kinds: [dns, ip]", "kinds: [dns, dns]"),
        ("kinds: [dns, ip]", "kinds: [x400]"),
        ("max: 100,", "max: 1000,"),
        ("min: 1,", "min: 0,"),
        ("name: tls-server", "name: ../x"),
        ("p256,", "p192,"),
        ("name: tls-server", "name: tls-server\nbasic_constraints: ca"),
        ("name: tls-server", "name: tls-server\nocsp_nocheck: true"),
        ("name: tls-server", "name: [unclosed"),
    ],
)
def test_a_typo_or_a_widening_is_refused(change: tuple[str, str]) -> None:
    assert change[0] in GOOD
    with pytest.raises(ProfileRefused) as caught:
        parse_profile(GOOD.replace(*change))
    assert caught.value.code == "pki.profile.malformed"


def test_equal_profiles_have_equal_digests_whatever_their_layout() -> None:
    first, second = parse_profile(GOOD), parse_profile(GOOD + "\n# a comment\n")
    assert first.digest == second.digest
    assert parse_profile(GOOD.replace("30d", "31d")).digest != first.digest


@pytest.mark.parametrize(
    ("names", "common_name", "key"),
    [
        ((), None, "p256"),
        ((("email", "a@b.example"),), None, "p256"),
        ((("dns", "a.example"),), "a.example", "p256"),
        ((("dns", "a.example"),), None, "dsa"),
        (tuple(("dns", f"n{i}.example") for i in range(101)), None, "p256"),
    ],
)
def test_a_request_cannot_widen_a_profile(
    names: tuple[tuple[str, str], ...], common_name: str | None, key: str
) -> None:
    with pytest.raises(ProfileRefused):
        parse_profile(GOOD).allow(names, common_name, key)


def test_wildcards_need_leave() -> None:
    narrow = parse_profile(GOOD.replace("wildcard: true", "wildcard: false"))
    with pytest.raises(ProfileRefused):
        narrow.allow((("dns", "*.a.example"),), None, "p256")
    parse_profile(GOOD).allow((("dns", "*.a.example"),), None, "p256")
