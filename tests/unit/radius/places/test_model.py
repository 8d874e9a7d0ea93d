"""The document ``places:``: what is taken, and what is refused by name and line."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.radius.places.errors import PlaceInvalid
from troth.radius.places.model import PlaceDefinition, parse_places, place_of
from troth.radius.places.rules import CLOSING


def _one(text: str) -> PlaceDefinition:
    indented = "\n".join(f"    {line}" for line in text.splitlines())
    return parse_places(f"places:\n  - name: one\n{indented}\n")[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vlan: 0", "line 2.*>= 1"),
        ("vlan: 4095", "<= 4094"),
        ('vlan: "20"', "without quotes"),
        ("vlan: \u202eUSERS", "letters, digits"),
        ("role: 'a\\x00b'", "letters, digits"),
        ('role: "staff\\nTermination-Action"', "letters, digits"),
        ("role: staff=admin", "letters, digits"),
        ("role: 'x '", "letters, digits"),
        ("sgt: 0", ">= 1"),
        ("sgt: 65534", "<= 65533"),
        ("acl_rules: [permit ip to nowhere]", r"acl_rules\[0\].*a rule reads"),
        ("acl_rules: [" + ", ".join(["permit ip to any"] * 65) + "]", "<= 64"),
        ("downloadable: true", "no acl_rules"),
        ("session_timeout: 59s", "1m to 24h"),
        ("session_timeout: 25h", "1m to 24h"),
        ("idle_timeout: soon", "1m to 24h"),
        ("redirect_url: javascript:alert(1)", "http or https"),
        ('redirect_url: "https://a/ b"', "http or https"),
        ("redirect_url: https://u:p@a/", "http or https"),
        ("redirect_acl: R", "no redirect_url"),
        ("bandwidth_up: 1000", "both directions"),
        ("essential: [vlan]", "nothing that confines"),
        ("vlan: 20\nessential: [role]", "names only what confines"),
        ("vlan: 20\nessential: []", "at least one"),
        ("vlan: 20\nvlam: 30", "vlam"),
        ("vlan: 20\nvlan: 30", "twice"),
    ],
)
def test_what_does_not_hold_together_is_refused_by_its_name(text: str, words: str) -> None:
    with pytest.raises(PlaceInvalid, match=words):
        _one(text)


@pytest.mark.parametrize("name", ["Staff", "1st", "a" * 33, "", "a_b", "a b", "-a"])
def test_a_place_has_a_plain_name(name: str) -> None:
    with pytest.raises(PlaceInvalid, match="name"):
        parse_places(f"places:\n  - name: {name!r}\n")


def test_a_place_is_defined_once_in_a_file() -> None:
    with pytest.raises(PlaceInvalid, match=r"'a'.*twice"):
        parse_places("places:\n  - {name: a, vlan: 1}\n  - {name: b}\n  - {name: a, vlan: 2}\n")


def test_aliases_are_not_taken() -> None:
    with pytest.raises(PlaceInvalid, match="aliases"):
        parse_places("places:\n  - &x {name: a}\n  - *x\n")


def test_the_vlan_is_essential_where_nothing_else_is_said() -> None:
    place = place_of(_one("vlan: 900\nrole: quarantine\nacl_rules: [permit udp to any port 53]"))
    assert place.essential == {"vlan"}
    assert place.acl_rules[-1] == CLOSING


def test_without_a_vlan_everything_that_confines_is_essential() -> None:
    assert place_of(_one("role: quarantine\nsgt: 9\nsession_timeout: 5m")).essential == {"role", "sgt"}


def test_times_are_in_seconds() -> None:
    place = place_of(_one("session_timeout: 8h\nidle_timeout: 10m"))
    assert (place.session_timeout, place.idle_timeout) == (28_800, 600)


@given(st.text(max_size=300))
def test_any_text_is_places_or_refused(text: str) -> None:
    for document in (text, f"places:\n  - name: a\n    role: {text}\n", f"places: {text}"):
        with contextlib.suppress(PlaceInvalid):
            assert all(place_of(one).name == one.name for one in parse_places(document))
