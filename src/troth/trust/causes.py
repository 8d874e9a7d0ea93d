"""Hold causes: why a subject is trusted less than fully, as a set, and the pure function from the set to a standing.

A cause belongs to whoever raised it (a feed, or ``person:<name>``) and only that one clears it. No cause is stronger
for being raised twice, and none is weakened by a milder word from its own feed: only a clear takes it away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from uuid import UUID

from troth.trust.standing import Standing, strictest


@dataclass(frozen=True, slots=True)
class HoldCause:
    """One cause of one subject. ``cleared_at`` is None while it is open.

    Attributes:
        feed: who raised it and alone may clear it: a feed's name, or ``person:<name>``.
        key: the cause within the feed.
        observed_at: when the newest word about it was observed by its feed.
        raised_at: when it was last raised here.
        signal_id: the signal (or order) that raised it last.
        approved_by: who approved it when it came by way of a staged action; it then spends nothing of the cap.
    """

    feed: str
    key: str
    level: Standing
    observed_at: datetime
    raised_at: datetime
    signal_id: UUID
    cleared_at: datetime | None = None
    approved_by: str | None = None

    @property
    def open(self) -> bool:
        """Whether it still weighs."""
        return self.cleared_at is None


class Change(Enum):
    """What a word did to a set of causes. The value is what the sender is told."""

    RAISED = "cause.raised"
    STRENGTHENED = "cause.strengthened"
    KEPT = "cause.kept"
    CLEARED = "cause.cleared"
    NOT_OPEN = "cause.not_open"
    LATE = "signal.late"


#: Changes that ask for more than was in force before, and so are subject to caps.
RESTRICTIVE = frozenset({Change.RAISED, Change.STRENGTHENED})


def standing_of(causes: Iterable[HoldCause]) -> Standing:
    """The standing that ``causes`` amount to: the strictest level of those still open."""
    return strictest(*(cause.level for cause in causes if cause.open))


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
    if not old.open:
        return Change.RAISED, new
    newest = max(old.observed_at, new.observed_at)
    if new.level > old.level:
        return Change.STRENGTHENED, replace(new, observed_at=newest)
    return Change.KEPT, replace(old, observed_at=newest)


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
