"""What would have to be different is computed: whatever is told, the judge has said it of exactly those values."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.unit.trust.policies import HEALTHY, client_device, rules, taken
from troth.trust.decision.counterfactual import MAX_TOGETHER, counterfactuals, laid
from troth.trust.decision.explain import explain
from troth.trust.decision.judge import judge
from troth.trust.model import Kind, Outcome, SubjectRef
from troth.trust.policy.compiled import Policy
from troth.trust.standing import Standing


def sentences(policy: Policy, values: dict[str, Any], **fields: Any) -> list[str]:
    snapshot = taken(values, asked=policy.profiles[0], **fields)
    found = explain(judge(policy, snapshot), counterfactuals(policy, snapshot)).lines
    return [line.text for line in found if line.text.startswith("If ")]


@pytest.mark.parametrize(
    ("values", "fields", "told"),
    [
        ({"posture.compliant": False}, {},
         ["If posture.compliant were true (it was false), it would be allowed, for at most 30 days."]),
        ({"risk.score": 60}, {},
         ["If risk.score were at most 49 (it was 60), it would be allowed, for at most 30 days."]),
        ({}, {"age": timedelta(hours=2)},
         ["If mdm reported posture.compliant true again, within 1 hour, it would be allowed, for at most 30 days."]),
        ({"user.enabled": False, "risk.score": 95}, {},
         ["If user.enabled were true (it was false) and risk.score were at most 49 (it was 95), it would be allowed,"
          " for at most 30 days.",
          "If user.enabled were true (it was false), it would be limited to quarantine, for at most 4 hours."]),
        ({}, {"standing": Standing.QUARANTINED},
         ["If device laptop-1 were trusted again (the causes for which it is quarantined cleared), it would be allowed,"
          " for at most 30 days."]),
    ],
)  # fmt: skip
def test_the_way_out_is_told_in_a_sentence(values: dict[str, Any], fields: dict[str, Any], told: list[str]) -> None:
    assert sentences(client_device(), {**HEALTHY, **values}, **fields) == told


CASES: list[tuple[str, dict[str, Any], str]] = [
    ('device.platform == "macos"', {"device.platform": "windows"}, "device.platform were 'macos' (it was 'windows')"),
    ('device.platform != "windows"', {"device.platform": "windows"}, "device.platform were anything but 'windows'"),
    ('device.platform in ["ios", "macos"]', {"device.platform": "windows"}, "device.platform were 'ios'"),
    ('"staff" in user.groups', {"user.groups": ["guests"]}, "user.groups were with 'staff'"),
    ('!("guests" in user.groups)', {"user.groups": ["guests"]}, "user.groups were without 'guests'"),
    ('version_at_least(posture.os_version, "15")', {"posture.os_version": "14"},
     "posture.os_version were at least '15' (it was '14')"),
    ("size(signals.open) == 0", {"signals.open": ["edr.alert"]}, "signals.open were []"),
    ("50 > risk.score", {"risk.score": 70}, "risk.score were at most 49"),
    ("risk.score >= 5", {"risk.score": 1}, "risk.score were at least 5"),
    ('device.name.startsWith("lab-")', {"device.name": "x"}, "device.name were beginning with 'lab-'"),
    ("posture.firewall || posture.edr_running", {"posture.firewall": False, "posture.edr_running": False},
     "posture.firewall were true"),
    ("!posture.jailbroken", {"posture.jailbroken": True}, "posture.jailbroken were false"),
    ("request.names.all(n, n in evidence.controlled_names)",
     {"request.names": ["a"], "evidence.controlled_names": []}, "request.names were []"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "values", "wish"), CASES, ids=[one[0] for one in CASES])
def test_each_comparison_has_its_way_out(check: str, values: dict[str, Any], wish: str) -> None:
    policy = rules(f"- rule: r\n  require:\n    c: '{check}'\n  then: allow\n  else: deny\n  unknown: restrict\n")
    assert sentences(policy, values)[0].startswith(f"If {wish}")
    # Nobody has reported anything: there is a way out of that as well.
    assert sentences(policy, {}) or "user.groups" in check or "names" in check


def test_what_is_allowed_needs_nothing_and_what_cannot_change_is_not_asked_for() -> None:
    assert counterfactuals(client_device(), taken(HEALTHY, asked="client-device")) == ()
    policy = rules(
        "- rule: r\n  require: {user: 'subject.kind == \"user\"'}\n  then: allow\n  else: deny\n  unknown: deny\n"
    )
    assert counterfactuals(policy, taken({"subject.kind": "device"})) == ()


def test_the_owner_who_stands_in_the_way_is_named() -> None:
    owner = SubjectRef(taken({}).subject.id, Kind.USER, "bob", Standing.DISTRUSTED, 1)
    snapshot = structs.replace(taken(HEALTHY, asked="client-device"), keeper=owner)
    [found] = counterfactuals(client_device(), snapshot)
    assert "user bob were trusted again" in explain(judge(client_device(), snapshot), [found]).text()


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "user.enabled": st.booleans(),
        "posture.compliant": st.booleans(),
        "risk.score": st.integers(0, 100),
    },
)


@given(VALUES, st.sampled_from([timedelta(minutes=1), timedelta(hours=3)]), st.sampled_from(Standing))
def test_every_way_out_leads_where_it_says_and_none_is_longer_than_it_need_be(
    values: dict[str, Any], age: timedelta, standing: Standing
) -> None:
    policy = client_device()
    snapshot = taken(values, age=age, standing=standing, asked="client-device")
    was = judge(policy, snapshot)
    for one in counterfactuals(policy, snapshot):
        assert judge(policy, laid(snapshot, one.changes)) == one.decision
        assert one.decision.outcome < was.outcome
        assert 1 <= len(one.changes) <= MAX_TOGETHER
        for left_out in one.changes:
            rest = tuple(change for change in one.changes if change is not left_out)
            assert judge(policy, laid(snapshot, rest)).outcome > one.decision.outcome
    if standing is Standing.TRUSTED:
        assert was.outcome is Outcome.ALLOW or counterfactuals(policy, snapshot), "there always is one here"
