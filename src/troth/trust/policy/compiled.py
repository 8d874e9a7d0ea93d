"""A policy, compiled: rules whose conditions are CEL programs, and what they are asked about.

A policy governs the profiles it lists. Its rules are read in order; the first that matches decides. Made from YAML by
:mod:`troth.trust.policy.grammar`; used by :mod:`troth.trust.decision.judge`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from troth.trust.cel.condition import NOW, Condition, context_of, has_variable, seen_variable, value_variable
from troth.trust.cel.library import cel
from troth.trust.model import SKEW, Moment, Obligations, Ruling, Seen
from troth.trust.vocabulary import VOCABULARY, Attribute, Type, fitted

#: Made of the scores, which are gathered for it.
RISK_LEVEL = "risk.level"
RISK_SCORES = frozenset({"risk.score", "signals.score"})

_NOW = value_variable(NOW)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        match: whether the rule is about this request at all; None means always.
        require: every condition is answered and recorded, whatever the others say.
        then: all true. ``otherwise``: any false. ``unknown``: none false, but one cannot be answered; never allow.
    """

    name: str
    moments: frozenset[Moment]
    match: Condition | None
    require: tuple[Condition, ...]
    then: Ruling
    otherwise: Ruling
    unknown: Ruling

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All that it may ask, ``match`` first."""
        return (self.match, *self.require) if self.match is not None else self.require


@dataclass(frozen=True, slots=True)
class FeedDown:
    """What happens to conditions that are stale because a whole feed is late.

    Exactly one is set: take its last word for so long (the subject's standing decides the rest), or this outcome.
    """

    last_standing: timedelta | None = timedelta(hours=24)
    ruling: Ruling | None = None


#: What a restricted standing does to a policy that says nothing of it.
RESTRICTED = Obligations(lifetime=timedelta(hours=24))


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled policy.

    Attributes:
        version: counts from 1 for each name; 0 for one that was never applied.
        sha256: of the file's text.
        restricted: obligations that a restricted standing adds.
        quarantined: the quarantine profile and lifetime a quarantined standing is left with; None: nothing at all.
        attributes: words of its own beside the vocabulary.
        time_zone: IANA name, for ``time.local_…``.
    """

    name: str
    description: str
    profiles: tuple[str, ...]
    rules: tuple[Rule, ...]
    source: str
    sha256: str
    version: int = 0
    feeds: Mapping[str, FeedDown] = field(default_factory=dict)
    feed_default: FeedDown = FeedDown()
    restricted: Obligations = RESTRICTED
    quarantined: Obligations | None = None
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    time_zone: str | None = None
    types: Mapping[str, Type] = field(init=False)
    paths: frozenset[str] = field(init=False)
    functions: frozenset[str] = field(init=False)
    _value_variables: Mapping[str, str] = field(init=False)
    _seen_variables: Mapping[str, str] = field(init=False)
    _has_variables: Mapping[str, str] = field(init=False)
    _by_moment: Mapping[Moment, tuple[Rule, ...]] = field(init=False)

    def __post_init__(self) -> None:
        conditions = [one for rule in self.rules for one in rule.conditions]
        paths = frozenset(path for one in conditions for path in one.paths) | {NOW}
        if RISK_LEVEL in paths:
            paths |= RISK_SCORES
        words = {**VOCABULARY, **self.attributes}
        put = object.__setattr__
        put(self, "types", {path: words[path].type for path in paths})
        put(self, "paths", paths)
        put(self, "functions", frozenset(name for one in conditions for name in one.functions))
        put(self, "_value_variables", {path: value_variable(path) for path in paths})
        put(self, "_seen_variables", {path: seen_variable(path) for one in conditions for path in one.aged})
        put(self, "_has_variables", {path: has_variable(path) for one in conditions for path in one.sought})
        put(
            self,
            "_by_moment",
            {moment: tuple(rule for rule in self.rules if moment in rule.moments) for moment in Moment},
        )

    def rules_at(self, moment: Moment) -> tuple[Rule, ...]:
        """The rules for ``moment``, in order."""
        return self._by_moment[moment]

    def feed(self, name: str) -> FeedDown:
        """What to do while the feed ``name`` is down."""
        return self.feeds.get(name, self.feed_default)

    def wants(self, *roots: str) -> frozenset[str]:
        """The attributes it reads under ``roots``."""
        return frozenset(path for path in self.paths if path.partition(".")[0] in roots)

    def view(self, values: Iterable[Seen], at: datetime) -> View:
        """What the conditions of this policy may see of ``values``."""
        usable: dict[str, Seen] = {}
        natives: dict[str, Any] = {}
        unusable: dict[str, tuple[Seen, str]] = {}
        types, latest = self.types, at + SKEW
        for seen in [one for one in values if one.path in types]:
            path = seen.path
            native, wrong = fitted(seen.value, types[path])
            if wrong is None and seen.observed_at > latest:
                wrong = f"was observed in the future, at {seen.observed_at.isoformat()}"
            if wrong is None:
                usable[path] = seen
                natives[path] = native
            else:
                unusable[path] = (seen, wrong)
        return View(self, at, usable, natives, unusable)


class View(msgspec.Struct):
    """Values sorted into those a condition may use and those it may not, with why not.

    Attributes:
        natives: the usable values as CEL takes them.
    """

    policy: Policy
    at: datetime
    usable: Mapping[str, Seen]
    natives: Mapping[str, Any]
    unusable: Mapping[str, tuple[Seen, str]]

    def context(self, freshened: frozenset[str] = frozenset()) -> cel.Context:
        """The evaluation context. ``freshened``: attributes taken as if they had been observed just now."""
        policy, usable, at = self.policy, self.usable, self.at
        called = policy._value_variables
        variables: dict[str, Any] = {called[path]: native for path, native in self.natives.items()}
        for path in freshened:
            if policy.types[path] is Type.TIME:
                variables[called[path]] = at
        variables[_NOW] = at
        for path, name in policy._seen_variables.items():
            if path in usable:
                variables[name] = at if path in freshened else usable[path].observed_at
        for path, name in policy._has_variables.items():
            variables[name] = path in usable
        return context_of(variables, policy.functions)

    def without(self, paths: Iterable[str]) -> View:
        """The same, as if nobody had said anything of ``paths``."""
        unsaid = frozenset(paths)
        return View(
            self.policy,
            self.at,
            {path: seen for path, seen in self.usable.items() if path not in unsaid},
            {path: value for path, value in self.natives.items() if path not in unsaid},
            self.unusable,
        )

    def age_of(self, path: str) -> timedelta | None:
        """How old the value at ``path`` is, as ``age()`` has it; None if there is none."""
        seen = self.usable.get(path)
        if seen is None:
            return None
        if self.policy.types[path] is Type.TIME:
            since: datetime = self.natives[path]
            return self.at - since
        return self.at - seen.observed_at
