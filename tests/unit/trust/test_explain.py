"""Decisions in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.trust.policies import AT, HEALTHY, client_device, taken, tls_server
from troth.trust.decision.explain import explain
from troth.trust.decision.judge import judge
from troth.trust.model import FeedState, Moment, Seen
from troth.trust.standing import Standing
from troth.trust.wording import span


def told(values: Mapping[str, object], **more: object) -> str:
    return explain(judge(client_device(), taken(dict(values), asked="client-device", **more))).text()  # type: ignore[arg-type]


def test_a_decision_is_told_as_a_person_would() -> None:
    assert told({**HEALTHY, "posture.compliant": False}).splitlines() == [
        "Issuing a client-device certificate to device laptop-1 was limited to quarantine on 2026-11-23 10:00:00 UTC.",
        "Rule healthy-device of policy client-device, version 3, decided: not met: compliant.",
        "  ✓ owner_enabled: met (user.enabled)",
        "    user.enabled was true, as mdm said 5 minutes before.",
        '  ✗ compliant: not met (posture.compliant && age(posture.compliant) < duration("1h"))',
        "    posture.compliant was false, as mdm said 5 minutes before.",
        "  ✓ low_risk: met (risk.score < 50)",
        "    risk.score was 10, as mdm said 5 minutes before.",
        "The lifetime is at most 4 hours.",
        "The profile is quarantine in place of client-device.",
        "For the help desk: a condition of the rule was not met [policy.condition_false].",
        "What would have to change:",
        "  → Let the device sync with its manager and correct what it reports.",
    ]


def test_what_is_missing_and_what_is_stale_is_said_with_its_source() -> None:
    text = told({"user.enabled": True, "posture.compliant": True}, age=timedelta(hours=3))
    assert "posture.compliant is stale: it is 10800 s old, and 3600 s is the bound." in text
    assert "→ mdm must report posture.compliant again, not older than 1 hour." in text
    assert "risk.score is missing: nobody has reported it." in text
    assert "→ A source must report risk.score." in text


def test_an_allowed_request_needs_no_change() -> None:
    assert "would have to change" not in told(HEALTHY)


def test_a_standing_in_the_way_is_named() -> None:
    text = told(HEALTHY, standing=Standing.QUARANTINED)
    assert "decided that this is allowed, but the standing allows less." in text
    assert "The device stood quarantined: it gets no more than the quarantine profile." in text
    assert "→ The causes for which device laptop-1 is quarantined must be cleared." in text


def test_a_feed_that_is_down_is_named() -> None:
    feeds = (FeedState("mdm", "late", AT - timedelta(hours=1)),)
    text = told(HEALTHY, age=timedelta(hours=3), feeds=feeds)
    assert "a feed is down, and its last word was taken for compliant." in text
    assert "mdm is down, so its last word was taken" in text


def test_a_rule_without_conditions_says_what_must_no_longer_match() -> None:
    text = told({**HEALTHY, "user.enabled": False})
    assert "→ Rule owner-disabled must no longer match: has(user.enabled) && !user.enabled" in text
    assert "The account of this device's owner is disabled." in text


def test_no_rule_and_no_policy_are_explained() -> None:
    assert (
        "No rule of policy tls-server, version 1 matches"
        in explain(judge(tls_server(), taken({}, moment=Moment.STATUS))).text()
    )
    assert "→ Apply a policy that lists the profile p." in explain(judge(None, taken({}))).text()


def test_long_lists_are_cut() -> None:
    names = [f"n{number}.example" for number in range(50)]
    text = explain(judge(tls_server(), taken({"request.names": names, "evidence.controlled_names": []}))).text()
    assert "and 40 more" in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 seconds"), (1, "1 second"), (90, "1 minute 30 seconds"), (3600, "1 hour"), (3601, "1 hour"),
     (90_000, "1 day 1 hour"), (-60, "minus 1 minute")],
)  # fmt: skip
def test_spans_have_at_most_two_units(seconds: int, words: str) -> None:
    assert span(timedelta(seconds=seconds)) == words


@given(st.dictionaries(st.sampled_from(sorted(HEALTHY)), st.one_of(st.booleans(), st.integers(), st.text(max_size=9))))
def test_any_decision_can_be_told(values: dict[str, object]) -> None:
    for policy in (client_device(), None):
        for standing in Standing:
            assert explain(judge(policy, taken(values, standing=standing))).text()


def test_a_value_without_a_feed_behind_it_is_told_by_its_place() -> None:
    snapshot = taken({"request.names": ["a.example"]}, source="request")
    extra = Seen("evidence.controlled_names", ["a.example"], "evidence", AT)
    values = (*snapshot.values, extra)
    text = explain(judge(tls_server(), replace(snapshot, values=values))).text()
    assert "request.names was ['a.example'] (from the request)." in text
    assert "evidence.controlled_names was ['a.example'] (from the evidence)." in text
