"""The standing document: what it says, what it leaves out, and where it is wrong."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.kit.errors import TrothError
from troth.trust.errors import RulesError
from troth.trust.feeds.caps import Cap
from troth.trust.standings.grammar import parse_rules, shipped_rules, shipped_text
from troth.trust.standings.rules import HalfLife, StandingRules, Threshold


def test_what_is_left_out_is_as_the_program_has_it_and_as_shipped() -> None:
    assert parse_rules("standing: {}") == StandingRules()
    shipped = shipped_rules()
    bare = StandingRules()
    assert (shipped.restrict, shipped.quarantine, shipped.propose, shipped.quorum) == (
        bare.restrict, bare.quarantine, bare.propose, bare.quorum,
    )  # fmt: skip
    assert (shipped.caps, shipped.flapping, shipped.unhealed) == (bare.caps, bare.flapping, bare.unhealed)
    assert (shipped.dwell_restricted, shipped.dwell_quarantined) == (bare.dwell_restricted, bare.dwell_quarantined)


def test_every_number_can_be_said() -> None:
    rules = parse_rules(
        """
standing:
  weights: {"*": 90, "edr.*": 80, edr.alert: 70}
  feeds: {lab: 50}
  half_lives: {"*": 12h, edr.alert: {half_life: 24h, minor_below: 60, minor: 6h}}
  restrict: {up: 40, down: 10, dwell: 5m}
  quarantine: {up: 70, down: 30, dwell: 1h}
  propose: {score: 95, classes: 3, quarantined_for: never}
  flapping: {penalty: 500, suppress: 900, reuse: 400, half_life: 5m, ceiling: 4000}
  caps:
    kind: {percent: 1, subjects: 2, window: 10m}
    hard: {subjects: 7}
    breaker: {percent: 40, population: 20}
""",
        version=3,
    )
    assert rules.version == 3
    assert [rules.weight("edr", kind) for kind in ("edr.alert", "edr.intrusion", "mdm.lost")] == [7_000, 8_000, 9_000]
    assert rules.weight("lab", "edr.alert") == 3_500
    assert rules.half_lives["edr.alert"] == HalfLife(86_400, 60, 21_600)
    assert (rules.half_life("edr.alert", 59), rules.half_life("idp.risk_event", 1)) == (21_600, 43_200)
    assert (rules.restrict, rules.quarantine) == (Threshold(400_000, 100_000), Threshold(700_000, 300_000))
    assert (rules.dwell_restricted, rules.dwell_quarantined, rules.unhealed) == (300, 3_600, 0)
    assert (rules.propose, rules.quorum) == (950_000, 3)
    assert rules.caps.kind == Cap(1, 2, timedelta(minutes=10))
    assert (rules.caps.hard.percent, rules.caps.hard.subjects, rules.caps.breaker.population) == (10, 7, 20)


@pytest.mark.parametrize(
    ("text", "field", "line"),
    [
        ("standing: {wieghts: {}}", "standing.wieghts", 1),
        ("standing:\n  weights: {edr.nothing: 5}", "standing.weights.edr.nothing", 2),
        ("standing:\n  weights: {edr.alert: 101}", "standing.weights.edr.alert", 2),
        ("standing:\n  feeds: {'Not a feed': 5}", "standing.feeds.Not a feed", 2),
        ("standing:\n  half_lives:\n    edr.alert: {half_life: 6h, minor: 24h, minor_below: 60}",
         "standing.half_lives.edr.alert.minor", 3),
        ("standing:\n  half_lives: {edr.alert: {half_life: 6h, minor: 2h}}", "standing.half_lives.edr.alert", 2),
        ("standing:\n  restrict: {up: 20, down: 30}", "standing.restrict", 2),
        ("standing:\n  restrict: {up: 65}", "standing", 2),
        ("standing:\n  propose: {classes: 1}", "standing.propose.classes", 2),
        ("standing:\n  flapping: {reuse: 9000}", "standing.flapping", 2),
        ("standing:\n  caps: {kind: {percent: 200}}", "standing.caps.kind.percent", 2),
        ("standing:\n  caps: {hard: {window: 1h}}", "standing.caps.hard.window", 2),
        ("standing: 5", "standing", 1),
        ("rules: {}", "rules", 1),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_field_and_line(text: str, field: str, line: int) -> None:
    with pytest.raises(RulesError) as caught:
        parse_rules(text)
    assert (caught.value.facts["field"], caught.value.facts["line"]) == (field, line)


@given(st.text(max_size=200))
def test_whatever_is_said_is_rules_or_refused(text: str) -> None:
    for one in (text, shipped_text()[: len(text) * 7], f"standing:\n  {text}"):
        try:
            parse_rules(one)
        except TrothError:
            continue
