"""The pure decision."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trust.policies import AT, HEALTHY, client_device, rules, taken, tls_server
from troth.trust.decision.judge import floor, judge
from troth.trust.model import (
    FeedState,
    Moment,
    Obligations,
    Outcome,
    Truth,
    decode_decision,
    decode_snapshot,
    encode,
)
from troth.trust.policy.compiled import Policy
from troth.trust.standing import Standing

KLEENE = """
  - rule: r
    require: {a: user.enabled, b: device.managed}
    then: allow
    else: deny
    unknown: quarantine
"""
THREE = {True: Truth.TRUE, False: Truth.FALSE, None: Truth.UNKNOWN}


@pytest.mark.parametrize("a", [True, False, None])
@pytest.mark.parametrize("b", [True, False, None])
def test_any_false_is_else_then_any_unknown_is_unknown(a: bool | None, b: bool | None) -> None:
    values = {path: value for path, value in (("user.enabled", a), ("device.managed", b)) if value is not None}
    decision = judge(rules(KLEENE), taken(values))
    expected = Outcome.DENY if False in (a, b) else Outcome.QUARANTINE if None in (a, b) else Outcome.ALLOW
    assert decision.outcome is expected
    assert [one.result for one in decision.conditions] == [THREE[a], THREE[b]]


def test_every_condition_is_recorded_with_what_was_seen() -> None:
    decision = judge(client_device(), taken({**HEALTHY, "risk.score": 30}))
    assert decision.outcome is Outcome.ALLOW
    assert decision.rule == "healthy-device"
    assert [one.name for one in decision.conditions] == ["owner_enabled", "compliant", "low_risk"]
    [seen] = decision.conditions[2].seen
    assert (seen.path, seen.value, seen.source) == ("risk.score", 30, "mdm")
    assert AT - seen.observed_at == timedelta(minutes=5)
    assert (decision.policy, decision.policy_version) == ("client-device", 3)
    assert decision.obligations.lifetime == timedelta(days=30)


@pytest.mark.parametrize(
    ("values", "outcome", "rule"),
    [
        (HEALTHY, Outcome.ALLOW, "healthy-device"),
        ({**HEALTHY, "risk.score": 60}, Outcome.RESTRICT, "elevated-risk"),
        ({**HEALTHY, "posture.compliant": False}, Outcome.QUARANTINE, "healthy-device"),
        ({**HEALTHY, "risk.score": 95}, Outcome.QUARANTINE, "high-risk"),
        ({**HEALTHY, "user.enabled": False}, Outcome.DENY, "owner-disabled"),
        ({"user.enabled": True, "risk.score": 5}, Outcome.RESTRICT, "healthy-device"),
        ({}, Outcome.RESTRICT, "healthy-device"),
    ],
)
def test_the_shipped_device_policy_shows_all_four_outcomes(
    values: dict[str, object], outcome: Outcome, rule: str
) -> None:
    decision = judge(client_device(), taken(values, asked="client-device"))
    assert (decision.outcome, decision.rule) == (outcome, rule)


def test_stale_posture_is_unknown_and_says_why() -> None:
    decision = judge(client_device(), taken(HEALTHY, age=timedelta(hours=2)))
    assert decision.outcome is Outcome.RESTRICT
    compliant = decision.conditions[1]
    assert compliant.result is Truth.UNKNOWN
    assert [(cause.kind, cause.path, cause.source) for cause in compliant.causes] == [
        ("stale", "posture.compliant", "mdm")
    ]


def test_servers_get_certificates_on_proof_of_control_alone() -> None:
    names = {"request.names": ["a.example", "b.example"]}
    assert judge(tls_server(), taken({**names, "evidence.controlled_names": ["b.example", "a.example"]})).outcome is (
        Outcome.ALLOW
    )
    assert judge(tls_server(), taken({**names, "evidence.controlled_names": ["a.example"]})).outcome is Outcome.DENY
    assert judge(tls_server(), taken(names)).outcome is Outcome.DENY
    assert judge(tls_server(), taken({"request.names": [], "evidence.controlled_names": []})).outcome is Outcome.DENY


def test_what_no_rule_matches_is_denied() -> None:
    decision = judge(tls_server(), taken({}, moment=Moment.CONNECT))
    assert (decision.outcome, decision.reason, decision.rule) == (Outcome.DENY, "policy.no_rule", None)


def test_a_profile_without_a_policy_is_denied() -> None:
    decision = judge(None, taken(HEALTHY))
    assert (decision.outcome, decision.reason, decision.policy) == (Outcome.DENY, "policy.no_policy", None)


def test_the_first_rule_that_matches_decides() -> None:
    policy = rules(
        """
  - {rule: first, match: risk.score > 50, then: deny, unknown: deny}
  - {rule: second, match: risk.score > 20, then: restrict, unknown: deny}
  - {rule: third, then: allow, unknown: deny}
