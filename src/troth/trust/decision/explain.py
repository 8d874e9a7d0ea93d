"""A decision in sentences, as a person would say them: what was decided, on what, and what would have to change.

Pure: the same decision is told in the same words by ``troth why``, the dashboard and the API.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from troth.trust.decision.counterfactual import Counterfactual
from troth.trust.decision.ways_out import told
from troth.trust.errors import (
    DECISION_REASONS,
    POLICY_CONDITION_FALSE,
    POLICY_CONDITION_UNKNOWN,
    POLICY_CONDITIONS_MET,
    POLICY_FEED_DOWN,
    POLICY_SELF_REPORTED,
    POLICY_STANDING,
)
from troth.trust.model import Cause, ConditionResult, Decision, Moment, Outcome, Seen, Truth
from troth.trust.standing import Standing
from troth.trust.wording import listed, show, span, stamp


class Tone(Enum):
    """How a line may be shown: what it is about, never its only meaning."""

    TITLE = "title"
    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"
    PLAIN = "plain"
    FIX = "fix"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence. ``depth`` 1 and more belong to the line above; ``name`` is the condition's, where it is one."""

    tone: Tone
    text: str
    depth: int = 0
    name: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Lines, and the same as plain text."""

    lines: tuple[Line, ...]

    def text(self) -> str:
        """For a terminal or a ticket."""
        return "\n".join(f"{'  ' * line.depth}{_MARKS.get(line.tone, '')}{line.text}" for line in self.lines)


_MARKS = {Tone.GOOD: "✓ ", Tone.BAD: "✗ ", Tone.UNKNOWN: "? ", Tone.FIX: "→ "}
_ACTS = {
    Moment.ISSUE: "Issuing a {asked} certificate to {who}",
    Moment.RENEW: "Renewing the {asked} certificate of {who}",
    Moment.STATUS: "The good status of the {asked} certificate of {who}",
    Moment.CONNECT: "Letting in {who} on its {asked} certificate",
}
_OUTCOMES = {
    Outcome.ALLOW: "was allowed",
    Outcome.RESTRICT: "was allowed with restrictions",
    Outcome.QUARANTINE: "was limited to quarantine",
    Outcome.DENY: "was denied",
}
_TONES = {Truth.TRUE: Tone.GOOD, Truth.FALSE: Tone.BAD, Truth.UNKNOWN: Tone.UNKNOWN}


def explain(decision: Decision, otherwise: Sequence[Counterfactual] = ()) -> Explanation:
    """``decision`` in sentences.

    ``otherwise``: computed ways to a better outcome; without them it is told what the conditions that failed name.
    """
    lines = [
        Line(Tone.TITLE, _verdict(decision), at=decision.at),
        Line(Tone.PLAIN, _reason(decision)),
    ]
    for condition in decision.conditions:
        lines += _condition(condition, decision.at)
    lines += _standing(decision)
    lines += [Line(Tone.PLAIN, f"{source} could not be asked: {what}.") for source, what in decision.failures]
    lines += _obligations(decision)
    lines += _for_the_help_desk(decision)
    changes = tuple(_changes(decision, otherwise))
    if changes:
        lines.append(Line(Tone.PLAIN, "What would have to change:"))
        lines += [Line(Tone.FIX, change, 1) for change in changes]
    return Explanation(tuple(lines))


def _verdict(decision: Decision) -> str:
    subject = decision.subject
    act = _ACTS[decision.moment].format(asked=decision.asked, who=f"{subject.kind.value} {subject.name}")
    return f"{act} {_OUTCOMES[decision.outcome]} on {stamp(decision.at)}."


def _reason(decision: Decision) -> str:
    if decision.policy is None:
        return f"No policy governs the profile {decision.asked}, and what no policy allows is denied."
    policy = f"policy {decision.policy}, version {decision.policy_version}"
    if decision.rule is None:
        tried = f" (looked at: {', '.join(decision.skipped)})" if decision.skipped else ""
        return f"No rule of {policy} matches this request{tried}, and what no rule allows is denied."
    rule = f"Rule {decision.rule} of {policy}, decided"
    required = [condition for condition in decision.conditions if condition.name != "match"]
    failed = [condition.name for condition in required if condition.result is Truth.FALSE]
    open_ = [condition.name for condition in decision.conditions if condition.result is Truth.UNKNOWN]
    reasons = {
        POLICY_CONDITIONS_MET.code: f"{rule}: every condition was met." if required else f"{rule}.",
        POLICY_CONDITION_FALSE.code: f"{rule}: not met: {listed(failed)}.",
        POLICY_CONDITION_UNKNOWN.code: f"{rule}: could not be answered, and unknown is not good: {listed(open_)}.",
        POLICY_FEED_DOWN.code: f"{rule}: a feed is down, and its last word was taken for {listed(open_)}.",
        POLICY_SELF_REPORTED.code: (
            f"{rule}: the host's own word counts against it, and never for a milder outcome than without it."
        ),
        POLICY_STANDING.code: (f"{rule} that this {_outcome_word(decision.ruled)}, but the standing allows less."),
    }
    return reasons.get(decision.reason, f"{rule} ({decision.reason}).")


def _outcome_word(outcome: Outcome) -> str:
    return {
        Outcome.ALLOW: "is allowed",
        Outcome.RESTRICT: "is allowed with restrictions",
        Outcome.QUARANTINE: "is for quarantine only",
        Outcome.DENY: "is denied",
    }[outcome]


def _condition(condition: ConditionResult, at: datetime) -> list[Line]:
    words = {Truth.TRUE: "met", Truth.FALSE: "not met", Truth.UNKNOWN: "unknown"}
    head = f"{condition.name}: {words[condition.result]} ({condition.expression})"
    lines = [Line(_TONES[condition.result], head, 1, condition.name)]
    lines += [Line(Tone.PLAIN, f"{_said(seen, at)}.", 2) for seen in condition.seen]
    lines += [Line(Tone.PLAIN, f"{_cause(cause)}.", 2) for cause in condition.causes if cause.kind != "unusable"]
    lines += [
        Line(Tone.PLAIN, f"{cause.path} cannot be used: it {cause.detail}.", 2)
        for cause in condition.causes
        if cause.kind == "unusable"
    ]
    return lines


def _said(seen: Seen, at: datetime) -> str:
    value = show(seen.value)
    if seen.source in ("request", "evidence"):
        return f"{seen.path} was {value} (from the {seen.source})"
    if seen.source in ("clock", "troth"):
        return f"{seen.path} was {value}"
    return f"{seen.path} was {value}, as {seen.source} said {_before(at - seen.observed_at)}"


def _before(age: timedelta) -> str:
    return "at that moment" if age < timedelta(seconds=1) else f"{span(age)} before"


def _cause(cause: Cause) -> str:
    if cause.kind == "missing":
        return f"{cause.path} is missing: {cause.detail}"
    if cause.kind == "stale":
        excuse = f"; {cause.excused_by} is down, so its last word was taken" if cause.excused_by else ""
        return f"{cause.path} is stale: it {cause.detail}{excuse}"
    return cause.detail[:1].upper() + cause.detail[1:]


def _standing(decision: Decision) -> list[Line]:
    if decision.standing_floor is Outcome.ALLOW:
        return []
    means = {
        Outcome.RESTRICT: "it gets no more than a shorter lifetime",
        Outcome.QUARANTINE: "it gets no more than the quarantine profile",
        Outcome.DENY: "it gets nothing",
    }[decision.standing_floor]
    subject, keeper = decision.subject, decision.keeper
    who = []
    if subject.standing is not Standing.TRUSTED:
        who.append(f"the {subject.kind.value} stood {subject.standing.value}")
    if keeper is not None and keeper.standing is not Standing.TRUSTED:
        who.append(f"its owner {keeper.name} stood {keeper.standing.value}")
    told = listed(who)
    return [Line(Tone.BAD, f"{told[:1].upper()}{told[1:]}: {means}.", 1)]


def _obligations(decision: Decision) -> list[Line]:
    given = decision.obligations
    lines = []
    if given.lifetime is not None:
        lines.append(Line(Tone.PLAIN, f"The lifetime is at most {span(given.lifetime)}."))
    if given.profile is not None:
        lines.append(Line(Tone.PLAIN, f"The profile is {given.profile} in place of {decision.asked}."))
    lines += [
        Line(Tone.PLAIN, f"The network's {what} is {value}.")
        for what, value in (
            ("profile", given.network),
            ("role", given.role),
            ("VLAN", given.vlan),
            ("filter", given.acl),
        )
        if value is not None
    ]
    if given.approval is not None:
        lines.append(Line(Tone.PLAIN, f"A person must approve it first, within {span(given.approval)}."))
    if given.session_time is not None:
        lines.append(Line(Tone.PLAIN, f"The session is asked about anew after {span(given.session_time)}."))
    if given.notify:
        lines.append(Line(Tone.PLAIN, f"To be told: {listed(given.notify)}."))
    if given.say:
        lines.append(Line(Tone.PLAIN, given.say))
    return lines


def _for_the_help_desk(decision: Decision) -> list[Line]:
    """The reason code with its words: what a ticket is searched by."""
    if decision.outcome is Outcome.ALLOW:
        return []
    known = DECISION_REASONS.get(decision.reason)
    words = f"{known.summary} " if known is not None else ""
    return [Line(Tone.PLAIN, f"For the help desk: {words}[{decision.reason}].")]


def _changes(decision: Decision, otherwise: Sequence[Counterfactual]) -> list[str]:
    """What would have to be different for the best this policy gives. Nothing, if it was given."""
    if decision.outcome is Outcome.ALLOW:
        return []
    if otherwise:
        fixes = [one.fix for one in decision.conditions if one.fix is not None and one.result is not Truth.TRUE]
        return [*(told(one, decision) for one in otherwise), *dict.fromkeys(fixes)]
    if decision.policy is None:
        return [f"Apply a policy that lists the profile {decision.asked}."]
    if decision.rule is None:
        return ["Add a rule that matches this request, or ask for what a rule matches."]
    changes: list[str] = []
    for condition in decision.conditions:
        if condition.result is not Truth.TRUE:
            changes += _remedy(condition)
    if decision.standing_floor is not Outcome.ALLOW:
        for one in (decision.subject, decision.keeper):
            if one is not None and one.standing is not Standing.TRUSTED:
                who = f"{one.kind.value} {one.name}"
                changes.append(f"The causes for which {who} is {one.standing.value} must be cleared.")
    if not changes:
        matched = next((one for one in decision.conditions if one.name == "match"), None)
        if matched is not None:
            changes.append(f"Rule {decision.rule} must no longer match: {matched.expression}")
    return list(dict.fromkeys(changes))


def _remedy(condition: ConditionResult) -> list[str]:
    made: list[str] = []
    for cause in condition.causes:
        if cause.kind == "missing":
            made.append(f"A source must report {cause.path}.")
        elif cause.kind == "stale":
            limit = dict(condition.limits).get(cause.path)
            fresh = f", not older than {span(timedelta(seconds=limit))}" if limit else ""
            made.append(f"{cause.source} must report {cause.path} again{fresh}.")
        elif cause.kind == "unusable":
            made.append(f"{cause.source} must report {cause.path} in a form that can be used: it {cause.detail}.")
    if condition.fix is not None:
        made.append(condition.fix)
    if not made:
        seen = ", ".join(f"{one.path} was {show(one.value)}" for one in condition.seen)
        made.append(f"{condition.name} must hold: {condition.expression}{f' ({seen})' if seen else ''}.")
    return made
