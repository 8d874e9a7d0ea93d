"""Profiles as people and programs write them: whatever is sent is refused with a reason, or is a profile."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.pki.errors import ProfileRefused
from troth.pki.profile import parse_profile, shipped_profiles

DOCUMENTS = shipped_profiles()
GOOD = DOCUMENTS["wifi-user"]
CODE = DOCUMENTS["code-signing"]


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ("a: &x [1]\nb: *x", "anchors|aliases"),
        ("a: !!python/object:os.system {}", "tags"),
        (GOOD + "\nname: other", "twice"),
        ("x: " + "[" * 20 + "]" * 20, "nested"),
        ("x: " + "y" * 70_000, "64 KiB"),
        ("- a", "object"),
        ("when: 2026-02-31", "."),
        (GOOD.replace("email: ${user.email", "email: ${user.emial.x"), "no variable"),
        (
            GOOD.replace("issuer_class: people\n", "").replace("email: ${user.email}", "upn: ${user.upn}"),
            "issuer_class: people",
        ),
        (CODE.replace("issuer_class: people", "issuer_class: open"), "issuer_class: people"),
        (GOOD.replace("[clientAuth]", '["2.5.29.37.0"]'), "anyExtendedKeyUsage"),
        (GOOD.replace("[clientAuth]", '[clientAuth, "1.3.6.1.5.5.7.3.2"]'), "twice"),
        (GOOD.replace("- email:", "- x400:"), "unknown kind"),
        (GOOD.replace("- CN:", "- Description:"), "unknown attribute"),
        (GOOD.replace("jitter: 2d", "jitter: 16d"), "jitter"),
        (GOOD + "no_rev_avail: true\n", "status"),
        (GOOD + "no_rev_avail: true\nstatus: []\n", "7d"),
        (GOOD + "must_staple: true\nstatus: [crl]\n", "ocsp"),
        (GOOD + "policies: [{oid: 2.5.29.32.0}]\n", "anyPolicy"),
        (GOOD + "policies: [{oid: nothing}]\n", "identifier"),
        (GOOD + "name_constraints: {permitted: [{dns: a.example}]}\n", "basic_constraints: ca"),
        (GOOD + "basic_constraints: ca\n", "keyCertSign"),
        (GOOD + "spiffe: true\n", "uri"),
    ],
)
def test_what_does_not_hold_together_is_refused(document: str, what: str) -> None:
    with pytest.raises(ProfileRefused, match=what) as caught:
        parse_profile(document)
    assert caught.value.code == "pki.profile.malformed"


def test_a_ceremony_profile_has_constraints() -> None:
    document = """
name: regional
description: An issuing authority for one region.
extended_key_usage: [serverAuth, clientAuth]
key_usage: [keyCertSign, cRLSign]
lifetime: {default: 5y, max: 10y}
keys: [p384]
basic_constraints: ca
path_length: 0
common_name: required
name_constraints: {permitted: [{dns: corp.example}], excluded: [{ip: 10.0.0.0/8}]}
"""
    assert parse_profile(document).path_length == 0


SCALAR = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(["${user.name}", "p256"])
KEYS = st.sampled_from([
    "name", "description", "extended_key_usage", "key_usage", "lifetime", "keys", "names", "subject", "san", "status",
    "policies", "strong_mapping", "name_constraints", "default", "max", "min", "kinds", "dns", "uri", "CN", "oid",
    "sid",
])  # fmt: skip
VALUE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=10
)


@settings(max_examples=200)
@given(st.sampled_from(sorted(DOCUMENTS)), st.dictionaries(KEYS, VALUE, max_size=3))
def test_any_change_of_a_profile_is_refused_or_gives_a_profile(name: str, changes: dict[str, object]) -> None:
    document = yaml.safe_dump({**yaml.safe_load(DOCUMENTS[name]), **changes})
    try:
        profile = parse_profile(document)
    except ProfileRefused:
        return
    assert profile.extended_key_usage
    assert parse_profile(document).digest == profile.digest


@settings(max_examples=200)
@given(st.text(max_size=200) | st.text(st.sampled_from("{}[]:,-&*!|>'\"#%@ \nabc0"), max_size=80))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(ProfileRefused):
        parse_profile(text)
