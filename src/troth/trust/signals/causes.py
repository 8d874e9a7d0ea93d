"""Hold causes: why a subject is trusted less than fully, as a set. ``scoring`` turns the set into a standing.

A cause belongs to whoever raised it (a feed, or ``person:<name>``) and only that one clears it. No cause is stronger
for being raised twice, and none is weakened by a milder word of another kind: only a clear takes it away. A *level* is
superseded by a newer word of its own kind, in either direction; an *event* is renewed by one that weighs as much.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from uuid import UUID

from troth.trust.signals.kinds import KINDS, HardRule, Shape, class_of
from troth.trust.standing import Standing, strictest


@dataclass(frozen=True, slots=True)
class HoldCause:
    """One cause of one subject. ``cleared_at`` is None while it is open.

    Attributes:
        feed: who raised it and alone may clear it: a feed's name, or ``person:<name>``.
        key: the cause within the feed.
        level: the standing that it asks for; where it is weighed, the most that it can lead to.
        observed_at: when the newest word about it was observed by its feed.
        raised_at: when it was last raised here.
        signal_id: the signal (or order) that raised it last.
        approved_by: who approved it when it came by way of a staged action; it then spends nothing of the cap.
        kind: of the signal; empty for a person's order, which is not weighed.
        severity, confidence: 0 to 100.
        peak: the greatest severity times confidence since it was raised, 0 to 10,000.
        effective_at: from when an event decays; ``observed_at`` if it was never said.
        expires_at: when it weighs no more.
        shadow: it is only watched: it weighs nothing.
    """

    feed: str
    key: str
    level: Standing
    observed_at: datetime
    raised_at: datetime
    signal_id: UUID
    cleared_at: datetime | None = None
    approved_by: str | None = None
    kind: str = ""
    severity: int = 100
    confidence: int = 100
    peak: int = 10_000
    effective_at: datetime | None = None
    expires_at: datetime | None = None
    shadow: bool = False

    @property
    def open(self) -> bool:
        """Whether nobody has cleared it."""
        return self.cleared_at is None

    @property
    def weighs(self) -> bool:
        """Whether it counts: open, and not only watched."""
        return self.cleared_at is None and not self.shadow

    @property
    def strength(self) -> int:
        """Severity times confidence as last said, 0 to 10,000."""
        return self.severity * self.confidence

    @property
    def hard(self) -> HardRule | None:
        """The rule by which it acts without being weighed, as orders and kinds that are not known here do."""
        known = KINDS.get(self.kind)
        return HardRule.ORDER if known is None else known.hard

    @property
    def shape(self) -> Shape:
        """How long it weighs."""
        known = KINDS.get(self.kind)
        return Shape.LIFECYCLE if known is None else known.shape

    @property
    def source_class(self) -> str:
        """Its class of source."""
        return class_of(self.kind)


class Change(Enum):
    """What a word did to a set of causes. The value is what the sender is told."""

    RAISED = "cause.raised"
    STRENGTHENED = "cause.strengthened"
    RENEWED = "cause.renewed"
    KEPT = "cause.kept"
    CLEARED = "cause.cleared"
    NOT_OPEN = "cause.not_open"
    LATE = "signal.late"


#: Changes that ask for more than was in force before, and so are subject to caps.
RESTRICTIVE = frozenset({Change.RAISED, Change.STRENGTHENED})


def standing_of(causes: Iterable[HoldCause]) -> Standing:
    """The strictest level of the causes that weigh: the standing if none of them were weighed."""
    return strictest(*(cause.level for cause in causes if cause.weighs))


def find(causes: Iterable[HoldCause], feed: str, key: str) -> HoldCause | None:
    """The cause of that feed and key, open or cleared."""
    return next((cause for cause in causes if cause.feed == feed and cause.key == key), None)


def raised(causes: Iterable[HoldCause], new: HoldCause) -> tuple[Change, HoldCause]:
    """What raising ``new`` does, and the cause as it is afterwards (unchanged when the word came late)."""
    old = find(causes, new.feed, new.key)
    if old is None:
        return Change.RAISED, new
    if new.observed_at < old.observed_at and not old.open:
        # The raise was overtaken by its own clear; retries deliver out of order.
        return Change.LATE, old
    if not old.open or (old.shadow and not new.shadow):
        return Change.RAISED, new
    newest = max(old.observed_at, new.observed_at)
    if new.shadow and not old.shadow:
        # What is only watched says nothing about what is in force.
        return Change.KEPT, replace(old, observed_at=newest)
    if old.kind == new.kind and old.hard is None:
        return _superseded(old, new)
    if _rank(new) > _rank(old):
        return Change.STRENGTHENED, replace(new, observed_at=newest, peak=max(old.peak, new.peak))
    return Change.KEPT, replace(old, observed_at=newest)


def _rank(cause: HoldCause) -> tuple[Standing, bool, int]:
    """Which of two words of different kinds asks for more."""
    return cause.level, cause.hard is not None, 0 if cause.hard is not None else cause.strength


def _superseded(old: HoldCause, new: HoldCause) -> tuple[Change, HoldCause]:
    """A newer word of the same kind, which is weighed."""
    if new.observed_at < old.observed_at:
        return Change.LATE, old
    if new.shape is Shape.EVENT and (new.strength, new.level) < (old.strength, old.level):
        return Change.KEPT, replace(old, observed_at=new.observed_at)
    after = replace(new, peak=max(old.peak, new.peak), raised_at=old.raised_at, approved_by=old.approved_by)
    if (new.strength, new.level) > (old.strength, old.level):
        return Change.STRENGTHENED, replace(after, raised_at=new.raised_at, approved_by=new.approved_by)
    same = (old.severity, old.confidence, old.level, old.expires_at)
    unchanged = new.shape is Shape.LEVEL and same == (new.severity, new.confidence, new.level, new.expires_at)
    if unchanged:
        return Change.KEPT, replace(old, observed_at=new.observed_at)
    return Change.RENEWED, after


def cleared(
    causes: Iterable[HoldCause], feed: str, key: str, *, observed_at: datetime, at: datetime, signal_id: UUID
) -> tuple[Change, HoldCause]:
    """What a clear by ``feed`` does, and the cause as it is afterwards.

    A clear of what is not open leaves a mark all the same, so that a raise that it overtook comes too late.
    """
    old = find(causes, feed, key)
    if old is None:
        return Change.NOT_OPEN, HoldCause(feed, key, Standing.TRUSTED, observed_at, at, signal_id, cleared_at=at)
    if observed_at < old.observed_at:
        return Change.LATE, old
    if not old.open:
        return Change.NOT_OPEN, replace(old, observed_at=observed_at)
    return Change.CLEARED, replace(old, cleared_at=at, observed_at=observed_at)


def with_cause(causes: Iterable[HoldCause], changed: HoldCause) -> tuple[HoldCause, ...]:
    """``causes`` with ``changed`` in the place of its former self."""
    others = (cause for cause in causes if (cause.feed, cause.key) != (changed.feed, changed.key))
    return (*others, changed)
