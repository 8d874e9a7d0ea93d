"""What a door asks, and the snapshot that one decision is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from troth.kit.canonical import Json
from troth.kit.ids import new_id
from troth.trust.model import FeedState, Moment, Seen, Snapshot, Subject, SubjectRef
from troth.trust.places import Places
from troth.trust.policy.compiled import RISK_LEVEL, RISK_SCORES, Policy
from troth.trust.subjects.facts import Observation, concerns, newest, own_attributes

Given: TypeAlias = "Json | datetime | timedelta"

_MEDIUM, _HIGH = 50, 80


class Question(msgspec.Struct, frozen=True):
    """What a door asks.

    Attributes:
        request: attributes of ``request.*`` without the root: ``{"names": […], "protocol": "acme"}``.
        evidence: attributes of ``evidence.*``: what the door has proved itself, never what the caller claims.
        certificate: attributes of ``certificate.*``: of the one that is asked for, or that is shown.
        application: attributes of ``application.*``: who asks to let somebody in, where, and what for.
        nas: attributes of ``nas.*``: the access server that asks.
        wants: attributes to gather besides what the policy reads: what the profile puts into the certificate.
    """

    moment: Moment
    profile: str
    subjects: tuple[Subject, ...]
    evidence: Mapping[str, Given]
    request: Mapping[str, Given]
    certificate: Mapping[str, Given] = msgspec.field(default_factory=dict)
    application: Mapping[str, Given] = msgspec.field(default_factory=dict)
    nas: Mapping[str, Given] = msgspec.field(default_factory=dict)
    wants: frozenset[str] = frozenset()


def snapshot(
    question: Question,
    subject: Subject,
    policy: Policy | None,
    observations: Sequence[Observation],
    at: datetime,
    *,
    feeds: tuple[FeedState, ...] = (),
    failures: tuple[tuple[str, str], ...] = (),
    places: Places | None = None,
) -> Snapshot:
    """All that one decision is made from: the whole request and evidence, and of the rest what the policy reads."""
    values = clock_values(at, policy.time_zone if policy is not None else None)
    wanted = question.wants | (policy.paths if policy is not None else frozenset())
    values |= own_attributes(subject, at, wanted)
    for path, one in newest([one for one in observations if concerns(one, subject)]).items():
        stated = values.get(path)
        if path in wanted and (stated is None or stated.observed_at <= one.observed_at):
            values[path] = Seen(path, one.value, one.source, one.observed_at)
    values["request.profile"] = Seen("request.profile", question.profile, "request", at)
    given_by_root = (
        ("request", "request", question.request), ("evidence", "evidence", question.evidence),
        ("certificate", "evidence", question.certificate), ("application", "request", question.application),
        ("nas", "nas", question.nas),
    )  # fmt: skip
    for root, source, given in given_by_root:
        for name, value in given.items():
            path = f"{root}.{name}"
            values[path] = Seen(path, value if type(value) is str else _json(value), source, at)
    if places is not None:
        for path, found in places.of(question.nas, question.request.get("address")).items():
            values.setdefault(path, Seen(path, found, "places", at))
    if RISK_LEVEL in wanted and RISK_LEVEL not in values:
        values |= _risk_level([values[path] for path in sorted(RISK_SCORES) if path in values])
    return Snapshot(
        id=new_id(),
        at=at,
        moment=question.moment,
        asked=question.profile,
        subject=SubjectRef.of(subject),
        keeper=SubjectRef.of(subject.keeper) if subject.keeper is not None else None,
        values=tuple([values[path] for path in sorted(values)]),
        feeds=feeds,
        failures=failures,
    )


def clock_values(at: datetime, time_zone: str | None) -> dict[str, Seen]:
    """``time.*`` at ``at``; the local ones where the policy has a time zone."""
    found = {
        "time.now": Seen("time.now", at.isoformat(), "clock", at),
        "time.hour": Seen("time.hour", at.hour, "clock", at),
        "time.weekday": Seen("time.weekday", at.isoweekday(), "clock", at),
    }
    if time_zone is not None:
        local = at.astimezone(ZoneInfo(time_zone))
        minute = local.hour * 60 + local.minute
        found["time.local_hour"] = Seen("time.local_hour", local.hour, "clock", at)
        found["time.local_minute"] = Seen("time.local_minute", minute, "clock", at)
        found["time.local_weekday"] = Seen("time.local_weekday", local.isoweekday(), "clock", at)
    return found


def _risk_level(scores: Sequence[Seen]) -> dict[str, Seen]:
    """The greater score in a word. Where nobody has reported a risk, what signals came to may speak against a subject,
    and never for it: that no signal is open does not say that anybody has looked."""
    known = [one for one in scores if isinstance(one.value, int) and not isinstance(one.value, bool)]
    worst = max(known, key=lambda one: one.value, default=None)
    if worst is None or (worst.value < _MEDIUM and all(one.path != "risk.score" for one in known)):
        return {}
    word = "high" if worst.value >= _HIGH else "medium" if worst.value >= _MEDIUM else "low"
    # As old as what says that it is no worse.
    since = min(one.observed_at for one in known)
    return {RISK_LEVEL: Seen(RISK_LEVEL, word, worst.source, since)}


def _json(value: Given) -> Json:
    """A given value as it is recorded: times as ISO 8601, durations as whole seconds, sequences as lists."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return int(value.total_seconds())
    if isinstance(value, (list, tuple)):
        return list(value)
    return value
