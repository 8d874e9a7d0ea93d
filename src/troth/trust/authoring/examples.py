"""Examples kept beside a policy, run against it: given this, expect that.

They stand under ``tests:`` in the policy's own file, or in a file of their own (``policy:`` and ``tests:``). They are
run by ``troth policy test``, whenever the policy is applied, and for the shipped policies by this repository's tests.
The grammar is in ``docs/policies.md``. A test gathers nothing: what it gives is all that is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from troth.trust.decision.counterfactual import Counterfactual, counterfactuals
from troth.trust.decision.explain import explain
from troth.trust.decision.judge import judge
from troth.trust.decision.question import Given, Question, snapshot
from troth.trust.documents import DocumentError, Field, parse_document
from troth.trust.errors import POLICY_MALFORMED, PolicyError
from troth.trust.literals import parse_duration
from troth.trust.model import Decision, FeedState, Kind, Moment, Ruling, Subject, Truth
from troth.trust.policy.compiled import Policy
from troth.trust.policy.grammar import MAX_BYTES, ruling_in
from troth.trust.standing import Standing
from troth.trust.subjects.facts import Observation
from troth.trust.vocabulary import FACT_ROOTS, VOCABULARY, Type, misfit, nearest
from troth.trust.wording import span

MAX_TESTS = 500

#: A Monday morning; what a test says of time it says by ``at``.
_AT = datetime(2026, 1, 5, 10, tzinfo=UTC)
_AGE = timedelta(minutes=1)
_SUBJECT, _OWNER = UUID(int=1), UUID(int=2)
_GIVEN_BY_DOOR = ("request", "evidence", "certificate", "application", "nas")
_OBSERVED = FACT_ROOTS | {"signals", "place"}


@dataclass(frozen=True, slots=True)
class Example:
    """One example, checked.

    Attributes:
        expect: outcome and obligations; obligations that are not named are not compared.
        rule: the rule that decides, None if the test does not say.
        because: conditions that are not true, all of them; None if the test does not say.
    """

    name: str
    line: int
    question: Question
    observations: tuple[Observation, ...]
    at: datetime
    down: tuple[FeedState, ...]
    expect: Ruling
    compared: frozenset[str]
    rule: str | None
    because: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Tried:
    """How one example came out. ``differences``: empty if it is as expected."""

    name: str
    line: int
    decision: Decision
    otherwise: tuple[Counterfactual, ...]
    differences: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether it is as expected."""
        return not self.differences

    def told(self) -> str:
        """What went wrong, and why the decision came out as it did."""
        return f"{self.name}: {'; '.join(self.differences)}\n{explain(self.decision, self.otherwise).text()}"


def run_tests(policy: Policy, beside: str | None = None, *, file: str = "tests") -> tuple[Tried, ...]:
    """Every example in the policy's own text and in ``beside``, run. Raises PolicyError for one that is malformed."""
    found = list(_tests_in(policy.source, policy, file=policy.name))
    if beside is not None:
        found += _tests_in(beside, policy, file=file, apart=True)
    return tuple(_run(policy, one) for one in found)


def _run(policy: Policy, test: Example) -> Tried:
    [subject] = test.question.subjects
    taken = snapshot(test.question, subject, policy, test.observations, test.at, feeds=test.down)
    decision = judge(policy, taken)
    differences = tuple(_differences(test, decision))
    otherwise = counterfactuals(policy, taken) if differences else ()
    return Tried(test.name, test.line, decision, otherwise, differences)


def _differences(test: Example, decision: Decision) -> list[str]:
    found: list[str] = []
    if decision.outcome is not test.expect.outcome:
        found.append(f"expected {test.expect.outcome.value}, and it is {decision.outcome.value}")
    for name in sorted(test.compared):
        wanted, got = getattr(test.expect.obligations, name), getattr(decision.obligations, name)
        if wanted != got:
            found.append(f"expected {name} {_shown(wanted)}, and it is {_shown(got)}")
    if test.rule is not None and decision.rule != test.rule:
        found.append(f"expected rule {test.rule} to decide, and it was {decision.rule or 'none'}")
    if test.because is not None:
        open_ = frozenset(one.name for one in decision.conditions if one.result is not Truth.TRUE)
        if open_ != test.because:
            found.append(f"expected because of {_list(test.because)}, and it is because of {_list(open_)}")
    return found


def _shown(value: object) -> str:
    if isinstance(value, timedelta):
        return span(value)
    return "none" if value in (None, ()) else ", ".join(value) if isinstance(value, tuple) else str(value)


