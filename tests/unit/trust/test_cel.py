"""Conditions: what is refused when a policy is applied, and the three answers of what is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.trust.cel.condition import compile_condition, context_of, has_variable, seen_variable, value_variable
from troth.trust.cel.nodes import ExpressionError, Literal
from troth.trust.cel.syntax import MAX_DEPTH, read
from troth.trust.model import Truth
from troth.trust.vocabulary import MAX_LIST, VOCABULARY, Attribute, Type

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def ask(source: str, *, age: timedelta = timedelta(0), **roots: dict[str, Any]) -> Truth:
    condition = compile_condition("c", source, VOCABULARY, allow_has=True)
    values = {f"{root}.{name}": value for root, named in roots.items() for name, value in named.items()}
    variables: dict[str, Any] = {value_variable(path): value for path, value in values.items()}
    variables |= {seen_variable(path): NOW - age for path in values}
    variables |= {has_variable(path): path in values for path in condition.sought}
    variables[value_variable("time.now")] = NOW
    return condition.ask(context_of(variables, condition.functions))


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("posture.complaint", "did you mean 'posture.compliant'?"),
        ("devise.managed", "did you mean 'device.managed'?"),
        ("device", "name an attribute of device"),
        ('user.enabled == "yes"', "compares a bool with a string"),
        ("user.enabled < true", "has no order"),
        ("risk.score < 50.5", "numbers are whole"),
        ("risk.score", "the whole must be a bool"),
        ("1 < 2 < 3", "comparison of a comparison"),
        ("risk.score in user.groups", "an int is never in"),
        ('"a" in user.name', "is never in"),
        ("request.names.all(n, user.groups.exists(g, g == n))", "a loop inside a loop"),
        ("request.names.all(user, true)", "already means something"),
        ("request.names.map(n, n) == request.names", "there is no function 'map'"),
        ("lowercase(user.name) == user.name", "did you mean 'lower'?"),
        ('user.name.matches("(")', "is not a regular expression"),
        ("user.name.matches(user.email)", "is a literal"),
        ('age(posture.compliant) < duration("soon")', "duration takes a literal"),
        ("age(posture.compliant) < time.now - time.now", "a freshness bound is a literal"),
        ('duration("1h") == time.now', "compares a duration with a timestamp"),
        ('time.now > timestamp("yesterday")', "timestamp takes a literal"),
        ("!risk.score", "takes a bool"),
        ("[] == user.groups", "an empty list"),
        ('[1, "a"] == user.groups', "this list takes an int"),
        ("user.groups[user.name] == user.name", "the number of an entry"),
        ("user.enabled ? 1 : 2", "the whole must be a bool"),
        ("user.enabled &&", "the end"),
        ("user.enabled user.enabled", "one thing too many"),
        ("user.name == 'a", "has no meaning"),
        ('user.name == "\\q"', "is not an escape"),
        ("{1: 2} == {1: 2}", "has no meaning"),
        ("user.name == null", "cannot stand here"),
        ("_seen.x == 1", "is not known"),
        ("user.enabled.really", "is not known"),
        ("user.name.size() > 18446744073709551616", "numbers are whole"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_hint(source: str, part: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_condition("c", source, VOCABULARY)
    assert part in str(caught.value)


def test_has_is_refused_where_unknown_should_speak() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_condition("c", "has(user.name)", VOCABULARY)
    assert "absence is what 'unknown' is for" in str(caught.value)


@pytest.mark.parametrize(
    "source", ["(" * 60 + "true" + ")" * 60, "!" * 60 + "true", "true && " * 400 + "true", "x" * 3000]
)
def test_depth_and_length_are_bounded(source: str) -> None:
    with pytest.raises(ExpressionError):
        compile_condition("c", source, VOCABULARY)


@pytest.mark.parametrize(
    ("source", "truth"),
    [
        ("user.enabled", Truth.TRUE),
        ("!user.enabled", Truth.FALSE),
        ("user.email == 'a'", Truth.UNKNOWN),
        ("user.enabled || user.email == 'a'", Truth.TRUE),
        ("user.email == 'a' || user.enabled", Truth.TRUE),
        ("!user.enabled && user.email == 'a'", Truth.FALSE),
        ("user.email == 'a' && !user.enabled", Truth.FALSE),
        ("user.enabled && user.email == 'a'", Truth.UNKNOWN),
        ("!(user.email == 'a')", Truth.UNKNOWN),
        ("user.email == 'a' ? true : true", Truth.UNKNOWN),
        ("has(user.email)", Truth.FALSE),
        ("has(user.name)", Truth.TRUE),
        ("1 / 0 == 1", Truth.UNKNOWN),
        ("'ops' in user.groups", Truth.TRUE),
        ("user.groups.exists(g, g.startsWith('o'))", Truth.TRUE),
        ("user.groups.all(g, g == user.email)", Truth.UNKNOWN),
        ("user.groups[7] == 'x'", Truth.UNKNOWN),
        ("size(user.groups) == 2 && user.groups.size() == 2", Truth.TRUE),
        ("lower(user.name) == 'älice \"x\" \\\\'", Truth.TRUE),
        ("user.name.lower().contains('\\u00e4')", Truth.TRUE),
        (r"user.name.matches(r'^\S+ .x. \\$')", Truth.TRUE),
        ("time.now - duration('1d') < timestamp('2026-11-23T10:00:00+01:00')", Truth.TRUE),
        ("-1 < 0 && 7 % 4 == 3", Truth.TRUE),
        ("user.enabled // why not", Truth.TRUE),
    ],
)
def test_answers_follow_the_logic_of_the_unknown(source: str, truth: Truth) -> None:
    assert ask(source, user={"enabled": True, "name": 'Älice "x" \\', "groups": ["ops", "dev"]}) is truth


@pytest.mark.parametrize(
    ("age", "truth"),
    [
        (timedelta(minutes=59), Truth.TRUE),
        (timedelta(hours=1), Truth.UNKNOWN),
        (timedelta(hours=2), Truth.UNKNOWN),
    ],
)
def test_a_stale_value_is_unknown_and_not_false(age: timedelta, truth: Truth) -> None:
    fresh = 'posture.compliant && age(posture.compliant) < duration("1h")'
    assert ask(fresh, age=age, posture={"compliant": True}) is truth
    mirrored = 'duration("1h") > age(posture.compliant) && posture.compliant'
    assert ask(mirrored, age=age, posture={"compliant": True}) is truth


def test_a_stale_value_cannot_be_turned_into_a_yes_by_negation() -> None:
    source = '!(age(posture.jailbroken) < duration("1h"))'
    assert ask(source, age=timedelta(hours=3), posture={"jailbroken": True}) is Truth.UNKNOWN


def test_a_bad_value_is_bad_however_old_it_is() -> None:
    source = 'posture.compliant && age(posture.compliant) < duration("1h")'
    assert ask(source, age=timedelta(hours=3), posture={"compliant": False}) is Truth.FALSE


def test_the_age_of_a_time_is_the_time_since_it() -> None:
    source = 'age(device.checked_at) < duration("1d")'
    assert ask(source, device={"checked_at": NOW - timedelta(hours=23)}) is Truth.TRUE
    assert ask(source, device={"checked_at": NOW - timedelta(hours=25)}) is Truth.UNKNOWN


def test_older_than_is_an_ordinary_question() -> None:
    source = 'age(posture.compliant) > duration("1h")'
    assert ask(source, age=timedelta(hours=3), posture={"compliant": True}) is Truth.TRUE
    assert ask(source, age=timedelta(minutes=3), posture={"compliant": True}) is Truth.FALSE


def test_what_is_read_is_known_beforehand() -> None:
    condition = compile_condition(
        "c", 'request.names.all(n, n in evidence.controlled_names) && age(risk.score) < duration("1h30m")', VOCABULARY
    )
    assert condition.paths == ("evidence.controlled_names", "request.names", "risk.score")
    assert condition.limits == (("risk.score", 5400),)


def test_the_longest_list_is_looked_through_in_well_under_a_second() -> None:
    import time

    names = [f"n{number}.example" for number in range(MAX_LIST)]
    began = time.perf_counter()
    found = ask(
        "request.names.all(n, n in evidence.controlled_names)",
        request={"names": names},
        evidence={"controlled_names": names[::-1]},
    )
    assert found is Truth.TRUE
    assert time.perf_counter() - began < 1


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(source: str) -> None:
    try:
        compile_condition("c", source, VOCABULARY)
    except ExpressionError:
        pass


_words = st.sampled_from(
    ["user.enabled", "risk.score", "user.groups", "request.names", "time.now", "&&", "||", "!", "(", ")", "<", "==",
     "in", "50", '"a"', "true", "age(risk.score)", 'duration("1h")', "[", "]", ",", "?", ":", "-",
     ".all(n, n == 'a')", "has("]
)  # fmt: skip


@given(st.lists(_words, max_size=12).map(" ".join))
def test_what_is_accepted_also_runs(source: str) -> None:
    try:
        answer = ask(source, user={"enabled": True, "groups": ["a"]}, risk={"score": 4}, request={"names": ["a"]})
    except ExpressionError:
        return
    assert answer in Truth


@given(st.text(max_size=40))
def test_any_text_survives_as_a_literal(text: str) -> None:
    quoted = "".join(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else char for char in text)
    if any(0xD800 <= ord(char) < 0xE000 for char in text):
        return
    assert ask(f'user.name == "{quoted}"', user={"name": text}) is Truth.TRUE


def test_nesting_up_to_the_bound_is_taken() -> None:
    depth = MAX_DEPTH - 2
    assert read("(" * depth + "true" + ")" * depth) == Literal(True, depth)


def test_a_policy_may_bring_words_of_its_own() -> None:
    words = {**VOCABULARY, "posture.agent_ok": Attribute(Type.BOOL, "")}
    assert compile_condition("c", "posture.agent_ok", words).paths == ("posture.agent_ok",)
