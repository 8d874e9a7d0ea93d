"""The numbers of standing: weights, half-lives, thresholds, dwell times, caps. ``rules_grammar`` reads them from YAML.

Shares are in millionths (:data:`WHOLE`), weights in percent, times in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, TypeVar

from troth.trust.feeds.caps import Cap
from troth.trust.signals.kinds import class_of

_T = TypeVar("_T")

#: A share of one, in millionths.
WHOLE: Final = 1_000_000

_HOUR, _DAY = 3_600, 86_400


_KIND, _GROUP, _EVERYONE = Cap(5, 50), Cap(20, 20), Cap(10, 100)


@dataclass(frozen=True, slots=True)
class Threshold:
    """From ``up`` on a standing is entered, below ``down`` it is left: shares in millionths, ``down`` the lesser."""

    up: int
    down: int


@dataclass(frozen=True, slots=True)
class HalfLife:
    """Of an event: ``seconds``, but ``minor_seconds`` if it is less severe than ``minor_below``."""

    seconds: int
    minor_below: int = 0
    minor_seconds: int = 0

    def of(self, severity: int) -> int:
        """Seconds for an event of that severity."""
        return self.minor_seconds if severity < self.minor_below else self.seconds


@dataclass(frozen=True, slots=True)
class Flapping:
    """Damping in the manner of RFC 2439.

    Each time that a standing is entered again costs ``penalty`` points, which halve every ``half_life`` seconds; from
    ``suppress`` on nothing is released until the points are below ``reuse``.
    """

    penalty: int = 1_000
    suppress: int = 2_500
    reuse: int = 1_000
    half_life: int = 900
    ceiling: int = 8_000


@dataclass(frozen=True, slots=True)
class Breaker:
    """A feed that asks for ``percent`` of a scope of at least ``population`` subjects, for one reason and in one
    window, is suspended."""

    percent: int = 30
    population: int = 50


@dataclass(frozen=True, slots=True)
class CapRules:
    """Caps beside each feed's own: for one kind, for one group or site, for everyone; and the hard cap of a feed.

    Attributes:
        notify: targets of the reactions that are told when any cap is reached or a feed suspended, and when it is over.
    """

    kind: Cap = _KIND
    group: Cap = _GROUP
    everyone: Cap = _EVERYONE
    hard: Cap = _EVERYONE
    breaker: Breaker = Breaker()
    notify: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StandingRules:
    """All of it, as applied.

    Attributes:
        version: 0 for what Troth ships; counted up by each document applied.
        weights: percent, by kind, by class (``edr.*``) or ``*``; the most particular one counts.
        feeds: percent, by feed; multiplied with the kind's.
        half_lives: of events, by kind, by class or ``*``.
        restrict, quarantine: thresholds.
        propose: from this score on a revocation is put before a person, if ``quorum`` classes of source agree.
        dwell_restricted, dwell_quarantined: seconds for which a standing is kept at least once it was entered.
        unhealed: seconds of quarantine after which a revocation is put before a person; 0 for never.
    """

    version: int = 0
    weights: Mapping[str, int] = field(default_factory=dict)
    feeds: Mapping[str, int] = field(default_factory=dict)
    half_lives: Mapping[str, HalfLife] = field(default_factory=lambda: {"*": HalfLife(_DAY)})
    restrict: Threshold = Threshold(350_000, 200_000)
    quarantine: Threshold = Threshold(600_000, 350_000)
    propose: int = 900_000
    quorum: int = 2
    dwell_restricted: int = 600
    dwell_quarantined: int = 1_800
    flapping: Flapping = Flapping()
    unhealed: int = 14 * _DAY
    caps: CapRules = CapRules()

    def weight(self, feed: str, kind: str) -> int:
        """Weight of a kind's word from a feed, in ten-thousandths."""
        return _particular(self.weights, kind, 100) * self.feeds.get(feed, 100)

    def half_life(self, kind: str, severity: int) -> int:
        """Seconds in which an event of that kind and severity loses half of its weight."""
        return _particular(self.half_lives, kind, HalfLife(_DAY)).of(severity)


def _particular(by_name: Mapping[str, _T], kind: str, default: _T) -> _T:
    for name in (kind, f"{class_of(kind)}.*", "*"):
        found = by_name.get(name)
        if found is not None:
            return found
    return default


def seconds(duration: timedelta) -> int:
    """Whole seconds of a duration."""
    return duration // timedelta(seconds=1)
