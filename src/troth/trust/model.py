"""What the judge speaks of: subjects, what was seen of them, and decisions. All frozen, all JSON by msgspec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import total_ordering
from typing import Any
from uuid import UUID

import msgspec

from troth.kit.canonical import Json
from troth.kit.words import Word
from troth.trust.standing import Standing

#: An observation may lie this far in the future before it is called unusable: clocks of sources differ a little.
SKEW = timedelta(minutes=5)


class Kind(Word):
    """What a subject is."""

    USER = "user"
    DEVICE = "device"
    WORKLOAD = "workload"


class Moment(Word):
    """When the judge is asked. One engine, four moments."""

    ISSUE = "issue"
    RENEW = "renew"
    STATUS = "status"
    CONNECT = "connect"


@total_ordering
class Outcome(Word):
    """What happens to one request, from best to worst; ``max()`` is the stricter. It never changes a standing."""

    ALLOW = "allow"
    RESTRICT = "restrict"
    QUARANTINE = "quarantine"
    DENY = "deny"

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Outcome):
            return NotImplemented
        return _ORDER[self] < _ORDER[other]


_ORDER: dict[Outcome, int] = {outcome: place for place, outcome in enumerate(Outcome)}


class Truth(Word):
    """The three values a condition can have. Unknown is not good, and it is not bad either."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"


