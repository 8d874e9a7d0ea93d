"""A policy, compiled: rules whose conditions are CEL programs, and what they are asked about.

A policy governs the profiles it lists. Its rules are read in order; the first that matches decides. Made from YAML by
:mod:`troth.trust.grammar`; used by :mod:`troth.trust.judge`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from troth.trust.cel import NOW, SEEN, Condition, context_of
from troth.trust.cel_library import cel
from troth.trust.model import Moment, Obligations, Ruling, Seen
from troth.trust.vocabulary import VOCABULARY, Attribute, Type, misfit, native

#: An observation may lie this far in the future before it is called unusable: clocks of sources differ a little.
SKEW = timedelta(minutes=5)


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
    types: Mapping[str, Type] = field(init=False)
    paths: frozenset[str] = field(init=False)
    functions: frozenset[str] = field(init=False)
    _roots: frozenset[str] = field(init=False)
    _by_moment: Mapping[Moment, tuple[Rule, ...]] = field(init=False)

    def __post_init__(self) -> None:
        conditions = [one for rule in self.rules for one in (*((rule.match,) if rule.match else ()), *rule.require)]
        paths = frozenset(path for one in conditions for path in one.paths) | {NOW}
        words = {**VOCABULARY, **self.attributes}
        put = object.__setattr__
        put(self, "types", {path: words[path].type for path in paths})
        put(self, "paths", paths)
        put(self, "functions", frozenset(name for one in conditions for name in one.functions))
        put(self, "_roots", frozenset(path.partition(".")[0] for path in paths))
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
        unusable: dict[str, tuple[Seen, str]] = {}
        for seen in values:
            wanted = self.types.get(seen.path)
            if wanted is None:
                continue
            wrong = misfit(seen.value, wanted)
            if wrong is None and seen.observed_at - at > SKEW:
                wrong = f"was observed in the future, at {seen.observed_at.isoformat()}"
            if wrong is None:
                usable[seen.path] = seen
            else:
                unusable[seen.path] = (seen, wrong)
        return View(self, at, usable, unusable)


@dataclass(frozen=True, slots=True)
class View:
    """Values sorted into those a condition may use and those it may not, with why not."""

    policy: Policy
    at: datetime
    usable: Mapping[str, Seen]
    unusable: Mapping[str, tuple[Seen, str]]

    def context(self, freshened: frozenset[str] = frozenset()) -> cel.Context:
        """The evaluation context. ``freshened``: attributes taken as if they had been observed just now."""
        roots: dict[str, dict[str, Any]] = {root: {} for root in self.policy._roots}
        observed: dict[str, datetime] = {}
        types = self.policy.types
        for path, seen in self.usable.items():
            root, _, name = path.partition(".")
            wanted = types[path]
            fresh = path in freshened
            roots[root][name] = self.at if fresh and wanted is Type.TIME else native(seen.value, wanted)
            observed[path] = self.at if fresh else seen.observed_at
        roots["time"]["now"] = self.at
        roots[SEEN] = observed
        return context_of(roots, self.policy.functions)

    def age_of(self, path: str) -> timedelta | None:
        """How old the value at ``path`` is, as ``age()`` has it; None if there is none."""
        seen = self.usable.get(path)
        if seen is None:
            return None
        if self.policy.types[path] is Type.TIME:
            since: datetime = native(seen.value, Type.TIME)
            return self.at - since
        return self.at - seen.observed_at
