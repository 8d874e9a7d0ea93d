"""Access rules: one grammar, and the same meaning in every dialect."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.radius.places.rules import CLOSING, DIALECTS, Rule, closed, ios, of_family, parse_rule


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("permit udp to any port 0", "ports are 1"),
        ("permit udp to any port 70000", "ports are 1"),
        ("permit tcp to any port 90-80", "the lower first"),
        ("permit ip to any port 80", "ip has no ports"),
        ("permit icmp to any port 8", "icmp has no ports"),
        ("permit tcp to 192.0.2.1/24 port 80", "is no network"),
        ("permit tcp to 192.0.2.0/33", "is no network"),
        ("permit tcp from any to any", "a rule reads"),
        ("permit tcp to any port 80\nip:inacl#9=permit ip any any", "a rule reads"),
        ("allow ip to any", "a rule reads"),
        ("permit ip to any ", "a rule reads"),
    ],
)
def test_what_is_no_rule_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_rule(text)


def test_what_no_rule_matches_is_denied_aloud() -> None:
    only = parse_rule("permit udp to any port 53")
    assert closed([only]) == (only, CLOSING)


@pytest.mark.parametrize("last", ["permit ip to any", "deny ip to any"])
def test_rules_that_end_with_everything_are_closed_already(last: str) -> None:
    rules = [parse_rule("deny ip to 192.0.2.0/24"), parse_rule(last)]
    assert closed(rules) == tuple(rules)


def test_a_rule_about_one_version_of_ip_is_in_that_family_alone() -> None:
    four, six, both = (parse_rule(f"permit ip to {to}") for to in ("192.0.2.0/24", "2001:db8::/32", "any"))
    assert of_family([four, six, both], 4) == (four, both)
    assert of_family([four, six, both], 6) == (six, both)


def test_ios_writes_ipv6_as_prefixes() -> None:
    assert ios(parse_rule("permit tcp to 2001:db8:1::/48 port 443"), 6) == "permit tcp any 2001:db8:1::/48 eq 443"
    assert ios(parse_rule("deny ip to 2001:db8::1/128"), 6) == "deny ipv6 any host 2001:db8::1"


_NETWORKS = st.ip_addresses(v=4).map(lambda one: f"{one}/32") | st.ip_addresses(v=6).map(lambda one: f"{one}/128")
_PORTS = st.tuples(st.integers(1, 65_535), st.integers(1, 65_535)).map(sorted)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Any rule there is."""
    action, protocol = draw(st.sampled_from(["permit", "deny"])), draw(st.sampled_from(["ip", "tcp", "udp", "icmp"]))
    to = draw(st.just("any") | _NETWORKS)
    ports = "" if protocol in ("ip", "icmp") or draw(st.booleans()) else " port {}-{}".format(*draw(_PORTS))
    return parse_rule(f"{action} {protocol} to {to}{ports}")


@given(rules())
def test_a_rule_reads_as_it_is_written(rule: Rule) -> None:
    assert parse_rule(str(rule)) == rule


@given(rules(), st.sampled_from(sorted(DIALECTS)))
def test_no_dialect_writes_what_could_end_an_attribute_or_begin_another(rule: Rule, dialect: str) -> None:
    for family in rule.families():
        written = DIALECTS[dialect](rule, family)
        assert written.isascii()
        assert written.isprintable()
        assert "=" not in written
        assert len(written) < 200


@given(st.text(alphabet="permitdnyuc to.:/0123456789-any", max_size=60))
def test_any_text_is_a_rule_that_reads_the_same_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        rule = parse_rule(text)
        assert parse_rule(str(rule)) == rule