"""
    )
    found = [judge(policy, taken({"risk.score": score})).rule for score in (60, 30, 10)]
    assert found == ["first", "second", "third"]
    assert judge(policy, taken({"risk.score": 10})).skipped == ("first", "second")


def test_a_match_that_cannot_be_answered_never_lets_a_deny_rule_be_skipped() -> None:
    policy = rules(
        """
  - {rule: bad-risk, match: risk.score > 50, then: deny, unknown: restrict}
  - {rule: everyone, then: allow, unknown: deny}
"""
    )
    decision = judge(policy, taken({}))
    assert (decision.outcome, decision.rule) == (Outcome.RESTRICT, "bad-risk")
    assert decision.conditions[0].name == "match"


@pytest.mark.parametrize(
    ("value", "part"),
    [("yes", "not a bool"), (None, "null"), ([True], "a list"), (1, "an int")],
)
def test_a_value_of_the_wrong_type_is_unknown(value: object, part: str) -> None:
    decision = judge(client_device(), taken({**HEALTHY, "posture.compliant": value}))
    compliant = decision.conditions[1]
    assert compliant.result is Truth.UNKNOWN
    assert compliant.causes[0].kind == "unusable"
    assert part in compliant.causes[0].detail


def test_an_observation_from_the_future_is_unknown() -> None:
    decision = judge(client_device(), taken(HEALTHY, age=-timedelta(hours=1)))
    assert {one.result for one in decision.conditions if one.name == "compliant"} == {Truth.UNKNOWN}


def test_a_list_beyond_the_bound_is_unknown() -> None:
    names = [f"n{number}" for number in range(2000)]
    decision = judge(tls_server(), taken({"request.names": names, "evidence.controlled_names": names}))
    assert decision.outcome is Outcome.DENY
    assert decision.reason == "policy.condition_unknown"


# --- feeds that are down ---------------------------------------------------------------------------------------------

STALE = timedelta(hours=3)


def late(hours: float) -> tuple[FeedState, ...]:
    return (FeedState("mdm", "late", AT - timedelta(hours=hours)),)


def test_while_a_feed_is_down_its_last_word_is_taken() -> None:
    decision = judge(client_device(), taken(HEALTHY, age=STALE, feeds=late(2)))
    assert (decision.outcome, decision.reason) == (Outcome.ALLOW, "policy.feed_down")
    compliant = decision.conditions[1]
    assert compliant.result is Truth.UNKNOWN
    assert compliant.causes[0].excused_by == "mdm"


def test_the_last_word_is_taken_for_a_bounded_time_only() -> None:
    decision = judge(client_device(), taken(HEALTHY, age=timedelta(hours=26), feeds=late(25)))
    assert decision.outcome is Outcome.RESTRICT


def test_a_last_word_that_was_bad_stays_bad() -> None:
    values = {**HEALTHY, "posture.compliant": False}
    assert judge(client_device(), taken(values, age=STALE, feeds=late(2))).outcome is Outcome.QUARANTINE


def test_another_feed_being_down_excuses_nothing() -> None:
    decision = judge(client_device(), taken(HEALTHY, age=STALE, source="edr", feeds=late(2)))
    assert decision.outcome is Outcome.RESTRICT
    assert decision.reason == "policy.condition_unknown"


def test_a_value_never_reported_is_not_excused_by_a_feed_that_is_down() -> None:
    values = {"user.enabled": True, "posture.compliant": True}
    assert judge(client_device(), taken(values, age=STALE, feeds=late(2))).outcome is Outcome.RESTRICT


def test_the_standing_still_decides_while_a_feed_is_down() -> None:
    decision = judge(client_device(), taken(HEALTHY, age=STALE, feeds=late(2), standing=Standing.QUARANTINED))
    assert (decision.outcome, decision.obligations.profile) == (Outcome.QUARANTINE, "quarantine")


def test_a_policy_may_answer_a_feed_that_is_down_with_an_outcome() -> None:
    policy = rules(
        """
  - rule: r
    require: {ok: posture.compliant && age(posture.compliant) < duration("1h")}
    then: {allow: {lifetime: 7d}}
    else: deny
    unknown: deny
