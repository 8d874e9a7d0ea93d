"""What an assessment is made from and what it says: frozen, and the same JSON for the same value.

``scoring`` is the function between the two. Both are stored whenever an assessment changed something, so that anyone
can repeat it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import Enum

import msgspec

from troth.trust.signals.causes import HoldCause
from troth.trust.signals.kinds import HardRule, Shape, class_of
from troth.trust.standing import Standing

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Weighed(msgspec.Struct, frozen=True):
    """One cause, as far as it is weighed.

    Attributes:
        hard: the hard rule by which it acts; None if it is weighed.
        peak: the greatest severity times confidence since it was raised.
        since: from when an event decays.
    """

    feed: str
    key: str
    kind: str
    level: Standing
    severity: int
    confidence: int
    peak: int
    since: datetime
    shape: Shape
    hard: HardRule | None = None
    expires_at: datetime | None = None

    @property
    def source_class(self) -> str:
        """Its class of source."""
        return class_of(self.kind)


class State(msgspec.Struct, frozen=True):
    """What is remembered of a subject from one assessment to the next.

    Attributes:
        scored: the standing that its weighed causes have brought it to.
        since: when it came to that.
        merit, merit_at: points for flapping, and when they were that many.
        suppressed: it has flapped so much that nothing is released for now.
        fallen: it has been released before, so that the next rise counts as flapping.
        quarantined_since: since when it is quarantined or worse, on whatever ground.
        proposed: a revocation was put before a person for this quarantine.
    """

    scored: Standing = Standing.TRUSTED
    since: datetime = _EPOCH
    merit: int = 0
    merit_at: datetime = _EPOCH
    suppressed: bool = False
    fallen: bool = False
    quarantined_since: datetime | None = None
    proposed: bool = False


class Quiet(msgspec.Struct, frozen=True):
    """A time in which a feed was silent: for what it said, time stood still. ``until`` None: it still is."""

    feed: str
    since: datetime
    until: datetime | None = None


class Inputs(msgspec.Struct, frozen=True):
    """Everything an assessment depends on beside the rules.

    Attributes:
        causes: those that weigh, by feed and key.
        silent: silences of the feeds whose words time would change, by feed and beginning; they do not overlap.
        exempt_until: until when an exemption holds.
    """

    at: datetime
    causes: tuple[Weighed, ...]
    state: State = State()
    silent: tuple[Quiet, ...] = ()
    exempt_until: datetime | None = None


class Keeps(Enum):
    """Why a subject does not stand better than it does, beside what weighs now."""

    HYSTERESIS = "hysteresis"
    DWELL = "dwell"
    FLAPPING = "flapping"


class Contribution(msgspec.Struct, frozen=True):
    """What one weighed cause adds, in millionths; ``whole`` before it decayed, ``age`` and ``half_life`` in seconds."""

    feed: str
    key: str
    kind: str
    level: Standing
    value: int
    whole: int
    age: int
    half_life: int | None = None
    expires_at: datetime | None = None


class Assessment(msgspec.Struct, frozen=True):
    """What it comes to.

    Attributes:
        standing: where the subject stands.
        hard: the standing by hard rules alone.
        scored: the standing by what is weighed.
        score: of everything that weighs, in millionths: what restricts is measured by it.
        quarantine_score: of what may lead to quarantine.
        contributions: one for each weighed cause, by feed and key.
        keeps: why the scored standing is not better.
        exempt: an exemption lifts what would hold the subject.
        ended: (feed, key) of causes that weigh no more and can be closed.
        propose: ``quorum`` or ``unhealed``, if a revocation should be put before a person now.
        next_at: the earliest moment at which the outcome changes though nobody says anything.
    """

    standing: Standing
    hard: Standing
    scored: Standing
    score: int
    quarantine_score: int
    contributions: tuple[Contribution, ...]
    state: State
    keeps: Keeps | None = None
    exempt: bool = False
    ended: tuple[tuple[str, str], ...] = ()
    propose: str | None = None
    next_at: datetime | None = None


def inputs(
    causes: Iterable[HoldCause],
    state: State,
    at: datetime,
    *,
    silent: Iterable[Quiet] = (),
    exempt_until: datetime | None = None,
) -> Inputs:
    """The inputs that ``causes`` and the rest amount to; what is cleared or only watched is left out."""
    weighed = sorted((_weighed(cause) for cause in causes if cause.weighs), key=lambda one: (one.feed, one.key))
    feeds = {one.feed for one in weighed}
    return Inputs(
        at=at,
        causes=tuple(weighed),
        state=state,
        silent=tuple(sorted((one for one in silent if one.feed in feeds), key=lambda one: (one.feed, one.since))),
        exempt_until=exempt_until if exempt_until is not None and exempt_until > at else None,
    )


def _weighed(cause: HoldCause) -> Weighed:
    return Weighed(
        feed=cause.feed,
        key=cause.key,
        kind=cause.kind,
        level=cause.level,
        severity=cause.severity,
        confidence=cause.confidence,
        peak=cause.peak,
        since=cause.effective_at or cause.observed_at,
        shape=cause.shape,
        hard=cause.hard,
        expires_at=cause.expires_at,
    )


_encoder = msgspec.json.Encoder(order="deterministic")
_inputs = msgspec.json.Decoder(Inputs)
_assessment = msgspec.json.Decoder(Assessment)
_state = msgspec.json.Decoder(State)


def encode(value: Inputs | Assessment | State) -> bytes:
    """``value`` as JSON: the same bytes for the same value."""
    return _encoder.encode(value)


def decode_inputs(data: bytes) -> Inputs:
    """Stored inputs."""
    return _inputs.decode(data)


def decode_assessment(data: bytes) -> Assessment:
    """A stored assessment."""
    return _assessment.decode(data)


def decode_state(data: bytes | str) -> State:
    """A stored state."""
    return _state.decode(data)
