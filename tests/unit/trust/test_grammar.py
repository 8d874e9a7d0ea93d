"""Policy files: what they may say, and where an error points."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.trust.authoring.service import shipped
from troth.trust.errors import PolicyError
from troth.trust.model import Moment, Outcome
from troth.trust.policy.grammar import parse_policy

HEAD = "policy: p\nprofiles: [p]\nrules:\n"
RULE = "  - {rule: r, then: allow, unknown: deny}\n"


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_policy_compiles_and_is_named_after_its_file(name: str) -> None:
    assert parse_policy(shipped()[name], file=f"{name}.yaml").name == name


def test_a_rule_is_about_issuing_and_renewing_unless_it_says_otherwise() -> None:
    policy = parse_policy(HEAD + RULE)
    assert policy.rules[0].moments == {Moment.ISSUE, Moment.RENEW}
    assert policy.rules_at(Moment.CONNECT) == ()


def test_obligations_are_read_with_their_types() -> None:
    policy = parse_policy(
        HEAD
        + """  - rule: r
    then: {allow: {lifetime: 1h30m, notify: [ops, security]}}
    unknown: {quarantine: {profile: quarantine, say: Ask the help desk.}}
"""
    )
    rule = policy.rules[0]
    assert rule.then.obligations.lifetime == timedelta(minutes=90)
    assert rule.then.obligations.notify == ("ops", "security")
    assert (rule.unknown.outcome, rule.unknown.obligations.profile) == (Outcome.QUARANTINE, "quarantine")
    assert rule.unknown.obligations.say == "Ask the help desk."


def test_a_policy_may_declare_attributes_of_its_own() -> None:
    text = "policy: p\nprofiles: [p]\nattributes: {posture.agent_ok: bool}\nrules:\n"
    rule = "  - {rule: r, match: posture.agent_ok, then: allow, unknown: deny}\n"
    assert "posture.agent_ok" in parse_policy(text + rule).paths


@pytest.mark.parametrize(
    ("text", "line", "field", "part"),
    [
        ("", 1, "", "holds no fields"),
        ("[]", 1, "", "holds no fields"),
        ("policy: p", 1, "", "'profiles' is missing"),
        (HEAD + RULE + "polcy: q\n", 5, "polcy", "did you mean 'policy'?"),
        (HEAD + RULE + "policy: q\n", 5, "policy", "twice"),
        (HEAD + "  - {rule: r, then: allow}\n", 4, "rules[0]", "'unknown' is missing"),
        (HEAD + "  - {rule: r, then: allow, unknown: allow}\n", 4, "rules[0].unknown", "unknown is not good"),
        (HEAD + "  - rule: r\n    then: allow\n    unknown: hold\n", 6, "rules[0].unknown", "an outcome is one of"),
        (HEAD + "  - {rule: r, then: {allow: {}, deny: {}}, unknown: deny}\n", 4, "rules[0].then", "exactly one"),
        (HEAD + "  - {rule: r, then: {deny: {lifetime: 4h}}, unknown: deny}\n", 4, "rules[0].then", "neither"),
        (HEAD + "  - {rule: r, then: {allow: {lifetime: 4}}, unknown: deny}\n", 4, "rules[0].then.allow.lifetime",
         "a text"),
        (HEAD + "  - {rule: r, then: {allow: {lifetime: soon}}, unknown: deny}\n", 4, "rules[0].then.allow.lifetime",
         "a duration"),
        (HEAD + "  - {rule: r, then: {allow: {valn: 4}}, unknown: deny}\n", 4, "rules[0].then.allow.valn",
         "no such field"),
        (HEAD + "  - {rule: r, require: {a: 'true'}, then: allow, unknown: deny}\n", 4, "rules[0]",
         "says what happens"),
        (HEAD + "  - rule: r\n    require:\n      a: user.enabld\n    then: allow\n    else: deny\n    unknown: deny\n",
         6, "rules[0].require.a", "did you mean 'user.enabled'?"),
        (HEAD + "  - {rule: r, require: {a: 'has(user.name)'}, then: allow, else: deny, unknown: deny}\n", 4,
         "rules[0].require.a", "absence"),
        (HEAD + "  - {rule: r, moments: [sign], then: allow, unknown: deny}\n", 4, "rules[0].moments[0]",
         "a moment is"),
        (HEAD + RULE + RULE, 5, "rules[1]", "two rules"),
        (HEAD + "  - {rule: R r, then: allow, unknown: deny}\n", 4, "rules[0].rule", "lower-case"),
        (HEAD + RULE + "feed_down: {edr: allow}\n", 5, "feed_down.edr", "allows nothing"),
        (HEAD + RULE + "feed_down: {edr: {last_standing: 30d}}\n", 5, "feed_down.edr.last_standing", "at most 7d"),
        (HEAD + RULE + "standing: {quarantined: {lifetime: 4h}}\n", 5, "standing.quarantined", "name the quarantine"),
        (HEAD + RULE + "attributes: {risk.mine: int}\n", 5, "attributes.risk.mine", "own attributes"),
        (HEAD + RULE + "attributes: {posture.x: float}\n", 5, "attributes.posture.x", "a type is one of"),
        ("policy: &a p\nprofiles: [*a]\nrules: []\n", 2, "", "aliases"),
        ("a: " + "[" * 40 + "]" * 40, 1, "", "nested deeper"),
        ("policy: p\n\tprofiles: [p]", 2, "", ""),
        (HEAD + "  - {rule: r, then: !!python/object:os.system x, unknown: deny}\n", 4, "rules[0].then", ""),
        ("policy: p\nprofiles: []\n" + "rules:\n" + RULE, 2, "profiles", "at least one profile"),
        ("policy: p\nprofiles: [p]\nrules: []\n", 3, "rules", "1 to 200 rules"),
    ],
)  # fmt: skip
def test_an_error_points_at_line_and_field(text: str, line: int, field: str, part: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, file="mine.yaml")
    assert (caught.value.facts["line"], caught.value.facts["field"]) == (line, field)
    assert part in caught.value.detail
    assert caught.value.detail.startswith("mine.yaml: line")


def test_a_file_beyond_the_bound_is_not_even_parsed() -> None:
    with pytest.raises(PolicyError, match="larger than"):
        parse_policy("#" * 300_000)


@given(st.text(max_size=300))
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    try:
        parse_policy(text)
    except PolicyError:
        pass


@given(st.integers(0, 3000), st.text(max_size=5))
def test_any_damage_to_a_policy_is_taken_or_refused_cleanly(at: int, text: str) -> None:
    source = shipped()["client-device"]
    lines = [1]
    try:
        parse_policy(source[:at] + text + source[at + 3 :])
    except PolicyError as error:
        lines.append(int(str(error.facts["line"])))
    assert min(lines) >= 1
