"""A new policy beside the one in force: whom it would change, from what to what, and why. Pure but for the counting.

Each *case* is one subject at one moment, from the record or from the present fleet. Both policies judge the same
snapshot; what differs is counted by what a person would call one change: the same kind of subject, moment, profile,
outcomes and deciding condition. Memory is bounded: so many groups, so many names in each.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from troth.trust.errors import POLICY_STANDING
from troth.trust.model import Decision, Moment, Outcome, Truth

Change: TypeAlias = Literal["lose", "restrict", "stricter", "gain", "milder", "obligations", "same", "unrecorded"]
Source: TypeAlias = Literal["fleet", "recorded"]

#: Groups and names that are kept; what comes after is counted without a group of its own.
MAX_GROUPS = 200
MAX_NAMES = 10

_IN = (Outcome.ALLOW, Outcome.RESTRICT)
_ORDER: dict[Change, int] = {
    "lose": 0, "stricter": 1, "restrict": 2, "gain": 3, "milder": 4, "obligations": 5, "unrecorded": 6, "same": 7,
}  # fmt: skip


class Group(Struct, frozen=True, kw_only=True):
    """Cases that change alike.

    Attributes:
        change: ``lose`` (was let in or issued to, and would not be, or only into quarantine), ``restrict``,
            ``stricter``, ``gain``, ``milder``, ``obligations`` (the outcome stays), ``unrecorded`` (the record does not
            have what the new policy asks).
        why: the condition or rule that decides, in the policy's own word.
        path: the attribute it looks at, empty if it is none.
        names: some of the subjects.
    """

    source: Source
    kind: str
    moment: str
    profile: str
    before: str
    after: str
    change: Change
    why: str
    path: str
    count: int
    names: tuple[str, ...]


class Count(Struct, frozen=True, kw_only=True):
    """How many cases there were of one source, and what becomes of them. ``since``: of the oldest record looked at."""

    judged: int = 0
    changed: int = 0
    lost: int = 0
    gained: int = 0
    unrecorded: int = 0
    complete: bool = True
    since: datetime | None = None


class Report(Struct, frozen=True, kw_only=True):
    """What a policy would change.

    Attributes:
        version: that it would get; ``against``: the version in force, None if there is none.
        losing_percent: the greatest share of the fleet, at one moment, that would lose; in percent, rounded up.
        sentences: the whole in words, the worst first.
    """

    policy: str
    version: int
    against: int | None
    fleet: Count
    recorded: Count
    losing_percent: int
    groups: tuple[Group, ...]
    sentences: tuple[str, ...]


class _Key(NamedTuple):
    source: Source
    kind: str
    moment: str
    profile: str
    before: str
    after: str
    change: Change
    why: str
    path: str


class Tally:
    """Counts cases. One for each replay."""

    def __init__(self) -> None:
        self._counts: dict[_Key, int] = {}
        self._names: dict[_Key, list[str]] = {}
        self._totals: dict[Source, dict[str, int]] = {"fleet": {}, "recorded": {}}
        #: moment → (cases of the fleet, how many of them would lose)
        self._losing: dict[str, tuple[int, int]] = {}

    def add(self, source: Source, before: Decision | None, after: Decision, unrecorded: frozenset[str]) -> Change:
        """Count one case. ``unrecorded``: attributes that the record cannot have. Returns what changes."""
        was = before.outcome if before is not None else Outcome.DENY
        change = _change(before, after, was)
        why, path = _why(after)
        if change != "same" and unrecorded & _missing(after):
            change, path = "unrecorded", min(unrecorded & _missing(after))
            why = "not recorded then"
        totals = self._totals[source]
        for name in ("judged", *_counted(change)):
            totals[name] = totals.get(name, 0) + 1
        moment = after.moment.value
        if source == "fleet":
            cases, losing = self._losing.get(moment, (0, 0))
            self._losing[moment] = (cases + 1, losing + (change == "lose"))
        if change == "same":
            return change
        key = _Key(
            source, after.subject.kind.value, moment, after.asked, was.value, after.outcome.value, change, why, path
        )
        if key not in self._counts and len(self._counts) >= MAX_GROUPS:
            key = key._replace(why="other reasons", path="")
        self._counts[key] = self._counts.get(key, 0) + 1
        names = self._names.setdefault(key, [])
        if len(names) < MAX_NAMES and after.subject.name not in names:
            names.append(after.subject.name)
        return change

    @property
    def losing_percent(self) -> int:
        """See :class:`Report`."""
        return max((-(-100 * losing // cases) for cases, losing in self._losing.values()), default=0)

    def count(self, source: Source, *, complete: bool, since: datetime | None = None) -> Count:
        """The totals of ``source``."""
        return Count(**self._totals[source], complete=complete, since=since)

    def groups(self) -> tuple[Group, ...]:
        """All groups, the fleet before the record, the worst change first, then the largest."""
        made = [
            Group(**key._asdict(), count=count, names=tuple(self._names[key])) for key, count in self._counts.items()
        ]
        return tuple(sorted(made, key=lambda one: (one.source != "fleet", _ORDER[one.change], -one.count, one.why)))

    def report(
        self, policy: str, version: int, against: int | None, *, fleet_complete: bool, record_complete: bool,
        since: datetime | None
    ) -> Report:  # fmt: skip
        """The whole."""
        groups = self.groups()
        fleet = self.count("fleet", complete=fleet_complete)
        recorded = self.count("recorded", complete=record_complete, since=since)
        return Report(
            policy=policy,
            version=version,
            against=against,
            fleet=fleet,
            recorded=recorded,
            losing_percent=self.losing_percent,
            groups=groups,
            sentences=tuple(sentences(groups, fleet, recorded)),
        )


def _change(before: Decision | None, after: Decision, was: Outcome) -> Change:
    now = after.outcome
    if was is now:
        had = before.obligations if before is not None else None
        return "same" if had == after.obligations or before is None else "obligations"
    if was in _IN and now not in _IN:
        return "lose"
    if now in _IN and was not in _IN:
        return "gain"
    if now > was:
        return "restrict" if now is Outcome.RESTRICT else "stricter"
    return "milder"


def _counted(change: Change) -> tuple[str, ...]:
    if change == "same":
        return ()
    if change == "unrecorded":
        return ("unrecorded",)
    return ("changed", "lost") if change == "lose" else ("changed", "gained") if change == "gain" else ("changed",)


def _missing(decision: Decision) -> frozenset[str]:
    return frozenset(
        cause.path for one in decision.conditions for cause in one.causes if cause.kind == "missing" and cause.path
    )


def _why(decision: Decision) -> tuple[str, str]:
    """The condition that decides, and the attribute it looks at."""
    if decision.reason == POLICY_STANDING.code:
        return "the subject's standing", "subject.standing"
    if decision.rule is None:
        return ("no rule matches", "") if decision.policy is not None else ("no policy governs the profile", "")
    for wanted in (Truth.FALSE, Truth.UNKNOWN):
        for one in decision.conditions:
            if one.result is wanted and (one.name != "match" or wanted is Truth.UNKNOWN):
                name = f"rule {decision.rule}" if one.name == "match" else one.name
                return name, next((cause.path for cause in one.causes if cause.path), _first_path(one.seen))
    matched = next((one for one in decision.conditions if one.name == "match"), None)
    return f"rule {decision.rule}", _first_path(matched.seen) if matched is not None else ""


def _first_path(seen: tuple[object, ...]) -> str:
    return str(getattr(seen[0], "path", "")) if seen else ""


# --- words -----------------------------------------------------------------------------------------------------------


def sentences(groups: tuple[Group, ...], fleet: Count, recorded: Count) -> Iterator[str]:
    """``312 devices would lose Wi-Fi, 290 of them for posture.os_version.``"""
    told: set[tuple[str, str, str, str, str]] = set()
    for group in groups:
        which = (group.source, group.kind, group.moment, group.profile, group.change)
        if which in told or group.change in ("unrecorded", "obligations"):
            continue
        told.add(which)
        alike = [
            one for one in groups if (one.source, one.kind, one.moment, one.profile, one.change) == which
        ]  # fmt: skip
        yield _sentence(alike)
    others = sum(one.count for one in groups if one.change == "obligations")
    if others:
        yield f"{others} would get the same outcome with other obligations."
    if recorded.unrecorded:
        yield f"Of {recorded.unrecorded} decisions the record does not have what the new policy asks."
    if not fleet.changed and not recorded.changed:
        yield "It would change nobody's outcome."


def _sentence(alike: list[Group]) -> str:
    first, total = alike[0], sum(one.count for one in alike)
    noun = f"{first.kind}{'s' if total != 1 else ''}" if first.source == "fleet" else _decisions(total, first.moment)
    words = f"{total} {noun} would {_WORDS[first.change].format(what=_what(first.moment, first.profile))}"
    reasons: dict[str, int] = {}
    for one in alike:
        reasons[one.path or one.why] = reasons.get(one.path or one.why, 0) + one.count
    cause, count = max(reasons.items(), key=lambda pair: pair[1])
    return f"{words}, {count} of them for {cause}." if count < total else f"{words}, for {cause}."


_WORDS: dict[Change, str] = {
    "lose": "lose {what}",
    "stricter": "be held to less of {what} than now",
    "restrict": "be restricted in {what}",
    "gain": "gain {what}",
    "milder": "be held to more of {what} than now",
}


def _what(moment: str, profile: str) -> str:
    if moment != Moment.CONNECT.value:
        return f"the {profile} certificate" if moment == Moment.ISSUE.value else f"the renewal of {profile}"
    if profile.startswith("wifi"):
        return "Wi-Fi"
    return "the VPN" if profile.startswith("vpn") else f"what {profile} opens"


def _decisions(count: int, moment: str) -> str:
    return f"recorded decision{'s' if count != 1 else ''} at {moment}"
