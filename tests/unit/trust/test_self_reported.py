"""What a host's own agent says may raise, and never clears or grants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.unit.trust.policies import AT, rules, taken
from troth.trust.decision.explain import explain
from troth.trust.decision.judge import judge
from troth.trust.model import Outcome, Seen, Snapshot, Truth
from troth.trust.policy.compiled import Policy
from troth.trust.subjects.facts import ADVERSE, Observation, newest
from troth.trust.vocabulary import VOCABULARY, Type

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOST = UUID(int=1)


def says(source: str, value: object, *, path: str = "posture.disk_encrypted", age: float = 0) -> Observation:
    return Observation(HOST, path, value, source, NOW - timedelta(seconds=age))  # type: ignore[arg-type]


def test_an_agents_good_word_counts_for_nothing() -> None:
    assert newest([says("agent", True)]) == {}
    assert newest([says("agent:dm-crypt", True)]) == {}
    # Neither alone nor over an older bad word of a manager.
    assert newest([says("mdm", False, age=3600), says("agent", True)])["posture.disk_encrypted"].value is False


def test_an_agents_bad_word_stands_against_a_managers_good_one() -> None:
    assert newest([says("agent", False)])["posture.disk_encrypted"].source == "agent"
    assert newest([says("agent", False, age=3600), says("mdm", True)])["posture.disk_encrypted"].value is False


def test_a_manager_that_is_newer_by_more_than_a_day_is_believed_again() -> None:
    old = says("agent", False, age=90_000)
    assert newest([old, says("mdm", True)])["posture.disk_encrypted"].source == "mdm"


def test_an_agent_takes_back_its_own_bad_word_only() -> None:
    taken_back = [says("agent:a", False, age=10), says("agent:b", True)]
    assert newest(taken_back) == {}
    assert newest([*taken_back, says("mdm", False, age=50)])["posture.disk_encrypted"].source == "mdm"


@pytest.mark.parametrize("path", ["posture.compliant", "posture.updates_pending", "posture.os_version", "risk.score"])
def test_no_other_word_of_an_agent_counts(path: str) -> None:
    for value in (True, False, 0, 100, "x"):
        assert newest([says("agent", value, path=path)]) == {}


def test_what_counts_is_known_and_true_or_false() -> None:
    assert {VOCABULARY[path].type for path in ADVERSE} == {Type.BOOL}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["agent", "agent:x", "mdm", "edr"]),
            st.sampled_from([True, False]),
            st.integers(0, 200_000),
        ),
        max_size=8,
    )
)
def test_with_an_agent_a_host_never_looks_better(said: list[tuple[str, bool, int]]) -> None:
    """Whatever is said: with the agent's words the attribute is what it was without them, or it is the bad value."""
    everything = [says(source, value, age=age) for source, value, age in said]
    without = newest(one for one in everything if not one.source.startswith("agent"))
    together = newest(everything)
    path = "posture.disk_encrypted"
    if path in together and together[path] != without.get(path):
        assert together[path].value is ADVERSE[path]
    else:
        assert together == without


OUTCOMES = st.sampled_from(["deny", "quarantine", "restrict"])
HOURS = st.integers(1, 90)
EXPRESSIONS = st.sampled_from(
    [
        "posture.firewall",
        "!posture.firewall",
        "posture.firewall || user.enabled",
        "posture.firewall && user.enabled",
        'age(posture.firewall) < duration("1h")',
        "has(posture.firewall)",
    ]
)


@st.composite
def ruled(draw: st.DrawFn) -> Policy:
    """A policy of two rules that ask for what an agent may say, with every order of their outcomes."""
    text = ""
    for name in ("first", "second"):
        match, asked = draw(EXPRESSIONS), draw(EXPRESSIONS.filter(lambda one: not one.startswith("has")))
        otherwise, unknown = draw(OUTCOMES), draw(OUTCOMES)
        text += f"  - rule: {name}\n"
        if draw(st.booleans()):
            text += f"    match: '{match}'\n"
        text += f"    require: {{a: '{asked}'}}\n    then: {{allow: {{lifetime: {draw(HOURS)}h}}}}\n"
        for word, outcome in (("else", otherwise), ("unknown", unknown)):
            text += f"    {word}: {outcome if outcome == 'deny' else f'{{{outcome}: {{lifetime: {draw(HOURS)}h}}}}'}\n"
    return rules(text)


@given(ruled(), st.sampled_from([True, False]), st.sampled_from([True, False, None]))
def test_speaking_never_makes_an_outcome_milder_than_silence(policy: Policy, word: bool, enabled: bool | None) -> None:
    others = {} if enabled is None else {"user.enabled": enabled}
    silent = judge(policy, taken(others))
    spoken = judge(policy, also_said(taken(others), "posture.firewall", word, "agent:nft"))
    assert spoken.outcome >= silent.outcome
    if spoken.outcome is not Outcome.DENY:
        assert (spoken.obligations.lifetime or timedelta.max) <= (silent.obligations.lifetime or timedelta.max)
    # A manager's word is taken as it is.
    managed = judge(policy, also_said(taken(others), "posture.firewall", word, "mdm"))
    assert managed.reason != "policy.self_reported"
    assert spoken.outcome >= managed.outcome


def test_a_decision_that_an_agents_word_would_have_made_milder_says_so() -> None:
    policy = rules(
        "  - rule: r\n    require: {encrypted: posture.disk_encrypted}\n    then: allow\n"
        "    else: {restrict: {notify: [owner]}}\n    unknown: {deny: {notify: [security]}}\n"
    )
    decision = judge(policy, also_said(taken({}), "posture.disk_encrypted", False, "agent"))
    assert (decision.outcome, decision.reason) == (Outcome.DENY, "policy.self_reported")
    assert decision.obligations.notify == ("owner", "security")
    [condition] = decision.conditions
    assert (condition.result, condition.seen[0].value) == (Truth.FALSE, False)  # what was seen is told as it was
    assert "the host's own word" in explain(decision).text()


def test_where_silence_is_milder_nothing_is_told_of_it() -> None:
    policy = rules(
        "  - rule: r\n    require: {encrypted: posture.disk_encrypted}\n    then: allow\n"
        "    else: {deny: {notify: [owner]}}\n    unknown: {restrict: {notify: [security]}}\n"
    )
    decision = judge(policy, also_said(taken({}), "posture.disk_encrypted", False, "agent"))
    assert (decision.outcome, decision.reason) == (Outcome.DENY, "policy.condition_false")
    assert decision.obligations.notify == ("owner",)


def also_said(snapshot: Snapshot, path: str, value: bool, source: str) -> Snapshot:
    return structs.replace(snapshot, values=(*snapshot.values, Seen(path, value, source, AT - timedelta(minutes=5))))
