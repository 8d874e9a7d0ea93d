"""When to renew and when to try again. Pure: times in, times out; chance is handed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from troth.agent.state import Window

#: A suggestion this near to the end is not followed: the certificate would end while one still tries.
_LAST = 0.05
#: Without a suggestion, renewals of a fleet are spread over this share of the lifetime.
_SPREAD = 0.05
#: From here on it is renewed even if a person rolled back.
LAST_TENTH = 0.1

_NONE_LEFT = (timedelta(seconds=30), timedelta(minutes=15))
_FIRST = (timedelta(seconds=2), timedelta(seconds=60))
_MOST = (timedelta(seconds=30), timedelta(hours=6))
_ASK = (timedelta(minutes=1), timedelta(hours=24))
DEFAULT_ASK = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Lifetime:
    """From when to when a certificate holds."""

    begins: datetime
    ends: datetime

    @property
    def length(self) -> timedelta:
        """Never nothing, so that it may be divided by."""
        return max(self.ends - self.begins, timedelta(seconds=1))

    def after(self, share: float) -> datetime:
        """The moment when ``share`` of it is over."""
        return self.begins + self.length * share

    def left(self, now: datetime) -> timedelta:
        """How long it still holds; nothing when it is over."""
        return max(self.ends - now, timedelta(0))


def renewal(lifetime: Lifetime, window: Window | None, draw: float, renew_at: float) -> tuple[datetime, str]:
    """When to renew, and why then. ``draw`` is this certificate's chance, 0 to 1."""
    latest = lifetime.after(1 - _LAST)
    if window is not None and window.start < window.end:
        chosen = window.start + (window.end - window.start) * draw
        if chosen <= latest:
            return chosen, window.explanation or "the server suggests it"
        return latest, "the server's suggestion is too late"
    share = max(renew_at - _SPREAD * draw, 0.0)
    return lifetime.after(share), f"{share:.0%} of its lifetime will be over"


def pause(failures: int, left: timedelta, chance: float, asked: float) -> timedelta:
    """How long to wait after the ``failures``-th failure in a row, with ``left`` of the certificate in use.

    Doubling, capped, and never so long that fewer than ten tries remain; between half and the whole of it by
    ``chance``, so that a fleet does not come back as one. A server that asks for more (``asked`` seconds) is heeded.
    """
    if left <= timedelta(0):
        first, most = _NONE_LEFT
    else:
        first, most = _within(left / 200, _FIRST), _within(left / 10, _MOST)
    grown = min(first * (1 << min(max(failures - 1, 0), 20)), most)
    return max(grown * (0.5 + chance / 2), timedelta(seconds=min(asked, 86400.0)))


def ask_again(asked: float) -> timedelta:
    """When to ask for a window again after a server said ``asked`` seconds; 0 if it said nothing."""
    return _within(timedelta(seconds=min(asked, 1e6)), _ASK) if asked else DEFAULT_ASK


def _within(value: timedelta, bounds: tuple[timedelta, timedelta]) -> timedelta:
    return min(max(value, bounds[0]), bounds[1])