""",
        head="feed_down: {mdm: {restrict: {lifetime: 2h}}, default: {last_standing: 1h}}",
    )
    decision = judge(policy, taken({"posture.compliant": True}, age=STALE, feeds=late(200)))
    assert (decision.outcome, decision.obligations.lifetime) == (Outcome.RESTRICT, timedelta(hours=2))


# --- standing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("standing", "moment", "outcome"),
    [
        (Standing.TRUSTED, Moment.ISSUE, Outcome.ALLOW),
        (Standing.RESTRICTED, Moment.ISSUE, Outcome.RESTRICT),
        (Standing.QUARANTINED, Moment.RENEW, Outcome.QUARANTINE),
        (Standing.DISTRUSTED, Moment.ISSUE, Outcome.DENY),
        (Standing.RESTRICTED, Moment.STATUS, Outcome.ALLOW),
        (Standing.QUARANTINED, Moment.STATUS, Outcome.QUARANTINE),
        (Standing.DISTRUSTED, Moment.STATUS, Outcome.DENY),
        (Standing.RESTRICTED, Moment.CONNECT, Outcome.RESTRICT),
        (Standing.QUARANTINED, Moment.CONNECT, Outcome.QUARANTINE),
        (Standing.DISTRUSTED, Moment.CONNECT, Outcome.DENY),
    ],
)
def test_the_floor_is_the_standing_table(standing: Standing, moment: Moment, outcome: Outcome) -> None:
    assert floor(standing, moment) is outcome


@pytest.mark.parametrize(
    ("standing", "outcome", "obligations"),
    [
        (Standing.TRUSTED, Outcome.ALLOW, Obligations(timedelta(days=30))),
        (Standing.RESTRICTED, Outcome.RESTRICT, Obligations(timedelta(hours=24))),
        (Standing.QUARANTINED, Outcome.QUARANTINE, Obligations(timedelta(hours=4), "quarantine")),
        (Standing.DISTRUSTED, Outcome.DENY, Obligations()),
    ],
)
def test_standing_is_laid_over_what_the_policy_says(
    standing: Standing, outcome: Outcome, obligations: Obligations
) -> None:
    decision = judge(client_device(), taken(HEALTHY, standing=standing))
    assert (decision.outcome, decision.obligations) == (outcome, obligations)
    assert decision.ruled is Outcome.ALLOW
    assert (decision.reason == "policy.standing") is (standing is not Standing.TRUSTED)


def test_standing_never_makes_an_outcome_milder() -> None:
    policy = rules("  - {rule: r, then: deny, unknown: deny}")
    for standing in Standing:
        assert judge(policy, taken({}, standing=standing)).outcome is Outcome.DENY


def test_a_quarantined_subject_gets_nothing_where_the_policy_names_no_quarantine_profile() -> None:
    policy = rules("  - {rule: r, moments: [issue, connect], then: allow, unknown: deny}")
    assert judge(policy, taken({}, standing=Standing.QUARANTINED)).outcome is Outcome.DENY
    connect = judge(policy, taken({}, standing=Standing.QUARANTINED, moment=Moment.CONNECT))
    assert connect.outcome is Outcome.QUARANTINE


# --- replay ----------------------------------------------------------------------------------------------------------

_values = st.fixed_dictionaries(
    {},
    optional={
        "user.enabled": st.one_of(st.booleans(), st.none(), st.text(max_size=3)),
        "posture.compliant": st.one_of(st.booleans(), st.integers(0, 1)),
        "risk.score": st.one_of(st.integers(-5, 200), st.text(max_size=3)),
        "request.names": st.lists(st.text(max_size=5), max_size=4),
        "evidence.controlled_names": st.lists(st.text(max_size=5), max_size=4),
    },
)


@given(
    values=_values,
    policy=st.sampled_from([client_device(), tls_server(), None]),
    moment=st.sampled_from(Moment),
    standing=st.sampled_from(Standing),
    age=st.integers(-7200, 200_000).map(lambda seconds: timedelta(seconds=seconds)),
    hours=st.one_of(st.none(), st.integers(0, 60)),
)
def test_a_stored_snapshot_judged_again_gives_the_same_bytes(
    values: dict[str, object],
    policy: Policy | None,
    moment: Moment,
    standing: Standing,
    age: timedelta,
    hours: int | None,
) -> None:
    snapshot = taken(values, moment=moment, standing=standing, age=age, feeds=late(hours) if hours is not None else ())
    decision = judge(policy, snapshot)
    again = judge(policy, decode_snapshot(encode(snapshot)))
    assert encode(again) == encode(decision)
    assert encode(decode_decision(encode(decision))) == encode(decision)
    assert decision.outcome >= floor(standing, moment)
    unknown = any(one.result is Truth.UNKNOWN for one in decision.conditions)
    if unknown and not snapshot.feeds:
        assert decision.outcome is not Outcome.ALLOW
