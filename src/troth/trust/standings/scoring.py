"""Where a subject stands, as a pure function of its causes, what is remembered of it, the rules and the time.

1. *Hard* causes act with their level. All others are *weighed*: severity x confidence x weight x decay, in millionths.
2. Within a class of source the greatest counts; across classes they add up as 1 - product(1 - r) (noisy OR): two
   classes seldom err together, two words of one class often do. A cause adds to no standing beyond its own level.
3. A standing is entered at once where its score reaches ``up``. It is left where the score is below ``down``, after
   the dwell time, and not while the subject flaps. What holds it is never more than what is still open could have
   brought about at its worst, so that a clear that leaves nothing releases at once.
4. Distrust never comes from a score: it is proposed to a person, where several classes agree or nothing heals.

Whole numbers throughout: a record replayed gives the same bits. Every rounding is downwards and monotone, so a word
that is worse, or surer, or newer never leads to a better standing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from troth.trust.signals.kinds import Shape
from troth.trust.standing import Standing, strictest
from troth.trust.standings.assessment import Assessment, Contribution, Inputs, Keeps, Quiet, State, Weighed
from troth.trust.standings.decay import BITS, decayed
from troth.trust.standings.rules import WHOLE, StandingRules

#: An event that adds less than this (millionths) is over.
FLOOR: Final = 100

#: While a feed is silent whose words time would change.
_LOOK_AGAIN: Final = timedelta(minutes=5)

_SECOND: Final = timedelta(seconds=1)
_MICROSECOND: Final = timedelta(microseconds=1)
_PLACE: Final = {standing: place for place, standing in enumerate(Standing)}
_TRUSTED, _RESTRICTED, _QUARANTINED = Standing.TRUSTED, Standing.RESTRICTED, Standing.QUARANTINED


def assess(given: Inputs, rules: StandingRules) -> Assessment:
    """Where the subject stands at ``given.at``, why, and when that changes by itself. Pure."""
    at = given.at
    moment = _Moment(given, rules, at)
    scored, state, keeps = _moved(given.state, moment, rules)
    hard = moment.hard()
    exempt = given.exempt_until is not None
    full = max(hard, scored)
    standing = moment.hard(exempt=True) if exempt else full
    state = _quarantine(state, full, at)
    proposal = _proposal(moment, state, scored, full, rules)
    if proposal is not None:
        state = msgspec.structs.replace(state, proposed=True)
    return Assessment(
        standing=standing,
        hard=hard,
        scored=scored,
        score=moment.score(_RESTRICTED),
        quarantine_score=moment.score(_QUARANTINED),
        contributions=moment.contributions(),
        state=state,
        keeps=keeps,
        exempt=exempt and standing < full,
        ended=moment.ended(),
        propose=proposal,
        next_at=_next(given, rules, state, (hard, scored)),
    )


def alone(cause: Weighed, at: datetime, rules: StandingRules) -> Standing:
    """Where a subject would come to stand if this were its only cause."""
    moment = _Moment(Inputs(at, (cause,)), rules, at)
    return max(moment.hard(), moment.entry())


def noisy_or(shares: Iterable[int]) -> int:
    """``1 - product(1 - share)`` in millionths, exact before it is rounded down once: the order does not matter."""
    product, scale = 1, 1
    for share in shares:
        product *= WHOLE - share
        scale *= WHOLE
    return WHOLE - -(-product * WHOLE // scale)


class _Row(NamedTuple):
    """A weighed cause with what it adds now."""

    cause: Weighed
    place: int
    source_class: str
    value: int


class _Moment:
    """The causes at one moment."""

    def __init__(self, given: Inputs, rules: StandingRules, at: datetime) -> None:
        self._rules = rules
        self._silent = given.silent
        self.at = at
        self._alive = [one for one in given.causes if not self._expired(one)]
        self._expired_ones = [one for one in given.causes if self._expired(one)]
        self._weighed = [
            _Row(one, _PLACE[one.level], one.source_class, self.value(one)) for one in self._alive if one.hard is None
        ]
        self._known: dict[tuple[Standing, bool], int] = {}

    def _now(self, cause: Weighed) -> datetime:
        """The time, as far as this cause goes: while its feed is silent it stands still."""
        return self.at - _stood(cause, self._silent, self.at)

    def _expired(self, cause: Weighed) -> bool:
        return cause.expires_at is not None and self._now(cause) >= cause.expires_at

    def hard(self, *, exempt: bool = False) -> Standing:
        """The strictest level of hard causes; if the subject is exempt, of those that no exemption covers."""
        return strictest(
            *(one.level for one in self._alive if one.hard is not None and not (exempt and one.hard.exemptible))
        )

    def value(self, cause: Weighed) -> int:
        """What a weighed cause adds now, in millionths."""
        whole = self._share(cause, cause.severity * cause.confidence)
        if cause.shape is not Shape.EVENT:
            return whole
        elapsed = (self._now(cause) - cause.since) // _MICROSECOND
        half_life = self._rules.half_life(cause.kind, cause.severity) * WHOLE
        return whole * decayed(elapsed, half_life) >> BITS

    def peak(self, cause: Weighed) -> int:
        """What it could add at its worst."""
        return self._share(cause, max(cause.peak, cause.severity * cause.confidence))

    def _share(self, cause: Weighed, strength: int) -> int:
        return strength * self._rules.weight(cause.feed, cause.kind) // 100

    def score(self, level: Standing, *, worst: bool = False) -> int:
        """The score of what may lead to ``level``."""
        found = self._known.get((level, worst))
        if found is None:
            found = self._known[level, worst] = noisy_or(self.by_class(level, worst=worst).values())
        return found

    def by_class(self, level: Standing, *, worst: bool = False) -> dict[str, int]:
        """The greatest value of each class of source."""
        found: dict[str, int] = {}
        least = _PLACE[level]
        for row in self._weighed:
            if row.place >= least:
                value = self.peak(row.cause) if worst else row.value
                if value >= found.get(row.source_class, 0):
                    found[row.source_class] = value
        return found

    def entry(self, *, worst: bool = False) -> Standing:
        """The standing that the scores reach, or would with every cause at its worst."""
        if self.score(_QUARANTINED, worst=worst) >= self._rules.quarantine.up:
            return _QUARANTINED
        return _RESTRICTED if self.score(_RESTRICTED, worst=worst) >= self._rules.restrict.up else _TRUSTED

    def kept(self, state: State) -> tuple[Standing, Keeps | None]:
        """The standing that hysteresis and dwell keep, and which of them."""
        if state.scored is _TRUSTED:
            return _TRUSTED, None
        kept, why = _TRUSTED, None
        age = (self.at - state.since) // _SECOND
        if state.scored >= _RESTRICTED and self.score(_RESTRICTED) >= self._rules.restrict.down:
            kept, why = _RESTRICTED, Keeps.HYSTERESIS
        elif state.scored is _RESTRICTED and age < self._rules.dwell_restricted:
            kept, why = _RESTRICTED, Keeps.DWELL
        if state.scored >= _QUARANTINED and self.score(_QUARANTINED) >= self._rules.quarantine.down:
            kept, why = _QUARANTINED, Keeps.HYSTERESIS
        elif state.scored >= _QUARANTINED and age < self._rules.dwell_quarantined:
            kept, why = _QUARANTINED, Keeps.DWELL
        most = self.entry(worst=True)
        return (kept, why) if kept <= most else (most, why if most is not _TRUSTED else None)

    def scored(self, state: State) -> tuple[Standing, Keeps | None]:
        """The standing by what is weighed, and what keeps it from being better."""
        entered = self.entry()
        kept, why = self.kept(state)
        if kept > entered:
            entered, keeps = kept, why
        else:
            keeps = None
        if entered < state.scored and self.flapping(state):
            return state.scored, Keeps.FLAPPING
        return entered, keeps

    def merit(self, state: State) -> int:
        """Points for flapping, now."""
        half_life = self._rules.flapping.half_life * WHOLE
        return state.merit * decayed((self.at - state.merit_at) // _MICROSECOND, half_life) >> BITS

    def flapping(self, state: State) -> bool:
        """Whether nothing is released for now."""
        return state.suppressed and self.merit(state) >= self._rules.flapping.reuse

    def ended(self) -> tuple[tuple[str, str], ...]:
        """Causes that weigh no more."""
        faded = [row.cause for row in self._weighed if row.cause.shape is Shape.EVENT and row.value < FLOOR]
        return tuple(sorted((one.feed, one.key) for one in (*self._expired_ones, *faded)))

    def contributions(self) -> tuple[Contribution, ...]:
        """One for each weighed cause."""
        return tuple(
            Contribution(
                feed=one.feed,
                key=one.key,
                kind=one.kind,
                level=one.level,
                value=row.value,
                whole=self._share(one, one.severity * one.confidence),
                age=max(0, (self._now(one) - one.since) // _SECOND),
                half_life=self._rules.half_life(one.kind, one.severity) if one.shape is Shape.EVENT else None,
                expires_at=one.expires_at,
            )
            for row in self._weighed
            for one in (row.cause,)
        )


def _moved(state: State, moment: _Moment, rules: StandingRules) -> tuple[Standing, State, Keeps | None]:
    """The scored standing, and what is remembered from now on."""
    scored, keeps = moment.scored(state)
    at = moment.at
    changes: dict[str, object] = {}
    if state.suppressed and not moment.flapping(state):
        changes |= {"suppressed": False}
    if scored is not state.scored:
        changes |= {"scored": scored, "since": at}
        if scored < state.scored:
            changes |= {"fallen": True}
        elif state.fallen:
            merit = min(moment.merit(state) + rules.flapping.penalty, rules.flapping.ceiling)
            changes |= {"merit": merit, "merit_at": at}
            if merit >= rules.flapping.suppress:
                changes |= {"suppressed": True}
    return scored, msgspec.structs.replace(state, **changes) if changes else state, keeps


def _quarantine(state: State, full: Standing, at: datetime) -> State:
    """Since when it is quarantined or worse."""
    if full < _QUARANTINED:
        if state.quarantined_since is None and not state.proposed:
            return state
        return msgspec.structs.replace(state, quarantined_since=None, proposed=False)
    return state if state.quarantined_since is not None else msgspec.structs.replace(state, quarantined_since=at)


def _proposal(moment: _Moment, state: State, scored: Standing, full: Standing, rules: StandingRules) -> str | None:
    """Why a revocation should be put before a person now."""
    if state.proposed or full is not _QUARANTINED:
        return None
    if scored is _QUARANTINED and moment.score(_QUARANTINED) >= rules.propose:
        agree = [value for value in moment.by_class(_QUARANTINED).values() if value >= rules.restrict.down]
        if len(agree) >= rules.quorum:
            return "quorum"
    since = state.quarantined_since
    at = moment.at
    if rules.unhealed and since is not None and (at - since) // _SECOND >= rules.unhealed:
        return "unhealed"
    return None


# --- when it changes by itself ---------------------------------------------------------------------------------------


def _next(given: Inputs, rules: StandingRules, state: State, now: tuple[Standing, Standing]) -> datetime | None:
    """The earliest moment, in whole seconds from now, at which the outcome is another though nobody says anything."""
    at = given.at
    found: list[datetime] = []
    if given.exempt_until is not None:
        found.append(given.exempt_until)
    if rules.unhealed and not state.proposed and state.quarantined_since is not None and max(now) is _QUARANTINED:
        found.append(state.quarantined_since + rules.unhealed * _SECOND)
    silent = {one.feed for one in given.silent if one.until is None}
    ends: list[datetime] = []
    for one in given.causes:
        end = _end(one, rules)
        if end is not None and one.feed in silent:
            # When its feed speaks again is not to be foreseen.
            found.append(at + _LOOK_AGAIN)
        elif end is not None:
            ends.append(end + _stood(one, given.silent, at))
    found += ends
    span = max([0, *((end - at) // _SECOND + 1 for end in ends)])
    if state.scored is not _TRUSTED:
        span = max(span, rules.dwell_quarantined, rules.dwell_restricted)
        if state.suppressed:
            span += rules.flapping.half_life * 16
    crossing = _crossing(given, rules, state, now, span)
    if crossing is not None:
        found.append(at + crossing * _SECOND)
    later = [one for one in found if one > at]
    return min(later, default=None)


def _crossing(
    given: Inputs, rules: StandingRules, state: State, now: tuple[Standing, Standing], span: int
) -> int | None:
    """After how many seconds, at most ``span``, the standings are lower. With time alone they never rise, so this is a
    search by halves."""

    def same(seconds: int) -> bool:
        moment = _Moment(given, rules, given.at + seconds * _SECOND)
        return (moment.hard(), moment.scored(state)[0]) == now

    if span <= 0 or max(now) is _TRUSTED or same(span):
        return None
    low, high = 0, span
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if same(middle) else (low, middle)
    return high


def _stood(cause: Weighed, silent: Iterable[Quiet], at: datetime) -> timedelta:
    """For how long, from when the cause began until ``at``, its feed was silent."""
    stood = timedelta(0)
    for one in silent:
        if one.feed == cause.feed:
            begins, ends = max(one.since, cause.since), at if one.until is None else min(one.until, at)
            stood += max(ends - begins, timedelta(0))
    return stood


def _end(cause: Weighed, rules: StandingRules) -> datetime | None:
    """When a cause weighs no more: its expiry, or as many half-lives as leave less than FLOOR of it."""
    ends = [] if cause.expires_at is None else [cause.expires_at]
    if cause.hard is None and cause.shape is Shape.EVENT:
        whole = cause.severity * cause.confidence * rules.weight(cause.feed, cause.kind) // 100
        halves = max(0, (whole // FLOOR).bit_length())
        ends.append(cause.since + rules.half_life(cause.kind, cause.severity) * halves * _SECOND)
    return min(ends, default=None)