def _list(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


# --- reading ---------------------------------------------------------------------------------------------------------


def _tests_in(text: str, policy: Policy, *, file: str, apart: bool = False) -> Sequence[Example]:
    try:
        top = parse_document(text, max_bytes=MAX_BYTES)
        fields = top.fields(required=("policy", "tests")) if apart else top.fields()
        if apart and fields["policy"].text() != policy.name:
            raise fields["policy"].wrong(f"these are tests of another policy than {policy.name!r}")
        return _tests(fields["tests"], policy) if "tests" in fields else ()
    except DocumentError as error:
        raise PolicyError(
            POLICY_MALFORMED, f"{file}: {error}", file=file, line=error.line, field=error.field
        ) from error


def _tests(field: Field, policy: Policy) -> list[Example]:
    found: list[Example] = []
    for entry in field.entries():
        test = _test(entry, policy)
        if any(test.name == other.name for other in found):
            raise entry.wrong(f"there are two tests named {test.name!r}")
        found.append(test)
        if len(found) > MAX_TESTS:
            raise field.wrong(f"a policy has at most {MAX_TESTS} tests")
    return found


def _test(entry: Field, policy: Policy) -> Example:
    fields = entry.fields(
        "moment", "profile", "subject", "owner", "given", "down", "at", "rule", "because", required=("test", "expect")
    )
    at = fields["at"].time() if "at" in fields else _AT
    subject = _subject(fields.get("subject"), fields.get("owner"))
    roots, observations = _given(fields.get("given"), policy, subject, at)
    profile = fields["profile"].text(limit=63) if "profile" in fields else policy.profiles[0]
    if profile not in policy.profiles:
        raise fields["profile"].wrong(f"the policy governs {', '.join(policy.profiles)}")
    expect = ruling_in(fields["expect"])
    names = {rule.name for rule in policy.rules}
    rule = fields["rule"].text() if "rule" in fields else None
    if rule is not None and rule not in names:
        near = nearest(rule, names)
        raise fields["rule"].wrong(f"there is no rule {rule!r}{f'; did you mean {near!r}?' if near else ''}")
    return Example(
        name=fields["test"].text(limit=200),
        line=entry.line,
        question=Question(
            _moment(fields.get("moment")), profile, (subject,), roots["evidence"], roots["request"],
            certificate=roots["certificate"], application=roots["application"], nas=roots["nas"],
        ),
        observations=observations,
        at=at,
        down=_down(fields.get("down"), at),
        expect=expect,
        compared=_compared(fields["expect"]),
        rule=rule,
        because=_because(fields.get("because"), policy),
    )  # fmt: skip


def _compared(field: Field) -> frozenset[str]:
    """The obligations that the expectation names."""
    if not field.is_mapping:
        return frozenset()
    [inner] = field.fields().values()
    return frozenset(inner.fields())


def _moment(field: Field | None) -> Moment:
    if field is None:
        return Moment.ISSUE
    try:
        return Moment(field.text())
    except ValueError:
        raise field.wrong(f"a moment is one of {', '.join(one.value for one in Moment)}") from None


def _because(field: Field | None, policy: Policy) -> frozenset[str] | None:
    if field is None:
        return None
    known = {one.name for rule in policy.rules for one in rule.conditions}
    found = field.texts(limit=63) if not field.is_text else (field.text(limit=63),)
    for name in found:
        if name not in known:
            near = nearest(name, known)
            raise field.wrong(f"there is no condition {name!r}{f'; did you mean {near!r}?' if near else ''}")
    return frozenset(found)


def _subject(field: Field | None, owner: Field | None) -> Subject:
    keeper = _described(owner, _OWNER, Kind.USER, "owner", None) if owner is not None else None
    if field is None:
        return Subject(_SUBJECT, Kind.DEVICE, "subject", "test", owner=keeper)
    return _described(field, _SUBJECT, Kind.DEVICE, "subject", keeper)


def _described(field: Field, identifier: UUID, kind: Kind, name: str, owner: Subject | None) -> Subject:
    fields = field.fields("kind", "name", "standing", "groups", "protected", "origin")
    try:
        kind = Kind(fields["kind"].text()) if "kind" in fields else kind
        standing = Standing(fields["standing"].text()) if "standing" in fields else Standing.TRUSTED
    except ValueError as error:
        raise field.wrong(str(error)) from None
    return Subject(
        identifier,
        kind,
        fields["name"].text(limit=253) if "name" in fields else name,
        fields["origin"].text(limit=63) if "origin" in fields else "test",
        standing,
        protected=fields["protected"].boolean() if "protected" in fields else False,
        owner=owner,
        groups=fields["groups"].texts() if "groups" in fields else (),
    )


def _given(
    field: Field | None, policy: Policy, subject: Subject, at: datetime
) -> tuple[dict[str, dict[str, Given]], tuple[Observation, ...]]:
    roots: dict[str, dict[str, Given]] = {root: {} for root in _GIVEN_BY_DOOR}
    observations: list[Observation] = []
    words = {**VOCABULARY, **policy.attributes}
    for path, entry in field.fields().items() if field is not None else ():
        root, _, name = path.partition(".")
        if path not in words:
            near = nearest(path, set(words))
            raise entry.wrong(f"{path!r} is not known{f'; did you mean {near!r}?' if near else ''}")
        if root not in roots and root not in _OBSERVED:
            raise entry.wrong("say what the subject is under 'subject' and 'owner', and when it is by 'at'")
        inner = entry.fields("age", "source", required=("value",)) if entry.is_mapping else {"value": entry}
        value = _value(inner["value"], words[path].type)
        wrong = misfit(value, words[path].type)
        if wrong is not None:
            raise inner["value"].wrong(f"{path} {wrong}")
        if root in roots:
            if len(inner) > 1:
                raise entry.wrong("what the door itself says is said now, and by it")
            roots[root][name] = value  # type: ignore[assignment]
            continue
        age = inner["age"].duration() if "age" in inner else _AGE
        source = inner["source"].text(limit=63) if "source" in inner else "test"
        whom = subject.owner.id if root == "user" and subject.owner is not None else subject.id
        observations.append(Observation(whom, path, value, source, at - age))  # type: ignore[arg-type]
    return roots, tuple(observations)


def _value(field: Field, wanted: Type) -> object:
    """As JSON; a duration may be written as one."""
    if wanted is Type.DURATION and field.is_text and (length := parse_duration(field.text())) is not None:
        return int(length.total_seconds())
    return field.json()


def _down(field: Field | None, at: datetime) -> tuple[FeedState, ...]:
    found = field.fields() if field is not None else {}
    return tuple(FeedState(name, "stale", at - entry.duration()) for name, entry in sorted(found.items()))
