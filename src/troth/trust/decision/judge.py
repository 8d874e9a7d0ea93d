"""The decision itself: pure, from a policy and a snapshot. The same two give the same decision, bit for bit.

1. The first rule for the moment whose ``match`` is true decides. A ``match`` that cannot be answered decides too, by
   the rule's ``unknown``: skipping it would let a deny rule fail open.
2. Every condition of that rule is asked. Any false: ``else``. Otherwise any unknown: ``unknown``. All true: ``then``.
3. A condition that is unknown because a whole feed is down is asked again with that feed's last word, for as long as
   the policy's ``feed_down`` allows.
4. Where a host's own agent has spoken, the same is decided once more as if it had said nothing, and the stricter of the
   two holds: a host must not choose a milder ``else`` over a stricter ``unknown`` by speaking against itself.
5. The subject's standing (of a device: its owner's as well) is laid over the result: it can only make it stricter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec
from msgspec import structs

from troth.trust.cel.condition import Condition
from troth.trust.cel.library import cel
from troth.trust.decision.obligations import milder_yields, strictest
from troth.trust.errors import (
    POLICY_CONDITION_FALSE,
    POLICY_CONDITION_UNKNOWN,
    POLICY_CONDITIONS_MET,
    POLICY_FEED_DOWN,
    POLICY_NO_POLICY,
    POLICY_NO_RULE,
    POLICY_SELF_REPORTED,
    POLICY_STANDING,
)
from troth.trust.model import (
    Cause,
    ConditionResult,
    Decision,
    FeedState,
    Moment,
    Obligations,
    Outcome,
    Ruling,
    Snapshot,
    Truth,
)
from troth.trust.policy.compiled import Policy, Rule, View
from troth.trust.standing import IssueRule, RadiusRule, Standing, StatusRule, meaning
from troth.trust.subjects.facts import is_self_reported

_DENIED = Ruling(Outcome.DENY)

_FLOORS: Mapping[IssueRule | RadiusRule | StatusRule, Outcome] = {
    IssueRule.BY_POLICY: Outcome.ALLOW,
    IssueRule.BY_POLICY_SHORTER: Outcome.RESTRICT,
    IssueRule.QUARANTINE_PROFILE_ONLY: Outcome.QUARANTINE,
    IssueRule.REFUSED: Outcome.DENY,
    StatusRule.GOOD: Outcome.ALLOW,
    StatusRule.HELD_BUT_FOR_QUARANTINE_PROFILES: Outcome.QUARANTINE,
    StatusRule.REVOKED: Outcome.DENY,
    RadiusRule.PROFILE_BY_POLICY: Outcome.ALLOW,
    RadiusRule.RESTRICTED_PROFILE: Outcome.RESTRICT,
    RadiusRule.QUARANTINE_PROFILE: Outcome.QUARANTINE,
    RadiusRule.REJECT: Outcome.DENY,
}


def floor(standing: Standing, moment: Moment) -> Outcome:
    """The best outcome that ``standing`` still allows at ``moment``: the standing table, read as outcomes."""
    return _FLOOR[standing, moment]


def _floor(standing: Standing, moment: Moment) -> Outcome:
    row = meaning(standing)
    if moment is Moment.STATUS:
        return _FLOORS[row.status]
    return _FLOORS[row.radius if moment is Moment.CONNECT else row.issue]


_FLOOR = {(standing, moment): _floor(standing, moment) for standing in Standing for moment in Moment}


#: A condition's result, the answer it counts for once a feed that is down is excused, and the feeds so excused.
_Answer: TypeAlias = "tuple[ConditionResult, Truth, tuple[str, ...]]"

# Looked up once, and not at each of the dozens of comparisons a decision takes.
_FALSE, _UNKNOWN, _ALLOW = Truth.FALSE, Truth.UNKNOWN, Outcome.ALLOW


class _Case(msgspec.Struct):
    """One decision in the making: the contexts are built once and the lenient one only if a feed is down."""

    policy: Policy
    snapshot: Snapshot
    view: View
    context: cel.Context
    lenient: cel.Context | None = None
    excused: Mapping[str, str] | None = None

    def answer(self, condition: Condition, truth: Truth | None = None) -> _Answer:
        """``condition`` answered; ``truth`` is its answer where it was asked already."""
        if truth is None:
            truth = condition.ask(self.context)
        usable = self.view.usable
        seen = tuple([usable[path] for path in condition.paths if path in usable])
        if truth is not _UNKNOWN:
            result = ConditionResult(condition.name, condition.source, truth, seen, (), condition.limits, condition.fix)
            return result, truth, ()
        causes = self._causes(condition)
        counts = _UNKNOWN
        excused: tuple[str, ...] = ()
        if self.snapshot.feeds:
            counts = self._ask_leniently(condition)
            if counts is not _UNKNOWN:
                by = self.excused or {}
                causes = tuple(
                    Cause(one.kind, one.path, one.detail, one.source, by.get(one.path) if one.kind == "stale" else None)
                    for one in causes
                )
                excused = tuple(sorted({one.excused_by for one in causes if one.excused_by is not None}))
        unusable = tuple(self.view.unusable[path][0] for path in condition.paths if path in self.view.unusable)
        result = ConditionResult(
            condition.name, condition.source, truth, (*seen, *unusable), causes, condition.limits, condition.fix
        )
        return result, counts, excused

    def _ask_leniently(self, condition: Condition) -> Truth:
        if self.lenient is None:
            self.excused = _excused(self.policy, self.view, self.snapshot)
            self.lenient = self.view.context(frozenset(self.excused)) if self.excused else self.context
        return condition.ask(self.lenient)

    def _causes(self, condition: Condition) -> tuple[Cause, ...]:
        causes: list[Cause] = []
        for path in condition.paths:
            if path in self.view.usable:
                continue
            if path in self.view.unusable:
                seen, wrong = self.view.unusable[path]
                causes.append(Cause("unusable", path, wrong, seen.source))
            else:
                causes.append(Cause("missing", path, "nobody has reported it"))
        for path, limit in condition.limits:
            age = self.view.age_of(path)
            if age is not None and age.total_seconds() >= limit:
                seen = self.view.usable[path]
                detail = f"is {int(age.total_seconds())} s old, and {limit} s is the bound"
                causes.append(Cause("stale", path, detail, seen.source))
        return tuple(causes) or (Cause("error", "", "the expression failed on these values"),)


def _excused(policy: Policy, view: View, snapshot: Snapshot) -> dict[str, str]:
    """Attributes whose source is a feed that is down, within the time its last word is taken: path → feed."""
    down = {feed.name: feed for feed in snapshot.feeds}
    found: dict[str, str] = {}
    for path, seen in view.usable.items():
        feed = down.get(seen.source)
        if feed is not None and _still_taken(policy, feed, snapshot):
            found[path] = feed.name
    return found


def _still_taken(policy: Policy, feed: FeedState, snapshot: Snapshot) -> bool:
    rule = policy.feed(feed.name)
    return rule.last_standing is None or snapshot.at - feed.since < rule.last_standing


def judge(policy: Policy | None, snapshot: Snapshot) -> Decision:
    """Decide. ``policy`` is the one that governs the profile asked for; None denies."""
    if policy is None:
        return _decision(None, snapshot, None, _DENIED, POLICY_NO_POLICY.code)
    view = policy.view(snapshot.values, snapshot.at)
    return judge_view(policy, snapshot, view, view.context())


def judge_view(policy: Policy, snapshot: Snapshot, view: View, context: cel.Context) -> Decision:
    """:func:`judge` on a prebuilt view and context of the same snapshot."""
    made = _ruled(_Case(policy, snapshot, view, context))
    own = [path for path, seen in view.usable.items() if is_self_reported(seen.source)]
    if own:
        unheard = view.without(own)
        made = _no_milder(made, _ruled(_Case(policy, snapshot, unheard, unheard.context())).ruling)
    return _decision(policy, snapshot, made.rule, made.ruling, made.reason, made.conditions, made.skipped)


class _Made(NamedTuple):
    """What the rules make of one view, before the standing is laid over it."""

    rule: Rule | None
    ruling: Ruling
    reason: str
    conditions: tuple[ConditionResult, ...] = ()
    skipped: tuple[str, ...] = ()


def _ruled(case: _Case) -> _Made:
    policy, skipped = case.policy, list[str]()
    for rule in policy.rules_at(case.snapshot.moment):
        matched = None
        if rule.match is not None:
            truth = rule.match.ask(case.context)
            if truth is not _FALSE:
                matched = case.answer(rule.match, truth)
            if matched is None or matched[1] is _FALSE:
                skipped.append(rule.name)
                continue
        answers = [case.answer(condition) for condition in rule.require]
        ruling, reason = _rule(policy, rule, matched, answers)
        results = tuple([result for result, _, _ in answers])
        if matched is not None:
            results = (matched[0], *results)
        return _Made(rule, ruling, reason, results, tuple(skipped))
    return _Made(None, _DENIED, POLICY_NO_RULE.code, skipped=tuple(skipped))


def _no_milder(made: _Made, unheard: Ruling) -> _Made:
    """``made``, as strict as ``unheard`` at least, in its lifetime too."""
    stricter = unheard.outcome > made.ruling.outcome
    if not stricter:  # then its people need not be told: their case is not this one
        unheard = structs.replace(unheard, obligations=structs.replace(unheard.obligations, notify=()))
    ruling = strictest(made.ruling, unheard)
    return made._replace(ruling=ruling, reason=POLICY_SELF_REPORTED.code if stricter else made.reason)


def _rule(policy: Policy, rule: Rule, matched: _Answer | None, answers: Sequence[_Answer]) -> tuple[Ruling, str]:
    if matched is not None and matched[1] is _UNKNOWN:
        return rule.unknown, POLICY_CONDITION_UNKNOWN.code
    counts = [counted for _, counted, _ in answers]
    if _FALSE in counts:
        return rule.otherwise, POLICY_CONDITION_FALSE.code
    if _UNKNOWN in counts:
        return rule.unknown, POLICY_CONDITION_UNKNOWN.code
    asked = (matched, *answers) if matched is not None else answers
    feeds = sorted({feed for _, _, excused_by in asked for feed in excused_by})
    if not feeds:
        return rule.then, POLICY_CONDITIONS_MET.code
    rulings = [made for feed in feeds if (made := policy.feed(feed).ruling) is not None]
    return strictest(rule.then, *rulings), POLICY_FEED_DOWN.code


def _decision(
    policy: Policy | None,
    snapshot: Snapshot,
    rule: Rule | None,
    ruling: Ruling,
    reason: str,
    conditions: tuple[ConditionResult, ...] = (),
    skipped: tuple[str, ...] = (),
) -> Decision:
    least = floor(snapshot.subject.standing, snapshot.moment)
    if snapshot.keeper is not None:
        least = max(least, floor(snapshot.keeper.standing, snapshot.moment))
    final = ruling if policy is None or least is _ALLOW else lay_standing(policy, ruling, least, snapshot.moment)
    return Decision(
        id=snapshot.id,
        at=snapshot.at,
        moment=snapshot.moment,
        asked=snapshot.asked,
        subject=snapshot.subject,
        outcome=final.outcome,
        # The standing can only have made it stricter.
        reason=reason if final.outcome is ruling.outcome else POLICY_STANDING.code,
        obligations=final.obligations,
        policy=policy.name if policy is not None else None,
        policy_version=policy.version if policy is not None else None,
        policy_sha256=policy.sha256 if policy is not None else None,
        rule=rule.name if rule is not None else None,
        ruled=ruling.outcome,
        standing_floor=least,
        keeper=snapshot.keeper,
        conditions=conditions,
        skipped=skipped,
        request=tuple([seen for seen in snapshot.values if seen.source == "request"]),
        failures=snapshot.failures,
    )


def lay_standing(policy: Policy, ruling: Ruling, least: Outcome, moment: Moment) -> Ruling:
    """``ruling`` made as strict as the standing demands; never milder than it was."""
    if least is Outcome.ALLOW or ruling.outcome is Outcome.DENY:
        return ruling
    if least is Outcome.DENY:
        return Ruling(Outcome.DENY, Obligations(notify=ruling.obligations.notify))
    if least is Outcome.RESTRICT:
        return milder_yields(Ruling(Outcome.RESTRICT, policy.restricted), ruling)
    if policy.quarantined is not None:
        return milder_yields(Ruling(Outcome.QUARANTINE, policy.quarantined), ruling)
    if moment in (Moment.ISSUE, Moment.RENEW):
        # Only the short quarantine profile may be issued, and this policy names none.
        return Ruling(Outcome.DENY, Obligations(notify=ruling.obligations.notify))
    return strictest(Ruling(Outcome.QUARANTINE), ruling)