class Obligations(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an outcome obliges the door to.

    Attributes:
        lifetime: no certificate (or session) longer than this.
        profile: this profile in place of the one asked for.
        notify: whom to tell: names of notification targets.
        say: the help desk's sentence for the person refused or restricted.
        network: the network profile of the session (RADIUS attributes by that name).
        role: the role or user group that the network gives the session.
        vlan: where the session belongs: a number from 1 to 4094, or the network's name for one.
        acl: the access list or filter that the network applies (Filter-Id).
        session_time: the session is asked about anew after this.
        approval: a person must approve first; how long a request waits for him, and how long his word is good.
    """

    lifetime: timedelta | None = None
    profile: str | None = None
    notify: tuple[str, ...] = ()
    say: str | None = None
    network: str | None = None
    role: str | None = None
    vlan: str | None = None
    acl: str | None = None
    session_time: timedelta | None = None
    approval: timedelta | None = None


class Ruling(msgspec.Struct, frozen=True):
    """An outcome with its obligations: what ``then``, ``else`` and ``unknown`` of a rule name."""

    outcome: Outcome
    obligations: Obligations = Obligations()


class Seen(msgspec.Struct, frozen=True):
    """One value the judge saw.

    Attributes:
        path: the attribute: ``posture.compliant``.
        value: as JSON; a time is ISO 8601, a duration whole seconds.
        source: who said it: ``request``, ``evidence``, ``clock``, ``directory``, the name of a feed.
        observed_at: when the source observed it.
    """

    path: str
    value: Any
    source: str
    observed_at: datetime


class FeedState(msgspec.Struct, frozen=True):
    """A feed that does not report as it should, since when, and in which way (late, stale, dead)."""

    name: str
    state: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Subject:
    """A user, device or workload, as the database knows it now.

    Attributes:
        fresh: made for this very request: its row is written by the unit the verdict is bound to.
        names: DNS names that belong to it, as far as they were asked for.
    """

    id: UUID
    kind: Kind
    name: str
    origin: str
    standing: Standing = Standing.TRUSTED
    standing_version: int = 0
    standing_since: datetime | None = None
    protected: bool = False
    owner: Subject | None = None
    attributes: Mapping[str, Json] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    confirmed_at: datetime | None = None
    names: tuple[str, ...] = ()
    fresh: bool = False

    @property
    def ref(self) -> str:
        """How the ledger calls it."""
        return f"subject:{self.id}"

    @property
    def keeper(self) -> Subject | None:
        """The user whose standing counts with this one's own: the owner of a device, who works with it.

        The owner of a workload only answers for it: a person's quarantine must not take production down.
        """
        owner = self.owner
        return owner if self.kind is Kind.DEVICE and owner is not None and owner.kind is Kind.USER else None


class SubjectRef(msgspec.Struct, frozen=True):
    """Of whom a decision speaks, and where it stood then."""

    id: UUID
    kind: Kind
    name: str
    standing: Standing
    standing_version: int
    protected: bool = False

    @classmethod
    def of(cls, subject: Subject) -> SubjectRef:
        """``subject`` as a decision names it."""
        return cls(
            subject.id, subject.kind, subject.name, subject.standing, subject.standing_version, subject.protected
        )


class Snapshot(msgspec.Struct, frozen=True):
    """Everything one decision is made from. Judging it again gives the same decision, bit for bit.

    Attributes:
        id: the decision's id, chosen before it is made.
        asked: the profile asked for.
        keeper: the user whose standing counts with the subject's (:attr:`Subject.keeper`).
        values: one entry per attribute the policy may look at and that was found; sorted by path.
        feeds: feeds that are late, stale or dead.
        failures: sources that could not be asked, with what went wrong.
    """

    id: UUID
    at: datetime
    moment: Moment
    asked: str
    subject: SubjectRef
    keeper: SubjectRef | None = None
    values: tuple[Seen, ...] = ()
    feeds: tuple[FeedState, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()


class Cause(msgspec.Struct, frozen=True):
    """Why a condition is unknown.

    Attributes:
        kind: ``missing``, ``stale``, ``unusable`` (wrong type, too large, from the future) or ``error``.
        path: the attribute, empty for an error of the expression itself.
        detail: a clause a person can read.
        source: who should have said it, where that is known.
        excused_by: the feed that is down and whose last word is taken for a bounded time.
    """

    kind: str
    path: str
    detail: str
    source: str | None = None
    excused_by: str | None = None


class ConditionResult(msgspec.Struct, frozen=True):
    """One condition, as it was answered.

    Attributes:
        limits: for each freshness bound in the expression, the attribute and its bound in seconds.
        fix: the policy's own sentence on what to do when it is not met.
    """

    name: str
    expression: str
    result: Truth
    seen: tuple[Seen, ...]
    causes: tuple[Cause, ...] = ()
    limits: tuple[tuple[str, int], ...] = ()
    fix: str | None = None


class Decision(msgspec.Struct, frozen=True):
    """What was decided for one subject at one moment, and why.

    Attributes:
        reason: a reason code: ``policy.conditions_met``, ``policy.no_rule`` …
        rule: the rule that decided, None if none matched.
        ruled: what the rule alone said, before the subject's standing was laid over it.
        skipped: rules that did not match, in order.
        standing_floor: the least strict outcome that the standings of subject and keeper allow at this moment.
    """

    id: UUID
    at: datetime
    moment: Moment
    asked: str
    subject: SubjectRef
    outcome: Outcome
    reason: str
    obligations: Obligations
    policy: str | None
    policy_version: int | None
    policy_sha256: str | None
    rule: str | None
    ruled: Outcome
    standing_floor: Outcome
    keeper: SubjectRef | None = None
    conditions: tuple[ConditionResult, ...] = ()
    skipped: tuple[str, ...] = ()
    request: tuple[Seen, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()


_encoder = msgspec.json.Encoder(order="deterministic")
_decision = msgspec.json.Decoder(Decision)
_snapshot = msgspec.json.Decoder(Snapshot)


def encode(value: Decision | Snapshot) -> bytes:
    """``value`` as JSON: the same bytes for the same value."""
    return _encoder.encode(value)


def decode_decision(data: bytes) -> Decision:
    """A stored decision."""
    return _decision.decode(data)


def decode_snapshot(data: bytes) -> Snapshot:
    """A stored snapshot."""
    return _snapshot.decode(data)
